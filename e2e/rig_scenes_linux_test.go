package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// healTime is how long everything may take to arrive after a heal.
const healTime = time.Minute

// playNear is two machines at 20 ms (there and back): the first text after both have started, and then many.
func playNear(t *testing.T, key bool) {
	const rtt = 20 * time.Millisecond
	s := newScene(t, key)
	s.wire.turns(weather{delay: rtt / 2})
	var cold []time.Duration
	for range much(20, 2) {
		s.alice.node.stop()
		s.bob.node.stop()
		s.alice.start()
		s.bob.start()
		cold = append(cold, s.once(patience))
	}
	first := spreadOf(cold)
	s.note("first text: %v", first)
	s.passes("the first text", first.at(0.5), time.Second)
	warm := s.warm(much(1000, 60), 60*time.Millisecond, healTime)
	s.note("then: %v", warm)
	s.passes("a text in the middle", warm.at(0.5), 2*rtt+50*time.Millisecond)
	s.ends()
}

// warm lets both say half of a number of texts, and returns how long those took.
func (s *scene) warm(texts int, longest, within time.Duration) spread {
	s.Helper()
	a, b := len(s.talk.fromAlice.times(0)), len(s.talk.fromBob.times(0))
	s.says(texts/2, texts/2, longest)
	s.settles(within)
	return spreadOf(s.talk.fromAlice.times(a), s.talk.fromBob.times(b))
}

// playTurns never has Alice and Bob on the wire at the same time: the seed keeps what they say.
func playTurns(t *testing.T, key bool) {
	s := newScene(t, key, func(s *scene) {
		for _, p := range []*person{s.alice, s.bob} {
			p.environ = []string{"PARLEY_LOG_LEVEL=info"} // where the node says who keeps its mailboxes
		}
	})
	for _, p := range []*person{s.alice, s.bob} {
		await(t, patience, p.name+" has a mailbox", func() bool { return p.hostsSaid() == 1 })
		p.node.stop()
		p.start()
	}
	for _, p := range []*person{s.alice, s.bob} {
		await(t, patience, "others can find out where "+p.name+" has a mailbox", func() bool { return p.recordsPut() >= 2 })
	}
	s.once(patience)
	s.bob.node.stop()
	var took []time.Duration
	each := 50
	for range much(10, 1) {
		took = append(took, s.turn(s.alice, s.bob, s.talk.fromAlice, each), s.turn(s.bob, s.alice, s.talk.fromBob, each))
	}
	s.bob.start()
	s.settles(healTime)
	all := spreadOf(took)
	s.note("%d texts by mailbox; all of a turn shown %d ms (p50), %d ms (longest) after the start",
		s.talk.fromAlice.postedCount()+s.talk.fromBob.postedCount(), all.at(0.5).Milliseconds(), all.at(1).Milliseconds())
	s.passes("a turn", all.at(1), 10*time.Second)
	s.ends()
}

// turn lets one say texts, who goes then, and the other one come. It returns how long that one waited for all of them, once their node was
// ready.
func (s *scene) turn(author, reader *person, said *ledger, texts int) time.Duration {
	s.Helper()
	posted, shown := said.postedCount(), said.shownCount()
	if author == s.alice {
		s.says(texts, 0, 0)
	} else {
		s.says(0, texts, 0)
	}
	s.talk.speaking.Wait()
	await(s, healTime, "all that "+author.name+" said is kept by the seed", func() bool { return said.postedCount() >= posted+texts })
	author.node.stop()
	reader.start()
	begin := time.Now()
	await(s, healTime, reader.name+" was shown all", func() bool { return said.shownCount() >= shown+texts })
	return time.Since(begin)
}

// playLossy loses three packets of ten each way at 100 ms. Bob starts in this weather. Each says a text a second, which is about a quarter of what
// gets through.
func playLossy(t *testing.T, key bool) {
	s := newScene(t, key)
	s.bob.node.stop()
	s.wire.turns(weather{delay: 50 * time.Millisecond, loss: 0.3})
	s.bob.start()
	begin := time.Now()
	took := s.warm(much(1000, 20), time.Duration(much(2000, 500))*time.Millisecond, 5*time.Minute)
	again := slices.DeleteFunc(s.wire.handshakes(begin), dialledBack)
	s.note("%v, %d connections made", took, len(again))
	s.Logf("connections: %q", again)
	s.passes("19 of 20 texts", took.at(0.95), 15*time.Second)
	s.ends()
}

// playFar is a satellite between them, and a worse one, with a jitter of 150 ms there and back. Nobody takes slowness for death: no connection is made
// anew, but for those by which the seed tries whether it can dial them, which they ask for.
func playFar(t *testing.T, key bool) {
	s := newScene(t, key)
	for _, rtt := range []time.Duration{500 * time.Millisecond, 800 * time.Millisecond} {
		s.wire.turns(weather{delay: rtt / 2, jitter: 75 * time.Millisecond})
		s.once(healTime)
		begin := time.Now()
		took := s.warm(much(1000, 40), 400*time.Millisecond, healTime)
		again := slices.DeleteFunc(s.wire.handshakes(begin), dialledBack)
		s.note("%v there and back: %v, %d connections anew", rtt, took, len(again))
		s.passes("a text in the middle", took.at(0.5), 1500*time.Millisecond)
		if len(again) > 0 {
			s.Errorf("connections were made anew: %q", again)
		}
	}
	s.ends()
}

