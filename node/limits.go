package node

import "time"

// Reaching others.
const (
	// DialTimeout bounds one attempt to connect, in time for TCP, the key check, Noise and identify at a round trip of 800 ms.
	DialTimeout = 5 * time.Second
	// LeaveTimeout bounds how long a Join that succeeded waits for the end of the exchange: a round trip or two.
	LeaveTimeout = time.Second
	// DialTimeoutLocal is the same for the connection alone, at addresses of a LAN: those of yesterday's LAN lead nowhere, and must not hold up others; but a
	// private network may span a slow line too, and TCP, the key check and Noise take four round trips of 800 ms.
	DialTimeoutLocal = 4 * time.Second
	// DepositAfter is how long a device has to acknowledge something before its mailboxes get the envelopes: a dial over a slow line, and
	// what people wait for a tick. It gets more where it is connected and has acknowledged or sent an envelope lately.
	DepositAfter = 3 * time.Second
	// DoubtAfter is how long a device that seems to be connected may give no sign of life before somebody has to answer at its connections. A line that
	// loses three of ten packets each way is silent for some seconds again and again, and a connection that is given up there is dear to make anew.
	DoubtAfter = SilentFor
	// SilentFor is how long a device that is connected has to be silent before it is given up so: on a line that loses three of ten packets each
	// way, one word of ten takes longer than DepositAfter, and few longer than this.
	SilentFor = 10 * time.Second
	// DepositAtLast ends that in any case, and is how long a device that has acknowledged something may take for the next: a device may talk and not
	// listen, and a connection on a bad line can be stuck for a minute. A long envelope has as much more as it takes on the slowest line.
	DepositAtLast = 15 * time.Second
	// SlowestLine is the least that a device is given time for, in bytes a second: half of a line of 40 kbit/s, on which the longest text takes 13 s, and 26 s
	// beside another one.
	SlowestLine = 2500
	// AwayFor is how long a device that could not be reached is taken to be away, unless it connects: its mailboxes get everything at
	// once.
	AwayFor = 30 * time.Second
	// SeedConnections is how many seeds a node stays connected to: one may fail, one may lie.
	SeedConnections = 3
	// MaxSeeds is how many seeds a network may list: a few times what is used at once.
	MaxSeeds = 16
	// RetryFirst and RetryMax bound the back-off between attempts to connect to a seed or a remembered peer: once a line is back, what has waited is
	// to arrive within a minute.
	RetryFirst = 500 * time.Millisecond
	RetryMax   = 30 * time.Second
	// KeyRebuffs is how often in a row a seed has to hang up without a word before it is taken to have another network key: four attempts take some seconds,
	// and a router, or a seed that is full or starts, does so too for a moment.
	KeyRebuffs = 4
	// FewPeers is how many connections are enough to stop dialling remembered peers when no seed answers.
	FewPeers = 4
	// GreetPeers is how many remembered peers are dialled in one round, most recently seen first: contacts that wait for us learn
	// that we are back, and a large address book causes no storm.
	GreetPeers = 32
	// GreetWorkers is how many of them are dialled at the same time.
	GreetWorkers = 4
	// SaveEvery is how long a change of what is remembered may wait to be saved: a crash forgets no more than that.
	SaveEvery = 5 * time.Second
	// SaveTimeout bounds one save, so that a database that is away does not delay the end.
	SaveTimeout = 500 * time.Millisecond
	// BookSize is the most peers that are remembered: as many as the database keeps.
	BookSize = 1000
	// Stable is how long a connection to a seed has to last before its end is worth a quick attempt again.
	Stable = time.Minute
	// MaxPeerAddresses is how many addresses of one peer are remembered or learned: two transports on a few interfaces.
	MaxPeerAddresses = 16
	// MaxAddresses is how many addresses of our own are told to others.
	MaxAddresses = 16
	// ShutdownGrace is how long handlers that hold envelopes may go on after the context has ended.
	ShutdownGrace = 5 * time.Second
)

// Records.
const (
	// RepublishEvery is how often our records are put into the DHT again: records live 48 h there.
	RepublishEvery = 12 * time.Hour
	// RecordAge is how long a DHT server keeps a record that nobody puts again.
	RecordAge = 48 * time.Hour
	// PublishTimeout bounds one attempt to put one record.
	PublishTimeout = 30 * time.Second
	// PublishRetry is how long a record that could not be put waits for the next attempt.
	PublishRetry = 30 * time.Second
	// LookupTimeout bounds a search whose context has no deadline.
	LookupTimeout = 15 * time.Second
	// TableWait is how long a search or a publication waits for the first DHT server: servers enter the table a round trip after
	// their connection, and nothing announces it.
	TableWait = 5 * time.Second
	// TablePoll is the first pause between two looks at the table; each next one is twice as long.
	TablePoll = 5 * time.Millisecond
	// AskHints and AskPeers are how many named devices and how many other connected peers a search asks directly.
	AskHints = 8
	AskPeers = 4
	// MaxStoredRecords bounds what a DHT server keeps for others: two records for each of 4,000 members, at most 64 MiB.
	MaxStoredRecords = 8192
	// RefreshEvery is how often the DHT's routing table is refreshed: idle nodes should cost nothing.
	RefreshEvery = 30 * time.Minute
)

