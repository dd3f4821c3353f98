package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	// One connection writes, so that the next number is the last one and one: no number is skipped, and none shows before a
	// smaller one.
	eventInsert = `INSERT INTO event (seq, type, created_at, conversation, state, cell)
		VALUES ((SELECT COALESCE(MAX(seq), 0) + 1 FROM event), $1, $2, $3, $4, $5) RETURNING seq`
	eventSelect = `SELECT seq, type, created_at, conversation, state, cell FROM event WHERE seq > $1 ORDER BY seq LIMIT $2`
	eventLast   = `SELECT COALESCE(MAX(seq), 0) FROM event`
)

// AppendEvent implements chat.Tx.
func (t *tx) AppendEvent(e chat.Event) (uint64, error) {
	seq, _, err := first(t, scanSeq, eventInsert, string(e.Type), e.At.UnixMicro(), e.Conversation[:], string(e.State), bytesOf(e.Cell))
	if err != nil {
		return 0, fmt.Errorf("append event: %w", err)
	}
	return seq, nil
}

// Events implements chat.Tx.
func (t *tx) Events(after uint64, limit int) ([]chat.Event, error) {
	return list(t, func(rows *sql.Rows) (e chat.Event, err error) {
		return e, rows.Scan(&e.Seq, &e.Type, instant(&e.At), id(e.Conversation[:]), &e.State, &e.Cell)
	}, eventSelect, seqOf(after), limitOf(limit))
}

// LastEvent implements chat.Tx.
func (t *tx) LastEvent() (uint64, error) {
	seq, _, err := first(t, scanSeq, eventLast)
	return seq, err
}

func scanSeq(rows *sql.Rows) (seq uint64, err error) { return seq, rows.Scan(&seq) }
