package store

import (
	"database/sql"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

const (
	outboxInsert  = `INSERT INTO outbox (device, row_id, account, message_row, envelope_id, cell, holders) VALUES `
	outboxHolders = `UPDATE outbox SET holders = $3 WHERE device = $1 AND row_id = $2`
	outboxOf      = `SELECT device, row_id, account, message_row, envelope_id, cell, holders
		FROM outbox WHERE device = $1 AND row_id > $2 ORDER BY row_id LIMIT $3`
	outboxDelete = `DELETE FROM outbox WHERE device = $1 AND row_id IN `

	// One step from device to device along the primary key: the rows between, envelopes and all, are not read.
	outboxDevices = `WITH RECURSIVE step (device) AS (
			SELECT (SELECT device FROM outbox WHERE device > $1 ORDER BY device LIMIT 1)
			UNION ALL
			SELECT (SELECT o.device FROM outbox o WHERE o.device > step.device ORDER BY o.device LIMIT 1)
				FROM step WHERE step.device IS NOT NULL)
		SELECT device FROM step WHERE device IS NOT NULL`

	unaddressedAdd      = `INSERT INTO unaddressed (account, device, message_row) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	unaddressedAccounts = `SELECT account, (SELECT w.message_row FROM unaddressed w WHERE w.account = a.account ORDER BY w.device, w.message_row LIMIT 1)
		FROM (SELECT DISTINCT account FROM unaddressed) a`
	unaddressedAny    = `SELECT message_row FROM unaddressed WHERE account = $1 LIMIT 1`
	unaddressedOf     = `SELECT message_row FROM unaddressed WHERE account = $1 AND device = $2 ORDER BY message_row LIMIT $3`
	unaddressedDelete = `DELETE FROM unaddressed WHERE account = $1 AND device = $2 AND message_row = $3`
)

// InsertOutbox implements chat.Tx.
func (t *tx) InsertOutbox(o chat.OutboxRow) error {
	return t.add(outboxInsert, bytesOf(o.Device), o.Row[:], o.Account[:], o.Message[:], o.ID[:], bytesOf(o.Cell), bytesOf(o.HoldersCell))
}

// SetOutboxHolders implements chat.Tx.
func (t *tx) SetOutboxHolders(o chat.OutboxRow) error {
	return t.write(outboxHolders, bytesOf(o.Device), o.Row[:], bytesOf(o.HoldersCell))
}

// OutboxDevices implements chat.Tx.
func (t *tx) OutboxDevices() ([]peer.ID, error) {
	return list(t, func(rows *sql.Rows) (device peer.ID, err error) {
		return device, rows.Scan(&device)
	}, outboxDevices, []byte{})
}

// OutboxOf implements chat.Tx.
func (t *tx) OutboxOf(device peer.ID, after chat.RowID, limit int) ([]chat.OutboxRow, error) {
	return list(t, func(rows *sql.Rows) (o chat.OutboxRow, err error) {
		return o, rows.Scan(&o.Device, id(o.Row[:]), id(o.Account[:]), id(o.Message[:]), id(o.ID[:]), &o.Cell, &o.HoldersCell)
	}, outboxOf, bytesOf(device), after[:], limitOf(limit))
}

// DeleteOutbox implements chat.Tx.
func (t *tx) DeleteOutbox(device peer.ID, rows []chat.RowID) error {
	for batch := range batches(rowIDs(rows), 1) {
		if err := t.write(outboxDelete+placeholders(2, len(batch)), append([]any{bytesOf(device)}, batch...)...); err != nil {
			return err
		}
	}
	return nil
}

// AddUnaddressed implements chat.Tx.
func (t *tx) AddUnaddressed(w chat.WaitingRow) error {
	_, err := t.exec(unaddressedAdd, w.Account[:], bytesOf(w.Device), w.Message[:])
	return err
}

// WaitingAccounts implements chat.Tx.
func (t *tx) WaitingAccounts() ([]chat.WaitingRow, error) {
	return list(t, func(rows *sql.Rows) (w chat.WaitingRow, err error) {
		return w, rows.Scan(id(w.Account[:]), id(w.Message[:]))
	}, unaddressedAccounts)
}

// Waits implements chat.Tx.
func (t *tx) Waits(account chat.AccountID) (bool, error) {
	_, ok, err := first(t, func(rows *sql.Rows) (row chat.RowID, err error) {
		return row, rows.Scan(id(row[:]))
	}, unaddressedAny, account[:])
	return ok, err
}

// Unaddressed implements chat.Tx.
func (t *tx) Unaddressed(account chat.AccountID, device peer.ID, limit int) ([]chat.RowID, error) {
	return list(t, func(rows *sql.Rows) (row chat.RowID, err error) {
		return row, rows.Scan(id(row[:]))
	}, unaddressedOf, account[:], bytesOf(device), limitOf(limit))
}

// DeleteUnaddressed implements chat.Tx.
func (t *tx) DeleteUnaddressed(w chat.WaitingRow) error {
	_, err := t.exec(unaddressedDelete, w.Account[:], bytesOf(w.Device), w.Message[:])
	return err
}
