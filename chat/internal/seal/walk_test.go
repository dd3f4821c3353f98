package seal_test

import (
	"bytes"
	"flag"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"parley/chat/internal/seal"
)

var (
	walkSeeds = flag.Int("seeds", 0, "how many random walks TestSessionsAtRandom takes; 0: a few hundred, and fewer with the race detector")
	walkSeed  = flag.Int("seed", -1, "take only the walk of this seed")
	walkSteps = flag.Int("steps", 60, "how many steps a walk has")
)

// event is something that may happen, and how often among all.
type event struct {
	name   string
	weight int
	do     func(*world)
}

func events() []event {
	return []event{
		{"write", 30, func(w *world) { n, peer := w.pair(); w.write(n, peer, -1) }},
		{"write several", 4, func(w *world) {
			n, peer := w.pair()
			for range 2 + w.rng.IntN(6) {
				w.write(n, peer, -1)
			}
		}},
		{"deliver", 34, func(w *world) { w.withFlight(w.deliver) }},
		{"deliver a batch", 4, (*world).deliverBatch},
		{"drop", 6, func(w *world) { w.withFlight(func(flight) {}) }},
		{"duplicate", 4, func(w *world) { w.withFlight(func(f flight) { w.deliver(f); w.deliver(f) }) }},
		{"retry", 12, (*world).retryOne},
		{"begin at once", 1, (*world).beginBoth},
		{"begin anew", 3, func(w *world) { n, peer := w.pair(); w.write(n, peer, w.begin(n, peer)) }},
		{"copy", 2, func(w *world) { n, _ := w.pair(); k := n.clone(); w.copies[n.index] = &k }},
		{"restore", 1, (*world).restoreOne},
		{"leave out", 1, (*world).leaveOut},
		{"rotate prekeys", 2, func(w *world) { n, _ := w.pair(); n.rotate() }},
		{"exhaust one-time keys", 1, func(w *world) { n, _ := w.pair(); w.offered[n.index] = nil }},
		{"refill one-time keys", 1, func(w *world) { n, _ := w.pair(); n.refill(2); w.publish(n) }},
		{"replay", 6, (*world).replay},
		{"open again", 6, (*world).openAgain},
		{"flip a bit", 5, (*world).flip},
		{"wrong tag", 2, (*world).wrongTag},
	}
}

// pair picks a device, and another.
func (w *world) pair() (*node, int) {
	i := w.rng.IntN(len(w.nodes))
	return w.nodes[i], (i + 1 + w.rng.IntN(len(w.nodes)-1)) % len(w.nodes)
}

// withFlight takes some packet that is on its way; most often one of the oldest, so that order is lost but not all of it.
func (w *world) withFlight(do func(flight)) {
	if len(w.flying) == 0 {
		return
	}
	i := w.rng.IntN(min(len(w.flying), 1+w.rng.IntN(12)))
	f := w.flying[i]
	w.flying = slices.Delete(w.flying, i, i+1)
	do(f)
}

// deliverBatch hands a device all that is on its way to it, ascending within each chain, as a mailbox does.
func (w *world) deliverBatch() {
	n, _ := w.pair()
	var batch []flight
	w.flying = slices.DeleteFunc(w.flying, func(f flight) bool {
		if f.to == n.index {
			batch = append(batch, f)
		}
		return f.to == n.index
	})
	came := map[seal.ChainID]int{}
	at := func(f flight) (chain, place int) {
		p, err := seal.Parse(f.packet)
		if err != nil {
			return 0, 0
		}
		id, number := p.Position()
		if _, ok := came[id]; !ok {
			came[id] = len(came) + 1
		}
		return came[id], int(number)
	}
	for _, f := range batch {
		at(f)
	}
	slices.SortStableFunc(batch, func(a, b flight) int {
		chainA, placeA := at(a)
		chainB, placeB := at(b)
		if chainA != chainB {
			return chainA - chainB
		}
		return placeA - placeB
	})
	for _, f := range batch {
		w.deliver(f)
	}
}

func (w *world) retryOne() {
	if n, _ := w.pair(); len(n.rows) > 0 {
		w.retry(n, w.rng.IntN(len(n.rows)))
	}
}

func (w *world) beginBoth() {
	n, peer := w.pair()
	w.write(n, peer, w.begin(n, peer))
	w.write(w.nodes[peer], n.index, w.begin(w.nodes[peer], n.index))
}

func (w *world) restoreOne() {
	if n, _ := w.pair(); w.copies[n.index] != nil {
		w.restore(n)
	}
}

// leaveOut seals packets that are given up: fewer than may be left out, exactly as many, or more.
func (w *world) leaveOut() {
	n, peer := w.pair()
	i := n.choose(peer)
	if i < 0 {
		return
	}
	count := 1 + w.rng.IntN(60)
	if w.rng.IntN(6) == 0 {
		count = 999 + w.rng.IntN(4)
	}
	s := w.parse(n.sessions[i].state)
	for range count {
		packet, _, chain, err := s.Seal([]byte{bodyStep})
		if err != nil {
			w.fail("seal: %v", err)
			return
		}
		if p, err := seal.Parse(packet); err == nil {
			w.note(n.index, p, chain)
		}
	}
	n.sessions[i].state = s.Marshal()
	if w.skipped[n.sessions[i].id] += count; w.skipped[n.sessions[i].id] > 700 {
		w.tainted[n.sessions[i].id] = true
	}
}

