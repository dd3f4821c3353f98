// Package store knows where rows live: one set of SQL, two engines. SQLite is the default and needs nothing; PostgreSQL is for
// people who have one.
//
// Start at [Open]. A [DB] is a chat.Store: Update writes, View reads. It holds no rule of the messenger; what a row means is
// written in chat/store.go, and what every store must do in chattest.TestStore.
//
// # Who writes
//
// One connection writes, and it holds the owner's lock: a node that has lost the connection has lost the lock, and cannot write
// before it has both again. A second node on the same database is refused at once. The lock ends with the process, however that
// ends: it is an flock beside the file, or a session lock of PostgreSQL.
//
// Updates share commits (commit.go). The first caller who finds nobody at work leads: it runs what is queued in one
// transaction, in order, commits, answers everybody, and makes the first of those who came meanwhile the next leader. So
// batches form by themselves, there is no timer, no caller works for others for longer than one commit, and no goroutine is
// kept. A neighbour that fails is taken out and the others are run again, so that one bad update hurts nobody.
//
// What an update writes waits in memory until something asks for the same table, or until its end (later.go): a hundred messages go in a few
// statements, and on PostgreSQL in one round trip.
//
// # Mailboxes
//
// [DB.Mailbox] keeps boxes for devices that are away, in tables with migrations of their own: in the node's own database, or, by
// [OpenMailbox], in a PostgreSQL that any number of hosts share. There nobody holds an owner's lock. Each host has one connection
// that writes, and its deposits share commits as updates do. What keeps hosts apart is the row of each mailbox, which every change
// locks before it counts; whoever takes more than a mailbox has for sure locks the one row of mailbox_room before. All take these
// locks in one order. The SQL is what PostgreSQL's distributed relatives have, too: no sequences, no advisory locks, keys that begin
// with the owner.
//
// # What is promised
//
// When Update returns nil, what it wrote survives the loss of power: SQLite runs with synchronous=FULL, PostgreSQL as it was
// set up (Open warns when that is not durable). When it returns an error, nothing was written, with one exception: the
// connection, or the disk, failed while the commit was under way. Then nobody knows, the code is chat.CodeUnavailable, and the
// caller tries again with the same unique ids; a deposit has such an id, too.
//
// # When the disk fails
//
// After a sync that failed the system may show what it has not written, and never write it. SQLite does not know that, so no connection is
// used again that was there: the log is written once more, by files that are new, and read again (engine_sqlite.go). The same is done at
// each start, because the process before may have met such an error. A disk that is full is none: what is there can still be read.
//
// # When the server goes
//
// A server that ends, starts, has become a standby or says nothing for 30 s is away: what is asked of it fails with
// chat.CodeUnavailable, and the next call connects anew, with the owner's lock before anything is written. A URL that names several
// servers and target_session_attrs=read-write leads to the one that is primary now. A commit that the server warns about is not
// acknowledged: that is how PostgreSQL says that a standby does not have it.
package store
