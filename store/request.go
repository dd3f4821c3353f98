package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	requestSelect = `SELECT account, state, created_at, cell FROM request`
	requestOf     = requestSelect + ` WHERE account = $1`
	requestPut    = `INSERT INTO request (account, state, created_at, cell) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account) DO UPDATE SET state = excluded.state, created_at = excluded.created_at, cell = excluded.cell`
	requestDelete = `DELETE FROM request WHERE account = $1`

	heldSelect = `SELECT message_id, envelope_id, account, row_id, created_at, cell FROM held `
	heldIn     = heldSelect + `WHERE envelope_id IN `
	heldOf     = heldSelect + `WHERE account = $1 ORDER BY row_id`
	heldPut    = `INSERT INTO held (message_id, envelope_id, account, row_id, created_at, cell) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (message_id) DO UPDATE SET envelope_id = excluded.envelope_id, account = excluded.account,
			row_id = excluded.row_id, created_at = excluded.created_at, cell = excluded.cell`
	heldDelete = `DELETE FROM held WHERE account = $1`
)

// Requests implements chat.Tx.
func (t *tx) Requests() ([]chat.RequestRow, error) { return list(t, scanRequest, requestSelect) }

// Request implements chat.Tx.
func (t *tx) Request(account chat.AccountID) (chat.RequestRow, bool, error) {
	return first(t, scanRequest, requestOf, account[:])
}

func scanRequest(rows *sql.Rows) (r chat.RequestRow, err error) {
	return r, rows.Scan(id(r.Account[:]), &r.State, instant(&r.At), &r.Cell)
}

// PutRequest implements chat.Tx.
func (t *tx) PutRequest(r chat.RequestRow) error {
	_, err := t.exec(requestPut, r.Account[:], string(r.State), r.At.UnixMicro(), bytesOf(r.Cell))
	if err != nil {
		return fmt.Errorf("put request %x: %w", r.Account, err)
	}
	return nil
}

// DeleteRequest implements chat.Tx.
func (t *tx) DeleteRequest(account chat.AccountID) error {
	if _, err := t.exec(requestDelete, account[:]); err != nil {
		return fmt.Errorf("delete request %x: %w", account, err)
	}
	return nil
}

// Held implements chat.Tx.
func (t *tx) Held(envelopes ...chat.EnvelopeID) ([]chat.HeldRow, error) {
	return listIn(t, scanHeld, heldIn, envelopeIDs(envelopes))
}

// HeldOf implements chat.Tx.
func (t *tx) HeldOf(account chat.AccountID) ([]chat.HeldRow, error) {
	return list(t, scanHeld, heldOf, account[:])
}

func scanHeld(rows *sql.Rows) (h chat.HeldRow, err error) {
	return h, rows.Scan(id(h.Message[:]), id(h.Envelope[:]), id(h.Account[:]), id(h.Row[:]), instant(&h.At), &h.Cell)
}

// PutHeld implements chat.Tx.
func (t *tx) PutHeld(h chat.HeldRow) error {
	_, err := t.exec(heldPut, h.Message[:], h.Envelope[:], h.Account[:], h.Row[:], h.At.UnixMicro(), bytesOf(h.Cell))
	if err != nil {
		return fmt.Errorf("hold letter %x: %w", h.Message, err)
	}
	return nil
}

// DeleteHeldOf implements chat.Tx.
func (t *tx) DeleteHeldOf(account chat.AccountID) error {
	if _, err := t.exec(heldDelete, account[:]); err != nil {
		return fmt.Errorf("delete the letters of %x: %w", account, err)
	}
	return nil
}
