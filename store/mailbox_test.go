package store

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
	"parley/store/storetest"
)

func TestMailboxKeepsItsPromises(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		mailboxtest.TestStore(t, func() mailbox.Store { return open(t, storetest.SQLite(t)).Mailbox() })
	})
	t.Run("postgres", func(t *testing.T) {
		mailboxtest.TestStore(t, func() mailbox.Store { return open(t, storetest.Postgres(t)).Mailbox() })
	})
	t.Run("shared", func(t *testing.T) {
		mailboxtest.TestStore(t, func() mailbox.Store { return openShared(t, storetest.Postgres(t)) })
	})
}

// openShared opens a database for one host of several. It closes with the test.
func openShared(t testing.TB, url string) *Mailbox {
	t.Helper()
	m, err := OpenMailbox(bg(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

// noon is when most boxes of these tests come.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// depositOf returns the n-th of many deposits, through the first lane.
func depositOf(owner, host peer.ID, n, size int) mailbox.Deposit {
	d := mailbox.Deposit{Owner: owner, Host: host, Lane: mailboxtest.Lane(1, mailbox.ClassContact).Key, At: noon(), Box: make([]byte, size)}
	binary.BigEndian.PutUint64(d.ID[8:], uint64(n))
	return d
}

// opens opens a mailbox with the first lane.
func opens(t testing.TB, m *Mailbox, owner, host peer.ID, q mailbox.Quota) {
	t.Helper()
	v, err := m.Open(bg(), owner, host, []mailbox.Lane{mailboxtest.Lane(1, mailbox.ClassContact)}, q, noon())
	if err != nil || v != mailbox.Stored {
		t.Fatalf("open a mailbox: verdict %d, %v", v, err)
	}
}

// counted expects what is counted to be what is there, and returns it.
func counted(t *testing.T, m *Mailbox) (all mailbox.Room) {
	t.Helper()
	room := func(tx *tx, query string) mailbox.Room {
		r, _, _ := first(tx, scanRoom, query)
		return r
	}
	const sums = `CAST(COALESCE(SUM(boxes), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT)`
	err := m.db.view(bg(), func(tx *tx) error {
		all = room(tx, `SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM mailbox_box`)
		for _, wrong := range []string{
			`SELECT COUNT(*), 0 FROM mailbox m WHERE boxes <> (SELECT COUNT(*) FROM mailbox_box b WHERE b.owner = m.owner)
				OR bytes <> (SELECT COALESCE(SUM(b.bytes), 0) FROM mailbox_box b WHERE b.owner = m.owner)`,
			`SELECT COUNT(*), 0 FROM mailbox_use u WHERE boxes <> (SELECT COUNT(*) FROM mailbox_box b WHERE b.owner = u.owner AND b.lane = u.lane)
				OR bytes <> (SELECT COALESCE(SUM(b.bytes), 0) FROM mailbox_box b WHERE b.owner = u.owner AND b.lane = u.lane)`,
		} {
			if r := room(tx, wrong); r.Boxes != 0 {
				t.Errorf("%d counters are wrong", r.Boxes)
			}
		}
		for _, table := range []string{"mailbox", "mailbox_use"} {
			if got := room(tx, `SELECT `+sums+` FROM `+table); got != all {
				t.Errorf("%s counts %+v, there are %+v", table, got, all)
			}
		}
		return tx.err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, boxes, bytes, err := m.Held(bg()); err != nil || boxes != all.Boxes || bytes != all.Bytes {
		t.Errorf("it says that it holds %d boxes of %d bytes (%v), there are %+v", boxes, bytes, err, all)
	}
	return all
}

// A store in memory, which is simple enough to be right, and one on disk are put through the same life, and must not differ.
func TestMailboxLivesAsTheModelDoes(t *testing.T) {
	const steps = 3000
	bothEngines(t, func(t *testing.T, url string) {
		l := &life{T: t, is: open(t, url).Mailbox(), model: mailboxtest.NewStore(), rand: rand.New(rand.NewPCG(1, 2)), now: noon()}
		l.quota = mailbox.Quota{
			Contact: mailbox.Room{Boxes: 12, Bytes: 4000}, Link: mailbox.Room{Boxes: 4, Bytes: 2000}, Open: mailbox.Room{Boxes: 3, Bytes: 900},
			Mailbox: mailbox.Room{Boxes: 20, Bytes: 6000}, Host: mailbox.Room{Boxes: 40, Bytes: 12_000}, Owners: 4, Sure: mailbox.Room{Boxes: 5, Bytes: 1500},
		}
		for range steps {
			l.step()
		}
		if len(l.verdicts) != 5 {
			t.Errorf("in %d steps only these verdicts came: %v", steps, l.verdicts)
		}
		if all := counted(t, l.is); all != l.model.All() {
			t.Errorf("%+v are kept, and %+v in the model", all, l.model.All())
		}
	})
}

// life is a random one.
type life struct {
	*testing.T
	is       *Mailbox
	model    *mailboxtest.Store
	quota    mailbox.Quota
	rand     *rand.Rand
	now      time.Time
	made     int
	verdicts map[mailbox.Verdict]int
}

func (l *life) step() {
	l.now = l.now.Add(time.Duration(l.rand.IntN(5000)) * time.Millisecond)
	owner, host := mailboxtest.Peer(l.rand.IntN(6)), mailboxtest.Peer(100+l.rand.IntN(2))
	switch n := l.rand.IntN(100); {
	case n < 4:
		l.open(owner, host)
	case n < 85:
		l.deposit(owner, host)
	case n < 99:
		l.fetch(owner, host)
	default:
		l.expire()
	}
}

func (l *life) open(owner, host peer.ID) {
	var lanes []mailbox.Lane
	for n := range 6 {
		if l.rand.IntN(5) > 0 {
			lanes = append(lanes, mailboxtest.Lane(n, mailbox.ClassContact+uint8(n%2)))
		}
	}
	if l.rand.IntN(10) == 0 {
		lanes = nil
	}
	got, err := l.is.Open(bg(), owner, host, lanes, l.quota, l.now)
	want, _ := l.model.Open(bg(), owner, host, lanes, l.quota, l.now)
	if err != nil || got != want {
		l.Fatalf("open: verdict %d, want %d; %v", got, want, err)
	}
}

func (l *life) deposit(owner, host peer.ID) {
	d := depositOf(owner, host, l.made, l.rand.IntN(600))
	if l.made++; l.rand.IntN(10) == 0 {
		binary.BigEndian.PutUint64(d.ID[8:], uint64(l.rand.IntN(l.made))) // one that there was
	}
	if d.Lane, d.At = mailboxtest.Lane(l.rand.IntN(6), 0).Key, l.now; l.rand.IntN(5) == 0 {
		d.Lane = [32]byte{}
	}
	got, err := l.is.Deposit(bg(), d, l.quota)
	want, _ := l.model.Deposit(bg(), d, l.quota)
	if err != nil || got != want {
		l.Fatalf("deposit %d: verdict %d, want %d; %v", l.made, got, want, err)
	}
	if l.verdicts == nil {
		l.verdicts = map[mailbox.Verdict]int{}
	}
	l.verdicts[got]++
}

// fetch leases, and deletes some of what came.
func (l *life) fetch(owner, host peer.ID) {
	lease := mailbox.Lease{Owner: owner, Host: host, Now: l.now, Until: l.now.Add(time.Minute), Boxes: 1 + l.rand.IntN(8), Bytes: l.rand.IntN(3000)}
	got, err := l.is.Lease(bg(), lease)
	want, _ := l.model.Lease(bg(), lease)
	if err != nil || !slices.EqualFunc(got, want, func(a, b mailbox.Box) bool { return a.ID == b.ID && bytes.Equal(a.Box, b.Box) }) {
		l.Fatalf("leased %d boxes, want %d; %v", len(got), len(want), err)
	}
	var done []mailbox.DepositID
	for _, b := range got {
		if l.rand.IntN(3) > 0 {
			done = append(done, b.ID)
		}
	}
	if err := l.is.Delete(bg(), owner, done); err != nil {
		l.Fatal(err)
	}
	if err := l.model.Delete(bg(), owner, done); err != nil {
		l.Fatal(err)
	}
}

func (l *life) expire() {
	boxes, mailboxes := l.now.Add(-4*time.Minute), l.now.Add(-2*time.Minute)
	got, err := l.is.Expire(bg(), boxes, mailboxes)
	want, _ := l.model.Expire(bg(), boxes, mailboxes)
	if err != nil || got != want {
		l.Fatalf("%d boxes have expired, want %d; %v", got, want, err)
	}
}

// Both hosts see room for the last box. Only one may have it.
func TestTwoHostsDoNotBothTakeTheLastRoom(t *testing.T) {
	const rounds = 10
	url := storetest.Postgres(t)
	hosts := []*Mailbox{openShared(t, url), openShared(t, url)}
	bob, dave := mailboxtest.Peer(1), mailboxtest.Peer(2)
	for _, c := range []struct {
		name   string
		limit  func(q *mailbox.Quota)
		owners []peer.ID // of the first host's deposits and of the second's
		want   int
	}{
		{"of a lane", func(q *mailbox.Quota) { q.Contact.Boxes = 7 }, []peer.ID{bob, bob}, 7},
		{"of a mailbox", func(q *mailbox.Quota) { q.Mailbox.Bytes = 7 * 10 }, []peer.ID{bob, bob}, 7},
		{"of the host", func(q *mailbox.Quota) { q.Host.Boxes, q.Owners, q.Sure.Boxes = 9, 4, 2 }, []peer.ID{bob, dave}, 2 + 2 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := mailbox.DefaultQuota()
			c.limit(&q)
			for round := range rounds {
				if kept := race(t, hosts, c.owners, q, round*100); kept != c.want {
					t.Fatalf("%d boxes are kept where there is room for %d", kept, c.want)
				}
			}
		})
	}
}

// race lets two hosts deposit at once, each for an owner, and empties the mailboxes. It returns how many boxes were kept.
func race(t *testing.T, hosts []*Mailbox, owners []peer.ID, q mailbox.Quota, from int) int {
	t.Helper()
	var stored atomic.Int64
	var all sync.WaitGroup
	for i, m := range hosts {
		host := mailboxtest.Peer(100 + i)
		opens(t, m, owners[i], host, q)
		for n := range 8 {
			all.Go(func() {
				d := depositOf(owners[i], host, from+10*i+n, 10)
				if v, err := m.Deposit(bg(), d, q); err != nil {
					t.Errorf("deposit: %v", err)
				} else if v == mailbox.Stored {
					stored.Add(1)
				}
			})
		}
	}
	all.Wait()
	kept := counted(t, hosts[0])
	if int64(kept.Boxes) != stored.Load() {
		t.Errorf("%d boxes are kept, and %d were said to be", kept.Boxes, stored.Load())
	}
	for i, m := range hosts {
		if _, err := m.Open(bg(), owners[i], mailboxtest.Peer(100+i), nil, q, noon()); err != nil {
			t.Error(err)
		}
	}
	return kept.Boxes
}

// The second host asks while the first has counted, and has not committed.
func TestRoomIsCountedBehindALock(t *testing.T) {
	url := storetest.Postgres(t)
	first, second := openShared(t, url), openShared(t, url)
	bob, dave, home, away := mailboxtest.Peer(1), mailboxtest.Peer(2), mailboxtest.Peer(100), mailboxtest.Peer(101)
	for _, c := range []struct {
		name  string
		limit func(q *mailbox.Quota)
		other peer.ID
		want  mailbox.Verdict
	}{
		{"of a lane", func(q *mailbox.Quota) { q.Contact.Boxes = 1 }, bob, mailbox.LaneFull},
		{"of a mailbox", func(q *mailbox.Quota) { q.Mailbox.Boxes = 1 }, bob, mailbox.MailboxFull},
		{"of the host", func(q *mailbox.Quota) { q.Host.Boxes, q.Sure.Boxes = 1, 0 }, dave, mailbox.HostFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := mailbox.DefaultQuota()
			c.limit(&q)
			opens(t, first, bob, home, q)
			opens(t, second, c.other, away, q)
			counted, commit := make(chan struct{}), make(chan struct{})
			var all sync.WaitGroup
			all.Go(func() {
				d := depositOf(bob, home, 1, 10)
				err := first.db.commit(&update{ctx: bg(), order: string(bob), first: first.lockRoom, fn: func(tx *tx) error {
					v, err := first.admit(tx, d, q, true)
					if v != 0 || err != nil {
						t.Errorf("the first: verdict %d, %v", v, err)
					}
					close(counted)
					<-commit
					return tx.insertBox(d, first.rowID(d.At))
				}})
				if err != nil {
					t.Error(err)
				}
			})
			<-counted
			var answered atomic.Bool
			all.Go(func() {
				if v, err := second.Deposit(bg(), depositOf(c.other, away, 2, 10), q); err != nil || v != c.want {
					t.Errorf("the second: verdict %d, want %d; %v", v, c.want, err)
				}
				answered.Store(true)
			})
			await(t, "the second waits for the first", func() bool { return answered.Load() || waiting(t, second) })
			close(commit)
			all.Wait()
			if _, err := first.Open(bg(), bob, home, nil, q, noon()); err != nil {
				t.Error(err)
			}
			if _, err := second.Open(bg(), c.other, away, nil, q, noon()); err != nil {
				t.Error(err)
			}
		})
	}
}

// waiting reports whether somebody waits for a lock of another transaction in a mailbox's database.
func waiting(t *testing.T, m *Mailbox) (yes bool) {
	t.Helper()
	err := m.db.view(bg(), func(tx *tx) error {
		n, err := tx.session.number(bg(), `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		yes = n > 0
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return yes
}

// Hosts lock in one order, so that the server never has to find out, after a second, that two wait for each other.
func TestHostsDoNotWaitInACircle(t *testing.T) {
	url := storetest.Postgres(t)
	hosts := []*Mailbox{openShared(t, url), openShared(t, url)}
	q := mailbox.DefaultQuota()
	q.Sure.Boxes = 3 // so that some need the room that all share
	for i, m := range hosts {
		for owner := range 8 {
			opens(t, m, mailboxtest.Peer(owner), mailboxtest.Peer(100+i), q)
		}
	}
	var all sync.WaitGroup
	for i, m := range hosts {
		for worker := range 16 {
			all.Go(func() {
				for n := range 20 {
					owner := mailboxtest.Peer([]int{(n + worker) % 8, 7 - (n+worker)%8}[i]) // one host upwards, the other downwards
					d := depositOf(owner, mailboxtest.Peer(100+i), 1+n+worker*100+i*10_000, 10)
					if v, err := m.Deposit(bg(), d, q); err != nil || v != mailbox.Stored {
						t.Errorf("deposit: verdict %d, %v", v, err)
					}
				}
			})
		}
	}
	all.Wait()
	if kept := counted(t, hosts[0]); kept.Boxes != 2*16*20 {
		t.Errorf("%d boxes are kept", kept.Boxes)
	}
	if n := deadlocks(t, hosts...); n != 0 {
		t.Errorf("the server has resolved %d deadlocks", n)
	}
}

// deadlocks asks the server how many transactions of this database it has undone because they waited in a circle. A backend reports when it
// ends.
func deadlocks(t *testing.T, hosts ...*Mailbox) (n int64) {
	t.Helper()
	for _, m := range hosts {
		m.db.committer.drop()
	}
	m := hosts[0]
	name := m.db.engine.(*postgresDB).config.Database
	err := m.db.view(bg(), func(tx *tx) (err error) {
		n, err = tx.session.number(bg(), `SELECT deadlocks FROM pg_stat_database WHERE datname = $1`, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A fleet is updated at once: each host finds a database without tables, and all make them.
func TestHostsThatStartAtTheSameMoment(t *testing.T) {
	url := storetest.Postgres(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			m, err := OpenMailbox(bg(), url, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { m.Close() })
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	m := openShared(t, url)
	err := m.db.view(bg(), func(tx *tx) error {
		versions, err := list(tx, func(rows *sql.Rows) (v int, err error) { return v, rows.Scan(&v) },
			`SELECT version_id FROM `+mailboxVersionTable+` ORDER BY version_id`)
		if !slices.Equal(versions, []int{0, 1}) {
			t.Errorf("the migrations %v have run", versions)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A migration that two hosts run at once is done once, whatever is in it: its version cannot be noted twice.
func TestMigrationIsNotedOnce(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		err := db.update(bg(), func(tx *tx) error {
			_, err := tx.exec(`INSERT INTO `+mailboxVersionTable+` (version_id, is_applied) VALUES (1, $1)`, true)
			return err
		})
		if err == nil {
			t.Error("a version was noted twice")
		}
	})
}

func TestDepositsShareACommit(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		m, q := db.Mailbox(), mailbox.DefaultQuota()
		host := mailboxtest.Peer(100)
		for owner := range 3 {
			opens(t, m, mailboxtest.Peer(owner), host, q)
		}
		g := hold(t, db)
		for n := range 20 {
			queued := g.queued()
			g.all.Go(func() {
				if v, err := m.Deposit(bg(), depositOf(mailboxtest.Peer(n%3), host, n, 10), q); err != nil || v != mailbox.Stored {
					t.Errorf("verdict %d, %v", v, err)
				}
			})
			await(t, "the deposit is queued", func() bool { return g.queued() == queued+1 })
		}
		if commits := g.release(); commits != 1 {
			t.Errorf("20 deposits took %d commits, want 1", commits)
		}
	})
}

// What is said of a mailbox that is not there costs what is said of a wrong lane: the same one query.
func TestMailboxThatIsNotThereTakesTheSameWork(t *testing.T) {
	m := open(t, storetest.SQLite(t)).Mailbox()
	q := mailbox.DefaultQuota()
	bob, dave, host := mailboxtest.Peer(1), mailboxtest.Peer(2), mailboxtest.Peer(100)
	opens(t, m, bob, host, q)
	for _, owner := range []peer.ID{bob, dave} {
		d := depositOf(owner, host, 1, 10)
		d.Lane = mailboxtest.Lane(2, mailbox.ClassContact).Key
		before := len(m.db.committer.session.stmts)
		if v, err := m.Deposit(bg(), d, q); err != nil || v != mailbox.Closed {
			t.Errorf("verdict %d, %v", v, err)
		}
		prepared := len(m.db.committer.session.stmts) - before
		if want := map[peer.ID]int{bob: 1, dave: 0}[owner]; prepared != want {
			t.Errorf("%d queries that were not run before, want %d", prepared, want)
		}
	}
}

// Only what protocol and quota need is kept: nothing of who deposits.
func TestMailboxDatabaseNamesNoDepositor(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	err := db.view(bg(), func(tx *tx) error {
		columns, err := list(tx, func(rows *sql.Rows) (c string, err error) { return c, rows.Scan(&c) },
			`SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.name LIKE 'mailbox%' AND t.type = 'table'
				AND t.name <> '`+mailboxVersionTable+`' ORDER BY t.name, c.cid`)
		want := []string{
			"mailbox.owner", "mailbox.boxes", "mailbox.bytes", "mailbox.opened_at",
			"mailbox_box.owner", "mailbox_box.row_id", "mailbox_box.deposit_id", "mailbox_box.lane", "mailbox_box.bytes",
			"mailbox_box.leased_by", "mailbox_box.leased_until", "mailbox_box.box",
			"mailbox_lane.owner", "mailbox_lane.host", "mailbox_lane.lane", "mailbox_lane.class", "mailbox_room.id",
			"mailbox_use.owner", "mailbox_use.lane", "mailbox_use.boxes", "mailbox_use.bytes",
		}
		if !slices.Equal(columns, want) {
			t.Errorf("the tables hold %q", columns)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A large address book is put in in a few statements, and a change to it writes the change alone.
func TestLanesOfALargeAddressBook(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		m, q := open(t, url).Mailbox(), mailbox.DefaultQuota()
		bob, host := mailboxtest.Peer(1), mailboxtest.Peer(100)
		var lanes []mailbox.Lane
		for n := range mailbox.MaxLanes {
			lanes = append(lanes, mailbox.Lane{Key: sha256.Sum256([]byte{byte(n), byte(n >> 8)}), Class: mailbox.ClassContact})
		}
		for _, some := range [][]mailbox.Lane{lanes, lanes[3:], lanes} {
			if v, err := m.Open(bg(), bob, host, some, q, noon()); err != nil || v != mailbox.Stored {
				t.Fatalf("verdict %d, %v", v, err)
			}
			for n, l := range lanes[:5] {
				d := depositOf(bob, host, n, 10)
				d.Lane = l.Key
				v, err := m.Deposit(bg(), d, q)
				if open := len(some) == len(lanes) || n >= 3; err != nil || (v == mailbox.Stored) != open {
					t.Errorf("lane %d of %d: verdict %d, %v", n, len(some), v, err)
				}
			}
		}
	})
}

func TestSharedMailboxesAreOnAServer(t *testing.T) {
	_, err := OpenMailbox(bg(), storetest.SQLite(t), Options{})
	toldAs(t, err, chat.CodeConfig, "mailbox database", "postgres://")
}

// A shared database has no owner, and a messenger's cannot be taken for one.
func TestSharedMailboxesHoldNothingElse(t *testing.T) {
	url := storetest.Postgres(t)
	m := openShared(t, url)
	if n, err := m.db.committer.session.number(bg(), postgresHasTable+"'message'"); err != nil || n != 0 {
		t.Errorf("%d tables of a messenger, %v", n, err)
	}
	if n, err := m.db.committer.session.number(bg(), `SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'`); err != nil || n != 0 {
		t.Errorf("%d advisory locks, %v", n, err)
	}
	if err := m.Ping(bg()); err != nil {
		t.Error(err)
	}
}
