package store

import (
	"flag"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/chat"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
	"parley/store/storetest"
)

// How often the server goes away under load; 20 takes a minute.
var restarts = flag.Int("restarts", 2, "how often TestServerRestartsUnderLoad restarts the server, and TestConnectionsEndUnderLoad ends all connections")

// load is a node that writes messages and two hosts that take deposits, which all try again as long as the database is away.
type load struct {
	*testing.T
	node     *DB
	hosts    []*Mailbox
	each     int // how much each worker writes
	done     atomic.Int64
	refusals atomic.Int64
	all      sync.WaitGroup
}

const (
	loadWorkers = 4   // of the node, and of each host
	loadTries   = 600 // the most attempts of one write: half a minute
)

// startLoad starts to write to two databases. It is done when the counter says so, or lastly at finish.
func startLoad(t *testing.T, messenger, mailboxes string, each int) *load {
	t.Helper()
	l := &load{T: t, node: open(t, messenger), hosts: []*Mailbox{openShared(t, mailboxes), openShared(t, mailboxes)}, each: each}
	for i, m := range l.hosts {
		for owner := range loadWorkers {
			opens(t, m, mailboxtest.Peer(owner), mailboxtest.Peer(100+i), mailbox.DefaultQuota())
		}
	}
	for w := range loadWorkers {
		l.all.Go(func() { l.work(w, l.message) })
		for i := range l.hosts {
			l.all.Go(func() { l.work(w, func(n int) bool { return l.deposit(i, n) }) })
		}
	}
	return l
}

// work writes one after another, each until it is acknowledged.
func (l *load) work(w int, write func(n int) bool) {
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for n := range l.each {
		tries := 0
		for !write(1 + w*l.each + n) {
			l.refusals.Add(1)
			if tries++; tries == loadTries {
				l.Errorf("a write was refused %d times", tries)
				return
			}
			<-pace.C
		}
		l.done.Add(1)
	}
}

func (l *load) message(n int) bool { return insertedOnce(l.T, l.node, n) }

func (l *load) deposit(host, n int) bool {
	d := depositOf(mailboxtest.Peer(n%loadWorkers), mailboxtest.Peer(100+host), n+host*100_000, 2000)
	v, err := l.hosts[host].Deposit(bg(), d, mailbox.DefaultQuota())
	if err != nil && chat.CodeOf(err) != chat.CodeUnavailable {
		l.Errorf("deposit %d: %v", n, err)
		return true
	}
	if err == nil && v != mailbox.Stored {
		l.Errorf("deposit %d: verdict %d", n, v)
	}
	return err == nil
}

// total is how many writes there are, of the node and the hosts together.
func (l *load) total() int64 { return int64(3 * loadWorkers * l.each) }

// await waits until a share of everything is written, in hundredths.
func (l *load) await(percent int64) {
	l.Helper()
	await(l.T, "some is written", func() bool { return l.done.Load() >= l.total()*percent/100 })
}

// finish waits until everything is acknowledged, and expects it to be there.
func (l *load) finish() {
	l.Helper()
	l.all.Wait()
	for n := range loadWorkers * l.each {
		if !has(l.T, l.node, n+1) {
			l.Errorf("message %d was acknowledged and is gone", n+1)
		}
	}
	if kept := counted(l.T, l.hosts[1]); kept.Boxes != 2*loadWorkers*l.each {
		l.Errorf("%d boxes are kept of %d that were acknowledged, once each", kept.Boxes, 2*loadWorkers*l.each)
	}
	l.Logf("%d writes, %d times refused", l.done.Load(), l.refusals.Load())
}

// The primary dies under load. Its standby, which has all that was acknowledged, is promoted, and everybody goes on there by himself.
func TestFailoverLosesNothing(t *testing.T) {
	pair := storetest.StartPair(t)
	messenger, mailboxes := pair.Database(t), pair.Database(t)
	l := startLoad(t, messenger, mailboxes, 100)
	l.await(30)
	pair.Primary.Kill(t)
	await(t, "somebody notices", func() bool { return l.refusals.Load() > 0 })
	pair.Standby.Promote(t)
	l.finish()

	_, err := Open(bg(), messenger, Options{})
	toldAs(t, err, chat.CodeConfig, "in use by another parley node") // the lock is held at the new primary
}

func TestServerRestartsUnderLoad(t *testing.T) {
	server := storetest.StartServer(t)
	l := startLoad(t, server.Database(t), server.Database(t), 50**restarts)
	for n := range int64(*restarts) {
		l.await(100 * (n + 1) / int64(*restarts+1))
		refused := l.refusals.Load()
		server.Stop(t)
		await(t, "somebody notices", func() bool { return l.refusals.Load() > refused || l.done.Load() == l.total() })
		server.Start(t)
	}
	l.finish()
}

