package e2e

import (
	"fmt"
	"testing"
)

// Two hosts share one PostgreSQL. What the first one took the second one hands out, after the first has died for good and though nobody else
// is there who has it.
func TestAHostOfAFleetHandsOutWhatAnotherTook(t *testing.T) {
	t.Parallel()
	const n = 20
	w := newWorld(t)
	shared := []string{"--seed", "--mailbox-database", engines()["postgres"](t)}
	first, second := w.person("Host1"), w.person("Host2")
	first.options, second.options = shared, shared
	first.ok("init", "--name", first.name, "--network", "home", "--no-passphrase")
	first.start()
	second.joins(first.invite()).start()
	await(w, patience, "the hosts have met", func() bool { return first.status().Peers == 1 })
	people := w.friends([]*person{first, second}, engines()["sqlite"], "Alice", "Bob")
	alice, bob := people[0], people[1]

	bob.node.stop()
	second.node.stop()
	for i := range n {
		alice.ok("send", "bob", fmt.Sprintf("text %d", i), "--wait", "sent", "--timeout", "60s")
	}
	alice.node.stop()
	second.start()
	first.node.kill()

	bob.start()
	await(t, burstTime, "Bob was shown everything", func() bool {
		return len(messages(t, bob.ok("history", "alice", "--json", "--limit", "0"))) >= n
	})
	for i, text := range texts(messages(t, bob.ok("history", "alice", "--json", "--limit", "0"))) {
		if want := fmt.Sprintf("text %d", i); text != want {
			t.Errorf("Bob has %q for %q", text, want)
		}
	}
}