// dialledBack reports whether a handshake is one of those: it is with the seed, and not with the port that it listens on.
func dialledBack(handshake string) bool {
	const seed = "5.1.0.1"
	return strings.Contains(handshake, seed+":") && !strings.Contains(handshake, seed+":4101")
}

// rungs are a ladder of weather with gusts at 100 ms there and back: from a fair day to two seconds of nothing in every two and a half.
func rungs() (ladder []weather) {
	const ms = time.Millisecond
	for _, g := range []gusts{
		{},
		{calm: 4900 * ms, gust: 100 * ms, loss: 0.5},   // 1 % of all packets
		{calm: 1900 * ms, gust: 100 * ms, loss: 0.6},   // 3 %
		{calm: 1800 * ms, gust: 200 * ms, loss: 0.8},   // 8 %
		{calm: 1600 * ms, gust: 400 * ms, loss: 0.6},   // 12 %
		{calm: 1400 * ms, gust: 600 * ms, loss: 0.833}, // 25 %
		{calm: 1000 * ms, gust: 1000 * ms, loss: 0.8},  // 40 %
		{calm: 800 * ms, gust: 1200 * ms, loss: 1},     // 60 %
		{calm: 500 * ms, gust: 2000 * ms, loss: 1},     // 80 %
	} {
		ladder = append(ladder, weather{delay: 50 * ms, gusts: g})
	}
	return ladder
}

// playGusts climbs the ladder. On which rung everything still arrives within half a minute is noted; what does not has to when the weather clears.
func playGusts(t *testing.T, key bool) {
	const patient = 30 * time.Second
	s := newScene(t, key)
	highest := -1
	for i, rung := range rungs() {
		s.wire.turns(rung)
		a, b := len(s.talk.fromAlice.times(0)), len(s.talk.fromBob.times(0))
		s.says(much(100, 10), much(100, 10), 200*time.Millisecond)
		s.talk.speaking.Wait()
		arrived := s.settledWithin(patient)
		if arrived && highest == i-1 {
			highest = i
		}
		s.wire.turns(rungs()[0])
		clear := s.settles(healTime)
		took := spreadOf(s.talk.fromAlice.times(a), s.talk.fromBob.times(b))
		s.note("rung %d, %2.0f %% lost: all within %v: %v; %v; at rest %d ms after it cleared", i, 100*rung.gusts.share(), patient, arrived, took,
			clear.Milliseconds())
	}
	s.note("the highest rung up to which all arrived: %d", highest)
	if highest < 4 {
		s.Errorf("not all arrived on rung %d", highest+1)
	}
	s.ends()
}

// settledWithin reports whether everything has arrived within a time.
func (s *scene) settledWithin(limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for !s.settled() {
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(10 * time.Millisecond)
	}
	return true
}

// playParted cuts Alice off from everybody, while both talk.
func playParted(t *testing.T, key bool) {
	s := newScene(t, key)
	cut := time.Duration(much(60, 8)) * time.Second
	var took []time.Duration
	for range much(10, 1) {
		took = append(took, s.parted(int(cut/(500*time.Millisecond)), time.Second, func() {
			s.wire.part([]string{"alice"}, []string{"bob", "seed"})
			<-time.After(cut)
		}))
	}
	s.notePartings(fmt.Sprintf("%d times for %v", len(took), cut), took)
}

// parted lets both talk while something happens to the wire, and returns how long everything took to arrive behind the heal.
func (s *scene) parted(texts int, longest time.Duration, happens func()) time.Duration {
	s.Helper()
	s.once(healTime)
	s.says(texts, texts, longest)
	happens()
	s.wire.heal()
	begin := time.Now()
	s.settles(healTime)
	return time.Since(begin)
}

func (s *scene) notePartings(what string, took []time.Duration) {
	s.Helper()
	all := spreadOf(took)
	s.note("%s: %d texts, at rest %d ms (p50), %d ms (longest) after the heal", what,
		s.talk.fromAlice.acceptedCount()+s.talk.fromBob.acceptedCount(), all.at(0.5).Milliseconds(), all.at(1).Milliseconds())
	s.passes("what was said", all.at(1), healTime)
	s.ends()
}

