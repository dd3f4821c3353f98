package chat

import (
	"context"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// The way of a message in: take packets apart → (one transaction: seen before? open; may they write to us? store, announce, remember
// as seen; move the session on) → acknowledge. Functions follow in that order. Together with retries at the sender this makes an
// exactly-once effect: no other path writes messages that came in.

// Receive takes envelopes that a device handed over, all in one transaction, and returns the acknowledgement tag of each. An error
// means that nothing was kept and they must be offered again. A tag of zeros says that the envelope was not opened (strangers.go
// says when it is not even tried), or not accepted (request.go): it may be offered again.
func (m *Messenger) Receive(ctx context.Context, from peer.ID, envelopes [][]byte) ([][]byte, error) {
	packets := m.parseAll(from, envelopes)
	if err := m.postpone(ctx, from, envelopes, packets); err != nil {
		return nil, wrap(err, "look at what came in")
	}
	tags, err := m.receive(ctx, from, envelopes, packets)
	if err != nil {
		return nil, wrap(err, "store what came in")
	}
	acks := make([][]byte, len(tags))
	for i := range tags {
		acks[i] = tags[i][:]
	}
	return acks, nil
}

// receive takes envelopes and what is in them, as far as that is to be opened.
func (m *Messenger) receive(ctx context.Context, from peer.ID, envelopes [][]byte, packets []*seal.Packet) ([]AckTag, error) {
	order, acks := inOrder(packets), m.parseAcks(envelopes)
	ids := make([]EnvelopeID, len(envelopes))
	for i, e := range envelopes {
		ids[i] = EnvelopeIDOf(e)
	}
	tags := make([]AckTag, len(envelopes))
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		clear(tags)
		for _, a := range acks {
			if err := m.takeAcks(tx, after, a); err != nil {
				return err
			}
		}
		before, err := takenBefore(tx, ids)
		if err != nil {
			return err
		}
		for _, i := range order {
			tag, known := before[ids[i]]
			if !known {
				if tag, err = m.takePacket(tx, after, from, ids[i], packets[i]); err != nil {
					return err
				}
			}
			if tags[i] = tag; tag == (AckTag{}) {
				continue
			}
			if before[ids[i]] = tag; from == nobody {
				after.owe(packets[i].Session, ids[i], tag)
			}
		}
		return m.payOwed(tx, after)
	})
	return tags, err
}

// takenBefore returns what those of some envelopes are acknowledged with that came before: those that were taken with their tag, those that
// are held for an answer with zeros.
func takenBefore(tx Tx, ids []EnvelopeID) (map[EnvelopeID]AckTag, error) {
	tags := map[EnvelopeID]AckTag{}
	taken, err1 := tx.Seen(ids...)
	for _, row := range taken {
		tags[row.ID] = row.Tag
	}
	held, err2 := tx.Held(ids...)
	for _, row := range held {
		tags[row.Envelope] = AckTag{}
	}
	return tags, errors.Join(err1, err2)
}

// takePacket opens one packet and does what it says.
func (m *Messenger) takePacket(tx Tx, after *aftermath, from peer.ID, id EnvelopeID, p *seal.Packet) (AckTag, error) {
	c, err, failed := m.open(tx, after, from, p)
	if failed != nil {
		return AckTag{}, failed
	}
	if err != nil {
		return AckTag{}, m.unopened(tx, after, from, c.line, err)
	}
	if c.body.Type != wire.BodyContent {
		return m.takeSign(tx, after, id, c)
	}
	l, err := m.letter(c)
	if err != nil {
		m.log.Debug("dropped a packet", zap.Stringer("from", from), zap.Error(err))
		return AckTag{}, nil
	}
	l.direct = from == l.device
	undo := m.move(after, c)
	tag, kept, err := m.take(tx, after, id, l)
	if err != nil || !kept {
		undo()
		return AckTag{}, err
	}
	return tag, m.takeParcel(tx, after, c)
}

