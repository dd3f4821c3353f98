package store

import (
	"database/sql"
	"fmt"
	"slices"

	"parley/chat"
)

const (
	conversationSelect = `SELECT id, peer_account, last_seq, last_message, heads, created_at FROM conversation WHERE id = $1`
	conversationPut    = `INSERT INTO conversation (id, peer_account, last_seq, last_message, heads, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET peer_account = excluded.peer_account, last_seq = excluded.last_seq,
			last_message = excluded.last_message, heads = excluded.heads, created_at = excluded.created_at`
)

// Conversation implements chat.Tx.
func (t *tx) Conversation(id chat.ConversationID) (chat.ConversationRow, bool, error) {
	return first(t, scanConversation, conversationSelect, id[:])
}

// PutConversation implements chat.Tx.
func (t *tx) PutConversation(c chat.ConversationRow) error {
	heads := make([]byte, 0, len(c.Heads)*len(chat.MessageID{}))
	for _, head := range c.Heads {
		heads = append(heads, head[:]...)
	}
	_, err := t.exec(conversationPut, c.ID[:], c.Peer[:], int64(c.Seq), c.Prev[:], heads, c.At.UnixMicro())
	if err != nil {
		return fmt.Errorf("put conversation %s: %w", c.ID, err)
	}
	return nil
}

func scanConversation(rows *sql.Rows) (c chat.ConversationRow, err error) {
	var heads []byte
	err = rows.Scan(id(c.ID[:]), id(c.Peer[:]), wide(&c.Seq), id(c.Prev[:]), &heads, instant(&c.At))
	for head := range slices.Chunk(heads, len(chat.MessageID{})) {
		c.Heads = append(c.Heads, chat.MessageID(head))
	}
	return c, err
}
