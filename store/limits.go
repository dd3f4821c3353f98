package store

import "time"

const (
	// MaxGroup is the most updates of one commit. Larger groups gain nothing measurable, and the first of a group waits for the last.
	MaxGroup = 512
	// MaxPeers is how many peers are remembered: enough to find any network again, and about 300 KiB.
	MaxPeers = 1000
	// MaxAttempts is how often one transaction is tried when the database says that a neighbour was in the way or the
	// connection broke before the commit.
	MaxAttempts = 5
	// RetryPause is the pause before the second attempt; it doubles, with jitter.
	RetryPause = 5 * time.Millisecond
	// CommitTimeout ends one transaction, connecting included. It is long because the caller cannot know what became of it.
	CommitTimeout = 30 * time.Second
	// ViewTimeout ends one view, connecting included: a server whose machine has vanished never answers, and nobody else would notice for
	// a quarter of an hour. No view of ours takes a second.
	ViewTimeout = 30 * time.Second
	// OwnerWait is how long a node waits for the lock of another on PostgreSQL. One that was killed a moment ago still seems to be there while
	// the server, on a busy machine, has not noticed; one that is there is worth the wait.
	OwnerWait = 2 * time.Second
	// ConnectTimeout ends one attempt to connect to PostgreSQL, unless the URL says otherwise (connect_timeout).
	ConnectTimeout = 5 * time.Second
	// BusyTimeout is how long SQLite waits for another process, such as a shell that somebody has open on the file.
	BusyTimeout = 5 * time.Second

	// readSessions is the most views at once on SQLite; each keeps a connection, and more than a few only share the same disk.
	readSessions = 4
	// writeCacheKiB holds the inner pages of a few million rows, so that a commit reads nothing.
	writeCacheKiB = 64 << 10
	// readCacheKiB is for pages of messages; what is not in it is in the system's cache.
	readCacheKiB = 8 << 10
	// checkpointPages is how many new pages in the write-ahead log start a checkpoint beside the commits (16 MiB).
	checkpointPages = 4000
	// maxWALPages is when a commit itself does the checkpoint (64 MiB), which happens only where the one beside it cannot keep up.
	maxWALPages = 16000
	// roomProbe is how many bytes are written to see whether the disk is full: by as much the index of the write-ahead log grows.
	roomProbe = 32 << 10
	// rowsBatch is the most rows of one statement that names them: one flight of the outbox, four of a mailbox.
	rowsBatch = 256
)
