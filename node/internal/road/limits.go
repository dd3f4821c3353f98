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
	// AgainTogether is the pause between two dials to a router that refuses, while those behind it dial us: the way is open while the other side's
	// own dial is under way, which takes as long as a packet there, and its answer back, and is short between neighbours.
	AgainTogether = 2 * time.Millisecond
	// DialsTogether is how often an address is dialled so: for a third of a second at least, in which two that were told to begin at the same moment
	// meet, also on a busy machine. Whoever has us dial somebody else gets 9 KB of packets out of it.
	DialsTogether = 150
	// RestTogether is the pause of the side that begins, after an attempt that has failed: the other side's dials, which began as long as a packet takes
	// later or before, are over by then. A next attempt that meets them makes none of its own.
	RestTogether = 50 * time.Millisecond
	// RepeatMost is the longest wait before TCP sends again what was not acknowledged, where the system can bound it: the least that Linux takes, whose
	// own bound is two minutes. A connection on which nothing gets through sends one packet a second then, so that a road that is full stays
	// full of others' packets; the window shrinks as before. (BBR, another answer to losses, was no better with this and worse without, and takes
	// more than its share of a road.)
	RepeatMost = time.Second
	// RepeatFor is how long TCP goes on so before it gives a connection up. Linux counts attempts, 15 of them, which would be over in a quarter of a minute;
	// yamux's keep-alives and doubts (package reach) end before this what is dead.
	RepeatFor = 2 * time.Minute
	// KeepAlive is how often TCP asks on a silent connection that was accepted whether the other side is there, as libp2p does.
	KeepAlive = 30 * time.Second
	// HandshakeTimeout is how long a request for a WebSocket may take, on either side: TCP, TLS and HTTP are four round trips, and a bad line
	// repeats one of them.
	HandshakeTimeout = 10 * time.Second
	// MaxHeader is how long such a request may be, in bytes: ours has 200, and web servers add where it came from.
	MaxHeader = 8 << 10
	// GoodbyeTimeout is how long the last message of a WebSocket may wait for room: who does not read is not waited for.
	GoodbyeTimeout = 100 * time.Millisecond
)
