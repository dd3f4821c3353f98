package store

import (
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
	"parley/store/storetest"
)

// A process that is killed in the middle of writing loses nothing that it has acknowledged.
func TestKilledInTheMiddle(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		var acknowledged []int
		for range 3 {
			node := startOwner(t, envOwner, url)
			for len(acknowledged) < 500 && node.lines.Scan() {
				acknowledged = append(acknowledged, numberIn(t, node.lines.Text()))
			}
			node.kill(t)
			for _, line := range node.drain() {
				acknowledged = append(acknowledged, numberIn(t, line))
			}
			db := open(t, url)
			for _, n := range acknowledged {
				if !has(t, db, n) {
					t.Fatalf("message %d was acknowledged and is gone", n)
				}
			}
			clear(t, db)
			acknowledged = acknowledged[:0]
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A host that is killed while it takes deposits has all that it has answered for, whole and once, and its counters are right.
func TestHostKilledInTheMiddle(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		for owner := range 7 {
			opens(t, db.Mailbox(), mailboxtest.Peer(owner), mailboxtest.Peer(100), mailbox.DefaultQuota())
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		answered := map[int]bool{}
		host := startOwner(t, envHost, url)
		for len(answered) < 300 && host.lines.Scan() {
			answered[numberIn(t, host.lines.Text())] = true
		}
		host.kill(t)
		for _, line := range host.drain() {
			answered[numberIn(t, line)] = true
		}
		m := open(t, url).Mailbox()
		kept := counted(t, m).Boxes
		for owner := range 7 {
			for _, b := range drain(t, m, mailboxtest.Peer(owner)) {
				n := int(binary.BigEndian.Uint64(b.ID[8:]))
				if kept--; n%7 != owner || len(b.Box) != 1000 {
					t.Errorf("box %d of owner %d has %d bytes", n, owner, len(b.Box))
				}
				delete(answered, n)
			}
		}
		if len(answered) > 0 || kept != 0 {
			t.Errorf("%d deposits were answered for and are gone; %d too many are there", len(answered), kept)
		}
	})
}

// drain fetches everything of an owner.
func drain(t *testing.T, m *Mailbox, owner peer.ID) (all []mailbox.Box) {
	t.Helper()
	for {
		l := mailbox.Lease{Owner: owner, Host: mailboxtest.Peer(100), Now: noon(), Until: noon(), Boxes: mailbox.Window, Bytes: mailbox.WindowBytes}
		boxes, err := m.Lease(bg(), l)
		if err != nil {
			t.Fatal(err)
		}
		if len(boxes) == 0 {
			return all
		}
		all = append(all, boxes...)
		var ids []mailbox.DepositID
		for _, b := range boxes {
			ids = append(ids, b.ID)
		}
		if err := m.Delete(bg(), owner, ids); err != nil {
			t.Fatal(err)
		}
	}
}

func numberIn(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatalf("the node says %q", line)
	}
	return n
}

// clear expects whole updates, each a message and an event, and removes them for the next round.
func clear(t *testing.T, db *DB) {
	t.Helper()
	err := db.update(bg(), func(tx *tx) error {
		messages, err1 := tx.exec(`DELETE FROM message`)
		events, err2 := tx.exec(`DELETE FROM event`)
		if messages != events || messages == 0 {
			t.Errorf("%d messages and %d events", messages, events)
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestServerAwayAndBack(t *testing.T) {
	server := storetest.StartServer(t)
	db := open(t, server.Database(t))
	if err := write(db, 1); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	for n := range 2 {
		toldAs(t, write(db, 2+n), chat.CodeUnavailable, "database unreachable")
		toldAs(t, db.Ping(bg()), chat.CodeUnavailable, "database unreachable")
	}
	server.Start(t)
	if err := write(db, 4); err != nil {
		t.Errorf("update after the server came back: %v", err)
	}
	for n, want := range map[int]bool{1: true, 2: false, 3: false, 4: true} {
		if has(t, db, n) != want {
			t.Errorf("message %d is there: %v", n, !want)
		}
	}
}

// Callers who try again, as the messenger does, get everything in once, through however many restarts.
func TestServerRestartsWhileManyWrite(t *testing.T) {
	const callers, each = 16, 40
	server := storetest.StartServer(t)
	db := open(t, server.Database(t))
	var all sync.WaitGroup
	var tries, refusals atomic.Int64
	for c := range callers {
		all.Go(func() {
			for i := range each {
				for !insertedOnce(t, db, c*each+i) {
					refusals.Add(1)
				}
				tries.Add(1)
			}
		})
	}
	for restart := range int64(2) {
		await(t, "some are written", func() bool { return tries.Load() > (restart+1)*callers*each/4 })
		server.Stop(t)
		await(t, "somebody notices", func() bool { return refusals.Load() > 0 || tries.Load() == callers*each })
		server.Start(t)
	}
	all.Wait()
	for n := range callers * each {
		if !has(t, db, n) {
			t.Errorf("message %d is not there", n)
		}
	}
}

// insertedOnce tries to write the n-th message where it is not there yet. It returns false when the server was away.
func insertedOnce(t *testing.T, db *DB, n int) bool {
	err := db.Update(bg(), func(tx chat.Tx) error {
		if rows, err := tx.MessagesAt(benchMessage(uint64(n)).Row); len(rows) > 0 || err != nil {
			return err
		}
		return tx.InsertMessage(benchMessage(uint64(n)))
	})
	if err != nil && chat.CodeOf(err) != chat.CodeUnavailable {
		t.Errorf("message %d: %v", n, err)
		return true
	}
	return err == nil
}
