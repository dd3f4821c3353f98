package chat

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// The way of a message out: check → (one transaction: number, store, address, announce) → nudge the outbox. Functions follow in
// that order. Nothing here waits for the network.

// Draft is a message before it is sent.
type Draft struct {
	Conversation ConversationID
	Text         string
	// ClientID makes sending idempotent: the same id with the same text is the same message for ever, with another text it is
	// refused with CodeIDReused. Empty: a new message each time.
	ClientID string
}

// Send queues a message durably and returns it. The error is CodeInvalid for a text that is no text, CodeLimit for one that is
// too long, CodeTarget for a conversation that does not exist, CodeRefused for a blocked contact, CodeIdentity for one whose key is in doubt,
// and CodeIDReused when the draft's client id belongs to another text.
func (m *Messenger) Send(ctx context.Context, d Draft) (Message, error) {
	if err := d.check(); err != nil {
		return Message{}, err
	}
	row, err := m.send(ctx, d)
	if err != nil {
		return Message{}, wrap(err, "queue message")
	}
	return m.view(row)
}

// sendOne stores a draft, unless it is refused: then nothing of it is written.
func (m *Messenger) sendOne(tx Tx, after *aftermath, d Draft) (MessageRow, error) {
	old, ok, err := m.sentBefore(tx, d)
	if ok || err != nil {
		return old, err
	}
	c, ok, err := tx.Conversation(d.Conversation)
	if err != nil {
		return MessageRow{}, err
	}
	if !ok {
		return MessageRow{}, &Error{Code: CodeTarget, Detail: "no such conversation: " + d.Conversation.String()}
	}
	if err := mayWriteTo(tx, c.Peer); err != nil {
		return MessageRow{}, err
	}
	return m.queue(tx, after, c, KindText, []byte(d.Text), d.ClientID)
}

func (d Draft) check() error {
	switch {
	case strings.TrimSpace(d.Text) == "":
		return &Error{Code: CodeInvalid, Detail: "the message is empty: nothing was sent"}
	case len(d.Text) > MaxText:
		return &Error{Code: CodeLimit, Detail: fmt.Sprintf("the message has %d bytes, at most %d fit: nothing was sent", len(d.Text), MaxText)}
	case !utf8.ValidString(d.Text) || strings.ContainsRune(d.Text, 0):
		return &Error{Code: CodeInvalid, Detail: "the message is not UTF-8 text: nothing was sent"}
	case len(d.ClientID) > MaxClientID || !utf8.ValidString(d.ClientID) || strings.ContainsRune(d.ClientID, 0):
		return &Error{Code: CodeInvalid, Detail: fmt.Sprintf("the client id must be UTF-8 text of at most %d bytes", MaxClientID)}
	}
	return nil
}

// sentBefore finds the message that a draft's client id stands for already.
func (m *Messenger) sentBefore(tx Tx, d Draft) (MessageRow, bool, error) {
	if d.ClientID == "" {
		return MessageRow{}, false, nil
	}
	row, ok, err := tx.MessageByClientID(d.Conversation, d.ClientID)
	if err != nil || !ok {
		return row, false, err
	}
	c, err := wire.ParseContent(row.Content)
	if err != nil {
		return row, false, fmt.Errorf("stored message %s: %w", row.ID, err)
	}
	if string(c.Payload) != d.Text {
		return row, false, &Error{Code: CodeIDReused, Detail: fmt.Sprintf("the id %q belongs to a message with another text: nothing was sent", CleanText(d.ClientID))}
	}
	return row, true, nil
}

// queue stores a content of ours, with its outbox rows and its event, and leaves the conversation one further.
func (m *Messenger) queue(tx Tx, after *aftermath, c ConversationRow, kind Kind, payload []byte, clientID string) (MessageRow, error) {
	row := m.compose(&c, kind, payload)
	row.ClientID = clientID
	if kind == KindText {
		seq, err := tx.AppendEvent(Event{
			Type: EventMessageQueued, At: row.At, Conversation: c.ID, Message: row.ID, Account: m.self, State: StateQueued,
		})
		if err != nil {
			return row, err
		}
		row.Event = seq
	}
	if err := tx.InsertMessage(row); err != nil {
		return row, err
	}
	if err := tx.PutConversation(c); err != nil {
		return row, err
	}
	return row, m.address(tx, after, c.Peer, row)
}

