package store

import (
	"database/sql"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

const (
	outboxInsert = `INSERT INTO outbox
		(device, row_id, account, message_row, envelope_id, ack_tag, attempts, next_at, error, envelope)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	outboxOf = `SELECT device, row_id, account, message_row, envelope_id, ack_tag, attempts, next_at, error, envelope
		FROM outbox WHERE device = $1 ORDER BY row_id LIMIT $2`
	outboxPostpone = `UPDATE outbox SET next_at = $1, error = $2, attempts = attempts + $3 WHERE device = $4`
	outboxDelete   = `DELETE FROM outbox WHERE device = $1 AND row_id IN `

	// Materialized, or SQLite would read the whole table in the order of devices, envelopes and all, to save itself a sort.
	outboxDue = `WITH due AS MATERIALIZED (SELECT device, next_at FROM outbox WHERE next_at <= $1)
		SELECT device, MIN(next_at) FROM due GROUP BY device ORDER BY MIN(next_at), device LIMIT $2`
	outboxNext = `SELECT next_at FROM outbox WHERE next_at > $1 ORDER BY next_at LIMIT 1`

	unaddressedAdd      = `INSERT INTO unaddressed (account, message_row) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	unaddressedAccounts = `SELECT DISTINCT account FROM unaddressed ORDER BY account`
	unaddressedOf       = `SELECT message_row FROM unaddressed WHERE account = $1 ORDER BY message_row LIMIT $2`
	unaddressedDelete   = `DELETE FROM unaddressed WHERE account = $1 AND message_row = $2`
)

// InsertOutbox implements chat.Tx.
func (t *tx) InsertOutbox(o chat.OutboxRow) error {
	_, err := t.exec(outboxInsert, bytesOf(o.Device), o.Row[:], o.Account[:], o.Message[:], o.ID[:], o.Tag[:],
		int64(o.Attempts), o.NextAt.UnixMicro(), bytesOf(o.Error), bytesOf(o.Envelope))
	if err != nil {
		return fmt.Errorf("insert outbox row %x: %w", o.Row, err)
	}
	return nil
}

// DueDevices implements chat.Tx.
func (t *tx) DueDevices(now time.Time, limit int) (due []peer.ID, next time.Time, err error) {
	due, err = list(t, func(rows *sql.Rows) (device peer.ID, err error) {
		return device, rows.Scan(&device, instant(new(time.Time)))
	}, outboxDue, now.UnixMicro(), limitOf(limit))
	if err != nil {
		return nil, next, fmt.Errorf("list due devices: %w", err)
	}
	next, _, err = first(t, func(rows *sql.Rows) (at time.Time, err error) {
		return at, rows.Scan(instant(&at))
	}, outboxNext, now.UnixMicro())
	return due, next, err
}

// OutboxOf implements chat.Tx.
func (t *tx) OutboxOf(device peer.ID, limit int) ([]chat.OutboxRow, error) {
	return list(t, func(rows *sql.Rows) (o chat.OutboxRow, err error) {
		return o, rows.Scan(&o.Device, id(o.Row[:]), id(o.Account[:]), id(o.Message[:]), id(o.ID[:]), id(o.Tag[:]),
			&o.Attempts, instant(&o.NextAt), &o.Error, &o.Envelope)
	}, outboxOf, bytesOf(device), limitOf(limit))
}

// DeleteOutbox implements chat.Tx. Lists are filled up to a power of two, so that few statements have to be kept.
func (t *tx) DeleteOutbox(device peer.ID, rows []chat.RowID) error {
	for batch := range slices.Chunk(rows, deleteBatch) {
		args := []any{bytesOf(device)}
		for i := range 1 << bits.Len(uint(len(batch)-1)) {
			args = append(args, batch[min(i, len(batch)-1)][:])
		}
		if _, err := t.exec(outboxDelete+placeholders(2, len(args)-1), args...); err != nil {
			return fmt.Errorf("delete %d outbox rows: %w", len(batch), err)
		}
	}
	return nil
}

// placeholders returns "($first, …)" for n values.
func placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", $")
		b.WriteString(strconv.Itoa(first + i))
	}
	return "(" + b.String()[2:] + ")"
}

// PostponeOutbox implements chat.Tx.
func (t *tx) PostponeOutbox(device peer.ID, next time.Time, reason string) error {
	attempt := int64(1)
	if reason == "" {
		attempt = 0
	}
	_, err := t.exec(outboxPostpone, next.UnixMicro(), bytesOf(reason), attempt, bytesOf(device))
	if err != nil {
		return fmt.Errorf("postpone outbox of %s: %w", device, err)
	}
	return nil
}

// AddUnaddressed implements chat.Tx.
func (t *tx) AddUnaddressed(account chat.AccountID, message chat.RowID) error {
	_, err := t.exec(unaddressedAdd, account[:], message[:])
	return err
}

// WaitingAccounts implements chat.Tx.
func (t *tx) WaitingAccounts() ([]chat.AccountID, error) {
	return list(t, func(rows *sql.Rows) (account chat.AccountID, err error) {
		return account, rows.Scan(id(account[:]))
	}, unaddressedAccounts)
}

// Unaddressed implements chat.Tx.
func (t *tx) Unaddressed(account chat.AccountID, limit int) ([]chat.RowID, error) {
	return list(t, func(rows *sql.Rows) (row chat.RowID, err error) {
		return row, rows.Scan(id(row[:]))
	}, unaddressedOf, account[:], limitOf(limit))
}

// DeleteUnaddressed implements chat.Tx.
func (t *tx) DeleteUnaddressed(account chat.AccountID, message chat.RowID) error {
	_, err := t.exec(unaddressedDelete, account[:], message[:])
	return err
}