// takeSign takes a step or a heal: they carry nothing, and count from contacts alone.
func (m *Messenger) takeSign(tx Tx, after *aftermath, id EnvelopeID, c parcel) (AckTag, error) {
	if contact, ok, err := tx.Contact(c.line.row.Account); err != nil || !ok || contact.Blocked {
		return AckTag{}, err
	}
	if revoked, err := m.revoked(tx, c.line.row.Account, c.line.row.Device); err != nil || revoked {
		return AckTag{}, err
	}
	m.move(after, c)
	if err := m.takeParcel(tx, after, c); err != nil {
		return AckTag{}, err
	}
	if c.body.Type == wire.BodyHeal {
		if err := m.reseal(tx, after, c.line); err != nil {
			return AckTag{}, err
		}
	}
	after.heard = append(after.heard, c.line.row.Device)
	return c.tag, tx.InsertSeen(SeenRow{ID: id, Tag: c.tag, At: m.now()})
}

// payOwed sends what the other sides of the sessions that moved wait for.
func (m *Messenger) payOwed(tx Tx, after *aftermath) error {
	if err := m.payAcks(tx, after); err != nil {
		return err
	}
	for _, l := range after.lines.byID {
		if err := m.oweStep(tx, after, l); err != nil {
			return err
		}
	}
	return nil
}

// take decides about one letter, and reports whether it was kept. What is held for an answer, or refused, gets a tag of zeros: it is
// offered again.
func (m *Messenger) take(tx Tx, after *aftermath, id EnvelopeID, l letter) (tag AckTag, kept bool, err error) {
	verdict, err := m.admit(tx, id, l)
	switch {
	case err != nil || verdict == refused:
		return AckTag{}, false, err
	case verdict == held:
		kept, err := m.hold(tx, after, id, l)
		return AckTag{}, kept, err
	}
	if ok, err := m.accept(tx, after, l); err != nil || !ok {
		return AckTag{}, false, err
	}
	if Kind(l.content.Kind) != KindText {
		if err := m.counted(tx, l); err != nil {
			return AckTag{}, false, err
		}
	}
	m.clock.merge(l.content.Clock)
	after.heard = append(after.heard, l.device)
	return l.tag, true, tx.InsertSeen(SeenRow{ID: id, Tag: l.tag, Message: l.id, At: m.now()})
}

// accept does what a contact's letter asks for. It returns false for what no honest sender writes, which is dropped.
func (m *Messenger) accept(tx Tx, after *aftermath, l letter) (bool, error) {
	if !l.wellFormed() {
		return false, nil
	}
	switch Kind(l.content.Kind) {
	case KindText:
		return m.acceptText(tx, l)
	case KindReceipt:
		return m.acceptReceipt(tx, l)
	case KindCard:
		return m.acceptCard(tx, after, l)
	case KindIntroduction:
		return m.acceptIntroduction(tx, l)
	}
	return m.acceptUnknown(tx, l)
}

// acceptUnknown keeps what a newer version of us may know how to show. Nobody sees it until then.
func (m *Messenger) acceptUnknown(tx Tx, l letter) (bool, error) {
	if _, ok, err := tx.MessageByID(l.id); ok || err != nil {
		return true, err
	}
	return true, tx.InsertMessage(MessageRow{
		Row: m.clock.nextRow(), ID: l.id, Conversation: ConversationID(l.content.Conversation), Author: l.account, Device: l.device,
		Kind: Kind(l.content.Kind), State: StateReceived, At: m.now(), Content: l.raw,
	})
}

// wellFormed checks what can be judged without knowing the author.
func (l letter) wellFormed() bool {
	if Kind(l.content.Kind) != KindText {
		return len(l.content.Parents) == 0
	}
	text := l.content.Payload
	return len(text) > 0 && len(text) <= MaxText && utf8.Valid(text)
}

// revoked reports whether an account has taken the certificate of a device back.
func (m *Messenger) revoked(tx Tx, account AccountID, device peer.ID) (bool, error) {
	row, ok, err := tx.Record(accountRecordKey(account))
	if err != nil || !ok {
		return false, err
	}
	record, err := m.accounts.of(row.Value)
	return err == nil && slices.Contains(record.Revoked, string(device)), err
}

