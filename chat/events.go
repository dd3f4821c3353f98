package chat

import "time"

// EventType names what happened. Clients ignore types that they do not know.
type EventType string

// The events that are kept and replayed.
const (
	EventMessageQueued   EventType = "message.queued"   // a message of ours was accepted
	EventMessageReceived EventType = "message.received" // a message came in
	EventMessageState    EventType = "message.state"    // a message changed its state
	EventContactAdded    EventType = "contact.added"    // somebody became a contact
)

// Event is one entry of the log that clients follow by sequence number.
type Event struct {
	Seq          uint64
	Type         EventType
	At           time.Time
	Conversation ConversationID // zero where the event belongs to none
	Message      MessageID      // the message it is about; zero for none
	Account      AccountID      // the author or the contact
	State        State          // the message's state at that time; empty for contact events
}
