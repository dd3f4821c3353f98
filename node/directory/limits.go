package directory

import (
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// What the protocol fixes: both sides must agree, so a change here is a new version of the protocol.
const (
	// Protocol is the id under which streams are opened.
	Protocol protocol.ID = "/parley/directory/1"
	// MaxKey bounds a key in bytes: a noun and the text form of any key we have, twice over.
	MaxKey = 128
	// MaxRecord bounds a value in bytes: what kad-dht passes on without complaint.
	MaxRecord = 8 << 10
)

// What we chose: each node may differ.
const (
	// Service is the name under which the resource manager accounts the streams.
	Service = "parley.directory"
	// MaxCachedRecords bounds the records of others that are kept in memory: at most 8 MiB.
	MaxCachedRecords = 1024
	// MaxOwnRecords bounds the records that we publish: an account, its devices, and room.
	MaxOwnRecords = 64
	// ServeTimeout bounds one request from its first byte to the last byte of the answer: a quarter of a second of data on a
	// slow line, and slow people's lines are slower.
	ServeTimeout = 10 * time.Second
	// AskTimeout bounds one question to one peer, the connection not included.
	AskTimeout = 5 * time.Second
	// SettleHint is how long a search goes on for a newer value once a device that was named as the owner has answered: what is
	// on its way already on a fast line arrives in that time.
	SettleHint = 20 * time.Millisecond
	// SettleOther is the same after anybody else's answer: two round trips between continents.
	SettleOther = 400 * time.Millisecond
	// Agreement is how many others must say the same before a search ends without waiting: more than one liar.
	Agreement = 3
	// RequestsPerSecond and RequestBurst limit one peer's questions: an address book is looked up in a few bursts.
	RequestsPerSecond = 20
	RequestBurst      = 100
	// PeerStreams is the most inbound streams of one peer: questions in parallel.
	PeerStreams = 8
	// Streams is the most inbound streams in all.
	Streams = 256
	// Memory is what all streams together may hold, in bytes.
	Memory = 8 << 20
	// PeerMemory is what the streams of one peer may hold, in bytes.
	PeerMemory = 256 << 10
)
