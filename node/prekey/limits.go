package prekey

import (
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// What the protocol fixes: both sides must agree, so a change here is a new version of the protocol.
const (
	// Protocol is the id under which streams are opened.
	Protocol protocol.ID = "/parley/prekey/1"
	// MaxKeys bounds an answer's keys in bytes: a pair with its signatures is 1.4 KiB, and a format to come may be larger.
	MaxKeys = 8 << 10
)

// What we chose: each node may differ.
const (
	// Service is the name under which the resource manager accounts the streams.
	Service = "parley.prekey"
	// Timeout bounds one question from its first byte to the last byte of the answer.
	Timeout = 5 * time.Second
	// KeysPerSecond and KeyBurst limit what one peer is given: an honest one begins one session with a device, and another when
	// something broke.
	KeysPerSecond = 1.0 / 600
	KeyBurst      = 4
	// PeerStreams is the most inbound streams of one peer, Streams the most in all.
	PeerStreams = 2
	Streams     = 64
	// Memory is what all streams together may hold, in bytes, and PeerMemory those of one peer.
	Memory     = 2 << 20
	PeerMemory = 64 << 10
)