// Servers under ids that somebody has chosen.
const (
	// BucketSize is k: how many servers keep a record in a network without enemies, and how many a bucket of the table names. Where the
	// table has no more, kad-dht asks all of them, and there is nothing to add.
	BucketSize = 20
	// BranchPlaces is how many of a bucket's places ids get that are alike in three bits more than the bucket's, an eighth of its ids:
	// who surrounds a key with ids of his choice gets a quarter of the places, and an honest bucket loses next to nothing.
	BranchPlaces = 5
	// SubnetPlaces is how many of a bucket's places servers from one IPv4 /16 or IPv6 /32 get: whoever has three of those leaves two
	// fifths to others, and a network whose servers are all of one hoster still has buckets to work with.
	SubnetPlaces = 4
	// RegionServers is how many honest servers are expected around a key, at most, where a record is put and looked for; half of that at
	// least. So there are k that have it whatever stands nearer, and an estimate may be wrong by a factor of two.
	RegionServers = 2 * BucketSize
	// WalkPaths is how many ways lead there that do not trust each other: one of three may be misled from its first step.
	WalkPaths = 3
	// WalkWidth is how many servers one way asks at a time: 50 that hold their answers back until DialTimeout cost all ways together
	// two rounds, and a search has time for three.
	WalkWidth = 8
	// PathServers is how many servers one way asks in all: together they reach the 40 of a region, 60 Sybils among them, and the way
	// there in a network of 1,000; where more is needed, each ring of the region still gets its turn.
	PathServers = 48
	// RingServers is how many of them are outside the region, for each bit of the way.
	RingServers = 4
	// ServerNames is how many others one answer may name: k and the server itself.
	ServerNames = BucketSize + 1
	// SurveyServers is how many servers are asked how crowded it is around them, and SurveyAnswers how many of them are waited for:
	// the middle one is honest unless half of our table is not.
	SurveyServers = 12
	SurveyAnswers = 8
	// Walks is how many such walks go on at a time, each with at most WalkPaths × WalkWidth streams: somebody's whole address book is
	// looked up at once.
	Walks = 4
)

// What strangers can make the host hold: the resource manager's limits. A node accepts up to three quarters of its connections,
// so that it can always dial out itself.
const (
	SystemConns   = 512
	SystemConnsIn = 384
	SystemStreams = 4096
	SystemMemory  = 1 << 30 // bytes reserved: each stream counts with its whole receive window of 256 KiB, however little is in it
	SystemFiles   = 512     // file descriptors: one per TCP connection
	// TransientConns is the most connections whose handshake has not ended: what a few addresses can keep silent (AddressConns each) leaves
	// room for newcomers, and there is always some for those whom we dial.
	TransientConns = 256
	// TransientStreams is the most streams that have not said what they are for, which they may keep to themselves for 10 s: a crowd of 50
	// peers that hold ten each, four times over.
	TransientStreams = 2048
	// PeerConns is the most connections of one peer: one per transport and direction, twice.
	PeerConns = 8
	// PeerStreams is the most streams that one peer may open: a dozen are in use at most.
	PeerStreams = 64
	// PeerMemory is what one peer may make us reserve, in bytes: the windows of as many streams each way, and our buffers.
	PeerMemory = 40 << 20
	// AddressConns is the most connections from one IPv4 address or IPv6 /56: a household or a small office. Loopback is exempt.
	AddressConns = 32
	// SubnetConns is the most connections from one IPv6 /48.
	SubnetConns = 128
	// AddressConnRate is how many connections a second one address may open in the long run, AddressConnBurst how many at once.
	AddressConnRate  = 2
	AddressConnBurst = 64
	// StreamMemory is what one stream counts with, in bytes: its receive window, and a buffer.
	StreamMemory = 256<<10 + 16<<10
	// IdentifyMemory is what one peer may make us reserve by telling who it is, in bytes, and PingMemory by asking whether we are there: as many
	// streams as libp2p lets it open for that, each with its window.
	IdentifyMemory = 32 * StreamMemory
	PingMemory     = 4 * StreamMemory
	// ReachStreams is how many streams at once may be about whether somebody can be reached, and ReachPeerStreams how many of one peer: libp2p
	// answers two of one peer at a time, and one a second of all.
	ReachStreams     = 32
	ReachPeerStreams = 4
)

// The connection manager closes idle connections above the high mark until the low one is reached, seeds and contacts last. The
// marks of a seed stay below half of what it accepts.
const (
	ConnsLow      = 48
	ConnsHigh     = 64
	SeedConnsLow  = 128
	SeedConnsHigh = 160
	// ForeignGrace is how long a node of another network stays connected: long enough for it to hear that it is one.
	ForeignGrace = time.Second
	// ConnGrace is how long a new connection is left alone: long enough to show what it is for.
	ConnGrace = 20 * time.Second
)

// CollectTimeout bounds a question to the database for the figures of a node: who asks comes again in a quarter of a minute.
const CollectTimeout = 2 * time.Second

// LAN discovery.
const (
	// LetInQueue is how many uses of invites may wait to be told: as many as one invite has.
	LetInQueue = 100
	// LANQueue is how many finds may wait: a LAN answers in bursts, and repeats itself.
	LANQueue = 64
	// LANRetry is how long a peer that was found but did not answer is left alone.
	LANRetry = 30 * time.Second
)
