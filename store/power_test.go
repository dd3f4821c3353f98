package store

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/vfs"

	"parley/chat"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
	"parley/store/storetest"
)

var (
	powerCuts = flag.Int("cuts", 30, "how often TestPowerFails cuts the power, and TestDiskFailsUnderLoad does after a fault of the disk")
	powerSeed = flag.Uint64("seed", 1, "what the first of these cuts is played by, and the next ones by each one more")
)

const (
	// cutsOfOne is how many cuts one database takes. Then the next one begins: looking through all that is there takes longer each time.
	cutsOfOne = 20
	// mostFaults is how often a disk fails at most, one time after another.
	mostFaults = 8
	// mostCalls is the latest call of the disk at which something happens, and sector how much it writes whole.
	mostCalls = 800
	sector    = 512
)

// disk is a file system that writes nothing for sure but what was synced, and that has faults. What it would hold after a power cut is kept
// apart from its files.
type disk struct {
	vfs.VFS
	name string

	mu       sync.Mutex
	dice     *rand.Rand
	platters map[string]*platter // by path
	calls    int                 // writes, truncations and syncs so far
	cut      int                 // the call at which the power fails; 0: none
	off      bool
	fault    fault
	faulty   int         // the call from which on it comes; 0: none
	times    int         // how often it comes
	met      atomic.Bool // it is over
	opened   int         // how often the database itself was opened
	deaf     bool        // it says yes to syncs and does nothing
	trusted  int         // syncs of files whose sync had failed
}

// A fault is what a disk says that fails.
type fault struct {
	sync bool // to a sync; else to a write
	err  error
}

func faults() []fault {
	return []fault{{true, sqlite3.IOERR_FSYNC}, {false, sqlite3.IOERR_WRITE}, {false, sqlite3.FULL}}
}

// platter is what is durable of one file, and what was written since.
type platter struct {
	image   []byte
	pending []change
	failed  int // syncs
}

// change is bytes that were written somewhere, or a new size.
type change struct {
	at   int64
	data []byte // nil: the file ends here now
}

type diskFile struct {
	vfs.File
	on      *disk
	holds   *platter
	told    int  // of how many failed syncs of the platter it knows
	suspect bool // it was told of one
}

func newDisk(t *testing.T, seed uint64) *disk {
	d := &disk{VFS: vfs.Find(""), dice: rand.New(rand.NewPCG(seed, mostCalls)), platters: map[string]*platter{}}
	d.name = fmt.Sprintf("disk %p", d)
	vfs.Register(d.name, d)
	t.Cleanup(func() { vfs.Unregister(d.name) })
	return d
}

