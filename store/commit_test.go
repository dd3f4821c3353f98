package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"parley/chat"
	"parley/store/storetest"
)

// group is a database whose next update is held up while others queue behind it, so that they form one group.
type group struct {
	*testing.T
	db      *DB
	commits atomic.Int64
	first   chan struct{} // closed to let the first update go
	all     sync.WaitGroup
}

// hold starts an update that waits inside its transaction.
func hold(t *testing.T, db *DB) *group {
	t.Helper()
	g := &group{T: t, db: db, first: make(chan struct{})}
	db.committer.engine = counting{db.engine, &g.commits}
	inside := make(chan struct{})
	g.all.Go(func() {
		err := db.Update(bg(), func(chat.Tx) error {
			close(inside)
			<-g.first
			return nil
		})
		if err != nil {
			t.Errorf("the first update: %v", err)
		}
	})
	<-inside
	return g
}

// join adds an update to the group, and returns when it is in the queue.
func (g *group) join(ctx context.Context, fn func(chat.Tx) error, want func(error) bool) {
	g.Helper()
	queued := g.queued()
	g.all.Go(func() {
		if err := g.db.Update(ctx, fn); !want(err) {
			g.Errorf("an update of the group returned %v", err)
		}
	})
	await(g.T, "the update is queued", func() bool { return g.queued() == queued+1 })
}

func (g *group) queued() int {
	g.db.committer.mu.Lock()
	defer g.db.committer.mu.Unlock()
	return len(g.db.committer.queue)
}

// release lets the group commit, and returns the number of commits that it took.
func (g *group) release() int64 {
	close(g.first)
	g.all.Wait()
	return g.commits.Load() - 1
}

func inserts(n int) func(chat.Tx) error {
	return func(tx chat.Tx) error { return tx.InsertMessage(benchMessage(uint64(n))) }
}

func noError(err error) bool { return err == nil }
func anError(err error) bool { return err != nil }

func TestGroupSharesOneCommit(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		g := hold(t, db)
		for n := range 20 {
			g.join(bg(), inserts(n), noError)
		}
		if commits := g.release(); commits != 1 {
			t.Errorf("20 updates took %d commits, want 1", commits)
		}
		for n := range 20 {
			if !has(t, db, n) {
				t.Errorf("message %d is not there", n)
			}
		}
	})
}

func TestGroupIsBounded(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	g := hold(t, db)
	for n := range MaxGroup + 1 {
		g.join(bg(), inserts(n), noError)
	}
	if commits := g.release(); commits != 2 {
		t.Errorf("%d updates took %d commits, want 2", MaxGroup+1, commits)
	}
}

func TestBadUpdatesHurtNobody(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		if err := write(db, 100); err != nil {
			t.Fatal(err)
		}
		refusal := errors.New("we do not want to")
		g := hold(t, db)
		for n := range 20 {
			switch n {
			case 5:
				g.join(bg(), inserts(100), anError) // there already
			case 13:
				g.join(bg(), func(tx chat.Tx) error { return errors.Join(inserts(n)(tx), refusal) },
					func(err error) bool { return errors.Is(err, refusal) })
			default:
				g.join(bg(), inserts(n), noError)
			}
		}
		if commits := g.release(); commits != 3 {
			t.Errorf("18 good updates around 2 bad ones took %d commits, want 3", commits)
		}
		for n := range 20 {
			if has(t, db, n) != (n != 5 && n != 13) {
				t.Errorf("message %d is there: %v", n, has(t, db, n))
			}
		}
	})
}

// Those who write beside us lock in the same order: first what is common to all, then by key. The messenger's updates have no key, and stay as
// they came.
func TestUpdatesRunInTheOrderOfTheirKeys(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	g := hold(t, db)
	var ran []string
	note := func(name string) func(*tx) error {
		return func(*tx) error { ran = append(ran, name); return nil }
	}
	for _, u := range []*update{
		{order: "b", fn: note("b")},
		{fn: note("1")},
		{order: "a", fn: note("a1"), first: note("first")},
		{fn: note("2")},
		{order: "c", fn: note("c"), first: note("first")},
		{order: "a", fn: note("a2")},
		{fn: note("3")},
	} {
		queued := g.queued()
		u.ctx = bg()
		g.all.Go(func() {
			if err := db.commit(u); err != nil {
				t.Error(err)
			}
		})
		await(t, "the update is queued", func() bool { return g.queued() == queued+1 })
	}
	g.release()
	if want := []string{"first", "1", "2", "3", "a1", "a2", "b", "c"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
}

// Which of two updates in conflict wins does not matter. That exactly one does, and says so, matters.
func TestConflictWithinAGroup(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		g := hold(t, db)
		var won atomic.Int64
		for range 2 {
			g.join(bg(), inserts(1), func(err error) bool {
				if err == nil {
					won.Add(1)
				}
				return true
			})
		}
		g.release()
		if won.Load() != 1 || !has(t, db, 1) {
			t.Errorf("%d of two updates won", won.Load())
		}
	})
}

