package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/store/storetest"
)

// raceCount is how many races of two starts there are on each engine; a quarter of them takes as long as the second one waits.
var raceCount = flag.Int("races", 20, "how many races of two starts TestOfTwoStartsAtOnceOneGetsIt runs on each database")

// raceTracks is how many races run at once.
const raceTracks = 5

// lockWait is about how long a second up waits for the first one to end.
const lockWait = 3 * time.Second

func TestSecondUpOnOneHomeIsRefused(t *testing.T) {
	t.Parallel()
	seed := newWorld(t).seed()
	r := seed.fails(3, "up")
	r.isOneLine(t, fmt.Sprintf("a node is running on this home already (pid %d", seed.node.pid()))
	if r.took < lockWait-time.Second {
		t.Errorf("it has waited %v for the first one to end", r.took)
	}
	seed.ok("status")
}

func TestSecondUpTakesOverFromOneThatEnds(t *testing.T) {
	t.Parallel()
	seed := newWorld(t).seed()
	first := seed.node
	second := seed.up()
	if code, _ := first.stop(); code != 0 {
		t.Errorf("the first node ended with %d", code)
	}
	second.says(second.stderr, "parley: ready")
}

func TestSecondNodeOnOneDatabaseIsRefused(t *testing.T) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			alice, mallory := w.person("Alice"), w.person("Mallory")
			alice.database = database(t)
			alice.ok("init", "--name", "Alice", "--no-passphrase")
			alice.start()
			mallory.ok("init", "--name", "Mallory", "--no-passphrase")
			mallory.fails(3, "up", "--database", alice.database).isOneLine(t, "is in use by another parley node")
			alice.node.stop()
			mallory.fails(3, "up", "--database", alice.database).isOneLine(t, "belongs to the account")
			mallory.start() // a refused database is not remembered
			alice.start()
		})
	}
}

// Two nodes are started at once on one home, or on one PostgreSQL with a copy of the home each. Never do both get ready: the second one is
// refused, or takes over when the first one is killed.
func TestOfTwoStartsAtOnceOneGetsIt(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine func(testing.TB) string) {
		var killed, taken atomic.Int32
		t.Cleanup(func() { // once all tracks are through
			if t.Logf("the first was killed in time %d times, and the second took over %d times", killed.Load(), taken.Load()); killed.Load() > 0 && taken.Load() == 0 {
				t.Error("nobody has taken over")
			}
		})
		for track := range raceTracks {
			t.Run(fmt.Sprint(track), func(t *testing.T) {
				t.Parallel()
				first, second := newWorld(t).twice(engine)
				for n := track; n < *raceCount; n += raceTracks {
					kills, takes := race(t, n, first.up(), second.up())
					if kills {
						killed.Add(1)
					}
					if takes {
						taken.Add(1)
					}
				}
			})
		}
	})
}

// twice returns somebody who is there twice: with two ports, and with two homes where the database is elsewhere.
func (w *world) twice(engine func(testing.TB) string) (first, second *person) {
	first = w.person("Alice")
	first.database = engine(w)
	first.ok("init", "--name", "Alice", "--no-passphrase")
	first.start()
	first.node.stop()
	again := *first
	again.port = freePort(w)
	if first.database != "" {
		again.home = filepath.Join(w.dir, "copy")
		if r := command(w, w.env(), nil, "cp", "-a", first.home, again.home); r.code != 0 {
			w.Fatal(r)
		}
	}
	return first, &again
}

// race waits until one of two nodes has won. In three races of four it is killed at once, and the other one takes over: race reports whether both
// came about. On a machine that is too busy to kill at once the other one may have been refused before.
func race(t *testing.T, n int, a, b *process) (kills, taken bool) {
	isReady := func(p *process) bool { return strings.Contains(p.stderr.String(), "parley: ready") }
	await(t, patience, "one of two is ready", func() bool { return isReady(a) || isReady(b) })
	first, second := a, b
	if isReady(b) {
		first, second = b, a
	}
	if isReady(second) {
		t.Errorf("race %d: both are ready", n)
	}
	kills = n/raceTracks%4 < 3 && second.running()
	if kills {
		first.kill()
	}
	await(t, patience, "the second is ready or refused", func() bool { return isReady(second) || !second.running() })
	taken = isReady(second)
	if taken && !kills || !taken && second.wait() != 3 || !kills && !first.running() {
		t.Errorf("race %d: killed %v, taken over %v", n, kills, taken)
	}
	first.kill()
	second.kill()
	return kills, taken
}

func TestSecondInitChangesNothing(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	before := secretKeys(t, alice)
	alice.makes(t, mistake{args: []string{"init", "--name", "Zoe", "--no-passphrase"}, code: 3, says: "already initialised as Alice"})
	if string(secretKeys(t, alice)) != string(before) {
		t.Error("the keys have changed")
	}
}

func TestTakenPortIsAnErrorAndNeverShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	for _, p := range []*person{alice, bob} {
		p.ok("init", "--name", p.name, "--no-passphrase")
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", alice.port))
	if err != nil {
		t.Fatal(err)
	}
	alice.fails(3, "up", "--listen", alice.listen()).isOneLine(t, fmt.Sprintf("port %d is in use", alice.port))
	l.Close()
	alice.start()
	bob.fails(3, "up", "--listen", alice.listen()).isOneLine(t, fmt.Sprintf("port %d is in use", alice.port))
}

func TestPortIsChosenOnceAndKept(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	chosen := read(t, alice.home, "node.json")
	alice.start()
	alice.node.stop()
	if now := read(t, alice.home, "node.json"); now != chosen {
		t.Errorf("the home held %s and now holds %s", chosen, now)
	}
}

func TestEverythingInAHomeIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.start()
	err := filepath.Walk(alice.home, func(path string, info os.FileInfo, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the node runs, and has just put a new file in the place of an old one
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// read returns the content of a file.
func read(t testing.TB, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
