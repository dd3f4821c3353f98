package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// mishap is something that happens to what is between Alice and Bob while they talk.
type mishap struct {
	name       string
	alice, bob place
	happens    func(t *testing.T, net *internet, seed, alice, bob *person)
	within     time.Duration // until both hear each other again
	rounds     int           // in make rig
	every      time.Duration // between two of them there
}

func mishaps() []mishap {
	return []mishap{
		{"S14 her router forgets, home", home, public, func(t *testing.T, net *internet, _, _, _ *person) { net.forgets("alice") }, resumeWithin, 10, 30 * time.Second},
		{"S14 her router forgets, symmetric", symmetric, public, func(t *testing.T, net *internet, _, _, _ *person) { net.forgets("alice") }, resumeWithin, 10, 30 * time.Second},
		{"S14 both routers forget, homes", home, home, func(t *testing.T, net *internet, _, _, _ *person) {
			net.forgets("alice")
			net.forgets("bob")
		}, resumeWithin, 10, 30 * time.Second},
		{"S15 the relay restarts", symmetric, symmetric, func(_ *testing.T, _ *internet, seed, _, _ *person) {
			seed.node.stop()
			seed.start()
		}, restartWithin, 10, 0},
		{"S15 the relay is killed and restarts", symmetric, symmetric, func(_ *testing.T, _ *internet, seed, _, _ *person) {
			seed.node.kill()
			seed.start()
		}, restartWithin, 10, 0},
		{"S15 Bob is killed and restarts", home, home, func(_ *testing.T, _ *internet, _, _, bob *person) {
			bob.node.kill()
			bob.start()
		}, restartWithin, 10, 0},
		{"Alice's machine sleeps for a minute", home, home, func(t *testing.T, _ *internet, _, alice, _ *person) {
			alice.node.freeze()
			lasts(sleepFor())
			alice.node.wake()
		}, resumeWithin, 2, 0},
	}
}

// restartWithin is how long two people may take to hear from each other again when what they need has started again.
const restartWithin = slowness * 20 * time.Second

// sleepFor is how long a machine sleeps: in make rig long enough for everybody to give its connections up.
func sleepFor() time.Duration {
	if *wholeRig {
		return 90 * time.Second
	}
	return 21 * time.Second
}

// lasts lets time pass in which nothing is waited for: that is what an outage, a rest or a pause between two of them is.
func lasts(d time.Duration) { <-time.After(d) }

// TestOutages lets routers forget, relays and people restart and machines sleep while Alice and Bob talk. Both have to hear from each other again in
// time, and nothing is lost.
func TestOutages(t *testing.T) {
	if os.Getenv(insideRig) == "" {
		showTable(t)
	}
	for _, m := range mishaps() {
		for _, key := range []bool{true, false} {
			if !*wholeRig && raceEnabled && !key {
				continue
			}
			t.Run(m.name+", "+mode(key), func(t *testing.T) {
				t.Parallel()
				if inTheRig(t) {
					m.play(t, key)
				}
			})
		}
	}
}

func (m mishap) play(t *testing.T, key bool) {
	net := newInternet(t)
	seed, alice, bob := meeting{alice: m.alice, bob: m.bob, key: key}.gather(net)
	talk := listen(t, alice, bob)
	talk.exchange(t, 0, m.within)
	rounds := 1
	if *wholeRig {
		rounds = m.rounds
	}
	var took []time.Duration
	for round := range rounds {
		if round > 0 {
			lasts(m.every)
		}
		m.happens(t, net, seed, alice, bob)
		began := time.Now()
		talk.exchange(t, round+1, m.within)
		took = append(took, time.Since(began))
	}
	talk.finish(resumeWithin)
	noteRow(t, fmt.Sprintf("both hear each other again: %v", spreadOf(took)))
}

// TestSeedsAreGone ends the only seed while Alice and Bob, who are behind routers, are connected: they go on talking. Carol, who has an invite and
// has never been there, is told within half a minute that nobody answers, and gets in when the seed is back.
func TestSeedsAreGone(t *testing.T) {
	t.Parallel()
	if !inTheRig(t) {
		return
	}
	net := newInternet(t)
	seed, alice, bob := meeting{alice: home, bob: home, key: true}.gather(net)
	talk := listen(t, alice, bob)
	talk.exchange(t, 0, resumeWithin)
	device := bob.status().Device
	await(t, meetWithin, "a way without the seed", func() bool {
		way, _ := alice.wayTo(device)
		return way == "punched" || way == "direct"
	})
	invite := seed.invite()
	seed.node.kill()
	carol := net.person(alice.world, "Carol", home)
	carol.joins(invite)
	began := time.Now()
	carol.start()
	await(t, resumeWithin, "Carol is told that nobody answers", func() bool {
		return strings.Contains(carol.node.stderr.String(), "not joined home") && strings.Contains(carol.node.stderr.String(), "no seed answers")
	})
	told := time.Since(began)
	long := 10 * time.Second
	if *wholeRig {
		long = 10 * time.Minute
	}
	n := 1
	for ends := time.Now().Add(long); time.Now().Before(ends); n++ {
		talk.exchange(t, n, resumeWithin)
		lasts(2 * time.Second)
	}
	seed.start()
	back := time.Now()
	carol.ok("send", "seed", "here I am", "--wait", "delivered", "--timeout", "80s")
	talk.finish(resumeWithin)
	t.Logf("S16 the only seed is gone: %d texts each way in %v; Carol was told after %v, and had a text delivered %v after the seed was back", n, long, told, time.Since(back))
}

// TestNewcomers measures the way from an invite to the first message: three commands, on one network and by way of a relay.
func TestNewcomers(t *testing.T) {
	if os.Getenv(insideRig) == "" {
		showTable(t)
	}
	for where, within := range map[place]time.Duration{public: 10 * time.Second, symmetric: 30 * time.Second} {
		t.Run(string(where), func(t *testing.T) {
			t.Parallel()
			if !inTheRig(t) {
				return
			}
			net := newInternet(t)
			_, alice, _ := meeting{alice: where, bob: where, key: true}.gather(net)
			var took []time.Duration
			for n := range much(20, 1) {
				carol := net.person(alice.world, fmt.Sprintf("Carol%d", n), where)
				link := alice.invite()
				began := time.Now()
				carol.joins(link)
				carol.start()
				carol.ok("send", "alice", "hello Alice", "--wait", "delivered", "--timeout", "30s")
				took = append(took, time.Since(began))
				carol.node.stop()
			}
			all := spreadOf(took)
			noteRow(t, fmt.Sprintf("from init --join to the first message delivered: %v", all))
			if all.at(1) > slowness*within {
				t.Errorf("one took %v, more than %v", all.at(1), slowness*within)
			}
		})
	}
}