// playFlapping takes one direction away for a while, and then both every other five seconds.
func playFlapping(t *testing.T, key bool) {
	s := newScene(t, key)
	var took []time.Duration
	for _, way := range [][2]string{{"alice", "bob"}, {"bob", "alice"}} {
		took = append(took, s.parted(much(60, 10), time.Duration(much(1000, 300))*time.Millisecond, func() {
			s.wire.cut([]string{way[0]}, []string{way[1], "seed"})
			<-time.After(time.Duration(much(30, 5)) * time.Second)
		}))
	}
	s.note("one way: at rest %d and %d ms after the heal", took[0].Milliseconds(), took[1].Milliseconds())
	took = append(took, s.parted(much(120, 20), time.Second, func() {
		for range much(12, 2) {
			s.wire.part([]string{"alice"}, []string{"bob", "seed"})
			<-time.After(5 * time.Second)
			s.wire.heal()
			<-time.After(5 * time.Second)
		}
	}))
	s.notePartings("and every other 5 s", took)
}

// playLongParting is one cut of ten minutes.
func playLongParting(t *testing.T, key bool) {
	s := newScene(t, key)
	cut := time.Duration(much(600, 30)) * time.Second
	took := s.parted(200, cut/100, func() {
		s.wire.part([]string{"alice"}, []string{"bob", "seed"})
		<-time.After(cut)
	})
	s.notePartings(fmt.Sprintf("once for %v", cut), []time.Duration{took})
}

// playNarrow lets no packet of more than 1280 bytes to Alice, as a tunnel does: on a road whose routers say nothing of it, and
// also by her own link.
func playNarrow(t *testing.T, key bool) {
	const narrow = 1280
	road := func(s *scene) {
		for _, other := range []string{"seed", "bob"} {
			s.wire.turnsBetween("alice", other, weather{delay: 10 * time.Millisecond, mtu: narrow})
		}
	}
	link := func(s *scene) { s.net.ip("-n", "alice", "link", "set", wanLink, "mtu", fmt.Sprint(narrow)) }
	for name, change := range map[string]func(*scene){"road": road, "link": func(s *scene) { road(s); link(s) }} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, key, change)
			long := strings.Repeat("a long story ", 2000)
			c := s.talk
			for i := range 3 {
				c.note(c.alice.sayText(c.ctx, c.fromAlice, fmt.Sprintf("alice-long-%d %s", i, long)))
				c.note(c.bob.sayText(c.ctx, c.fromBob, fmt.Sprintf("bob-long-%d %s", i, long)))
			}
			took := s.warm(much(1000, 20), 50*time.Millisecond, healTime)
			s.note("packets of at most %d bytes: %v", narrow, took)
			s.passes("19 of 20 texts", took.at(0.95), 5*time.Second)
			s.ends()
		})
	}
}

// playThin is a line of 40 kbit/s with a text on it that takes half a minute. Nobody takes a word that waits behind it for death, and no connection
// is made anew.
func playThin(t *testing.T, key bool) {
	s := newScene(t, key)
	s.once(healTime)
	s.wire.turns(weather{delay: 50 * time.Millisecond, rate: 5000, queue: 32 << 10})
	begin := time.Now()
	c := s.talk
	for i := range much(3, 1) {
		c.note(c.alice.sayText(c.ctx, c.fromAlice, fmt.Sprintf("alice-long-%d %s", i, strings.Repeat("a long story ", 4800))))
	}
	s.says(5, 5, 10*time.Second)
	took := s.settles(5 * time.Minute)
	again := slices.DeleteFunc(s.wire.handshakes(begin), dialledBack)
	s.note("at rest after %v, %d connections anew", took.Round(time.Second), len(again))
	if len(again) > 0 {
		s.Errorf("connections were made anew: %q", again)
	}
	s.wire.turns(weather{delay: 10 * time.Millisecond})
	s.ends()
}

// playHomes lets two who are behind routers of homes meet at 120 to 160 ms, where three packets of a hundred get lost. One of twenty may need longer
// than the others to do without the relay: an attempt that fails is not repeated at once.
func playHomes(t *testing.T, key bool) {
	m := meeting{"S9", home, home, key, []string{"punched", "direct"}}
	var first, direct []time.Duration
	for range *rigRounds {
		t.Run("round", func(t *testing.T) {
			net := newInternet(t)
			net.weathered(weather{delay: 60 * time.Millisecond, jitter: 20 * time.Millisecond, loss: 0.03})
			_, alice, bob := m.gather(net)
			begin := time.Now()
			alice.ok("send", "bob", "hello Bob", "--wait", "delivered", "--timeout", "30s")
			first = append(first, time.Since(begin))
			for device := bob.status().Device; time.Since(begin) < meetWithin; {
				if way, _ := alice.wayTo(device); slices.Contains(m.want, way) {
					direct = append(direct, time.Since(begin))
					return
				}
			}
		})
	}
	noteRow(t, fmt.Sprintf("first text: %v; without a relay %d of %d: %v", spreadOf(first), len(direct), *rigRounds, spreadOf(direct)))
	if missed := *rigRounds - len(direct); missed > max(1, *rigRounds/20) {
		t.Errorf("%d of %d had no way without a relay after %v", missed, *rigRounds, meetWithin)
	}
}