// database opens a database on the disk. Nobody closes it: the power does.
func (d *disk) database(t *testing.T, path string) *DB {
	t.Helper()
	e, err := openSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	e.writes.Close()
	e.reads.Close()
	e.rewrite = d.rewrite
	dsn := e.dsn() + "&vfs=" + strings.ReplaceAll(d.name, " ", "%20")
	e.writes, _ = driver.Open(dsn, e.setUpWriter)
	e.reads, _ = driver.Open(dsn, setUpReader)
	e.writes.SetMaxIdleConns(0)
	e.reads.SetMaxIdleConns(0)
	db, err := start(bg(), &DB{engine: e, committer: committer{engine: e}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func (d *disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return nil, flags, sqlite3.CANTOPEN
	}
	f, flags, err := d.VFS.(vfs.VFSFilename).OpenFilename(name, flags)
	if err != nil || flags&(vfs.OPEN_MAIN_DB|vfs.OPEN_WAL) == 0 {
		return f, flags, err
	}
	if flags&vfs.OPEN_MAIN_DB != 0 {
		d.opened++
	}
	p := d.platters[name.String()]
	if p == nil {
		p = &platter{}
		if p.image, err = os.ReadFile(name.String()); err != nil {
			return nil, flags, err
		}
		d.platters[name.String()] = p
	}
	return &diskFile{File: f, on: d, holds: p, told: p.failed}, flags, nil
}

// rewrite makes durable what a file shows.
func (d *disk) rewrite(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.platters[path]
	if err := d.call(true); err != nil || !ok {
		return err
	}
	err := rewriteFile(path)
	if err == nil {
		p.pending = nil
		p.image, err = os.ReadFile(path)
	}
	return err
}

func (d *disk) Delete(path string, syncDir bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return sqlite3.IOERR_DELETE
	}
	delete(d.platters, path)
	return d.VFS.Delete(path, syncDir)
}

// call counts a call that changes something, and says what becomes of it.
func (d *disk) call(isSync bool) error {
	d.calls++
	switch {
	case d.off || d.calls == d.cut:
		d.off = true
		return sqlite3.IOERR
	case d.faulty > 0 && d.calls >= d.faulty && d.times > 0 && isSync == d.fault.sync:
		d.times--
		d.met.Store(d.times == 0)
		return d.fault.err
	}
	return nil
}

func (f *diskFile) WriteAt(b []byte, at int64) (int, error) {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	was := f.on.off
	err := f.on.call(false)
	if !was { // also of the write that failed something may have been done
		f.holds.pending = append(f.holds.pending, change{at, bytes.Clone(b)})
	}
	if err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

func (f *diskFile) Truncate(size int64) error {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if err := f.on.call(false); err != nil {
		return err
	}
	f.holds.pending = append(f.holds.pending, change{at: size})
	return f.File.Truncate(size)
}

// Sync makes durable what is pending. Where it fails, the system forgets that it was, tells everybody once who has the file open, and says
// yes after that, as Linux does.
func (f *diskFile) Sync(vfs.SyncFlag) error {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if f.suspect && !f.on.off {
		f.on.trusted++
	}
	err := f.on.call(true)
	if err != nil && !f.on.off {
		f.holds.failed++
		f.holds.tear(f.on.dice)
	}
	if err == nil && f.on.deaf {
		return nil
	}
	if err == nil && f.told < f.holds.failed {
		err = sqlite3.IOERR_FSYNC
	}
	f.told = f.holds.failed
	if err != nil {
		f.suspect = true
		return err
	}
	for _, c := range f.holds.pending {
		f.holds.apply(c)
	}
	f.holds.pending = nil
	return nil
}

func (f *diskFile) ReadAt(b []byte, at int64) (int, error) {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if f.on.off {
		return 0, sqlite3.IOERR_READ
	}
	return f.File.ReadAt(b, at)
}

func (f *diskFile) SharedMemory() vfs.SharedMemory {
	return f.File.(vfs.FileSharedMemory).SharedMemory()
}

// apply makes a change durable.
func (p *platter) apply(c change) {
	end := c.at + int64(len(c.data))
	if int64(len(p.image)) < end {
		p.image = append(p.image, make([]byte, end-int64(len(p.image)))...)
	}
	if c.data == nil {
		p.image = p.image[:c.at]
	}
	copy(p.image[c.at:], c.data)
}

// tear makes some of what is pending durable, sector by sector: nothing, all, or anything between. The rest is gone.
func (p *platter) tear(dice *rand.Rand) {
	kept := []float64{0, 0.1, 0.5, 0.9, 1}[dice.IntN(5)]
	for _, c := range p.pending {
		if c.data == nil {
			if dice.Float64() < kept {
				p.apply(c)
			}
			continue
		}
		for from := int64(0); from < int64(len(c.data)); {
			to := min(int64(len(c.data)), (c.at+from)/sector*sector+sector-c.at)
			if dice.Float64() < kept {
				p.apply(change{c.at + from, c.data[from:to]})
			}
			from = to
		}
	}
	p.pending = nil
}

// comesBack puts into the files what a machine finds that was without power. The index of the log is not worth reading.
func (d *disk) comesBack(t *testing.T, path string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off {
		t.Fatal("the power has not failed")
	}
	for path, p := range d.platters {
		p.tear(d.dice)
		if err := os.WriteFile(path, p.image, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.platters = nil // they take room
	if err := os.WriteFile(path+"-shm", bytes.Repeat([]byte("rubbish "), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
}

// promises is what a node and its mailboxes have said yes to.
type promises struct {
	mu       sync.Mutex
	next     int
	messages []int
	boxes    map[int]bool // kept; false: its deletion was promised
	refused  int
	after    int // promises since a fault
}

// number returns the next number that is nobody's.
func (p *promises) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return p.next
}

// note keeps a promise, or counts a refusal. What became of a refused write nobody knows.
func (p *promises) note(d *disk, err error, keep func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.refused++
		return
	}
	if d.met.Load() {
		p.after++
	}
	keep()
}

// writeUntilOff writes messages and deposits, fetches and checkpoints, until the power fails.
func (p *promises) writeUntilOff(t *testing.T, d *disk, db *DB) {
	m, e := db.Mailbox(), db.engine.(*sqliteDB)
	message := func() {
		n := p.number()
		p.note(d, insertMessage(db, n), func() { p.messages = append(p.messages, n) })
	}
	deposit := func() {
		n := p.number()
		p.note(d, takeDeposit(db, n), func() { p.boxes[n] = true })
	}
	fetch := func() {
		p.mu.Lock()
		n := 0
		for n = range p.boxes {
			if p.boxes[n] {
				delete(p.boxes, n) // whatever becomes of it
				break
			}
			n = 0
		}
		p.mu.Unlock()
		if n == 0 {
			deposit()
			return
		}
		err := m.Delete(bg(), mailboxtest.Peer(n%7), []mailbox.DepositID{depositOf("", "", n, 0).ID})
		p.note(d, err, func() { p.boxes[n] = false })
	}
	var all sync.WaitGroup
	for _, work := range []func(){message, message, message, deposit, deposit, fetch, e.checkpoint} {
		all.Go(func() {
			for !d.isOff() {
				work()
			}
		})
	}
	all.Wait()
}

func (d *disk) isOff() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

// broken returns what was promised and is not so, in a database that somebody has opened after the power came back.
func (p *promises) broken(t *testing.T, db *DB) (found []string) {
	t.Helper()
	err := db.view(bg(), func(tx *tx) error {
		var verdict string
		if err := tx.session.conn.QueryRowContext(bg(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			found = append(found, fmt.Sprintf("integrity_check says %q, %v", verdict, err))
		}
		for _, n := range p.messages {
			rows, err := tx.MessagesAt(benchMessage(uint64(n)).Row)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				found = append(found, fmt.Sprintf("message %d is gone", n))
			}
		}
		for n, kept := range p.boxes {
			id := depositOf("", "", n, 0).ID
			is, err := tx.session.number(bg(), `SELECT COUNT(*) FROM mailbox_box WHERE deposit_id = ?`, id[:])
			if err != nil {
				return err
			}
			if (is == 1) != kept {
				found = append(found, fmt.Sprintf("box %d is there %d times, promised %v", n, is, kept))
			}
		}
		return nil
	})
	if err != nil {
		found = append(found, err.Error())
	}
	if len(found) == 0 {
		counted(t, db.Mailbox())
	}
	return found
}

// cutThePower plays a number of cuts, on databases of their own now and then, and returns the promises that were broken. Before each of them
// something may be done to the disk and the open database.
func cutThePower(t *testing.T, cuts int, before func(*disk, *DB)) (kept *promises, found []string) {
	kept = &promises{}
	for n := 0; n < cuts && len(found) == 0; {
		path := strings.TrimPrefix(storetest.SQLite(t), "sqlite:")
		p := &promises{boxes: map[int]bool{}}
		db := open(t, "sqlite:"+path)
		for owner := range 7 {
			opens(t, db.Mailbox(), mailboxtest.Peer(owner), mailboxtest.Peer(100), mailbox.DefaultQuota())
		}
		db.Close()
		for end := min(n+cutsOfOne, cuts); n < end && len(found) == 0; n++ {
			seed := *powerSeed + uint64(n)
			d := newDisk(t, seed)
			db := d.database(t, path)
			d.cut = d.calls + 1 + d.dice.IntN(mostCalls)
			if before != nil {
				before(d, db)
			}
			p.writeUntilOff(t, d, db)
			db.Close() // whatever it says: it is off
			d.comesBack(t, path)
			if d.trusted > 0 {
				t.Errorf("cut with -seed %d: a file was synced %d times after a sync of it had failed", seed, d.trusted)
			}
			db, err := Open(bg(), "sqlite:"+path, Options{})
			if err != nil {
				return kept, append(found, fmt.Sprintf("cut with -seed %d: %v", seed, err))
			}
			for _, problem := range p.broken(t, db) {
				found = append(found, fmt.Sprintf("cut with -seed %d: %s", seed, problem))
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		kept.messages = append(kept.messages, p.messages...)
		kept.next += len(p.boxes)
		kept.refused += p.refused
		kept.after += p.after
	}
	return kept, found
}

// The power fails at any moment: what was not synced is gone, whole or in part. What was promised is there.
func TestPowerFails(t *testing.T) {
	begin := time.Now()
	kept, found := cutThePower(t, *powerCuts, nil)
	for _, problem := range found {
		t.Error(problem)
	}
	t.Logf("%d cuts, %d messages and %d changes of mailboxes promised, %v", *powerCuts, len(kept.messages), kept.next, time.Since(begin).Round(time.Millisecond))
}

// A test that cannot fail is worth nothing. All syncs are left out, those of the checkpoints too: one that runs beside the commits would make
// durable almost everything that they did not.
func TestPowerCutFindsANodeThatDoesNotSync(t *testing.T) {
	_, found := cutThePower(t, 10, func(d *disk, _ *DB) { d.deaf = true })
	if len(found) == 0 {
		t.Error("ten cuts have cost nothing")
	}
}

// Syncs or writes fail in the middle of everything, and later the power. Nobody is told that something is kept which is not, and without
// anybody's help the node goes on.
func TestDiskFailsUnderLoad(t *testing.T) {
	n := 0
	kept, found := cutThePower(t, *powerCuts, func(d *disk, _ *DB) {
		d.fault = faults()[n%len(faults())]
		d.faulty = d.calls + 1 + d.dice.IntN(mostCalls/2)
		d.times = 1 + d.dice.IntN(mostFaults)
		d.cut += mostCalls
		n++
	})
	for _, problem := range found {
		t.Error(problem)
	}
	if kept.refused == 0 || kept.after < *powerCuts {
		t.Errorf("%d writes were refused, and %d promised after the faults", kept.refused, kept.after)
	}
	t.Logf("%d faults, %d messages and %d changes of mailboxes promised, %d of them after the fault; %d writes refused",
		*powerCuts, len(kept.messages), kept.next, kept.after, kept.refused)
}

// A sync fails, and with it the one that tries to save what can be saved. The system goes on to show what it has not written: nothing that is
// promised after that may rest on it.
func TestWhatComesAfterAFailedSyncIsKept(t *testing.T) {
	for seed := range uint64(10) {
		path := strings.TrimPrefix(storetest.SQLite(t), "sqlite:")
		d := newDisk(t, seed)
		db := d.database(t, path)
		if err := write(db, 1); err != nil {
			t.Fatal(err)
		}
		before := d.opened
		d.fault, d.faulty, d.times = faults()[0], d.calls+1, 2
		toldAs(t, write(db, 2), chat.CodeUnavailable, "database unreachable")
		await(t, "the disk works again", func() bool { return write(db, 3) == nil })
		if d.opened == before {
			t.Error("the connection that met the error is still in use")
		}
		d.cut = d.calls + 1
		toldAs(t, write(db, 4), chat.CodeUnavailable, "database unreachable")
		db.Close()
		d.comesBack(t, path)
		back := open(t, "sqlite:"+path)
		if !has(t, back, 1) || !has(t, back, 3) || d.trusted > 0 { // what became of 2 and 4 is what nobody knows
			t.Errorf("seed %d: the first message is there: %v, the third: %v; %d syncs of files of which one had failed", seed, has(t, back, 1), has(t, back, 3), d.trusted)
		}
	}
}

// A disk without room for a checkpoint may have it a moment later: the log does not grow by another 16 MiB until the next one is tried.
func TestCheckpointThatFailedIsMadeUpForSoon(t *testing.T) {
	d := newDisk(t, 1)
	db := d.database(t, strings.TrimPrefix(storetest.SQLite(t), "sqlite:"))
	defer db.Close()
	e := db.engine.(*sqliteDB)
	for n, again := range []func() error{
		func() error { return write(db, 2) },
		func() error { e.judge(nil, sqlite3.FULL); return nil }, // where commits fail as well
	} {
		if err := write(db, 10+n); err != nil {
			t.Fatal(err)
		}
		d.fault, d.faulty, d.times = faults()[2], d.calls+1, 1
		e.checkpoint()
		if !e.checkpointDue.Load() {
			t.Fatal("a checkpoint without room has succeeded")
		}
		if err := again(); err != nil {
			t.Fatal(err)
		}
		await(t, "the checkpoint is made up for", func() bool { return !e.checkpointDue.Load() })
	}
}
