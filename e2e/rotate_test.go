package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// rotations is how often the key is changed while somebody is killed, and slowestBlow the latest moment of that: writing the key takes a few milliseconds,
// and handing it on a few more.
const (
	rotations   = 6
	slowestBlow = 60 * time.Millisecond
)

// keyJSON is what the tests read of net rotate-key --json.
type keyJSON struct {
	State  string `json:"state"`
	Behind []any  `json:"behind"`
}

func (p *person) key() (k keyJSON) {
	p.Helper()
	if err := json.Unmarshal([]byte(p.ok("net", "rotate-key", "--status", "--json")), &k); err != nil {
		p.Fatal(err)
	}
	return k
}

// Whoever is killed while the network's key is changed starts again with a key that is good, and follows: the one that makes it, the one that is
// to take it, or both.
func TestWhoeverIsKilledHasAKey(t *testing.T) {
	t.Parallel()
	seed, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range rotations {
		turning := seed.background("net", "rotate-key", "--yes", "--grace", "1h")
		<-time.After(time.Duration(rng.Int64N(int64(slowestBlow))))
		for _, p := range [][]*person{{seed}, {bob}, {seed, bob}}[i%3] {
			p.node.kill()
			p.hasKey(t)
			p.start()
		}
		turning.wait()
		if seed.key().State != "grace" { // it was killed before
			seed.ok("net", "rotate-key", "--yes", "--grace", "1h")
		}
		await(t, patience, "everybody follows", func() bool { return len(seed.key().Behind) == 0 })
		seed.ok("net", "rotate-key", "--now", "--yes")
		alice.ok("send", "bob", fmt.Sprintf("after change %d", i), "--wait", "delivered")
	}
	for _, p := range []*person{seed, alice, bob} {
		p.node.kill()
	}
	for _, p := range []*person{seed, alice, bob} {
		p.start()
	}
	bob.ok("send", "alice", "we all have it", "--wait", "delivered")
}

// hasKey checks that what a killed node has left is a whole key, which nobody else can read.
func (p *person) hasKey(t *testing.T) {
	t.Helper()
	path := filepath.Join(p.home, "network.json")
	var network struct {
		PSK      []byte `json:"psk"`
		Rotation []byte `json:"rotation"`
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &network)
	}
	if err != nil || len(network.PSK) != 32 || len(network.Rotation) != 0 && len(network.Rotation) != 152 {
		t.Fatalf("%s has a key of %d bytes, which has come with %d: %v", p.name, len(network.PSK), len(network.Rotation), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: others can read the key (%v, %v)", p.name, info.Mode(), err)
	}
}
