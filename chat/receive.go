package chat

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/chat/internal/wire"
)

// The way of a message in: open → (one transaction: seen before? store, announce, remember as seen) → acknowledge. Functions follow
// in that order. Together with retries at the sender this makes an exactly-once effect: no other path writes messages that came in.

// Receive takes envelopes that a device handed over, all in one transaction, and returns the acknowledgement tag of each. An error
// means that nothing was kept and they must be offered again. What cannot be opened is dropped and gets a tag of zeros.
func (m *Messenger) Receive(ctx context.Context, from peer.ID, envelopes [][]byte) ([][]byte, error) {
	letters := m.openAll(from, envelopes)
	tags := make([]AckTag, len(envelopes))
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		for i, l := range letters {
			if l == nil {
				continue
			}
			tag, err := m.take(tx, after, EnvelopeIDOf(envelopes[i]), *l)
			if err != nil {
				return err
			}
			tags[i] = tag
		}
		return nil
	})
	if err != nil {
		return nil, wrap(err, "store what came in")
	}
	acks := make([][]byte, len(tags))
	for i := range tags {
		acks[i] = tags[i][:]
	}
	return acks, nil
}

// openAll opens envelopes side by side: that is public-key work, and needs no transaction. Garbage becomes nil.
func (m *Messenger) openAll(from peer.ID, envelopes [][]byte) []*letter {
	letters := make([]*letter, len(envelopes))
	var work errgroup.Group
	work.SetLimit(openers)
	for i, e := range envelopes {
		work.Go(func() error {
			m.openers <- struct{}{}
			l, err := m.open(e)
			<-m.openers
			if err != nil {
				m.log.Debug("dropped an envelope", zap.Stringer("from", from), zap.Error(err))
				return nil
			}
			letters[i] = &l
			return nil
		})
	}
	_ = work.Wait() // its functions return no errors
	return letters
}

// take stores one letter, unless its envelope was taken before: then it only acknowledges again.
func (m *Messenger) take(tx Tx, after *aftermath, id EnvelopeID, l letter) (AckTag, error) {
	before, seen, err := tx.Seen(id)
	if seen || err != nil {
		return before.Tag, err
	}
	if ok, err := m.accept(tx, after, l); err != nil || !ok {
		return AckTag{}, err
	}
	m.clock.merge(l.content.Clock)
	return l.tag, tx.InsertSeen(SeenRow{ID: id, Tag: l.tag, Message: l.id, At: m.now()})
}

// accept does what a letter's kind asks for. It returns false for what no honest sender writes, which is dropped.
func (m *Messenger) accept(tx Tx, after *aftermath, l letter) (bool, error) {
	if revoked, err := m.revoked(tx, l); revoked || err != nil {
		return false, err
	}
	if Kind(l.content.Kind) != KindText && len(l.content.Parents) > 0 {
		return false, nil
	}
	switch Kind(l.content.Kind) {
	case KindText:
		return m.acceptText(tx, l)
	case KindReceipt:
		return m.acceptReceipt(tx, l)
	case KindCard:
		return m.acceptCard(tx, after, l)
	}
	return false, nil
}

// revoked reports whether the author's account has taken the certificate of the sending device back.
func (m *Messenger) revoked(tx Tx, l letter) (bool, error) {
	row, ok, err := tx.Record(accountRecordKey(l.account))
	if err != nil || !ok {
		return false, err
	}
	record, err := m.accounts.of(row.Value)
	return err == nil && slices.Contains(record.Revoked, string(l.device)), err
}

// acceptText stores a message that came in and announces it. A message that is here already (its author sealed it anew) changes nothing.
func (m *Messenger) acceptText(tx Tx, l letter) (bool, error) {
	text := l.content.Payload
	if len(text) == 0 || len(text) > MaxText || !utf8.Valid(text) {
		return false, nil
	}
	if _, ok, err := tx.MessageByID(l.id); ok || err != nil {
		return true, err
	}
	if gone, err := tx.Forgotten(l.id); gone || err != nil {
		return true, err
	}
	c, err := m.meet(tx, l.account, "")
	if err != nil {
		return false, err
	}
	row := MessageRow{
		Row: m.clock.nextRow(), ID: l.id, Conversation: c.ID, Author: l.account, Device: l.device,
		Kind: KindText, State: StateReceived, At: m.now(), Content: l.raw,
	}
	row.Event, err = tx.AppendEvent(Event{
		Type: EventMessageReceived, At: row.At, Conversation: c.ID, Message: l.id, Account: l.account, State: StateReceived,
	})
	if err != nil {
		return false, err
	}
	if err := tx.InsertMessage(row); err != nil {
		return false, err
	}
	c.Heads = advanceHeads(c.Heads, l)
	return true, tx.PutConversation(c)
}

// advanceHeads puts a message in the place of the heads that it names as its parents. Of more than MaxParents the oldest go.
func advanceHeads(heads []MessageID, l letter) []MessageID {
	heads = slices.DeleteFunc(slices.Clone(heads), func(h MessageID) bool {
		return slices.Contains(l.content.Parents, [32]byte(h))
	})
	heads = append(heads, l.id)
	return heads[max(0, len(heads)-MaxParents):]
}

// acceptCard makes its sender a contact, and takes over the records that let us write back.
func (m *Messenger) acceptCard(tx Tx, after *aftermath, l letter) (bool, error) {
	card, err := wire.ParseCard(l.content.Payload)
	if err != nil {
		return false, nil
	}
	account, err1 := wire.ParseAccountRecord(card.Account)
	device, err2 := wire.ParseDeviceRecord(card.Device)
	if err1 != nil || err2 != nil || AccountID(account.Account) != l.account || device.Device != string(l.device) {
		return false, nil
	}
	if _, err := m.meet(tx, l.account, card.Name); err != nil {
		return false, err
	}
	if err := m.pin(tx, accountRecordKey(l.account), account.Sequence, card.Account); err != nil {
		return false, err
	}
	if err := m.pin(tx, deviceRecordKey(l.device), device.Sequence, card.Device); err != nil {
		return false, err
	}
	after.learn = append(after.learn, l.device)
	more, err := m.addressWaiting(tx, after, l.account)
	if more {
		after.resolve = append(after.resolve, l.account)
	}
	return true, err
}
