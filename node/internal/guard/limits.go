package guard

import "time"

// What others may name for us to dial. Addresses at which the peer has answered before, those of seeds, and those found on the LAN are not counted.
const (
	// Places is how many hosts (IPv4 addresses, IPv6 /64) are dialled for one peer on what others say of it: it is at home, at work, and on the
	// phone, and one more.
	Places = 4
	// PlaceAddresses is how many addresses of one such host: two transports, and the ports of a router that has changed them.
	PlaceAddresses = 4
	// PrivateAddresses is how many addresses of private networks: two transports on a few interfaces.
	PrivateAddresses = 8
	// PrivatePort is the lowest port that is dialled in a private network on what others say: routers, printers and file servers are below.
	PrivatePort = 1024
	// BudgetLife is how long it is remembered what was dialled for a peer: it moves now and then.
	BudgetLife = 10 * time.Minute
	// MaxBudgets is for how many peers that is remembered: four times as many as are remembered at all.
	MaxBudgets = 4096
	// MaxKnown is for how many peers it is remembered where we know them to be ourselves: as many as budgets.
	MaxKnown = MaxBudgets
	// MaxProven is how many addresses are remembered at which a peer has answered, or was found on the LAN; of all peers together.
	MaxProven = 4096
	// MaxSure is how many addresses are remembered to come before hearsay when they are dialled next: those of all dials under way, many times over.
	MaxSure = 1024
	// HearsayAfter is how long addresses that others name wait for those that we know ourselves: a round trip, as libp2p gives to each of its own groups.
	HearsayAfter = 250 * time.Millisecond
	// SeedAddresses is at how many addresses one seed is remembered to have been met last: twice as many as one peer may have connections.
	SeedAddresses = 16
	// GroundLife is how long the machine's own addresses are taken to be what they were: asking the system costs a tenth of a millisecond.
	GroundLife = 10 * time.Second
)

// Who breaks the protocol.
const (
	// BanAfter is how many violations are too many; half of them are forgiven each Forgive. An honest peer of another version that tries again
	// with growing pauses stays below: one a minute adds up to two.
	BanAfter = 10
	// Forgive is the time in which half of what a peer has done wrong is forgiven.
	Forgive = time.Minute
	// BanFor is how long a peer is shut out at the place that it came from: as long as operators commonly shut an address out.
	BanFor = 10 * time.Minute
	// MaxCulprits is of how many peers at their places violations are remembered; who has done least is forgotten first.
	MaxCulprits = 1024
)

// What is written about it.
const (
	// LinesPerSecond is how many lines about refused peers are written in the long run, and LineBurst how many at once: a flood must not fill the
	// disk, and fail2ban needs some lines of each address, not all.
	LinesPerSecond = 5
	LineBurst      = 100
)
