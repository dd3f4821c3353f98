package chat

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Transport hands envelopes to devices, in boxes that it asks us to seal (SealStream, OpenStream).
type Transport interface {
	// Deliver hands envelopes to one device, in their order, or else to these mailboxes of it. It returns one Handed for each envelope that
	// the device has taken, or that at least one of the mailboxes has stored durably: always a prefix of what was asked. The error says why
	// the rest was not handed over; try those again later, byte for byte the same.
	Deliver(ctx context.Context, device peer.ID, mailboxes []Mailbox, envelopes []Outgoing) ([]Handed, error)
	// Learn says that a device is a contact's, and where it may be reached: multiaddrs without the /p2p part, or none. What does not
	// parse is skipped.
	Learn(device peer.ID, addrs []string)
	// Addresses lists where this device may be reached, best first: announced, public, LAN, and loopback only where there is
	// nothing else. reachable is false when none of them is announced or public.
	Addresses() (addrs []string, reachable bool)
	// Peers lists the nodes that this one is connected to.
	Peers() []Peer
	// Sees reports whether a device is among them.
	Sees(device peer.ID) bool
}

// Directory keeps signed records where others find them. Keys are "/<noun>/<id>" (record.go).
type Directory interface {
	// Publish keeps a record of ours available: now, and again whenever the network comes back. It does not wait for the network.
	Publish(key string, record []byte)
	// Lookup returns the newest valid record it can find, asking the hinted devices directly as well as the DHT.
	// An error means that nobody who could be asked has one.
	Lookup(ctx context.Context, key string, hints ...peer.ID) ([]byte, error)
	// OneTime asks a device for keys to be used once. An error means that it gave none.
	OneTime(ctx context.Context, device peer.ID) ([]byte, error)
}

// Outgoing is one envelope, and the tag by which its device proves that it has opened and stored it. (Outgoing, Handed, Mailbox and Peer are
// aliases of unnamed structs, so that the node can name them without importing this package.)
type Outgoing = struct {
	Packet []byte
	Tag    [16]byte
}

// Handed says how one envelope was handed over.
type Handed = struct {
	Route string
	// Acked says that the device has proven by the tag that it opened and stored the envelope. On a direct or relayed route without it, the
	// device took the envelope and has not accepted it, or not yet; on RouteMailbox a mailbox stores it.
	Acked   bool
	Holders []peer.ID // the mailbox hosts that have said that they store it
}

// Hosts is what the messenger needs of nodes that keep mailboxes for devices that are away.
type Hosts interface {
	// Candidates lists nodes of the network that would keep a mailbox for us, best first.
	Candidates(ctx context.Context) []peer.ID
	// Keep names the hosts that keep a mailbox for us from now on, and who may deposit there. What they have is handed to Collect.
	Keep(mailboxes []Keeping)
	// Kept says how each is doing.
	Kept() []KeptMailbox
}

// Mailbox is a mailbox of somebody else's device, and the capability that lets us deposit there; zeros: as a stranger.
type Mailbox = struct {
	Host peer.ID
	Cap  [32]byte
}

// Keeping is a mailbox of ours, and the ways into it.
type Keeping = struct {
	Host  peer.ID
	Lanes []Lane
}

// HostLimits is what a node keeps for others at most, in boxes and in bytes of them.
type HostLimits = struct {
	Quota Quota
	Life  time.Duration // how long a box waits for its owner
}

// Quota is how much a node keeps for others: what comes by one way into a mailbox, from a contact, by a link and from strangers; of one
// mailbox; of all of them; how many of these there may be; and what each has for sure.
type Quota = struct {
	Contact, Link, Open Room
	Mailbox             Room
	Host                Room
	Owners              int
	Sure                Room
}

// Room is a number of boxes and a number of bytes.
type Room = struct {
	Boxes int
	Bytes int64
}

// Lane is one way into a mailbox of ours: who has the capability that Key is the SHA-256 of may deposit, within the quota of its class.
type Lane = struct {
	Key   [32]byte
	Class uint8
}

// KeptMailbox is how a mailbox of ours is doing.
type KeptMailbox = struct {
	Host    peer.ID
	Seen    time.Time // when its host last answered; zero: not in this run
	Drained bool      // everything that was there has been fetched in this run
	Trouble string    // why it is not served right now, in one line; empty where it is
}

// The classes of lanes, whose quotas are the hosts'.
const (
	laneContact = 1
	laneLink    = 2
)

// Peer is one connected node, for people to look at.
type Peer = struct {
	ID      peer.ID       `json:"id"`
	Address string        `json:"address"`
	Route   string        `json:"route"`
	Seed    bool          `json:"seed"`
	Since   time.Time     `json:"since"`
	RTT     time.Duration `json:"rtt_ns"` // the last measured round trip; zero before the first
}

// The routes of an envelope or a connection, from the best to the last resort.
const (
	RouteLAN     = "lan" // over the network that both are on, or on one machine
	RouteDirect  = "direct"
	RoutePunched = "punched" // through two routers at the same moment
	RouteRelayed = "relayed"
	RouteMailbox = "mailbox"
)
