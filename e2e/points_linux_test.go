package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var pointCount = flag.Int("points", 0, "how many kills TestWhoeverIsKilledAtAPointLosesNothing makes on each database; 0: one at each point")

const (
	// stuck is how long a call keeps its thread that was made: longer than it takes to see that and to kill. Calls that are not the one are
	// kept as long, one after another, and nodes give up what takes seconds.
	stuck = 60 * time.Millisecond
	// stuckBefore is how long one does that was not made, and moment is what passes until the kill: enough for a promise that others give too
	// early to reach somebody.
	stuckBefore, moment = 200 * time.Millisecond, 30 * time.Millisecond
)

// A point is a place in the life of a node, as the system sees it: before or after a call on one kind of file. Nothing in the program
// knows of it.
type point struct {
	name  string
	at    func(*person) []string // what the call is made on, by the names that /proc/PID/fd has
	call  string
	after *regexp.Regexp // what the call looks like after which the kill comes; nil: it comes before the first call
	alone bool           // hosts have nobody to whom they say anything here
}

// points are where nodes are killed, on each engine.
func points() map[string][]point {
	done, some, commit := regexp.MustCompile(`= 0`), regexp.MustCompile(`= [1-9]`), regexp.MustCompile(`COMMIT.*= [1-9]`)
	everywhere := []point{
		{"before something is sent or acknowledged", (*person).networkSockets, "write", nil, false},
		{"after something was sent or acknowledged", (*person).networkSockets, "write", some, false},
		{"after something came, before anything is done with it", (*person).networkSockets, "read", some, false},
		{"before a person is told", (*person).apiSockets, "write", nil, true},
		{"after a person was told", (*person).apiSockets, "write", some, true},
	}
	return map[string][]point{
		"sqlite": append([]point{
			{"before a commit is written", (*person).log, "pwrite64", nil, false},
			{"after a commit was written, before it is durable", (*person).log, "fdatasync", nil, false},
			{"after a commit is durable, before anything is said of it", (*person).log, "fdatasync", done, false},
		}, everywhere...),
		"postgres": append([]point{
			{"before a statement is sent to the database", (*person).databaseSockets, "write", nil, false},
			{"after a commit was sent to the database, before its answer", (*person).databaseSockets, "write", commit, false},
			{"after the database has committed, before anything is said of it", (*person).databaseSockets, "read", commit, false},
		}, everywhere...),
	}
}

// A victim is somebody who is killed in the middle of what he does.
type victim struct {
	does string
	who  func(*pointTown) *person
	host bool
	away bool // the reader is away, so that what is said goes to the host
	back bool // and comes back, so that he fetches it
}

func victims() []victim {
	author := func(w *pointTown) *person { return w.author }
	reader := func(w *pointTown) *person { return w.reader }
	host := func(w *pointTown) *person { return w.host }
	return []victim{
		{"the author", author, false, false, false},
		{"the reader", reader, false, false, false},
		{"the host, who takes deposits", host, true, true, false},
		{"the reader, who fetches", reader, false, true, true},
		{"the author, who deposits", author, false, true, false},
		{"the host, who hands out", host, true, true, true},
	}
}

// A strike is a point at which somebody is killed.
type strike struct {
	point
	victim
}

// strikes are all of an engine. The first few of them are one at each point, of everybody in turn.
func strikes(engine string) (all []strike) {
	at, who := points()[engine], victims()
	for round := range who {
		for i, p := range at {
			if v := who[(round+i)%len(who)]; !p.alone || !v.host {
				all = append(all, strike{p, v})
			}
		}
	}
	return all
}

// pointTown is where one speaks and one listens, with a host of mailboxes.
type pointTown struct {
	*world
	host, author, reader *person
	talk                 *conversation
}

// Everybody is killed at every point, in the middle of everything that he does.
func TestWhoeverIsKilledAtAPointLosesNothing(t *testing.T) {
	needsTracer(t)
	onBothEngines(t, func(t *testing.T, engine func(testing.TB) string) {
		engineName := filepath.Base(t.Name())
		all, n := strikes(engineName), max(*pointCount, len(points()[engineName]))
		w := newPointTown(t, engine)
		enough := make(chan struct{})
		w.talk.scatter()
		w.talk.speaking.Go(func() { w.talk.note(w.talk.alice.chatter(w.talk.ctx, w.talk.fromAlice, longestSilence, enough)) })
		for i := range n {
			w.strike(all[i%len(all)])
		}
		w.settle()
		close(enough)
		w.talk.finish(restTime)
		t.Logf("%d kills, %d messages", n, w.talk.fromAlice.acceptedCount())
	})
}

func newPointTown(t testing.TB, engine func(testing.TB) string) *pointTown {
	w := newWorld(t)
	host := w.hosts(1, engine)[0]
	people := w.friends([]*person{host}, engine, "Alice", "Bob")
	return &pointTown{world: w, host: host, author: people[0], reader: people[1], talk: listen(t, people[0], people[1])}
}

