package reach

import (
	"time"

	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
)

const (
	// CircuitAfter is the head start that direct dials have before a circuit is tried: a handshake at a round trip of 150 ms.
	CircuitAfter = 500 * time.Millisecond
	// MaxCircuits is through how many seeds one attempt goes: twice as many as a node stays connected to.
	MaxCircuits = 6
	// ReserveTimeout bounds one request for a reservation.
	ReserveTimeout = 10 * time.Second
	// ReserveAgain is how long a seed that gave none is left alone; libp2p's hour is longer than people wait.
	ReserveAgain = 30 * time.Second
	// EventQueue is how many events of the host may wait: who does not take them in time holds up the host.
	EventQueue = 256
	// PunchSoon is the pause before another attempt to punch where the last could not even begin, because one side did not know its own
	// address yet; it doubles, up to PunchMax.
	PunchSoon = time.Second
	// PunchAgain is the pause after an attempt that failed at the routers; it doubles, up to PunchMax. One attempt dials three times, which
	// routers count.
	PunchAgain = time.Minute
	// PunchMax bounds the pauses: routers and addresses change.
	PunchMax = 15 * time.Minute
	// PunchTimeout bounds one dial of an attempt.
	PunchTimeout = 5 * time.Second
	// PunchesPerSecond is how often a peer may have us dial it in the long run, and PunchBurst how often at once: two attempts of three dials.
	PunchesPerSecond = 0.1
	PunchBurst       = 6
	// MaxPunchAddresses is how many addresses one dial of an attempt goes to: a router has one, or one of each kind.
	MaxPunchAddresses = 4
	// MaxPunches is how many attempts go on at once.
	MaxPunches = 8
	// ConfirmEvery is how long a seed's word about one of our addresses is good: routers and providers change them by day.
	ConfirmEvery = time.Hour
	// ConfirmSoon is how long after something has changed seeds are asked: until then they have admitted us, and said what they see. It doubles, up to
	// ConfirmEvery; a seed answers every two minutes.
	ConfirmSoon = time.Second
	// MaxAsks is how many questions are put in a row: as many as a node has seeds, and some that fail.
	MaxAsks = 8
	// MaxCandidates is about how many addresses seeds are asked: IPv4 and IPv6, two transports each.
	MaxCandidates = 4
	// DialBacksPerMinute is how many members a seed dials for, PeerDialBacksPerMinute how often for one of them, PaidDialBacksPerMinute how often at another
	// address than the one that it comes from, for which it has to send more than the dial costs before (libp2p: 30 to 100 kB), and PeerDialBacks how many
	// at a time for one.
	DialBacksPerMinute     = 60
	PeerDialBacksPerMinute = 12
	PaidDialBacksPerMinute = 12
	PeerDialBacks          = 2
	// DoubtTimeout is how long somebody has to answer at a connection that is in doubt, in time for nearly all words on a line that loses three
	// packets of ten each way: a connection that is closed too early costs a handshake.
	DoubtTimeout = 8 * time.Second
	// DoubtLook is how often we look whether something moves at a connection that is in doubt: as long as it does, the time to answer begins anew. A
	// word behind an envelope of 128 KiB waits 30 s at 35 kbit/s.
	DoubtLook = time.Second
	// DoubtMost ends that: as long as a sender waits for an acknowledgement (direct.AckTimeout). Something else may move than what we wait for.
	DoubtMost = time.Minute
	// MaxDoubts is about how many devices one may be in doubt at a time: all that a seed is connected to.
	MaxDoubts = 256
	// Settle is for how long nothing may change any more before we look at what has, and SettleMost how long we wait for that.
	Settle     = 300 * time.Millisecond
	SettleMost = 2 * time.Second
	// SleepEvery is how often we look whether the machine has slept, and SleepMargin how much longer than that it has to have been away. Most routers
	// keep a way open for longer.
	SleepEvery  = 10 * time.Second
	SleepMargin = 10 * time.Second
	// MaxObservers is of how many peers it is remembered which address of ours they see: as many as a node may have seeds, which come before others.
	MaxObservers = 16
)

// Resources bounds what a seed relays.
func Resources() relay.Resources {
	return relay.Resources{
		// An evening's talk. Whoever sends more than that is not punched through, and begins another circuit.
		Limit:          &relay.RelayLimit{Duration: time.Hour, Data: 64 << 20},
		ReservationTTL: time.Hour,
		// As many as a seed's connections (node.SeedConnsHigh), nearly.
		MaxReservations: 128,
		MaxCircuits:     32,
		BufferSize:      4 << 10,
		// An office or a mobile carrier puts many people behind one address.
		MaxReservationsPerIP:  64,
		MaxReservationsPerASN: 128,
	}
}
