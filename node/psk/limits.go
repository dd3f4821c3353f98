package psk

import "time"

// What the protocol fixes: libp2p's private networks, and multistream-select.
const (
	// KeySize and nonceSize are the lengths of XSalsa20's key and nonce in bytes.
	KeySize   = 32
	nonceSize = 24
	// greeting is what every caller says first, behind its nonce and without waiting for anything.
	greeting = "\x13/multistream/1.0.0\n"
	// shownSize is how many bytes of a caller show its key. A wrong key looks like the right one with a chance of 2^-160.
	shownSize = nonceSize + len(greeting)
)

// What we chose.
const (
	// ShowTimeout is how long a connection that came in has to show a key: as long as a node waits for one that it dials.
	ShowTimeout = 5 * time.Second
	// SilentTogether is how long who has dialled at the same time as the other side, and is to listen, waits for the first byte: a round trip of a satellite and
	// a bit, and a fifth of the time that both have.
	SilentTogether = time.Second
	// maxHeld is how many bytes of ours may wait for the caller's key: our own greeting, which libp2p writes before it reads.
	maxHeld = 1 << 10
	// maxBehind is how many peers are remembered that had the older key alone: a large network, and a bound on what a ring holds. Where there
	// are more, each of them costs a second connection.
	maxBehind = 1024
)
