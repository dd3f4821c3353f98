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
	// StrangerContacts is how many of them may be there before those who join with our invites are not added by themselves any
	// more: an invite may have come into anybody's hands, and the rest is for those whom we add.
	StrangerContacts = 5_000
	// MaxRequests is the most accounts that may wait for an answer at once: more than a person looks through. Each may hold a card
	// of up to 17 KiB.
	MaxRequests = 200
	// HeldTexts is the most texts of one account that wait with its request, and HeldInAll those of all: enough to say who one is,
	// and at most 13 MB of what strangers wrote.
	HeldTexts = 3
	HeldInAll = 200
	// MaxIntroductions is the most requests of one introducer: a contact who introduces a crowd leaves room for others.
	MaxIntroductions = 10
	// MaxPage is the most messages or events of one page; callers page on.
	MaxPage = 200
	// FlightSize and FlightBytes bound what is handed to the transport at once: enough to share a commit at the receiver, little
	// enough to be acknowledged within FlightTimeout on a line of 40 kbit/s.
	FlightSize  = 256
	FlightBytes = 256 << 10
	// SendBatch is the most sends that share one transaction: the first of them waits for the last.
	SendBatch = 256
	// StepPause is the shortest time between two steps on a session: a burst of thousands of texts one way heals once, not once in a hundred.
	StepPause = 10 * time.Second
	// DeliveryWorkers is the most devices with a flight under way. With FlightSize it bounds the envelopes in memory.
	DeliveryWorkers = 16
	// FlightTimeout ends one attempt to reach a device, dial included.
	FlightTimeout = time.Minute
	// KeyTimeout ends the search for a device's key in the store, with a stream waiting for it.
	KeyTimeout = 5 * time.Second
	// LookupTimeout ends one search for an account's records.
	LookupTimeout = 15 * time.Second
	// Lookups is the most searches for accounts' records at once.
	Lookups = 8
	// LookupRetryMax is the longest pause between two searches for the same account.
	LookupRetryMax = time.Minute
	// LookupMissingMax is the same where others of its devices are known. A device that comes up connects, and is looked for at once then.
	LookupMissingMax = time.Hour
	// InviteLifetime is how long an invite may be used, where people say nothing else, and MaxInviteLifetime the longest that they may say.
	InviteLifetime    = 24 * time.Hour
	MaxInviteLifetime = 90 * 24 * time.Hour
	// KeyGrace is how long the network's older key is good where people say nothing else: a holiday of a week. MinKeyGrace is what a clock of
	// whole seconds can tell, and MaxKeyGrace the longest time after which nobody should count on coming back.
	KeyGrace    = 7 * 24 * time.Hour
	MinKeyGrace = time.Second
	MaxKeyGrace = 90 * 24 * time.Hour
	// MaxInviteUses is how many devices one invite may let in: a class, or a club. The node's limit is the same.
	MaxInviteUses = 100
	// MinInviteID is how many characters of an invite's id name it at least.
	MinInviteID = 4
	// MaxSessions is how many sessions are kept with one device: the one in use, and those on which something may still be on its way.
	MaxSessions = 6
	// MaxGenerations is how many generations of our keys are kept: the newest, and those of six weeks before.
	MaxGenerations = 7
	// GenerationLife is how long a generation is the newest.
	GenerationLife = 7 * 24 * time.Hour
	// TendEvery is how often we look whether keys are to be made.
	TendEvery = time.Hour
	// OneTimePairs is how many pairs lie ready to be given away: a busy hour's new conversations. MaxGiven is how many of those that
	// were given away, and not used, are kept.
	OneTimePairs = 50
	MaxGiven     = 1000
	// OneTimeWait is how long a device is waited for that may give us a pair.
	OneTimeWait = 2 * time.Second
	// MaxHandshakes is how many first flights to one generation are remembered: many more than there are contacts.
	MaxHandshakes = 100_000
	// FirstFlights and FirstFlightBurst are how many first flights a second, and at once, are opened that one device brings which is no
	// contact's: a card and the texts behind it, and what a mailbox may bring of others'.
	FirstFlights     = 4
	FirstFlightBurst = 16
	// AllFirstFlights is the same, a second and at once, for all such devices together: 1 % of a processor, at 0.33 ms each.
	AllFirstFlights = 32
	// MaxMailboxes is how many hosts keep a mailbox for a device, as many as a record names: one may die, one may lie.
	MaxMailboxes = 3
	// MaxLanes is how many ways into a mailbox there are: those of our links, and of half of the contacts that may be there.
	MaxLanes = 5_100
	// MailboxEvery is how often we look whether other hosts are needed; MailboxPause is the least time between two looks.
	MailboxEvery = 10 * time.Minute
	MailboxPause = time.Second
	// MailboxFirst is how long a node that starts waits at most for its first mailbox before it says that it is ready.
	MailboxFirst = time.Second
	// MailboxLost is how long a host that we chose may be away before another takes its place.
	MailboxLost = 24 * time.Hour
	// MaxFormer is how many packets that carried the same before a row remembers: those of a bad week.
	MaxFormer = 8
	// BoxHandshakes is how many unknown sessions one box may begin: its maker has one with us, and another where the first was given up.
	BoxHandshakes = 2
	// BoxFirstFlights is how many sessions that mailboxes bring are looked at in a second, and at once: as many boxes as strangers' lanes
	// hold pass in half a minute.
	BoxFirstFlights = 32
	// SequenceLeap bounds how far the number of our device record goes on with each version, at random: two copies that go on from one
	// number take the same one once in a million times. As long as versions come more seldom than two a second (one comes with each start, each
	// generation and each restore), numbers stay below the microseconds since 1970, from which a restored device goes on.
	SequenceLeap = 1 << 20
	// CopyFirst is how long after its start a node looks for a second copy of itself for the first time: it is connected by then. Later it
	// looks at every TendEvery.
	CopyFirst = time.Minute
	// HealEvery and HealsADay bound how often one device gets a new session because something did not open.
	HealEvery = 10 * time.Minute
	HealsADay = 5
	// MaxReseal is how many rows move to a new session in one transaction; a longer queue moves on at the next heal.
	MaxReseal = 10_000
	// RetryFirst and RetryMax bound the back-off between attempts: 1, 2, 4 … 300 s, with full jitter.
	RetryFirst = time.Second
	RetryMax   = 300 * time.Second
	// RetryConnected is RetryMax for a device that is connected.
	RetryConnected = 15 * time.Second
	// RetryNew is how long a device rests at least, even if something new is queued for it or has come from it.
	RetryNew = 10 * time.Second
	// InstancePause is how far the note of the last event may be behind.
	InstancePause = time.Second
	// maxShredded is how many ids of destroyed keys are remembered at least, for a run that could not destroy them.
	maxShredded = 256
	// letInTimeout bounds how long telling of an invite that was used holds up the next one, and the end of the node.
	letInTimeout = 2 * time.Second
	// collectTimeout bounds a question to the database for figures: who asks comes again in a quarter of a minute.
	collectTimeout = 2 * time.Second
	// ClockTolerance is how far ahead of ours a received clock may be before it is kept as a claim and not merged.
	ClockTolerance = 5 * time.Minute
)