// strike kills somebody at a point, who comes back.
func (w *pointTown) strike(s strike) {
	w.Helper()
	begin := time.Now()
	l := w.talk.fromAlice
	if s.away {
		w.reader.node.kill()
		kept := l.postedCount()
		await(w, restTime, "the host keeps something", func() bool { return l.postedCount() > kept })
	}
	if s.back {
		w.reader.start() // and not only up: what it will write to must be there
	}
	s.who(w).killAt(s.point)
	w.settle()
	w.Logf("%s was killed %s; %v", s.does, s.name, time.Since(begin).Round(time.Millisecond))
}

// settle waits until everybody is up and the talk goes on. What is missing then, the ledger knows in the end.
func (w *pointTown) settle() {
	w.Helper()
	for _, p := range []*person{w.host, w.author, w.reader} {
		if !p.node.running() {
			p.start()
		}
	}
	l := w.talk.fromAlice
	said, shown, ticked := l.acceptedCount(), l.shownCount(), l.tickedCount()
	await(w, restTime, "the talk goes on", func() bool {
		return l.acceptedCount() > said && l.shownCount() > shown && l.tickedCount() > ticked
	})
}

// log is what SQLite writes and syncs in a commit.
func (p *person) log() []string { return []string{filepath.Join(p.home, "parley.db-wal")} }

func (p *person) networkSockets() []string {
	return p.sockets(func(kind, _ string) bool { return kind == "tcp" })
}

func (p *person) apiSockets() []string {
	return p.sockets(func(kind, path string) bool { return kind == "unix" && strings.HasSuffix(path, "api.sock") })
}

// databaseSockets are those without a name of their own: whoever connects to a unix socket has none.
func (p *person) databaseSockets() []string {
	return p.sockets(func(kind, path string) bool { return kind == "unix" && path == "" })
}

// sockets returns the connections of a person's node that are of some kind: "tcp", or "unix" with the path of the one that listens.
func (p *person) sockets(is func(kind, path string) bool) (names []string) {
	kinds := map[string][2]string{} // by inode
	for _, kind := range []string{"tcp", "unix"} {
		inode, state, established := 9, 3, "01"
		if kind == "unix" {
			inode, state, established = 6, 5, "03"
		}
		for line := range strings.Lines(read(p, "/proc/net", kind)) {
			f := strings.Fields(line)
			if len(f) > inode && f[state] == established {
				kinds[f[inode]] = [2]string{kind, strings.Join(f[inode+1:min(inode+2, len(f))], "")}
			}
		}
	}
	folder := fmt.Sprintf("/proc/%d/fd", p.node.pid())
	files, _ := os.ReadDir(folder) // of a node that has just ended there are none
	for _, file := range files {
		name, _ := os.Readlink(filepath.Join(folder, file.Name()))
		inode := strings.TrimSuffix(strings.TrimPrefix(name, "socket:["), "]")
		if k, ok := kinds[inode]; ok && is(k[0], k[1]) {
			names = append(names, name)
		}
	}
	return names
}

// killAt kills a person's node at a point.
func (p *person) killAt(at point) {
	p.Helper()
	var on []string
	await(p, patience, p.name+" has something to be killed at", func() bool { on = at.at(p); return len(on) > 0 })
	inject, seen := fmt.Sprintf("delay_exit=%d", stuck.Microseconds()), at.after
	if seen == nil { // with an error, the call is not made
		inject, seen = fmt.Sprintf("error=EIO:delay_exit=%d", stuckBefore.Microseconds()), regexp.MustCompile("EIO")
	}
	tracer := p.inject(at.call, inject, on...)
	defer tracer.kill()
	await(p, patience, fmt.Sprintf("%s is killed %s", p.name, at.name), func() bool {
		if seen.MatchString(tracer.stderr.String()) {
			if at.after == nil {
				<-time.After(moment)
			}
			p.node.kill()
		}
		return !p.node.running()
	})
}

// inject does something to every system call of a kind that a node makes on some files, until the process that does it is stopped. That writes
// down each of them.
func (p *person) inject(call, what string, on ...string) *process {
	p.Helper()
	args := []string{"-f", "-qqq", "-s", "64", "-e", "signal=none", "-e", "trace=" + call, "-e", "inject=" + call + ":" + what, "-p", strconv.Itoa(p.node.pid())}
	for _, name := range on {
		args = append(args, "-P", name)
	}
	return launch(p, os.Environ(), "strace", args...)
}

// needsTracer skips a test where system calls cannot be tampered with.
func needsTracer(t testing.TB) {
	t.Helper()
	if r, err := exec.Command("strace", "-qqq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("this takes strace, and the right to use it (apt-get install strace): %v %s", err, r)
	}
}