// An administrator ends connections, a firewall forgets them: the next ones do, and nobody has to start anything.
func TestConnectionsEndUnderLoad(t *testing.T) {
	server := storetest.StartServer(t)
	l := startLoad(t, server.Database(t), server.Database(t), 50**restarts)
	admin := connect(t, server.URL, "admin")
	for n := range int64(*restarts) {
		l.await(100 * (n + 1) / int64(*restarts+1))
		if _, err := admin.Exec(bg(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'parley%'`); err != nil {
			t.Fatal(err)
		}
	}
	l.finish()
}

// A server that takes no writes any more is one that is away: it was demoted, or is going or coming.
func TestServerThatTakesNoWritesIsAway(t *testing.T) {
	address := storetest.Postgres(t)
	db := open(t, address)
	if err := write(db, 1); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, address, "admin")
	readOnly := func(is string) {
		t.Helper()
		if _, err := admin.Exec(bg(), `ALTER DATABASE `+strings.Trim(u.Path, "/")+` SET default_transaction_read_only = `+is); err != nil {
			t.Fatal(err)
		}
	}
	readOnly("on")
	breakWriter(t, db, address)
	toldAs(t, write(db, 2), chat.CodeUnavailable, "database unreachable", "read-only")
	if _, err := admin.Exec(bg(), `SET default_transaction_read_only = off`); err != nil {
		t.Fatal(err)
	}
	readOnly("off")
	if err := write(db, 3); err != nil { // on a new connection: the old one stays as it is
		t.Errorf("when the server takes writes again: %v", err)
	}
	for _, code := range []string{codeReadOnly, codeShutdown, codeCrash, codeNotYet} {
		runs, was := 0, db.committer.session
		err := db.update(bg(), func(tx *tx) error {
			if runs++; runs == 1 {
				_, err := tx.exec(raise(code))
				return err
			}
			return nil
		})
		if err != nil || runs != 2 || db.committer.session == was {
			t.Errorf("%s: %d runs, on the same connection: %v; %v", code, runs, db.committer.session == was, err)
		}
	}
}

// A commit that waits for the standby in vain is durable on one machine only. When somebody cancels the wait, PostgreSQL says yes, and warns.
func TestCommitThatTheStandbyDoesNotHaveIsNotAcknowledged(t *testing.T) {
	pair := storetest.StartPair(t)
	address := pair.Database(t)
	db := open(t, address)
	if err := write(db, 1); err != nil {
		t.Fatal(err)
	}
	pid, err := db.committer.session.number(bg(), `SELECT pg_backend_pid()`)
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, address, "admin")
	pair.Standby.Stop(t)
	written := make(chan error, 1)
	var all sync.WaitGroup
	all.Go(func() { written <- write(db, 2) })
	await(t, "the commit waits for the standby", func() bool {
		var waits bool
		err := admin.QueryRow(bg(), `SELECT COUNT(*) > 0 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'`, pid).Scan(&waits)
		return waits || err != nil
	})
	if _, err := admin.Exec(bg(), `SELECT pg_cancel_backend($1)`, pid); err != nil {
		t.Fatal(err)
	}
	toldAs(t, <-written, chat.CodeUnavailable, "database unreachable")
	all.Wait()
	pair.Standby.Start(t)
	if !insertedOnce(t, db, 2) || !has(t, db, 2) {
		t.Error("the same write, when the standby is back, does not come to pass")
	}
}

// A machine that vanishes says nothing, not even that it is gone.
func TestViewsDoNotWaitForAMachineThatHasVanished(t *testing.T) {
	address := storetest.Postgres(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if u.Query().Get("host") == "" {
		t.Skip("the server is not on a socket of this machine")
	}
	w := startWire(t, u.Query().Get("host")+"/.s.PGSQL.5432")
	db := open(t, "postgres://"+u.User.Username()+"@"+w.Addr().String()+u.Path+"?sslmode=disable")
	if err := write(db, 1); err != nil || !has(t, db, 1) {
		t.Fatal(err)
	}
	w.cut.Store(true)
	db.patience = 50 * time.Millisecond
	toldAs(t, db.Ping(bg()), chat.CodeUnavailable, "database unreachable", "no answer in time")
	w.cut.Store(false)
	db.patience = ViewTimeout
	if !has(t, db, 1) {
		t.Error("the message is gone")
	}
}

// wire leads to a server, until it is cut: then what is written into it goes nowhere.
type wire struct {
	net.Listener
	to  string
	cut atomic.Bool
	all sync.WaitGroup
}

func startWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to}
	w.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.all.Go(func() { w.carry(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.all.Wait()
	})
	return w
}

// carry connects one connection through.
func (w *wire) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("unix", w.to)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { io.Copy(near, far); near.Close() })
	b := make([]byte, 4096)
	for {
		n, err := near.Read(b)
		if err != nil {
			break
		}
		if !w.cut.Load() {
			far.Write(b[:n])
		}
	}
	far.Close()
	back.Wait()
}
