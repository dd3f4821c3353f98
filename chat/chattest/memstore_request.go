package chattest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"parley/chat"
)

func heldKey(account chat.AccountID, row chat.RowID, m chat.MessageID) string {
	return string(account[:]) + string(row[:]) + string(m[:])
}

// Requests implements chat.Tx.
func (t *memTx) Requests() ([]chat.RequestRow, error) {
	var all []chat.RequestRow
	for _, r := range t.rows.requests.all() {
		all = append(all, keptRequest(r))
	}
	return all, t.err
}

// Request implements chat.Tx.
func (t *memTx) Request(account chat.AccountID) (chat.RequestRow, bool, error) {
	r, ok := t.rows.requests.get(string(account[:]))
	if !ok {
		return chat.RequestRow{}, false, t.err
	}
	return keptRequest(r), ok, t.err
}

// PutRequest implements chat.Tx.
func (t *memTx) PutRequest(r chat.RequestRow) error {
	if err := t.write(); err != nil {
		return err
	}
	if r.State != chat.RequestPending && r.State != chat.RequestRejected {
		return t.fail(fmt.Errorf("put request: no such state: %q", r.State))
	}
	put(t, &t.rows.requests, string(r.Account[:]), keptRequest(r))
	return nil
}

// DeleteRequest implements chat.Tx.
func (t *memTx) DeleteRequest(account chat.AccountID) error {
	if err := t.write(); err != nil {
		return err
	}
	drop(t, &t.rows.requests, string(account[:]))
	return nil
}

// Held implements chat.Tx.
func (t *memTx) Held(envelopes ...chat.EnvelopeID) (rows []chat.HeldRow, err error) {
	for _, h := range t.rows.held.all() {
		if slices.Contains(envelopes, h.Envelope) {
			rows = append(rows, keptHeld(h))
		}
	}
	return rows, t.err
}

// HeldOf implements chat.Tx.
func (t *memTx) HeldOf(account chat.AccountID) ([]chat.HeldRow, error) {
	var list []chat.HeldRow
	for _, h := range t.rows.held.from(string(account[:])) {
		if h.Account != account {
			break
		}
		list = append(list, keptHeld(h))
	}
	return list, t.err
}

// PutHeld implements chat.Tx.
func (t *memTx) PutHeld(h chat.HeldRow) error {
	if err := t.write(); err != nil {
		return err
	}
	for _, other := range slices.Clone(t.rows.held.all()) {
		switch {
		case other.Message == h.Message:
			drop(t, &t.rows.held, heldKey(other.Account, other.Row, other.Message))
		case other.Envelope == h.Envelope:
			return t.fail(fmt.Errorf("hold a letter: envelope %x is there already", h.Envelope))
		}
	}
	put(t, &t.rows.held, heldKey(h.Account, h.Row, h.Message), keptHeld(h))
	return nil
}

// DeleteHeldOf implements chat.Tx.
func (t *memTx) DeleteHeldOf(account chat.AccountID) error {
	letters, err := t.HeldOf(account)
	if err := errors.Join(err, t.write()); err != nil {
		return err
	}
	for _, h := range letters {
		drop(t, &t.rows.held, heldKey(h.Account, h.Row, h.Message))
	}
	return nil
}

func keptRequest(r chat.RequestRow) chat.RequestRow {
	return chat.RequestRow{Account: r.Account, State: r.State, At: micros(r.At), Cell: bytes.Clone(r.Cell)}
}

func keptHeld(h chat.HeldRow) chat.HeldRow {
	return chat.HeldRow{Message: h.Message, Envelope: h.Envelope, Account: h.Account, Row: h.Row, At: micros(h.At), Cell: bytes.Clone(h.Cell)}
}
