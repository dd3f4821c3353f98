package chat

import (
	"context"
	"slices"

	"parley/chat/internal/wire"
)

// MarkRead says that messages were shown here. Their authors get read receipts, which are messages themselves. Ids that stand for
// nothing unread change nothing.
func (m *Messenger) MarkRead(ctx context.Context, ids []MessageID) error {
	for page := range slices.Chunk(ids, MaxReceipts) {
		err := m.update(ctx, func(tx Tx, after *aftermath) error { return m.markRead(tx, after, page) })
		if err != nil {
			return wrap(err, "mark as read")
		}
	}
	return nil
}

func (m *Messenger) markRead(tx Tx, after *aftermath, ids []MessageID) error {
	read := map[ConversationID][][32]byte{}
	for _, id := range ids {
		row, ok, err := tx.MessageByID(id)
		if err != nil {
			return err
		}
		if !ok || row.State != StateReceived {
			continue
		}
		if err := m.advanceRow(tx, row, StateRead, Way{}); err != nil {
			return err
		}
		read[row.Conversation] = append(read[row.Conversation], id)
	}
	for conversation, ids := range read {
		if err := m.sendReceipt(tx, after, conversation, ids); err != nil {
			return err
		}
	}
	return nil
}

// sendReceipt queues one receipt for several messages of a conversation. Where the recipient's devices are known it is nothing but
// outbox rows; else it waits like a message, which nobody sees.
func (m *Messenger) sendReceipt(tx Tx, after *aftermath, conversation ConversationID, ids [][32]byte) error {
	c, ok, err := tx.Conversation(conversation)
	if err != nil || !ok {
		return err
	}
	if contact, _, err := tx.Contact(c.Peer); err != nil || contact.Blocked {
		return err // to whom we block, nothing says that we are there
	}
	devices, err := m.recipients(tx, c.Peer)
	if err != nil {
		return err
	}
	payload := wire.AppendReceipt(nil, ids)
	if len(devices) == 0 {
		_, err := m.queue(tx, after, c, KindReceipt, payload, "")
		return err
	}
	row := m.compose(&c, KindReceipt, payload)
	for _, device := range devices {
		if err := m.post(tx, after, device, RowID{}, row); err != nil {
			return err
		}
	}
	return tx.PutConversation(c)
}

// acceptReceipt moves messages of ours to read, if they are the reader's to read.
func (m *Messenger) acceptReceipt(tx Tx, l letter) (bool, error) {
	ids, err := wire.ParseReceipt(l.content.Payload)
	if err != nil {
		return false, nil
	}
	if _, ok, err := tx.Conversation(l.content.Conversation); err != nil || !ok {
		return false, err // a stranger's
	}
	for _, id := range ids {
		row, ok, err := tx.MessageByID(id)
		if err != nil {
			return false, err
		}
		if !ok || row.Author != m.self || row.Conversation != ConversationID(l.content.Conversation) {
			continue
		}
		if err := m.advanceRow(tx, row, StateRead, Way{}); err != nil {
			return false, err
		}
	}
	return true, nil
}
