package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	requestSelect = `SELECT account, state, name, created_at, card, texts, claims, introducer, introduction FROM request`
	requestOf     = requestSelect + ` WHERE account = $1`
	requestPut    = `INSERT INTO request (account, state, name, created_at, card, texts, claims, introducer, introduction)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (account) DO UPDATE SET state = excluded.state, name = excluded.name, created_at = excluded.created_at,
			card = excluded.card, texts = excluded.texts, claims = excluded.claims, introducer = excluded.introducer,
			introduction = excluded.introduction`
	requestDelete = `DELETE FROM request WHERE account = $1`

	heldSelect = `SELECT message_id, envelope_id, account, device, row_id, ack_tag, created_at, content FROM held `
	heldIn     = heldSelect + `WHERE envelope_id = $1`
	heldOf     = heldSelect + `WHERE account = $1 ORDER BY row_id`
	heldPut    = `INSERT INTO held (message_id, envelope_id, account, device, row_id, ack_tag, created_at, content)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (message_id) DO UPDATE SET envelope_id = excluded.envelope_id, account = excluded.account,
			device = excluded.device, row_id = excluded.row_id, ack_tag = excluded.ack_tag, created_at = excluded.created_at,
			content = excluded.content`
	heldDelete = `DELETE FROM held WHERE account = $1`
)

// Requests implements chat.Tx.
func (t *tx) Requests() ([]chat.RequestRow, error) { return list(t, scanRequest, requestSelect) }

// Request implements chat.Tx.
func (t *tx) Request(account chat.AccountID) (chat.RequestRow, bool, error) {
	return first(t, scanRequest, requestOf, account[:])
}

func scanRequest(rows *sql.Rows) (r chat.RequestRow, err error) {
	return r, rows.Scan(id(r.Account[:]), &r.State, &r.Name, instant(&r.At), flag(&r.Card), &r.Texts, id(r.Claims[:]),
		id(r.Introducer[:]), &r.Introduction)
}

// PutRequest implements chat.Tx.
func (t *tx) PutRequest(r chat.RequestRow) error {
	_, err := t.exec(requestPut, r.Account[:], string(r.State), bytesOf(r.Name), r.At.UnixMicro(), flagOf(r.Card), int64(r.Texts),
		r.Claims[:], r.Introducer[:], bytesOf(r.Introduction))
	if err != nil {
		return fmt.Errorf("put request of %s: %w", r.Account.Short(), err)
	}
	return nil
}

// DeleteRequest implements chat.Tx.
func (t *tx) DeleteRequest(account chat.AccountID) error {
	if _, err := t.exec(requestDelete, account[:]); err != nil {
		return fmt.Errorf("delete request of %s: %w", account.Short(), err)
	}
	return nil
}

// Held implements chat.Tx.
func (t *tx) Held(envelope chat.EnvelopeID) (chat.HeldRow, bool, error) {
	return first(t, scanHeld, heldIn, envelope[:])
}

// HeldOf implements chat.Tx.
func (t *tx) HeldOf(account chat.AccountID) ([]chat.HeldRow, error) {
	return list(t, scanHeld, heldOf, account[:])
}

func scanHeld(rows *sql.Rows) (h chat.HeldRow, err error) {
	return h, rows.Scan(id(h.Message[:]), id(h.Envelope[:]), id(h.Account[:]), &h.Device, id(h.Row[:]), id(h.Tag[:]),
		instant(&h.At), &h.Content)
}

// PutHeld implements chat.Tx.
func (t *tx) PutHeld(h chat.HeldRow) error {
	_, err := t.exec(heldPut, h.Message[:], h.Envelope[:], h.Account[:], bytesOf(h.Device), h.Row[:], h.Tag[:], h.At.UnixMicro(),
		bytesOf(h.Content))
	if err != nil {
		return fmt.Errorf("hold a letter of %s: %w", h.Account.Short(), err)
	}
	return nil
}

// DeleteHeldOf implements chat.Tx.
func (t *tx) DeleteHeldOf(account chat.AccountID) error {
	if _, err := t.exec(heldDelete, account[:]); err != nil {
		return fmt.Errorf("delete the letters of %s: %w", account.Short(), err)
	}
	return nil
}
