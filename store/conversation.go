package store

import (
	"database/sql"
	"fmt"
	"time"

	"parley/chat"
)

const (
	conversationSelect = `SELECT id, created_at, cell FROM conversation WHERE id = $1`
	conversationPut    = `INSERT INTO conversation (id, created_at, cell) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, cell = excluded.cell`

	tombstoneInsert = `INSERT INTO tombstone (message_id, forgotten_at)
		SELECT message_id, CAST($1 AS BIGINT) FROM message WHERE conversation = $2 ON CONFLICT DO NOTHING`
	tombstoneAny       = `SELECT forgotten_at FROM tombstone LIMIT 1`
	tombstoneSelect    = `SELECT forgotten_at FROM tombstone WHERE message_id = $1`
	messageForget      = `DELETE FROM message WHERE conversation = $1`
	conversationForget = `DELETE FROM conversation WHERE id = $1`
	eventForget        = `UPDATE event SET conversation = $1, cell = $2 WHERE conversation = $3`
	unaddressedForget  = `DELETE FROM unaddressed WHERE account = $1`
	outboxForget       = `DELETE FROM outbox WHERE account = $1`
	contactForget      = `DELETE FROM contact WHERE account = $1`
)

// Conversation implements chat.Tx.
func (t *tx) Conversation(id chat.ConversationID) (chat.ConversationRow, bool, error) {
	return first(t, scanConversation, conversationSelect, id[:])
}

// PutConversation implements chat.Tx.
func (t *tx) PutConversation(c chat.ConversationRow) error {
	return t.write(conversationPut, c.ID[:], c.At.UnixMicro(), bytesOf(c.Cell))
}

func scanConversation(rows *sql.Rows) (c chat.ConversationRow, err error) {
	return c, rows.Scan(id(c.ID[:]), instant(&c.At), &c.Cell)
}

// DeleteConversation implements chat.Tx.
func (t *tx) DeleteConversation(c chat.ConversationID, a chat.AccountID, at time.Time) error {
	t.never = false
	none := chat.ConversationID{}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{tombstoneInsert, []any{at.UnixMicro(), c[:]}},
		{messageForget, []any{c[:]}},
		{conversationForget, []any{c[:]}},
		{eventForget, []any{none[:], []byte{}, c[:]}},
		{unaddressedForget, []any{a[:]}},
		{outboxForget, []any{a[:]}},
		{contactForget, []any{a[:]}},
	} {
		if _, err := t.exec(step.query, step.args...); err != nil {
			return fmt.Errorf("delete conversation %x: %w", c, err)
		}
	}
	return nil
}

// Forgotten implements chat.Tx. Most people have forgotten nothing, ever: that is asked once.
func (t *tx) Forgotten(message chat.MessageID) (bool, error) {
	at := func(rows *sql.Rows) (at time.Time, err error) { return at, rows.Scan(instant(&at)) }
	if !t.forgotten && !t.never {
		_, some, err := first(t, at, tombstoneAny)
		if err != nil {
			return false, err
		}
		t.forgotten, t.never = some, !some
	}
	if t.never {
		return false, nil
	}
	_, ok, err := first(t, at, tombstoneSelect, message[:])
	return ok, err
}
