package store

import (
	"database/sql"

	"parley/chat"
)

const (
	seenSelect = `SELECT envelope_id, seen_at, cell FROM inbox_seen WHERE envelope_id IN `
	seenInsert = `INSERT INTO inbox_seen (envelope_id, seen_at, cell) VALUES `
)

// Seen implements chat.Tx.
func (t *tx) Seen(envelopes ...chat.EnvelopeID) ([]chat.SeenRow, error) {
	return listIn(t, func(rows *sql.Rows) (s chat.SeenRow, err error) {
		return s, rows.Scan(id(s.ID[:]), instant(&s.At), &s.Cell)
	}, seenSelect, envelopeIDs(envelopes))
}

// InsertSeen implements chat.Tx.
func (t *tx) InsertSeen(s chat.SeenRow) error {
	return t.add(seenInsert, s.ID[:], s.At.UnixMicro(), bytesOf(s.Cell))
}

func envelopeIDs(ids []chat.EnvelopeID) []any {
	return keys(ids, func(id *chat.EnvelopeID) []byte { return id[:] })
}
