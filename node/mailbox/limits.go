package mailbox

import (
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// What the protocol fixes: both sides must agree, so a change here is a new version of the protocol.
const (
	// ProtocolDeposit, ProtocolOpen, ProtocolFetch and ProtocolHosts are the ids under which streams are opened.
	ProtocolDeposit protocol.ID = "/parley/mailbox/1/deposit"
	ProtocolOpen    protocol.ID = "/parley/mailbox/1/open"
	ProtocolFetch   protocol.ID = "/parley/mailbox/1/fetch"
	ProtocolHosts   protocol.ID = "/parley/mailbox/1/hosts"
	// MaxBox bounds a box in bytes: 512 KiB, the largest size class of what is sealed, and what sealing adds: version, purpose, key id and
	// encapsulation (1,130) and an authenticator (16).
	MaxBox = 512<<10 + 1146
	// MaxLanes is how many lanes a mailbox has at most: one for each contact of a large address book, and a few for links.
	MaxLanes = 5100
	// MaxOwner bounds a peer id in bytes: those of Ed25519 keys have 38.
	MaxOwner = 64
	// Window is the most boxes on their way to an owner without an acknowledgement, and so the most that one acknowledgement names.
	Window = 64
	// WindowBytes bounds the same in bytes of boxes: what a fast owner takes in the time of a round trip.
	WindowBytes = 4 << 20
	// MaxHosts is how many hosts one answer names: enough to choose three.
	MaxHosts = 16
	// HostAddresses is how many addresses are told of each, and MaxAddress how long one may be in bytes.
	HostAddresses = 4
	MaxAddress    = 128
)

// What we chose: each node may differ.
const (
	// Service is the name under which the resource manager accounts the streams.
	Service = "parley.mailbox"
	// TimeToLive is how long a box waits for its owner: a long holiday. Depositors keep a copy until the owner's own acknowledgement.
	TimeToLive = 30 * 24 * time.Hour
	// EmptyLife is how long a mailbox lasts that its owner does not open and that holds nothing: as long as messengers remember what
	// they have seen.
	EmptyLife = 60 * 24 * time.Hour
	// OpenLife is how long a host takes an owner's lanes for current without being told again, which says that the owner still lives.
	OpenLife = 24 * time.Hour
	// ExpireEvery is how often a host drops what is too old, and ExpireTimeout how long that may take.
	ExpireEvery   = time.Hour
	ExpireTimeout = time.Minute
	// LeaseTime is how long boxes are held for the stream that they were written to. Another host that shares the store waits so long
	// for boxes of one that died.
	LeaseTime = 60 * time.Second
	// LeaseBytes is how many bytes of boxes a host has in memory for one owner: any box fits.
	LeaseBytes = MaxBox
	// SharedPoll is how often a host looks for what others that share its store have taken, while an owner waits: it delays what was
	// deposited elsewhere, and each look is one query.
	SharedPoll = 5 * time.Second
	// FirstFrame is how long an opened stream may wait to begin its first frame: honest peers open one to write at once.
	FirstFrame = 10 * time.Second
	// DepositIdle is how long a depositor may pause between two deposits: whoever has more has it ready.
	DepositIdle = 10 * time.Second
	// WholeFrame is how long a small frame that has begun may take; the lanes of a large address book come at 45 kbit/s.
	WholeFrame = 30 * time.Second
	// WholeBox is the same for a box: 512 KiB at 35 kbit/s.
	WholeBox = 120 * time.Second
	// WriteTimeout is how long one write of a small frame may wait for the other side to read; a box has WholeBox.
	WriteTimeout = 30 * time.Second
	// AckTimeout is how long an owner may take to keep what was handed out: its slowest commit with room to spare.
	AckTimeout = 2 * time.Minute
	// StoreTimeout bounds what the store may take for one request: a database that restarts.
	StoreTimeout = 30 * time.Second
	// VerdictTimeout is how long a depositor waits for the verdict on a box that it has written.
	VerdictTimeout = StoreTimeout + WriteTimeout
	// AnswerTimeout bounds a short question, from its first byte to the last of its answer.
	AnswerTimeout = 10 * time.Second
	// OpenTimeout is the same for opening a mailbox, whose question is larger and which waits for the store.
	OpenTimeout = WholeFrame + StoreTimeout
	// CloseTimeout bounds the attempt to close a mailbox at a host that is no longer wanted.
	CloseTimeout = 10 * time.Second
	// FetchEvery is how long an owner's stream may be silent before it is opened anew: some streams die unnoticed, and hosts should
	// be asked seldom. FetchAge is how long one is used at all: shorter than OpenLife, so that an owner who is there stays known.
	FetchEvery = 10 * time.Minute
	FetchAge   = 12 * time.Hour
	// RetryFirst and RetryMax bound the back-off of an owner after a fetch that failed.
	RetryFirst = 500 * time.Millisecond
	RetryMax   = 60 * time.Second
	// MaxKept is how many mailboxes one device keeps at most: three are wanted, and a few may be on their way out.
	MaxKept = 8
	// DepositsPerSecond and DepositBurst slow a depositor down, which loses nothing: what an outbox gathers in a day comes at once.
	DepositsPerSecond = 10.0
	DepositBurst      = 200
	// BytesPerSecond and ByteBurst do the same for the bytes of boxes: a few of the largest at once.
	BytesPerSecond = 1 << 20
	ByteBurst      = 16 << 20
	// RefusalsPerSecond and RefusalBurst limit how often one peer may be refused: honest depositors wait longer each time, and whoever
	// guesses gets no box read.
	RefusalsPerSecond = 1.0
	RefusalBurst      = 20
	// RefusedFor is how long a refusal is remembered, so that the next box through the same lane is not read in vain: about as long as
	// an honest depositor waits before it tries again. Refusals is how many are remembered, at about 200 bytes each.
	RefusedFor = 5 * time.Second
	Refusals   = 4096
	// OpensPerSecond and OpenBurst limit how often an owner may say who deposits: once for each new contact.
	OpensPerSecond = 0.1
	OpenBurst      = 20
	// FetchesPerSecond and FetchBurst limit how often an owner may begin to fetch: once for each connection.
	FetchesPerSecond = 0.5
	FetchBurst       = 20
	// QuestionsPerSecond and QuestionBurst limit how often a peer may ask who hosts mailboxes: a few times in the life of a device.
	QuestionsPerSecond = 0.1
	QuestionBurst      = 10
	// BoxesPerSecond and BoxBurst limit what an owner takes from one host: opening a box costs 0.2 ms, so that rubbish takes a tenth of a
	// processor, and a full mailbox 20 s.
	BoxesPerSecond = 500
	BoxBurst       = 1000
	// PeerStreams is the most inbound streams of one peer, for fetching, and for deposits for as many devices as a messenger writes to at
	// a time; Streams is the most in all.
	PeerStreams = 24
	Streams     = 1024
	// Memory is what all streams together may hold, in bytes of buffers, frames and boxes: more than a hundred of the largest.
	Memory = 64 << 20
	// PeerMemory is what the streams of one peer may hold, in bytes: one of the largest boxes for each.
	PeerMemory = 12 << 20
	// OwnerWorth is what the connection of an owner that fetches is worth to the host when it has too many: more than a stranger's (0) and a
	// DHT server's (5), and less than those of contacts, which it never closes: mailboxes are made by whoever asks.
	OwnerWorth = 50
	// ReadBuffer is what a host reads ahead, in bytes, and FetchBuffer what an owner does, who takes many boxes at once.
	ReadBuffer  = 4 << 10
	FetchBuffer = 64 << 10
	// BatchBytes ends a batch of an owner early, in bytes of boxes: a host that ignores the window fills no memory.
	BatchBytes = 1 << 20
)

// How long a deposit may hold up a call.
const (
	// Patience is how long a depositor waits for its other hosts once one has stored everything: a dead one holds nobody up.
	Patience = 2 * time.Second
	// Chunk is the most envelopes in one box, which the format of boxes fixes, and ChunkBytes the most bytes of what is sealed in it:
	// each envelope costs ChunkEach bytes more, and ChunkHead stand in front.
	Chunk      = 64
	ChunkBytes = 512 << 10
	ChunkEach  = 4
	ChunkHead  = 2
)

// DefaultQuota is what a host keeps unless it is told otherwise.
func DefaultQuota() Quota {
	return Quota{
		Contact: Room{Boxes: 2500, Bytes: 16 << 20},   // of one lane: a busy month of a contact, and a few pictures
		Link:    Room{Boxes: 200, Bytes: 2 << 20},     // of one lane: first contacts by a link
		Open:    Room{Boxes: 64, Bytes: 1 << 20},      // of all strangers together: a first flight is 4 KiB
		Mailbox: Room{Boxes: 10_000, Bytes: 64 << 20}, // of one owner
		Host:    Room{Boxes: 200_000, Bytes: 1 << 30}, // of all owners: a small disk
		Owners:  256,                                  // a community, and as many mailboxes as one may make up
		Sure:    Room{Boxes: 500, Bytes: 2 << 20},     // of one owner, whatever others do: half of the host's room
	}
}
