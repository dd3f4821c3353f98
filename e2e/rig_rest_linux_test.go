package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"
)

var (
	restNodes = flag.Int("rest.nodes", 6, "how many nodes TestAtRest has, the seed included")
	restFor   = flag.Duration("rest.time", 10*time.Second, "for how long TestAtRest looks at them")
)

// rest is what one node has used by a moment.
type rest struct {
	sent, received int64 // bytes on its link, headers included
	cpu            time.Duration
	resident       float64 // MiB
}

// TestAtRest lets a network be, in which everybody but the seed sits behind a router, is a contact of the seed's owner, and says not a word, and says what it costs: each node has a
// machine of its own, whose link counts.
func TestAtRest(t *testing.T) {
	t.Parallel()
	if !inTheRig(t) {
		return
	}
	net := newInternet(t)
	seed, alice, bob := meeting{alice: home, bob: home, key: true}.gather(net)
	nodes := []*person{seed, alice, bob}
	link := seed.ok("net", "invite", "--uses", "100")
	for n := len(nodes); n < *restNodes; n++ {
		p := net.person(seed.world, fmt.Sprintf("Guest%d", n), home)
		p.joins(link)
		p.start()
		nodes = append(nodes, p)
	}
	lasts(min(*restFor/5, 2*time.Minute)) // the first records and look-ups are over
	before := make([]rest, len(nodes))
	for i, p := range nodes {
		before[i] = p.rest()
	}
	begin := time.Now()
	lasts(*restFor)
	var used []rest
	for i, p := range nodes {
		r := p.rest()
		used = append(used, rest{r.sent - before[i].sent, r.received - before[i].received, r.cpu - before[i].cpu, r.resident})
	}
	hours := time.Since(begin).Hours()
	guests := slices.SortedFunc(slices.Values(used[1:]), func(a, b rest) int { return int(a.sent + a.received - b.sent - b.received) })
	for who, r := range map[string]rest{"the seed": used[0], "a client in the middle": guests[len(guests)/2], "the busiest client": guests[len(guests)-1]} {
		t.Logf("%d nodes for %v, %s: %.0f kB/h sent, %.0f kB/h received, %.2f %% of a processor, %.1f MiB, %d peers", len(nodes), *restFor, who,
			float64(r.sent)/1000/hours, float64(r.received)/1000/hours, 100*r.cpu.Hours()/hours, r.resident, seed.status().Peers)
	}
}

// rest looks at the machine and the node of a person.
func (p *person) rest() rest {
	p.Helper()
	out, err := exec.Command("ip", "-s", "-j", "-n", p.under[len(p.under)-1], "link", "show", "type", "veth").Output()
	var links []struct {
		Stats struct{ RX, TX struct{ Bytes int64 } } `json:"stats64"`
	}
	if err == nil {
		err = json.Unmarshal(out, &links)
	}
	if err != nil || len(links) != 1 {
		p.Fatalf("read the counters of a link: %v, %s", err, out)
	}
	return rest{links[0].Stats.TX.Bytes, links[0].Stats.RX.Bytes, cpuTime(p, p.node), memory(p, p.node)}
}