// compose writes our next content in a conversation: numbered, chained to the one before, naming the heads that we have seen.
func (m *Messenger) compose(c *ConversationRow, kind Kind, payload []byte) MessageRow {
	c.Seq++
	content := wire.Content{
		Conversation: c.ID, Kind: byte(kind), Seq: c.Seq, Prev: c.Prev, Clock: m.clock.tick(), Payload: payload,
	}
	mustRandom(content.Salt[:])
	if kind == KindText {
		content.Parents = parentsOf(c.Heads)
	}
	raw := content.Append(nil)
	row := MessageRow{
		Row: m.clock.nextRow(), ID: messageID(m.self, m.device, raw), Conversation: c.ID, Author: m.self, Device: m.device,
		Kind: kind, State: StateQueued, At: m.now(), Content: raw,
	}
	c.Prev = row.ID
	if kind == KindText {
		c.Top = max(c.Top, row.Row.stamp())
		c.Heads = []MessageID{row.ID}
	}
	return row
}

// parentsOf returns the heads in the order that the content wants.
func parentsOf(heads []MessageID) [][32]byte {
	parents := make([][32]byte, len(heads))
	for i, h := range heads {
		parents[i] = h
	}
	slices.SortFunc(parents, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	return parents
}

// address makes one outbox row for each device of the recipient; where one cannot be written to yet, or others wait for it before
// this one, the message waits for it.
func (m *Messenger) address(tx Tx, after *aftermath, to AccountID, row MessageRow) error {
	devices, missing, err := m.devicesOf(tx, to)
	if err != nil {
		return err
	}
	others, err := tx.Waits(to)
	if err != nil {
		return err
	}
	waits := func(device peer.ID) bool {
		if !others || err != nil {
			return false
		}
		var before []RowID
		before, err = tx.Unaddressed(to, device, 1)
		return len(before) > 0
	}
	if len(devices) == 0 || waits("") {
		after.resolve = append(after.resolve, to)
		return cmp.Or(err, tx.AddUnaddressed(WaitingRow{Account: to, Message: row.Row}))
	}
	for _, device := range devices {
		if waits(device.device) {
			missing = append(missing, device.device)
			continue
		}
		if err != nil {
			return err
		}
		if err := m.post(tx, after, device, row.Row, row); err != nil {
			return err
		}
	}
	return await(tx, after, to, missing, row.Row)
}

// await notes that a message waits for devices.
func await(tx Tx, after *aftermath, account AccountID, devices []peer.ID, message RowID) error {
	for _, device := range devices {
		after.resolve = append(after.resolve, account)
		if err := tx.AddUnaddressed(WaitingRow{Account: account, Device: device, Message: message}); err != nil {
			return err
		}
	}
	return nil
}

// addressWaiting addresses messages that wait for an account's devices, oldest first, so that none overtakes another. It reports
// whether some may still wait that need not: those are for a transaction of their own, so that a long queue does not hold up
// everybody's writes.
func (m *Messenger) addressWaiting(tx Tx, after *aftermath, account AccountID) (more bool, err error) {
	devices, missing, err := m.devicesOf(tx, account)
	if err != nil || len(devices) == 0 {
		return false, err
	}
	if waits, err := tx.Waits(account); err != nil || !waits {
		return false, err
	}
	for _, device := range devices {
		full, err := m.addressFor(tx, after, WaitingRow{Account: account, Device: device.device}, []recipient{device}, nil)
		if full || err != nil {
			return full, err
		}
	}
	return m.addressFor(tx, after, WaitingRow{Account: account}, devices, missing) // the last: what waits for any device is newer
}

// addressFor addresses what waits for one device, or for any: then what still misses devices goes on waiting for those. It reports
// whether it stopped before the end.
func (m *Messenger) addressFor(tx Tx, after *aftermath, w WaitingRow, to []recipient, missing []peer.ID) (full bool, err error) {
	rows, err := tx.Unaddressed(w.Account, w.Device, FlightSize)
	if err != nil {
		return false, err
	}
	for _, w.Message = range rows {
		row, ok, err := messageAt(tx, w.Message)
		if err != nil {
			return false, err
		}
		if ok {
			if err := m.addressOne(tx, after, w, row, to, missing); err != nil {
				return false, err
			}
		}
		if err := tx.DeleteUnaddressed(w); err != nil {
			return false, err
		}
	}
	return len(rows) == FlightSize, nil
}

func (m *Messenger) addressOne(tx Tx, after *aftermath, w WaitingRow, row MessageRow, to []recipient, missing []peer.ID) error {
	for _, device := range to {
		if err := m.post(tx, after, device, row.Row, row); err != nil {
			return err
		}
	}
	if w.Device != "" {
		return nil
	}
	return await(tx, after, w.Account, missing, w.Message)
}
