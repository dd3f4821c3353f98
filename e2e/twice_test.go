package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/store/storetest"
)

// lockWait is about how long a second up waits for the first one to end.
const lockWait = 3 * time.Second

func TestSecondUpOnOneHomeIsRefused(t *testing.T) {
	t.Parallel()
	seed := newWorld(t).seed()
	r := seed.fails(3, "up")
	r.isOneLine(t, fmt.Sprintf("a node is running on this home already (pid %d", seed.node.pid()))
	if r.took < lockWait-time.Second || r.took > lockWait+3*time.Second {
		t.Errorf("it took %v", r.took)
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
