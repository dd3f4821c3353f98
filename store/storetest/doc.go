// Package storetest gives tests real databases: a SQLite file of their own, or a fresh database on a real PostgreSQL.
//
// PostgreSQL is the server at PARLEY_TEST_POSTGRES_URL where that is set; else one server for each test process, started from
// the binaries on this machine (in PATH, or where Debian keeps them). It listens on a unix socket alone, never runs as root, and
// does not sync, so only what a process loses is tested with it, not what a machine loses.
//
// A started server hangs on a pipe that the test process holds: however that process ends, the server stops and its folder goes.
package storetest
