package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	recordSelect = `SELECT record_key, sequence, value, stored_at FROM record WHERE record_key = $1`
	recordPut    = `INSERT INTO record (record_key, sequence, value, stored_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (record_key) DO UPDATE SET sequence = excluded.sequence, value = excluded.value,
			stored_at = excluded.stored_at`
)

// Record implements chat.Tx.
func (t *tx) Record(key string) (chat.RecordRow, bool, error) {
	return first(t, func(rows *sql.Rows) (r chat.RecordRow, err error) {
		return r, rows.Scan(&r.Key, wide(&r.Sequence), &r.Value, instant(&r.At))
	}, recordSelect, bytesOf(key))
}

// PutRecord implements chat.Tx.
func (t *tx) PutRecord(r chat.RecordRow) error {
	_, err := t.exec(recordPut, bytesOf(r.Key), int64(r.Sequence), bytesOf(r.Value), r.At.UnixMicro())
	if err != nil {
		return fmt.Errorf("put record %q: %w", r.Key, err)
	}
	return nil
}
