package direct

import (
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// What the protocol fixes: both sides must agree, so a change here is a new version of the protocol.
const (
	// Protocol is the id under which streams are opened.
	Protocol protocol.ID = "/parley/direct/1"
	// MaxEnvelope bounds one envelope in bytes: the longest text in its box, rounded up.
	MaxEnvelope = 128 << 10
	// HeaderSize is the length in bytes of what begins a stream: version, purpose, key id and an X-Wing encapsulation.
	HeaderSize = 1130
	// RecordOverhead is how many bytes a record adds to its envelope: the authenticator.
	RecordOverhead = 16
	// StreamRecords is the most envelopes of one stream. The cipher would bear far more: it bounds the numbers in acknowledgements, and
	// what one stolen context opens.
	StreamRecords = 1 << 20
	// TagSize is the length in bytes of one acknowledgement tag.
	TagSize = 16
	// Batch is the most envelopes handed to the messenger at once, and so the most that one acknowledgement names (1 KiB): enough to
	// share one commit, few enough that a batch of small ones is soon answered.
	Batch = 256
)

// What we chose: each node may differ.
const (
	// Service is the name under which the resource manager accounts the streams.
	Service = "parley.direct"
	// BatchBytes ends a batch early, in bytes of envelopes: a stranger's batch stays far below the memory of the service.
	BatchBytes = 1 << 20
	// Window is the most envelopes that one call has on the wire without an acknowledgement. Acknowledged one by one they make 43 KiB,
	// which fit in any stream's flow-control window, so that writing first and reading afterwards cannot lock up.
	Window = 1024
	// StreamAge is how long a sender uses a stream: where it has not heard of a change of the receiver's envelope key (then it begins another
	// at once), the old key is used for a day at most.
	StreamAge = 24 * time.Hour
	// WriteBuffer gathers frames, in bytes, before they are written: one system call per frame costs 28 times the rate. It goes as one frame of
	// yamux (64 KiB less its header), which is what a receiver reads at once, and so the batch that shares its commit.
	WriteBuffer = 60 << 10
	// ReadBuffer is what a receiver reads ahead, in bytes, while a stream is busy; it bounds the batches of small envelopes.
	ReadBuffer = 64 << 10
	// FirstFrame is how long an opened stream may wait to begin its header, and then its first record: honest senders open one to write
	// at once.
	FirstFrame = 10 * time.Second
	// WholeFrame is how long a frame that has begun may take: 128 KiB at 35 kbit/s.
	WholeFrame = 30 * time.Second
	// WriteTimeout is how long one write may wait for the other side to read.
	WriteTimeout = 30 * time.Second
	// AckTimeout is how long a sender waits for the next acknowledgement: a receiver's slowest commit with room to spare.
	AckTimeout = 60 * time.Second
	// KeysPerSecond is how many streams a second one peer may open, and at once: each costs a decapsulation (0.13 ms), and honest peers
	// open one per connection.
	KeysPerSecond = 4
	// AllKeysPerSecond is the same for all peers together: 1 % of a processor, however many peers somebody makes up.
	AllKeysPerSecond = 64
	// ContactKeysPerSecond comes on top of it for contacts' devices, so that made-up peers cannot keep them out: half as many.
	ContactKeysPerSecond = 32
	// EnvelopesPerSecond and EnvelopeBurst slow a peer down, which loses nothing: twice what the fastest honest sender reaches.
	EnvelopesPerSecond = 100_000
	EnvelopeBurst      = 100_000
	// PeerStreams is the most inbound streams of one peer: the one in use, and those of connections that broke unnoticed.
	PeerStreams = 8
	// Streams is the most inbound streams in all: several per connection that a node accepts.
	Streams = 1024
	// Memory is what all streams together may hold, in bytes of buffers and frames.
	Memory = 32 << 20
	// PeerMemory is what the streams of one peer may hold, in bytes: two full batches and the read buffers.
	PeerMemory = 4 << 20
)
