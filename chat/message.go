package chat

import (
	"crypto/sha256"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// MessageID is bound to author, device and content: recomputed by the receiver, never taken from the wire (SPEC.md, "Ids").
type MessageID [32]byte

// String returns the id in Crockford base32 (52 characters).
func (m MessageID) String() string { return wire.Base32(m[:]) }

// IsZero reports whether m names no message.
func (m MessageID) IsZero() bool { return m == MessageID{} }

// ParseMessageID reads what String wrote.
func ParseMessageID(s string) (MessageID, error) {
	var m MessageID
	return m, wire.ParseBase32(m[:], s)
}

// EnvelopeID is the SHA-256 of an envelope's packet; of a first flight's, of the packet inside it.
type EnvelopeID [32]byte

// EnvelopeIDOf returns the id of an envelope. What was changed in front of a packet that opens all the same is the same envelope.
func EnvelopeIDOf(envelope []byte) EnvelopeID { return sha256.Sum256(seal.Innermost(envelope)) }

// AckTag proves that whoever sends it has opened and accepted the envelope. All zeros: not opened, or not accepted (yet).
type AckTag [16]byte

// Ack is an envelope's id and the tag that acknowledges it.
type Ack struct {
	ID  EnvelopeID
	Tag AckTag
}

// Kind says what a content is. Numbers are on the wire and never reused.
type Kind uint8

// The kinds of content.
const (
	KindText    Kind = 1 // payload: UTF-8 text
	KindReceipt Kind = 2 // payload: ids of messages that were read
	KindCard    Kind = 3 // payload: name and records of the sender, who asks to be a contact
	// KindIntroduction's payload is name, key and records of a third account, whom the sender vouches for.
	KindIntroduction Kind = 4
)

// State says where a message is. It never goes backwards.
type State string

// The states of a message that we sent, and StateReceived for those that came in (which become StateRead when shown).
const (
	StateQueued    State = "queued"    // durable here; no other node has it
	StateSent      State = "sent"      // another node holds the ciphertext durably and said so
	StateDelivered State = "delivered" // a recipient device opened it, stored it and acknowledged it
	StateRead      State = "read"      // the recipient's client showed it
	StateFailed    State = "failed"    // unrecoverable: the reason says why
	StateReceived  State = "received"  // came in, not shown yet
)

// Advance returns the state that follows when to is reported in state s, and whether that is a change. States never go back:
// a late or repeated report changes nothing.
func (s State) Advance(to State) (State, bool) {
	for _, next := range transitions[s] {
		if next == to {
			return to, true
		}
	}
	return s, false
}

// Reached reports whether a message in state s has come at least as far as want.
func (s State) Reached(want State) bool {
	order := map[State]int{StateQueued: 1, StateSent: 2, StateDelivered: 3, StateRead: 4}
	return order[s] > 0 && order[s] >= order[want]
}

// transitions is the whole state machine; what is not listed does not happen. The store's CHECK lists the same states.
var transitions = map[State][]State{
	StateQueued:    {StateSent, StateDelivered, StateRead, StateFailed},
	StateSent:      {StateDelivered, StateRead, StateFailed},
	StateDelivered: {StateRead},
	StateReceived:  {StateRead},
}

// Message is what people see.
type Message struct {
	ID           MessageID
	Conversation ConversationID
	Author       AccountID
	Device       peer.ID
	Mine         bool
	Text         string
	State        State
	Reason       string // why it is queued still, or failed
	Ways         []Way  // how it went to each device so far, where it is ours
	ClientID     string
	At           time.Time // when it was queued or received here
	Seq          uint64    // sequence number of the event that announced it
	Number       uint64    // what its author's device has numbered it with, in this conversation
	Missing      uint64    // how many contents of that device right before it have not come in
}
