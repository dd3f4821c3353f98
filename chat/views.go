package chat

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Draft is a message before it is sent.
type Draft struct {
	Conversation ConversationID
	Text         string
	// ClientID makes sending idempotent: the same id with the same text is the same message for ever, with another text it is
	// refused with CodeIDReused. Empty: a new message each time.
	ClientID string
}

// Contact is an account that somebody has added.
type Contact struct {
	Account      AccountID
	Name         string
	Conversation ConversationID
	At           time.Time
	// Known is false while the contact's devices have not been found: messages wait until they are.
	Known bool
}

// Conversation is a thread in the list of threads.
type Conversation struct {
	ID     ConversationID
	Name   string // the contact's name
	Peer   AccountID
	Unread int // counted up to MaxPage
}

// Entry is an event together with the message that it is about, as that message is now.
type Entry struct {
	Event
	Message *Message // nil for events that are about no message
}

// Status is how the node is doing.
type Status struct {
	Ready       bool // database migrated, listeners and API up; it waits for no peer
	Name        string
	Account     AccountID
	Device      peer.ID
	Network     NetworkStatus
	Peers       int
	Seeds       int // connected seeds, of Network.Seeds
	Addresses   []string
	Reachable   bool // an address is announced or public
	Queued      int
	OldestQueue time.Time // when the oldest queued message was queued; zero when none is
	Database    string    // "sqlite" or "postgres"
	Trouble     string    // what is wrong right now, in one line; empty when nothing is
	LastEvent   uint64
	Since       time.Time
}

// NetworkStatus names the network and says whether we are in.
type NetworkStatus struct {
	Name        string
	Fingerprint string
	Private     bool // it has a pre-shared key
	Joined      bool // a node of the network has answered since the invite was taken, or we made the network
	Seeds       int  // seeds that we know
}

// InviteLink is a link together with what people should know about it.
type InviteLink struct {
	Link      string
	Network   string
	Expires   time.Time // zero: never
	Addresses []string
	Reachable bool // false: nobody outside this LAN (or machine) can use the addresses in it
}