// acceptText stores a message that came in and announces it. A message that is here already (its author sealed it anew) changes nothing.
func (m *Messenger) acceptText(tx Tx, l letter) (bool, error) {
	c, ok, err := tx.Conversation(l.content.Conversation)
	if err != nil || !ok {
		return false, err
	}
	if !c.fresh(l) {
		if _, ok, err := tx.MessageByID(l.id); ok || err != nil {
			return true, err
		}
	}
	if gone, err := tx.Forgotten(l.id); gone || err != nil {
		return true, err
	}
	row := MessageRow{
		ID: l.id, Conversation: c.ID, Author: l.account, Device: l.device, Kind: KindText, State: StateReceived, At: m.now(), Content: l.raw,
	}
	if row.Row, err = m.place(tx, &c, l); err != nil {
		return false, err
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
	if !c.count(l) {
		m.log.Warn("a device has used the number of a message twice", zap.Stringer("device", l.device), zap.Uint64("number", l.content.Seq))
	}
	return true, tx.PutConversation(c)
}

// counted notes that a content came in that is no text.
func (m *Messenger) counted(tx Tx, l letter) error {
	c, ok, err := tx.Conversation(l.content.Conversation)
	if err != nil || !ok {
		return err
	}
	c.count(l)
	return tx.PutConversation(c)
}

// advanceHeads puts a message in the place of the heads that it names as its parents. Of more than MaxParents the oldest go.
func advanceHeads(heads []MessageID, l letter) []MessageID {
	heads = slices.DeleteFunc(slices.Clone(heads), func(h MessageID) bool {
		return slices.Contains(l.content.Parents, [32]byte(h))
	})
	heads = append(heads, l.id)
	return heads[max(0, len(heads)-MaxParents):]
}

// acceptCard takes over the records that let us write back. Who has joined with our invite becomes a contact, and gets our card.
func (m *Messenger) acceptCard(tx Tx, after *aftermath, l letter) (bool, error) {
	card, ok := readCard(l)
	if !ok {
		return false, nil
	}
	_, known, err := tx.Contact(l.account)
	if err != nil {
		return false, err
	}
	if _, err := m.conversationWith(tx, l.account, card.Name, StrangerContacts); err != nil {
		return false, err
	}
	if err := m.takeOver(tx, after, l, card); err != nil {
		return false, err
	}
	after.cards = append(after.cards, l.device)
	if known {
		return true, nil
	}
	if err := m.welcome(tx, after, l.account); err != nil {
		return false, err
	}
	return true, m.sendCard(tx, after, l.account, Token{})
}

// takeOver keeps what a contact's card brings: their records, and the token to introduce them with.
func (m *Messenger) takeOver(tx Tx, after *aftermath, l letter, card card) error {
	if err := m.overtakes(tx, l, card); err != nil {
		return err
	}
	if err := m.pin(tx, accountRecordKey(l.account), card.account.Sequence, card.Account); err != nil {
		return err
	}
	if err := m.pin(tx, deviceRecordKey(l.device), card.device.Sequence, card.Device); err != nil {
		return err
	}
	row, _, err := tx.Contact(l.account)
	if err != nil {
		return err
	}
	if len(card.Own) > 0 && !row.Token.is(card.Own) {
		copy(row.Token[:], card.Own)
		if err := tx.PutContact(row); err != nil {
			return err
		}
	}
	if err := m.enforce(tx, after, l.account); err != nil {
		return err
	}
	devices, err := m.recipients(tx, l.account)
	if err != nil {
		return err
	}
	after.learn = append(after.learn, devices...)
	more, err := m.addressWaiting(tx, after, l.account)
	if more {
		after.resolve = append(after.resolve, l.account)
	}
	return err
}

// card is a card whose records are whole and belong to the device that sent it.
type card struct {
	wire.Card
	account wire.AccountRecord
	device  wire.DeviceRecord
}

func readCard(l letter) (card, bool) {
	payload, err := wire.ParseCard(l.content.Payload)
	if err != nil {
		return card{}, false
	}
	account, err1 := wire.ParseAccountRecord(payload.Account)
	device, err2 := wire.ParseDeviceRecord(payload.Device)
	ok := err1 == nil && err2 == nil && AccountID(account.Account) == l.account && AccountID(device.Account) == l.account &&
		device.Device == string(l.device)
	return card{payload, account, device}, ok
}
