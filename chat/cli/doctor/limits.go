package doctor

import "time"

const (
	// Patience is how old the oldest message may be that waits before it is worth a look: devices that are on take one within seconds, and hosts
	// of mailboxes within a minute.
	Patience = 10 * time.Minute
	// SeedPatience is how long a node may look for seeds before they are thought to have moved: some of its attempts, and a seed that starts again.
	SeedPatience = 2 * time.Minute
	// LowDisk is how many free bytes are few: a log of 64 MiB, its copy in the database, and some days of messages.
	LowDisk = 500 << 20
	// ManyStrangers is how often an hour somebody may come with another key, without a certificate or with nonsense: one node that tries again and
	// again with an old link comes once a minute.
	ManyStrangers = 30
	// ManyDeposits is how often an hour a mailbox may be full: a sender tries again every five minutes.
	ManyDeposits = 60
	// ManyLimits is how often an hour limits may be met: a busy seed meets one now and then when everybody comes back at once.
	ManyLimits = 1000
	// FewFiles is how many open files are few: a seed has 384 connections, and libp2p and the database want some.
	FewFiles = 1024
)
