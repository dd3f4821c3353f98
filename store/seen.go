package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	seenSelect = `SELECT envelope_id, seen_at, cell FROM inbox_seen WHERE envelope_id = $1`
	seenInsert = `INSERT INTO inbox_seen (envelope_id, seen_at, cell) VALUES ($1, $2, $3)`
)

// Seen implements chat.Tx.
func (t *tx) Seen(envelope chat.EnvelopeID) (chat.SeenRow, bool, error) {
	return first(t, func(rows *sql.Rows) (s chat.SeenRow, err error) {
		return s, rows.Scan(id(s.ID[:]), instant(&s.At), &s.Cell)
	}, seenSelect, envelope[:])
}

// InsertSeen implements chat.Tx.
func (t *tx) InsertSeen(s chat.SeenRow) error {
	_, err := t.exec(seenInsert, s.ID[:], s.At.UnixMicro(), bytesOf(s.Cell))
	if err != nil {
		return fmt.Errorf("remember envelope %x: %w", s.ID[:8], err)
	}
	return nil
}
