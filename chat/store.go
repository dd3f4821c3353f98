package chat

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Store keeps everything the messenger knows. It holds no rule of the messenger: rows go in, rows come out. And it learns nothing: the
// rows that it gets are sealed (rows.go). Ids in them are blind indexes, and what a row says of its fields under "sealed" is in its Cell,
// which is all that a store keeps of them.
//
// One process at a time owns a store: whoever opens it for writing holds its lock, so what this package keeps in memory (which
// device has a flight under way, say) needs no column.
type Store interface {
	// Update runs fn in one durable transaction: when it returns nil, what fn wrote survives a power loss. Several updates may
	// share one commit. fn may run again (after a lost connection, or because a neighbour in the same commit failed), so it must
	// not keep what an earlier run computed; it must not call Update or View itself.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn against one consistent snapshot. fn must not write.
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction: the union of what each file of this package needs, so that a reader of receive.go sees exactly the
// rows that it touches. Every slice that a method returns belongs to the caller, and every slice that it was given must stay as it is until the
// transaction has ended. A row that is refused fails the transaction, at its end at the latest. Times are made by the caller, never by SQL.
type Tx interface {
	senderTx
	outboxTx
	receiverTx
	contactTx
	requestTx
	heldTx
	recordTx
	sessionTx
	secretTx
	readerTx
	vaultTx
	forgetTx
}

// senderTx is what send.go touches.
type senderTx interface {
	// MessageByClientID finds the message that this device queued under a local client id; ok is false when there is none.
	MessageByClientID(ConversationID, string) (m MessageRow, ok bool, err error)
	// InsertMessage adds a row. It is an error when Row, ID, or (Conversation, a non-empty ClientID) exist already.
	InsertMessage(MessageRow) error
	// Conversation loads one conversation; ok is false when there is none yet.
	Conversation(ConversationID) (c ConversationRow, ok bool, err error)
	// PutConversation inserts or replaces the row.
	PutConversation(ConversationRow) error
	// InsertOutbox adds one envelope for one device.
	InsertOutbox(OutboxRow) error
	// AppendEvent stores the event under the next sequence number and returns that number. Event.Seq is ignored. Numbers start
	// at 1, never repeat, and become visible to readers in their order.
	AppendEvent(Event) (seq uint64, err error)
}

// outboxTx is what outbox.go touches.
type outboxTx interface {
	// OutboxDevices lists the devices with at least one outbox row.
	OutboxDevices() ([]peer.ID, error)
	// OutboxOf lists a device's rows behind one (the zero row: from the first) in the order they were queued (by Row), at most limit.
	OutboxOf(device peer.ID, after RowID, limit int) ([]OutboxRow, error)
	// SetOutboxHolders notes which mailbox hosts hold a row's envelope. A row that is gone already is no error.
	SetOutboxHolders(OutboxRow) error
	// DeleteOutbox removes rows of one device; rows that are gone already are no error.
	DeleteOutbox(device peer.ID, rows []RowID) error
	// AddUnaddressed notes that a message waits until a device can be written to.
	AddUnaddressed(WaitingRow) error
	// WaitingAccounts lists the accounts that at least one message waits for, with one message of each, and no device.
	WaitingAccounts() ([]WaitingRow, error)
	// Waits reports whether a message waits for any device of an account.
	Waits(AccountID) (bool, error)
	// Unaddressed lists the messages that wait for a device of an account, oldest first, at most limit.
	Unaddressed(a AccountID, device peer.ID, limit int) ([]RowID, error)
	// DeleteUnaddressed removes the note; it is no error when there is none.
	DeleteUnaddressed(WaitingRow) error
}

// receiverTx is what receive.go and receipt.go touch.
type receiverTx interface {
	// Seen returns what is remembered of those envelopes that were taken before, in no order.
	Seen(...EnvelopeID) ([]SeenRow, error)
	// InsertSeen remembers an envelope as taken. It is an error when it is there already.
	InsertSeen(SeenRow) error
	// MessagesAt loads messages by their local row ids, those that there are, in no order.
	MessagesAt(...RowID) ([]MessageRow, error)
	// MessageByID loads one message by the id that both sides know.
	MessageByID(MessageID) (m MessageRow, ok bool, err error)
	// SetMessageState changes state and trace of the message with the given Row. It is an error when there is none.
	SetMessageState(MessageRow) error
}

// contactTx is what contact.go and verify.go touch. Names are looked up and kept unique in contact.go.
type contactTx interface {
	// Contacts lists all contacts by name; a store, which knows no names, in any order.
	Contacts() ([]ContactRow, error)
	// Contact loads one contact.
	Contact(AccountID) (c ContactRow, ok bool, err error)
	// PutContact inserts or replaces by Account.
	PutContact(ContactRow) error
}

// requestTx is what request.go and introduce.go touch.
type requestTx interface {
	// Requests lists all requests, in no order.
	Requests() ([]RequestRow, error)
	// Request loads one request.
	Request(AccountID) (r RequestRow, ok bool, err error)
	// PutRequest inserts or replaces by Account.
	PutRequest(RequestRow) error
	// DeleteRequest removes a request; it is no error when there is none.
	DeleteRequest(AccountID) error
}

// heldTx is where request.go keeps the letters of those who wait for an answer.
type heldTx interface {
	// Held loads the letters that came in envelopes, those that there are, in no order.
	Held(...EnvelopeID) ([]HeldRow, error)
	// HeldOf lists an account's letters in the order they came (by Row).
	HeldOf(AccountID) ([]HeldRow, error)
	// PutHeld inserts or replaces by Message. It is an error when another letter has the same Envelope.
	PutHeld(HeldRow) error
	// DeleteHeldOf removes an account's letters; it is no error when there is none.
	DeleteHeldOf(AccountID) error
}

// recordTx is what record.go touches.
type recordTx interface {
	// Record loads the pinned copy of a directory record.
	Record(key string) (r RecordRow, ok bool, err error)
	// PutRecord inserts or replaces by Key.
	PutRecord(RecordRow) error
}

// sessionTx is what session.go and heal.go touch.
type sessionTx interface {
	// Session loads one session.
	Session(SessionID) (s SessionRow, ok bool, err error)
	// Sessions lists the sessions with a device, in no particular order.
	Sessions(device peer.ID) ([]SessionRow, error)
	// PutSession inserts or replaces by ID.
	PutSession(SessionRow) error
	// DeleteSession removes a session; it is no error when there is none.
	DeleteSession(SessionID) error
}

// secretTx is what prekey.go and heal.go touch: small things under a key of their own, of a few kinds.
type secretTx interface {
	// Secret loads one.
	Secret(kind SecretKind, key []byte) (s SecretRow, ok bool, err error)
	// Secrets lists those of a kind, in no order, at most limit.
	Secrets(kind SecretKind, limit int) ([]SecretRow, error)
	// PutSecret inserts or replaces by Kind and Key.
	PutSecret(SecretRow) error
	// DeleteSecret removes one; it is no error when there is none.
	DeleteSecret(kind SecretKind, key []byte) error
}

// readerTx is what conversation.go and events.go touch.
type readerTx interface {
	// Messages lists a conversation's messages of the given kind, newest first, those before the row (the zero row: from the
	// newest), at most limit.
	Messages(c ConversationID, kind Kind, before RowID, limit int) ([]MessageRow, error)
	// Unread lists text messages in StateReceived, oldest first, of one conversation or (nil) of all, at most limit.
	Unread(c *ConversationID, limit int) ([]MessageRow, error)
	// Events lists events after a sequence number in order, at most limit.
	Events(after uint64, limit int) ([]Event, error)
	// LastMessage loads the message with the highest row id, of any kind and conversation; ok is false when there is none.
	LastMessage() (m MessageRow, ok bool, err error)
	// Stats counts what status shows.
	Stats() (Stats, error)
}

// MessageRow is one message.
type MessageRow struct {
	Row          RowID
	ID           MessageID
	Conversation ConversationID
	Kind         Kind
	State        State
	ClientID     string // chosen by the sender's client, local; empty for received messages
	At           time.Time
	Event        uint64 // sequence number of the event that announced it
	Trace        string // how it went, as trace.append writes it; in a cell of its own, empty where there is nothing to say

	// sealed
	Author  AccountID
	Device  peer.ID // the author's device
	Content []byte  // the canonical content that ID is the hash of (SPEC.md, "Content")

	Cell []byte
}

// ConversationRow is the state of one conversation on this device.
type ConversationRow struct {
	ID ConversationID
	At time.Time // when it was made

	// sealed
	Peer  AccountID // the other account of a direct conversation
	Seq   uint64    // sequence number of our last content here; 0 before the first
	Prev  MessageID // id of our last content here
	Heads []MessageID
	Top   uint64 // the highest time part of the row ids of its texts

	Authors []Author // what has come in of each device

	Cell []byte
}

// OutboxRow is one envelope for exactly one device.
type OutboxRow struct {
	Row     RowID // gives the order within a device
	Device  peer.ID
	Account AccountID
	Message RowID // the message it carries; the zero RowID when it carries nothing but receipts
	ID      EnvelopeID

	// sealed
	Body     byte   // what the packet carries (wire.Body); 0: acknowledgements, which no session carries
	Content  []byte // what another session would carry instead, where no message holds it; empty also where nothing would
	Session  SessionID
	Chain    ChainID
	Tag      AckTag // what the device's acknowledgement must show
	Former   []Ack  // of packets that carried the same before, on other sessions: they count as well, if they still arrive
	Envelope []byte
	Holders  []peer.ID // the mailbox hosts that hold the envelope; in a cell of its own

	Cell        []byte
	HoldersCell []byte // empty where there are none
}

// WaitingRow is a message that waits for a device of an account, or ("") until any is known.
type WaitingRow struct {
	Account AccountID
	Device  peer.ID
	Message RowID
}

// SessionRow is the state of one session with one device.
type SessionRow struct {
	ID     SessionID
	Device peer.ID
	At     time.Time // when it was begun here

	// sealed
	Account AccountID
	Heard   RowID  // when something last came in on it, as a row id; zero before
	Heals   bool   // it was begun because something of the device's did not open
	State   []byte // as seal.Session marshals it

	Cell []byte
}

// SecretKind says what a SecretRow is.
type SecretKind string

// The kinds of secrets.
const (
	SecretGeneration SecretKind = "generation" // our keys that others begin sessions with and seal to; key: number u32
	SecretOneTime    SecretKind = "one-time"   // our one-time pairs that were not given away; key: id8 of the X25519 key
	SecretGiven      SecretKind = "given"      // those that were, and not used yet
	SecretBundle     SecretKind = "bundle"     // a one-time pair that a device gave us; key: peer id
	SecretHandshake  SecretKind = "handshake"  // first flights that were answered; key: their hash, or the id8 of the one-time key that they used; value: session and generation
	SecretGrant      SecretKind = "grant"      // what lets us deposit for a device, or for an account's; key: peer id, or account id
	SecretMailbox    SecretKind = "mailbox"    // what our grants to others are made of; one, key: nothing
)

// SecretRow is something small that is kept until it is used.
type SecretRow struct {
	Kind SecretKind
	Key  []byte

	// sealed
	Value []byte

	Cell []byte
}

// Stats is what status shows of a store.
type Stats struct {
	Queued    int       // text messages in StateQueued
	Oldest    time.Time // when the oldest of them was queued; zero when there is none
	LastEvent uint64    // the highest sequence number given to an event so far; 0 before the first
	Contacts  int
}

// SeenRow remembers an envelope that was taken, so that a copy is acknowledged again and changes nothing.
type SeenRow struct {
	ID EnvelopeID
	At time.Time

	// sealed
	Tag     AckTag
	Message MessageID // what was in it; zero when it could not be opened

	Cell []byte
}

// ContactRow is one contact.
type ContactRow struct {
	Account AccountID
	At      time.Time

	// sealed
	Name       string
	Blocked    bool
	Trust      Trust
	Introducer AccountID // who introduced them; zero for nobody
	Token      Token     // of their own contact link, to introduce them with; zero where we know none
	Receipts   Receipts  // whether they learn that their messages were shown

	Cell []byte
}

// RequestRow is an account that wants to be a contact, or that was turned away.
type RequestRow struct {
	Account AccountID
	State   RequestState
	At      time.Time

	// sealed
	Name         string    // what they call themselves, or what their introducer calls them
	Card         bool      // their own card is held: it came with a token of ours
	Texts        int       // how many texts of theirs are held
	Claims       AccountID // the contact whose device they wrote with; zero for nobody's
	Introducer   AccountID // zero for nobody
	Introduction []byte    // the payload that introduced them; empty for none

	Cell []byte
}

// HeldRow is a letter of an account whose request waits for an answer.
type HeldRow struct {
	Message  MessageID
	Envelope EnvelopeID
	Account  AccountID
	Row      RowID
	At       time.Time

	// sealed
	Device  peer.ID
	Tag     AckTag // what its envelope is acknowledged with once the request was accepted
	Content []byte

	Cell []byte
}

// RecordRow is the newest copy of a directory record that this device has accepted. Its sequence number never goes back.
type RecordRow struct {
	Key string
	At  time.Time

	// sealed
	Sequence uint64
	Value    []byte

	Cell []byte
}
