package store

import (
	"database/sql"

	"parley/chat"
)

const (
	eventInsert = `INSERT INTO event (seq, type, created_at, conversation, state, cell) VALUES `
	eventSelect = `SELECT seq, type, created_at, conversation, state, cell FROM event WHERE seq > $1 ORDER BY seq LIMIT $2`
	eventLast   = `SELECT COALESCE(MAX(seq), 0) FROM event`
)

// AppendEvent implements chat.Tx. One connection writes, so that the next number is the last one and one: no number is skipped, and none
// shows before a smaller one.
func (t *tx) AppendEvent(e chat.Event) (uint64, error) {
	last, err := t.LastEvent()
	if err != nil {
		return 0, err
	}
	t.last = last + 1
	return t.last, t.add(eventInsert, seqOf(t.last), string(e.Type), e.At.UnixMicro(), e.Conversation[:], string(e.State), bytesOf(e.Cell))
}

// Events implements chat.Tx.
func (t *tx) Events(after uint64, limit int) ([]chat.Event, error) {
	return list(t, func(rows *sql.Rows) (e chat.Event, err error) {
		return e, rows.Scan(&e.Seq, &e.Type, instant(&e.At), id(e.Conversation[:]), &e.State, &e.Cell)
	}, eventSelect, seqOf(after), limitOf(limit))
}

// LastEvent implements chat.Tx.
func (t *tx) LastEvent() (uint64, error) {
	if t.last > 0 {
		return t.last, nil
	}
	seq, _, err := first(t, func(rows *sql.Rows) (seq uint64, err error) { return seq, rows.Scan(&seq) }, eventLast)
	t.last = seq
	return seq, err
}
