package home

import "time"

const (
	// PreferredPort is the port that a new home takes where it is free, so that people can write one firewall rule.
	PreferredPort = 4101
	// firstPort and lastPort bound the ports tried next. They lie below the range from which the usual kernels take the ports of
	// outgoing connections, so that the port is still free when the node starts again.
	firstPort, lastPort = 10_000, 29_999
	// portTries is how many of those are tried: a machine where 100 in a row are taken has another problem.
	portTries = 100

	// maxSocketPath is the longest path for a unix socket, in bytes: the kernel holds 108 with the final zero, others 104.
	maxSocketPath = 100
	// maxSeeds is how many seeds of its network a home names, those of later invites first: as many as a node takes.
	maxSeeds = 16
	// maxFile bounds what is read from any file here but the ledger, in bytes: the largest holds a few kilobytes.
	maxFile = 1 << 20
	// maxLedger bounds members.json, in bytes: it is what a node may have us keep (MaxLedger in node/member, which is derived there), about twice what it does
	// where everything that it remembers is full. A test there compares the two.
	maxLedger = 2 << 20

	// lockPoll is how often a waiting process looks whether the lock is free.
	lockPoll = 50 * time.Millisecond

	// argonMemory (KiB), argonTime (passes) and argonThreads make one guess of a passphrase cost 64 MiB and about 0.1 s.
	// They belong to format 's': other values need another format byte.
	argonMemory  = 64 << 10
	argonTime    = 3
	argonThreads = 4
	// saltSize is the length of Argon2id's salt in bytes, as RFC 9106 recommends.
	saltSize = 16
)
