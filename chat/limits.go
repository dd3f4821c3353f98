package chat

import "time"

// What the format fixes: both sides must agree, so a change here is a new version of the protocol.
const (
	// MaxText is the longest text of one message, in bytes of UTF-8. Longer things are files.
	MaxText = 64 << 10
	// MaxName is the longest name of a person, device or network, in bytes of UTF-8 (the invite format has the same limit).
	MaxName = 32
	// MaxEnvelope bounds one envelope in bytes: a text, its content header, a contact card and the box, rounded up. It is what a
	// stranger can make us hold per frame.
	MaxEnvelope = 128 << 10
	// MaxParents is the most heads one content names, so that a wide fork costs at most 256 bytes.
	MaxParents = 8
	// MaxRecord is the largest directory record in bytes: what kad-dht passes on without complaint, and five certificates fit.
	MaxRecord = 8 << 10
	// MaxDevices is the most certificates of one account record: more would not fit a record with room to spare.
	MaxDevices = 5
	// MaxInviteSeeds is the most nodes that an invite names: the inviter and two seeds keep the link short enough for a QR code.
	MaxInviteSeeds = 3
	// MaxInviteAddrs is the most addresses of each: one LAN, one public, both families.
	MaxInviteAddrs = 4
	// MaxReceipts is the most message ids of one read receipt (8 KiB of ids).
	MaxReceipts = 256
)

// What we chose: each node may differ.
const (
	// MaxClientID is the longest client id in bytes: ULIDs and UUIDs fit several times over.
	MaxClientID = 128
	// MaxContacts bounds the address book, so that strangers' requests cannot grow it without end.
	MaxContacts = 10_000
	// StrangerContacts is how many of them may be there before strangers are not added by themselves any more: the rest is for
	// those whom we add.
	StrangerContacts = 5_000
	// MaxPage is the most messages or events of one page; callers page on.
	MaxPage = 200
	// FlightSize and FlightBytes bound what is handed to the transport at once: enough to share a commit at the receiver, little
	// enough to be acknowledged within FlightTimeout on a line of 40 kbit/s.
	FlightSize  = 128
	FlightBytes = 256 << 10
	// DeliveryWorkers is the most devices with a flight under way. With FlightSize it bounds the envelopes in memory.
	DeliveryWorkers = 16
	// FlightTimeout ends one attempt to reach a device, dial included.
	FlightTimeout = time.Minute
	// LookupTimeout ends one search for an account's records.
	LookupTimeout = 15 * time.Second
	// Lookups is the most searches for accounts' records at once.
	Lookups = 8
	// LookupRetryMax is the longest pause between two searches for the same account.
	LookupRetryMax = time.Minute
	// InviteLifetime is how long an invite may be used.
	InviteLifetime = 24 * time.Hour
	// openers is the most envelopes that are opened at once, whoever sent them: it is work for the processor, not waiting.
	openers = 4
	// RetryFirst and RetryMax bound the back-off between attempts: 1, 2, 4 … 300 s, with full jitter.
	RetryFirst = time.Second
	RetryMax   = 300 * time.Second
	// RetryConnected is RetryMax for a device that is connected.
	RetryConnected = 15 * time.Second
	// RetryNew is how long a device rests at least, even if something new is queued for it.
	RetryNew = 10 * time.Second
	// InstancePause is how far the note of the last event may be behind.
	InstancePause = time.Second
	// maxShredded is how many ids of destroyed keys are remembered at least, for a run that could not destroy them.
	maxShredded = 256
	// ClockTolerance is how far ahead of ours a received clock may be before it is kept as a claim and not merged.
	ClockTolerance = 5 * time.Minute
)
