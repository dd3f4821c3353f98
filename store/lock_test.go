package store

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley/chat"
	"parley/store/storetest"
)

func TestSecondNodeIsRefused(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		first := open(t, url)
		_, err := Open(bg(), url, Options{})
		toldAs(t, err, chat.CodeConfig, "in use by another parley node")
		if err := write(first, 1); err != nil {
			t.Errorf("the first node after that: %v", err)
		}
		first.Close()
		open(t, url)
	})
}

// Two names of one file are one database.
func TestSecondNodeIsRefusedThroughALink(t *testing.T) {
	url := storetest.SQLite(t)
	open(t, url)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(strings.TrimPrefix(url, "sqlite:"), link); err != nil {
		t.Fatal(err)
	}
	_, err := Open(bg(), "sqlite:"+link, Options{})
	toldAs(t, err, chat.CodeConfig, "in use")
}

func TestLockEndsWithItsProcess(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		other := startOwner(t, envOwner, url)
		_, err := Open(bg(), url, Options{})
		toldAs(t, err, chat.CodeConfig, "in use by another parley node")
		other.kill(t)
		other.drain()
		db := open(t, url) // at once: somebody may be restarting us
		if err := write(db, 1<<30); err != nil {
			t.Error(err)
		}
	})
}

// A busy server notices late that an owner was killed.
func TestLockOfAnOwnerWhoIsGoneIsWaitedFor(t *testing.T) {
	url := storetest.Postgres(t)
	gone, err := pgx.Connect(bg(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close(bg())
	if _, err := gone.Exec(bg(), "SELECT pg_advisory_lock("+ownerLock+")"); err != nil {
		t.Fatal(err)
	}
	var noticing sync.WaitGroup
	noticing.Go(func() {
		if _, err := gone.Exec(bg(), "SELECT pg_sleep(0.5); SELECT pg_advisory_unlock_all()"); err != nil {
			t.Error(err)
		}
	})
	open(t, url)
	noticing.Wait()
}

// breakWriter ends the server's half of the connection that writes, as a restart or a firewall would.
func breakWriter(t *testing.T, db *DB, url string) {
	t.Helper()
	pid := db.committer.session
	n, err := pid.number(bg(), `SELECT pg_backend_pid()`)
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, url, "admin")
	var ended bool
	if err := admin.QueryRow(bg(), `SELECT pg_terminate_backend($1, 10000)`, n).Scan(&ended); err != nil || !ended {
		t.Fatalf("end connection %d: %v, %v", n, ended, err)
	}
}

// connect returns a connection of somebody with that application name.
func connect(t *testing.T, url, name string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = name
	conn, err := pgx.ConnectConfig(bg(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(bg()) })
	return conn
}

func TestLostConnectionIsReplaced(t *testing.T) {
	url := storetest.Postgres(t)
	db := open(t, url)
	breakWriter(t, db, url)
	if err := write(db, 1); err != nil {
		t.Errorf("the update after a lost connection: %v", err)
	}
	_, err := Open(bg(), url, Options{})
	toldAs(t, err, chat.CodeConfig, "in use")
}

// A node that lost its connection, and with it the lock, must not write beside the one that has the lock now.
func TestLostLockStopsWriting(t *testing.T) {
	url := storetest.Postgres(t)
	old := open(t, url)
	breakWriter(t, old, url)
	next := open(t, url)
	if err := write(next, 1); err != nil {
		t.Fatal(err)
	}
	toldAs(t, write(old, 2), chat.CodeConfig, "in use by another parley node")
	if has(t, next, 2) {
		t.Error("a node without the lock has written")
	}
	next.Close()
	if err := write(old, 3); err != nil {
		t.Errorf("after the other has gone: %v", err)
	}
}

// The server may believe for hours in a connection that broke on the way. What is left of our own is ended, not waited for.
func TestOwnGhostIsEnded(t *testing.T) {
	url := storetest.Postgres(t)
	db := open(t, url)
	breakWriter(t, db, url)
	name := db.engine.(*postgresDB).config.RuntimeParams["application_name"]
	ghost := connect(t, url, name)
	if _, err := ghost.Exec(bg(), takeOwnerLock); err != nil {
		t.Fatal(err)
	}
	if err := write(db, 1); err != nil {
		t.Errorf("a ghost of our own stands in the way: %v", err)
	}
	if err := ghost.Ping(bg()); err == nil {
		t.Error("the ghost lives")
	}
}
