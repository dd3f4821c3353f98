package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	seenSelect = `SELECT ack_tag FROM inbox_seen WHERE envelope_id = $1`
	seenInsert = `INSERT INTO inbox_seen (envelope_id, ack_tag, message_id, seen_at) VALUES ($1, $2, $3, $4)`
)

// Seen implements chat.Tx.
func (t *tx) Seen(envelope chat.EnvelopeID) (chat.AckTag, bool, error) {
	return first(t, func(rows *sql.Rows) (tag chat.AckTag, err error) {
		return tag, rows.Scan(id(tag[:]))
	}, seenSelect, envelope[:])
}

// InsertSeen implements chat.Tx.
func (t *tx) InsertSeen(s chat.SeenRow) error {
	_, err := t.exec(seenInsert, s.ID[:], s.Tag[:], s.Message[:], s.At.UnixMicro())
	if err != nil {
		return fmt.Errorf("remember envelope %x: %w", s.ID[:8], err)
	}
	return nil
}