// replay delivers something old: to its device, or to another.
func (w *world) replay() {
	if len(w.history) == 0 {
		return
	}
	f := w.history[w.rng.IntN(len(w.history))]
	if w.rng.IntN(4) == 0 {
		f.to = w.rng.IntN(len(w.nodes))
	}
	w.deliver(f)
}

// openAgain asks past the envelopes that the messenger remembers: what was opened does not open again, nor begins a session again.
func (w *world) openAgain() {
	if len(w.history) == 0 {
		return
	}
	f := w.history[w.rng.IntN(len(w.history))]
	n := w.nodes[f.to]
	p, err := seal.Parse(f.packet)
	if err != nil || !n.opened[inside(f.packet)] {
		return
	}
	if n.find(p.Session) < 0 {
		if p.First != nil {
			w.answer(n, p, f.packet)
		}
		return
	}
	before := n.sessions[n.find(p.Session)].state
	s := w.parse(before)
	if _, _, err := s.Open(p); err == nil || !bytes.Equal(s.Marshal(), before) {
		w.fail("a packet that was opened opens again, or changes the state: %v", err)
	}
}

// flip delivers a packet of which one bit is wrong, or the end is missing.
func (w *world) flip() {
	if len(w.flying) == 0 {
		return
	}
	f := w.flying[w.rng.IntN(len(w.flying))]
	f.packet = bytes.Clone(f.packet)
	if at := w.rng.IntN(len(f.packet)); w.rng.IntN(4) == 0 {
		f.packet = f.packet[:at]
	} else {
		f.packet[at] ^= 1 << w.rng.IntN(8)
	}
	w.deliver(f)
}

// wrongTag acknowledges a row with something else than its tag.
func (w *world) wrongTag() {
	n, _ := w.pair()
	if len(n.rows) == 0 {
		return
	}
	r := n.rows[w.rng.IntN(len(n.rows))]
	before, tag := len(n.rows), r.pairs[0].tag
	tag[w.rng.IntN(len(tag))] ^= 1 << w.rng.IntN(8)
	w.acknowledge(n, r.pairs[0].id, tag)
	if len(n.rows) != before {
		w.fail("a wrong tag took a row away")
	}
}

// walk takes one random walk, and returns how many steps it had and what was wrong.
func walk(t *testing.T, seed uint64, length int, m mistake) (met tally, steps int, err error) {
	cryptotest.SetGlobalRandom(t, seed)
	w := newWorld(t, seed, 2+int(seed%3)/2, m)
	all, sum := events(), 0
	for _, e := range all {
		sum += e.weight
	}
	for range length {
		w.steps++
		at := w.rng.IntN(sum)
		for _, e := range all {
			if at -= e.weight; at < 0 {
				e.do(w)
				break
			}
		}
		if w.broken != nil {
			return w.tally, w.steps, w.broken
		}
	}
	err = w.agree()
	return w.tally, length, err
}

// TestSessionsAtRandom is the model-based walk: events at random, invariants at every step, and at the end, with all faults off,
// everything that was written is there once and everybody can talk.
func TestSessionsAtRandom(t *testing.T) {
	from, seeds := 0, *walkSeeds
	if *walkSeed >= 0 {
		from, seeds = *walkSeed, 1
	} else if seeds == 0 {
		seeds = usualSeeds
	}
	start, steps, met := time.Now(), 0, tally{}
	for seed := from; seed < from+seeds; seed++ {
		m, n, err := walk(t, uint64(seed), *walkSteps, noMistake)
		if err != nil {
			t.Fatalf("seed %d: %v\nagain: go test ./chat/internal/seal -run '^TestSessionsAtRandom$' -args -seed %d -steps %d", seed, err, seed, *walkSteps)
		}
		steps += n
		met.add(m)
	}
	t.Logf("%d seeds, %d steps, %s: %s", seeds, steps, time.Since(start).Round(time.Millisecond), met)
}

// TestTheWalkNoticesMistakes switches mistakes on, one at a time: a walk that lets one pass proves nothing.
func TestTheWalkNoticesMistakes(t *testing.T) {
	for _, m := range []struct {
		name string
		mistake
		from uint64 // a seed that is known to meet it soon
	}{
		{"retries re-encrypt", retriesReencrypt, 0},
		{"seen envelopes are forgotten", forgetsSeen, 0},
		{"handshakes are forgotten", forgetsHandshakes, 6},
		{"a failed open moves the state", failedOpenMoves, 0},
		{"no keys are kept", keepsNoKeys, 0},
		{"a restored state is sent on", sendsOnRestored, 2},
	} {
		t.Run(m.name, func(t *testing.T) {
			const most = 60
			for seed := m.from; seed < m.from+most; seed++ {
				if _, _, err := walk(t, seed, 200, m.mistake); err != nil {
					t.Logf("seed %d, %v", seed, err)
					return
				}
			}
			t.Errorf("%d walks noticed nothing", most)
		})
	}
}
