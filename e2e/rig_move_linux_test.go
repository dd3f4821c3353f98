package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// resumeWithin is how long two people may take to hear from each other again when something has happened to what is between them.
const resumeWithin = slowness * 30 * time.Second

// move is a change of the place where Alice's machine is.
type move struct {
	name     string
	happened func(n *internet)
}

// journeys lists where Alice's machine goes, one way after the other. She begins at a place that everybody can dial.
func journeys() map[string][]move {
	const machine = "alice"
	to := func(where place) move {
		return move{"to " + string(where), func(n *internet) {
			n.leave(machine)
			n.settle(machine, where)
		}}
	}
	return map[string][]move{
		"away": {to(public), to(home), to(home), to(symmetric), to(home), to(public)},
		"between families": {
			{"to IPv4 alone", func(n *internet) { n.address("del", machine, wanLink, true) }},
			{"to IPv6 alone", func(n *internet) {
				n.address("add", machine, wanLink, true)
				n.address("del", machine, wanLink, false)
			}},
			{"to both", func(n *internet) { n.address("add", machine, wanLink, false) }},
		},
	}
}

// TestRoaming moves Alice's machine while she and Bob talk. Both have to hear from each other again in time, and nothing is lost.
func TestRoaming(t *testing.T) {
	t.Parallel()
	if !inTheRig(t) {
		return
	}
	var table strings.Builder
	for name, journey := range journeys() {
		for _, key := range []bool{true, false} {
			t.Run(name+", "+mode(key), func(t *testing.T) {
				net := newInternet(t)
				_, alice, bob := meeting{alice: public, bob: public, key: key}.gather(net)
				talk := listen(t, alice, bob)
				talk.exchange(t, 0, resumeWithin)
				for i, m := range journey {
					began := time.Now()
					m.happened(net)
					talk.exchange(t, i+1, resumeWithin)
					fmt.Fprintf(&table, "S13 %-40s both hear each other after %5d ms\n", m.name+", "+mode(key), time.Since(began).Milliseconds())
				}
				talk.finish(resumeWithin)
			})
		}
	}
	t.Logf("\n%s", table.String())
}

func mode(key bool) string {
	if key {
		return "key"
	}
	return "QUIC and TCP"
}

// exchange lets both say something, and returns when both were told that it has arrived.
func (c *conversation) exchange(t testing.TB, n int, within time.Duration) {
	t.Helper()
	c.note(c.alice.sayOne(c.ctx, c.fromAlice, n))
	c.note(c.bob.sayOne(c.ctx, c.fromBob, n))
	await(t, within, "both hear each other", func() bool {
		return c.fromAlice.tickedCount() >= c.fromAlice.acceptedCount() && c.fromBob.tickedCount() >= c.fromBob.acceptedCount()
	})
}
