package chat

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"parley/chat/internal/wire"
)

// Receipts says whether people learn that their messages were shown here.
type Receipts string

// What is said of receipts to one contact, or to all.
const (
	ReceiptsDefault Receipts = ""    // to a contact: what is said of all; of all: on
	ReceiptsOn      Receipts = "on"  // they learn it
	ReceiptsOff     Receipts = "off" // they learn nothing
)

// receiptsKey is the record of our own that holds what is said of all.
const receiptsKey = "/receipts"

// SetReceipts says whether a contact, or with the zero account everybody of whom nothing else is said, learns from now on that messages were
// shown here. What was shown before changes nothing, and neither do receipts that are queued already.
func (m *Messenger) SetReceipts(ctx context.Context, account AccountID, r Receipts) error {
	switch r {
	case ReceiptsDefault, ReceiptsOn, ReceiptsOff:
	default:
		return &Error{Code: CodeInvalid, Detail: fmt.Sprintf("%q: read receipts are on or off", CleanText(string(r)))}
	}
	if account.IsZero() {
		row := RecordRow{Key: receiptsKey, Value: []byte(r), At: m.now()}
		return wrap(m.update(ctx, func(tx Tx, _ *aftermath) error { return tx.PutRecord(row) }), "set read receipts")
	}
	_, err := m.changeContact(ctx, account, func(row *ContactRow) { row.Receipts = r })
	return err
}

// receiptsToAll returns what is said of everybody: on or off.
func receiptsToAll(tx Tx) (Receipts, error) {
	row, _, err := tx.Record(receiptsKey)
	return cmp.Or(Receipts(row.Value), ReceiptsOn), err
}

// learnsOfReading reports whether a contact is told that messages of theirs were shown. Whom we block is told nothing.
func learnsOfReading(tx Tx, account AccountID) (bool, error) {
	contact, _, err := tx.Contact(account)
	if err != nil || contact.Blocked {
		return false, err
	}
	all, err := receiptsToAll(tx)
	return cmp.Or(contact.Receipts, all) == ReceiptsOn, err
}

// MarkRead says that messages were shown here. Their authors get read receipts, which are messages themselves, unless people have turned
// those off. Ids that stand for nothing unread change nothing.
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
		if _, err := m.advanceRow(tx, row, StateRead, Way{}); err != nil {
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
	if learns, err := learnsOfReading(tx, c.Peer); err != nil || !learns {
		return err
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
		if _, err := m.advanceRow(tx, row, StateRead, Way{}); err != nil {
			return false, err
		}
	}
	return true, nil
}
