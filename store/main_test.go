package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/chat"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
	"parley/store/storetest"
)

// envOwner makes a copy of this test binary open the database that it names, write, and wait to be killed; envHost makes it take deposits.
const (
	envOwner = "PARLEY_STORE_OWNER"
	envHost  = "PARLEY_STORE_HOST"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(envOwner); url != "" {
		runOwner(url, insertMessage)
	}
	if url := os.Getenv(envHost); url != "" {
		runOwner(url, takeDeposit)
	}
	os.Exit(m.Run())
}

// runOwner is a node that does nothing but write: it says "owner" when it has the database, and the number of everything that
// it has written durably. It never ends by itself.
func runOwner(url string, writes func(*DB, int) error) {
	db, err := Open(bg(), url, Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("owner")
	var mu sync.Mutex
	next := 0
	for range 8 {
		go func() {
			for {
				mu.Lock()
				next++
				n := next
				mu.Unlock()
				if err := writes(db, n); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println(n)
			}
		}()
	}
	select {}
}

// insertMessage writes the n-th message, and an event.
func insertMessage(db *DB, n int) error {
	return db.Update(bg(), func(tx chat.Tx) error {
		if err := tx.InsertMessage(benchMessage(uint64(n))); err != nil {
			return err
		}
		_, err := tx.AppendEvent(chat.Event{Type: chat.EventMessageReceived})
		return err
	})
}

// takeDeposit takes the n-th deposit, of one of seven owners whose mailboxes are open.
func takeDeposit(db *DB, n int) error {
	v, err := db.Mailbox().Deposit(bg(), depositOf(mailboxtest.Peer(n%7), mailboxtest.Peer(100), n, 1000), mailbox.DefaultQuota())
	if err == nil && v != mailbox.Stored {
		err = fmt.Errorf("verdict %d", v)
	}
	return err
}

// owner is a process that writes.
type ownerProcess struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// startOwner starts a process that owns a database, and returns when it does; env says what it writes.
func startOwner(t *testing.T, env, url string) *ownerProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env+"="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &ownerProcess{cmd, bufio.NewScanner(out)}
	t.Cleanup(func() { p.kill(t) })
	if !p.lines.Scan() || p.lines.Text() != "owner" {
		t.Fatalf("the owner says %q", p.lines.Text())
	}
	return p
}

// kill ends the process as kill -9 does. What it had said before can still be read.
func (p *ownerProcess) kill(t *testing.T) {
	t.Helper()
	if p.ProcessState != nil {
		return
	}
	if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// bothEngines runs a test on both engines.
func bothEngines(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, storetest.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, storetest.Postgres(t)) })
}

// open opens a database that is closed when the test ends.
func open(t testing.TB, url string) *DB {
	t.Helper()
	db, err := Open(bg(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// write writes the n-th message.
func write(db *DB, n int) error {
	return db.Update(bg(), func(tx chat.Tx) error { return tx.InsertMessage(benchMessage(uint64(n))) })
}

// has reports whether the n-th message is there.
func has(t *testing.T, db *DB, n int) (ok bool) {
	t.Helper()
	err := db.View(bg(), func(tx chat.Tx) (err error) {
		rows, err := tx.MessagesAt(benchMessage(uint64(n)).Row)
		ok = len(rows) > 0
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// toldAs expects an error for people: with a code, and with what they need to know in one line.
func toldAs(t *testing.T, err error, code chat.Code, words ...string) {
	t.Helper()
	var told *chat.Error
	if !errors.As(err, &told) {
		t.Fatalf("got %v, want a *chat.Error", err)
	}
	if told.Code != code {
		t.Errorf("code %s, want %s: %v", told.Code, code, err)
	}
	for _, word := range words {
		if !strings.Contains(told.Detail, word) {
			t.Errorf("%q does not say %q", told.Detail, word)
		}
	}
	if strings.ContainsAny(told.Detail, "\r\n") || told.Detail != err.Error() {
		t.Errorf("not one line: %q, %q", told.Detail, err)
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// drain reads what a process has said.
func (p *ownerProcess) drain() (lines []string) {
	for p.lines.Scan() {
		lines = append(lines, p.lines.Text())
	}
	return lines
}

// bg is the context of those who wait as long as it takes.
func bg() context.Context { return context.Background() }
