package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	recordSelect = `SELECT record_key, stored_at, cell FROM record WHERE record_key = $1`
	recordPut    = `INSERT INTO record (record_key, stored_at, cell) VALUES ($1, $2, $3)
		ON CONFLICT (record_key) DO UPDATE SET stored_at = excluded.stored_at, cell = excluded.cell`
)

// Record implements chat.Tx.
func (t *tx) Record(key string) (chat.RecordRow, bool, error) {
	return first(t, func(rows *sql.Rows) (r chat.RecordRow, err error) {
		return r, rows.Scan(&r.Key, instant(&r.At), &r.Cell)
	}, recordSelect, bytesOf(key))
}

// PutRecord implements chat.Tx.
func (t *tx) PutRecord(r chat.RecordRow) error {
	if _, err := t.exec(recordPut, bytesOf(r.Key), r.At.UnixMicro(), bytesOf(r.Cell)); err != nil {
		return fmt.Errorf("put record %x: %w", r.Key, err)
	}
	return nil
}
