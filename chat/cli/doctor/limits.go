package doctor

import "time"

const (
	// Patience is how old the oldest message may be that waits before it is worth a look: devices that are on take one within seconds, and hosts
	// of mailboxes within a minute.
	Patience = 10 * time.Minute
	// LowDisk is how many free bytes are few: a log of 64 MiB, its copy in the database, and some days of messages.
	LowDisk = 500 << 20
	// FewFiles is how many open files are few: a seed has 384 connections, and libp2p and the database want some.
	FewFiles = 1024
)