func TestUpdateThatNobodyWaitsFor(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	ctx, cancel := context.WithCancel(bg())
	g := hold(t, db)
	g.join(bg(), inserts(1), noError)
	left := make(chan error, 1)
	go func() { left <- db.Update(ctx, inserts(2)) }()
	await(t, "the update is queued", func() bool { return g.queued() == 2 })
	g.join(bg(), inserts(3), noError)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) { // while the group is held up still
		t.Errorf("returned %v", err)
	}
	g.release()
	if has(t, db, 2) || !has(t, db, 1) || !has(t, db, 3) {
		t.Error("want messages 1 and 3, not 2")
	}
}

// An update whose caller gives up when it is being run already says what became of it.
func TestUpdateIsNotLeftWhileItRuns(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	ctx, cancel := context.WithCancel(bg())
	err := db.Update(ctx, func(tx chat.Tx) error {
		cancel()
		return inserts(1)(tx)
	})
	if err != nil || !has(t, db, 1) {
		t.Errorf("returned %v, message there: %v", err, has(t, db, 1))
	}
}

func TestPanicOfANeighbour(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		g := hold(t, db)
		caught := make(chan any, 1)
		g.all.Go(func() {
			defer func() { caught <- recover() }()
			db.Update(bg(), func(chat.Tx) error { panic("on purpose") })
		})
		await(t, "the panic is queued", func() bool { return g.queued() == 1 })
		g.join(bg(), inserts(1), func(err error) bool { return errors.Is(err, errAborted) })
		g.release()
		if got := <-caught; got != "on purpose" {
			t.Errorf("caught %v", got)
		}
		if err := write(db, 2); err != nil {
			t.Errorf("after a panic: %v", err)
		}
		if has(t, db, 1) {
			t.Error("an aborted update was kept")
		}
	})
}

// raise makes PostgreSQL fail the transaction with a code.
func raise(code string) string {
	return fmt.Sprintf(`DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '%s'; END $$`, code)
}

func TestConflictsAreTriedAgain(t *testing.T) {
	db := open(t, storetest.Postgres(t))
	for _, code := range []string{codeSerialization, codeDeadlock} {
		runs := 0
		err := db.update(bg(), func(tx *tx) error {
			if runs++; runs < MaxAttempts {
				_, err := tx.exec(raise(code))
				return err
			}
			return nil
		})
		if err != nil || runs != MaxAttempts {
			t.Errorf("%s: %d runs, %v", code, runs, err)
		}
	}
	runs := 0
	err := db.update(bg(), func(tx *tx) error {
		runs++
		tx.exec(raise(codeSerialization))
		return errors.New("hidden by the function")
	})
	toldAs(t, err, chat.CodeUnavailable, "on purpose")
	if runs != MaxAttempts {
		t.Errorf("%d runs", runs)
	}
}

func TestOtherErrorsAreFinal(t *testing.T) {
	db := open(t, storetest.Postgres(t))
	runs := 0
	err := db.update(bg(), func(tx *tx) error {
		runs++
		_, err := tx.exec(raise("53100"))
		return err
	})
	toldAs(t, err, chat.CodeLimit, "no room")
	if runs != 1 {
		t.Errorf("%d runs", runs)
	}
}

// Statements that travel together fail together, and take nobody along who shares the commit.
func TestStatementsThatTravelTogether(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		remember := func(n byte) statement {
			return statement{query: seenInsert + rowsOf(1, 3), args: []any{make([]byte, 31+n), 0, []byte{n}}}
		} // one of them is no id
		err := db.update(bg(), func(tx *tx) error {
			_ = tx.execAll(remember(1), remember(2))
			return nil
		})
		if err == nil {
			t.Error("the second cannot be, and nobody said so")
		}
		if _, ok := seen(t, db); ok {
			t.Error("the first is kept")
		}
		err = db.update(bg(), func(tx *tx) error { return tx.execAll(remember(1)) })
		if err != nil {
			t.Error(err)
		}
		if _, ok := seen(t, db); !ok {
			t.Error("the first is not kept")
		}
	})
}

// seen reads the envelope of zeros.
func seen(t *testing.T, db *DB) (row chat.SeenRow, ok bool) {
	t.Helper()
	err := db.View(bg(), func(tx chat.Tx) (err error) {
		rows, err := tx.Seen(chat.EnvelopeID{})
		if ok = len(rows) > 0; ok {
			row = rows[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return row, ok
}

// A disk that ran full in the middle of a commit is told as that to people, and as unknown to whoever decides to try again.
func TestCommitThatMetAFullDiskIsUnknown(t *testing.T) {
	full := (&sqliteDB{path: "parley.db"}).explain(sqlite3.FULL)
	toldAs(t, full, chat.CodeLimit, "no space left")
	toldAs(t, unknown(full), chat.CodeUnavailable, "no space left")
	toldAs(t, unknown(io.ErrUnexpectedEOF), chat.CodeUnavailable, "database unreachable")
}
