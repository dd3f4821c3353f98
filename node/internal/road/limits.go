package road

import "time"

const (
	// MaxPacket is the largest IP packet that we send, in bytes: what every road of IPv6 carries (RFC 8200, 5), and every tunnel in use. Where a
	// router cannot say that a packet is too large, or nobody lets its word through, larger ones vanish, and a connection that began
	// well stands still.
	MaxPacket = 1280
	// MaxSegment is how much of it TCP may fill, in bytes: what is left by the headers of IPv6 and TCP.
	MaxSegment = MaxPacket - 40 - 20
	// MaxDatagram is the same for UDP: a little more than QUIC needs at least.
	MaxDatagram = MaxPacket - 40 - 8
	// AgainTogether is the first pause between two dials to a router that refuses, while those behind it dial us: the way is open while the other side's
	// own dial is under way, which takes as long as a packet there, and its answer back. It doubles up to AgainTogetherMost: within libp2p's five
	// seconds an address that somebody has named is dialled about fifty times, and not thousands of times.
	AgainTogether     = 2 * time.Millisecond
	AgainTogetherMost = 100 * time.Millisecond
	// KeepAlive is how often TCP asks on a silent connection that was accepted whether the other side is there, as libp2p does.
	KeepAlive = 30 * time.Second
)
