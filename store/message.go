package store

import (
	"bytes"
	"database/sql"
	"time"

	"parley/chat"
)

const (
	messageInsert = `INSERT INTO message
		(row_id, message_id, conversation, kind, state, trace, client_id, created_at, event_seq, cell) VALUES `
	messageState = `UPDATE message SET state = $1, trace = $2 WHERE row_id = $3`

	messageSelect = `SELECT
		row_id, message_id, conversation, kind, state, trace, client_id, created_at, event_seq, cell
		FROM message `
	messageAt       = messageSelect + `WHERE row_id IN `
	messageByID     = messageSelect + `WHERE message_id = $1`
	messageByClient = messageSelect + `WHERE conversation = $1 AND client_id = $2 AND length(client_id) > 0`
	messagePage     = messageSelect + `WHERE conversation = $1 AND kind = $2 AND row_id < $3 ORDER BY row_id DESC LIMIT $4`
	messageUnread   = messageSelect + `WHERE state = 'received' AND kind = 1 ORDER BY row_id LIMIT $1`
	messageUnreadIn = messageSelect +
		`WHERE conversation = $1 AND state = 'received' AND kind = 1 ORDER BY row_id LIMIT $2`

	messageLast  = messageSelect + `ORDER BY row_id DESC LIMIT 1`
	messageStats = `SELECT COUNT(*), COALESCE(MIN(created_at), 0), (SELECT COALESCE(MAX(seq), 0) FROM event), (SELECT COUNT(*) FROM contact)
		FROM message WHERE state = 'queued' AND kind = 1`
)

// InsertMessage implements chat.Tx.
func (t *tx) InsertMessage(m chat.MessageRow) error {
	return t.add(messageInsert, m.Row[:], m.ID[:], m.Conversation[:], int64(m.Kind), string(m.State), bytesOf(m.Trace),
		bytesOf(m.ClientID), m.At.UnixMicro(), int64(m.Event), bytesOf(m.Cell))
}

// SetMessageState implements chat.Tx. It is an error when there is no such message.
func (t *tx) SetMessageState(m chat.MessageRow) error {
	return t.change(messageState, string(m.State), bytesOf(m.Trace), m.Row[:])
}

// MessagesAt implements chat.Tx.
func (t *tx) MessagesAt(rows ...chat.RowID) ([]chat.MessageRow, error) {
	return listIn(t, scanMessage, messageAt, rowIDs(rows))
}

func rowIDs(rows []chat.RowID) []any { return keys(rows, func(r *chat.RowID) []byte { return r[:] }) }

// MessageByID implements chat.Tx.
func (t *tx) MessageByID(id chat.MessageID) (chat.MessageRow, bool, error) {
	return first(t, scanMessage, messageByID, id[:])
}

// MessageByClientID implements chat.Tx.
func (t *tx) MessageByClientID(c chat.ConversationID, id string) (chat.MessageRow, bool, error) {
	return first(t, scanMessage, messageByClient, c[:], bytesOf(id))
}

// Messages implements chat.Tx.
func (t *tx) Messages(c chat.ConversationID, kind chat.Kind, before chat.RowID, limit int) ([]chat.MessageRow, error) {
	end := before[:]
	if before.IsZero() {
		end = bytes.Repeat([]byte{0xff}, len(before)+1)
	}
	return list(t, scanMessage, messagePage, c[:], int64(kind), end, limitOf(limit))
}

// Unread implements chat.Tx.
func (t *tx) Unread(c *chat.ConversationID, limit int) ([]chat.MessageRow, error) {
	if c == nil {
		return list(t, scanMessage, messageUnread, limitOf(limit))
	}
	return list(t, scanMessage, messageUnreadIn, c[:], limitOf(limit))
}

// LastMessage implements chat.Tx.
func (t *tx) LastMessage() (chat.MessageRow, bool, error) {
	return first(t, scanMessage, messageLast)
}

// Stats implements chat.Tx.
func (t *tx) Stats() (chat.Stats, error) {
	s, _, err := first(t, func(rows *sql.Rows) (s chat.Stats, err error) {
		return s, rows.Scan(&s.Queued, instant(&s.Oldest), &s.LastEvent, &s.Contacts)
	}, messageStats)
	if s.Queued == 0 {
		s.Oldest = time.Time{}
	}
	return s, err
}

func scanMessage(rows *sql.Rows) (m chat.MessageRow, err error) {
	return m, rows.Scan(id(m.Row[:]), id(m.ID[:]), id(m.Conversation[:]), &m.Kind, &m.State, &m.Trace, &m.ClientID,
		instant(&m.At), wide(&m.Event), &m.Cell)
}
