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
// # What is promised
//
// When Update returns nil, what it wrote survives the loss of power: SQLite runs with synchronous=FULL, PostgreSQL as it was
// set up (Open warns when that is not durable). When it returns an error, nothing was written, with one exception: the
// connection, or the disk, failed while the commit was under way. Then nobody knows, the code is chat.CodeUnavailable, and the
// caller tries again with the same unique ids.
package store
