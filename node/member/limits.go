package member

import (
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// What the protocol fixes: both sides must agree, so a change here is a new version of the protocol.
const (
	// Protocol is the id under which streams are opened.
	Protocol protocol.ID = "/parley/member/1"
	// MaxDepth is the most certificates of a chain, from the authority to the device: friends of friends of friends, and a bound on the
	// signatures that a stranger can have checked (two for each certificate, 16 at 60 µs).
	MaxDepth = 8
	// MaxList bounds the list of revocations in bytes: 1,900 persons, or fewer with those that they had invited and that stay.
	MaxList = 64 << 10
	// TokenSize is the length of an invite's token in bytes: nobody guesses 128 bits.
	TokenSize = 16
)

// What we chose: each node may differ.
const (
	// Service is the name under which the resource manager accounts the streams.
	Service = "parley.member"
	// Probation is how long a connection may take to be admitted: the exchange is three frames, and a line may be slow.
	Probation = 10 * time.Second
	// Unspoken is how long a stream lasts whose handler sets no deadline of its own: longer than any first word takes.
	Unspoken = time.Minute
	// Farewell is how long a refused connection stays, so that the other side can read why; it is Probation where that comes with a list.
	Farewell = time.Second
	// GreetingsPerSecond and GreetingBurst limit the exchanges that one peer begins: one for each connection, one for each newer list.
	GreetingsPerSecond = 1
	GreetingBurst      = 16
	// RequestsPerSecond and RequestBurst limit what joiners have us ask one member, all joiners together, below what it answers us
	// (GreetingsPerSecond): strangers with the network's key must not spend what we need to hand on a list.
	RequestsPerSecond = 0.5
	RequestBurst      = 8
	// PlaceRequestsPerSecond and PlaceRequestBurst limit what joiners from one address have us ask all members together: a household that joins at
	// once, and then one that tries again with growing pauses. One address cannot have a fifth of what an issuer is asked.
	PlaceRequestsPerSecond = 0.1
	PlaceRequestBurst      = 4
	// IssuerRequests is how many requests for one issuer are under way at a time: more than one address can have.
	IssuerRequests = 6
	// AwayAfter is how long we take to say that an issuer is away, and how long it may take to answer, so that nobody learns from the time whether it
	// was asked: a round trip of 800 ms, and its disk. It leaves the joiner's DialTimeout some of its time.
	AwayAfter = 2 * time.Second
	// PeerStreams is the most inbound streams of one peer, Streams the most in all.
	PeerStreams = 4
	Streams     = 256
	// Memory is what all streams together may hold, in bytes, and PeerMemory those of one peer: a list, and the window of each stream.
	Memory     = 64 << 20
	PeerMemory = 4 << 20
	// Spreaders is how many peers a newer list or key is handed on to at the same time.
	Spreaders = 8
	// HandOnAgain is how long a connected member that did not take the network's new key is left alone.
	HandOnAgain = time.Minute
	// KeepMet is how long whom we have met, and who has followed the network's key, waits to be written down: the ledger is written as a whole, half a
	// megabyte with a thousand members, and a crowd that meets again after an outage comes within seconds. A crash forgets no more than that.
	KeepMet = 10 * time.Second
	// MaxInvites is how many invites are kept, those that lead nowhere any more included, and MaxUses how often one may be used.
	MaxInvites = 256
	MaxUses    = 100
	// MaxPlaces bounds the uses of all invites that are kept: the ledger is written as a whole.
	MaxPlaces = 1024
	// MaxKnown is how many certificates of others are remembered, for people to look at and for the authority to spare.
	MaxKnown = 1024
	// MaxNote bounds the words that an invite is told apart by, in bytes.
	MaxNote = 64
	// MaxLedger bounds the ledger as a Vault keeps it, in bytes: it is about twice what one has that is at all of these limits. In JSON that is 420 for each of MaxKnown, 370
	// for each of MaxPlaces, 580 for each of MaxInvites with a note that is all escaped, and a list of MaxList and a chain of MaxDepth in base64: 1 MiB. (maxLedger in chat/home
	// is the same.)
	MaxLedger = 2 << 20
)
