package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// EventType names what happened. Clients ignore types that they do not know.
type EventType string

// The events that are kept and replayed.
const (
	EventMessageQueued   EventType = "message.queued"      // a message of ours was accepted
	EventMessageReceived EventType = "message.received"    // a message came in
	EventMessageState    EventType = "message.state"       // a message changed its state
	EventContactAdded    EventType = "contact.added"       // somebody became a contact
	EventContactRequest  EventType = "contact.request"     // somebody wants to be a contact, or was introduced; told once
	EventContactAccepted EventType = "contact.accepted"    // a request was accepted here
	EventContactChanged  EventType = "contact.changed"     // a contact was verified or not, blocked or not, or read receipts to it were turned on or off
	EventContactRemoved  EventType = "contact.removed"     // a contact and the conversation were forgotten; who, nothing says
	EventKeyChanged      EventType = "contact.key_changed" // another account has taken this contact's name or device
	EventDeviceAdded     EventType = "contact.device_added"
	EventDeviceRevoked   EventType = "contact.device_revoked"
	EventInviteUsed      EventType = "invite.used" // an invite of ours has let a device of this account into the network
)

// Event is one entry of the log that clients follow by sequence number.
type Event struct {
	Seq          uint64
	Type         EventType
	At           time.Time
	Conversation ConversationID // zero where the event belongs to none, or to one that was forgotten
	Message      MessageID      // the message it is about; zero for none
	Account      AccountID      // the author or the contact
	State        State          // the message's state at that time; empty for contact events
	Cell         []byte         // what a store keeps of Message and Account (store.go); nil everywhere else
}

// Entry is an event together with the message that it is about, as that message is now.
type Entry struct {
	Event
	Message *Message // nil for events that are about no message
}

// bell wakes whoever waits for a change.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that is closed at the next ring.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// Follow calls fn for every event after a sequence number, in order, and goes on with what happens until ctx ends (it then returns
// ctx's error) or fn returns an error (it returns that). A slow fn holds up nobody: the log waits in the store.
func (m *Messenger) Follow(ctx context.Context, after uint64, fn func(Entry) error) error {
	for {
		rung := m.bell.wait() // before reading, so that nothing between reading and waiting is missed
		entries, err := m.entries(ctx, after)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(entries) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rung:
		}
	}
}

// entries reads one page of the log.
func (m *Messenger) entries(ctx context.Context, after uint64) ([]Entry, error) {
	var entries []Entry
	err := m.look(ctx, func(tx Tx) error {
		entries = nil
		events, err := tx.Events(after, MaxPage)
		if err != nil {
			return err
		}
		for _, e := range events {
			entry := Entry{Event: e}
			row, ok, err := tx.MessageByID(e.Message)
			m.safe.judge(err)
			if err != nil && !errors.Is(err, errDamaged) { // whoever follows must get past it
				return err
			}
			if ok {
				message, err := m.viewIn(tx, row)
				if err != nil {
					return err
				}
				entry.Message = &message
			}
			entries = append(entries, entry)
		}
		return nil
	})
	return entries, wrap(err, "read events")
}

// Wait returns the message once it has reached the state. When ctx ends first it returns the message as it is then, and an error
// with CodeNotReached that says why; when the message fails, the message and an error with CodeRefused.
func (m *Messenger) Wait(ctx context.Context, id MessageID, want State) (Message, error) {
	for {
		rung := m.bell.wait()
		message, err := m.own(context.WithoutCancel(ctx), id)
		switch {
		case err != nil:
			return Message{}, err
		case message.State.Reached(want):
			return message, nil
		case message.State == StateFailed:
			return message, &Error{Code: CodeRefused, Detail: "the message failed: " + message.Reason}
		case ctx.Err() != nil:
			message.Reason, err = m.reasonFor(context.WithoutCancel(ctx), message)
			if err != nil {
				return message, err
			}
			return message, &Error{Code: CodeNotReached, Detail: notReached(message.State, want, message.Reason)}
		}
		select {
		case <-ctx.Done():
		case <-rung:
		}
	}
}

func notReached(is, want State, reason string) string {
	detail := fmt.Sprintf("%s, not %s yet", is, want)
	if reason != "" {
		detail += ": " + CleanText(reason)
	}
	if is == StateSent {
		return detail + "; others keep it for the recipient's device until that fetches it"
	}
	return detail + "; it will go out automatically while a node runs"
}

// own loads a message of ours.
func (m *Messenger) own(ctx context.Context, id MessageID) (message Message, err error) {
	err = m.look(ctx, func(tx Tx) error {
		row, ok, err := tx.MessageByID(id)
		if err != nil {
			return err
		}
		if !ok || row.Author != m.self {
			return &Error{Code: CodeTarget, Detail: "no such message of yours: " + id.String()}
		}
		message, err = m.view(row)
		return err
	})
	return message, wrap(err, "look at a message")
}

// reasonFor says what keeps a message from its recipient.
func (m *Messenger) reasonFor(ctx context.Context, message Message) (reason string, err error) {
	err = m.look(ctx, func(tx Tx) error {
		reason = ""
		c, ok, err := tx.Conversation(message.Conversation)
		if err != nil || !ok {
			return err
		}
		var held *Error
		if err := mayWriteTo(tx, c.Peer); errors.As(err, &held) {
			reason = held.Detail
			return nil
		} else if err != nil {
			return err
		}
		devices, err := m.recipients(tx, c.Peer)
		if err != nil {
			return err
		}
		if len(devices) == 0 {
			reason = "the recipient's device has not been found yet"
		}
		for _, d := range devices {
			reason = cmp.Or(reason, about(m.outbox.reason(d.device), message.State != StateQueued))
		}
		return nil
	})
	return reason, wrap(err, "look at a message")
}
