package e2e

import (
	"strings"
	"testing"
	"time"
)

// A node on the internet learns from its seed that others can dial it, and one behind a router that they cannot: both say so in their status, and
// only the first serves others as a part of the network that they can rely on.
func TestReachIsToldAsItIs(t *testing.T) {
	if !inTheRig(t) {
		return
	}
	for _, key := range []string{"--network=home", "--no-psk"} {
		t.Run(key, func(t *testing.T) {
			net := newInternet(t)
			w := newWorld(t)
			seed := net.person(w, "Seed", "public")
			seed.options = []string{"--seed"}
			seed.ok("init", "--name", "Seed", key, "--no-passphrase")
			seed.start()
			alice, bob := net.person(w, "Alice", "public"), net.person(w, "Bob", home)
			for _, p := range []*person{alice, bob} {
				p.joins(seed.invite()).start("--no-mailbox")
				p.knows("Seed")
			}
			begin := time.Now()
			says := func(p *person, want string) {
				await(t, time.Minute, p.name+" to say "+want, func() bool { return strings.Contains(p.ok("status"), "reachable  "+want) })
				t.Logf("%s says %q after %v", p.name, want, time.Since(begin).Round(100*time.Millisecond))
			}
			says(alice, "yes (confirmed by 1 seed)")
			says(bob, "no: behind a router (1 seed has tried)")
			if said := alice.ok("doctor"); !strings.Contains(said, "confirmed by 1 seed") {
				t.Errorf("Alice's doctor: %s", said)
			}
			if said := seed.ok("status"); !strings.Contains(said, "reachable  unknown") {
				t.Errorf("the seed, whom no other seed has tried: %s", said)
			}
		})
	}
}
