package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var wholeRig = flag.Bool("whole", false, "play the scenes on the wire as often and as long as their pass lines say")

// rigTable is where scenes that play in processes of their own note their figures: a file.
const rigTable = "PARLEY_TEST_RIG_TABLE"

// TestAcrossTheWeather lets Alice and Bob talk across a wire that is slow, loses packets, is cut or too narrow, with a network that has a
// pre-shared key (TCP) and one that has none (QUIC). Whatever it does, each text arrives once, in its order, with a true tick. Every scene has a
// line that it has to pass, too. Scenes have namespaces and a process each.
func TestAcrossTheWeather(t *testing.T) {
	if os.Getenv(insideRig) == "" {
		showTable(t)
	}
	for _, s := range []struct {
		name  string
		often bool // in make test, too
		play  func(*testing.T, bool)
	}{
		{"near by", true, playNear},
		{"away in turns", false, playTurns},
		{"lossy", true, playLossy},
		{"far away", false, playFar},
		{"gusts", false, playGusts},
		{"parted", true, playParted},
		{"parted one way and often", false, playFlapping},
		{"parted for long", false, playLongParting},
		{"narrow", true, playNarrow},
		{"thin", false, playThin},
		{"homes in bad weather", false, playHomes},
	} {
		for name, key := range map[string]bool{"key and TCP": true, "QUIC": false} {
			if !*wholeRig && (!s.often || raceEnabled && !key) {
				continue
			}
			t.Run(s.name+", "+name, func(t *testing.T) {
				t.Parallel()
				if inTheRig(t) {
					s.play(t, key)
				}
			})
		}
	}
}

// showTable gathers what scenes note, and shows it in the end.
func showTable(t *testing.T) {
	table, err := os.CreateTemp(t.TempDir(), "table")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(rigTable, table.Name())
	t.Cleanup(func() {
		text, err := os.ReadFile(table.Name())
		if err != nil {
			t.Error(err)
		}
		rows := slices.Sorted(strings.Lines(string(text)))
		t.Logf("the wire's seed is %d\n%s", *wireSeed, strings.Join(rows, ""))
	})
}

// scene is Alice and Bob on a wire, and a seed that keeps their mailboxes.
type scene struct {
	*testing.T
	net              *internet
	wire             *wire
	seed, alice, bob *person
	talk             *conversation
}

// newScene lets Alice and Bob get to know each other, at an ordinary distance unless before changes it, which is called as soon as their
// machines stand.
func newScene(t *testing.T, key bool, before ...func(*scene)) *scene {
	t.Helper()
	net := newInternet(t)
	s := &scene{T: t, net: net, wire: net.weathered(weather{delay: 10 * time.Millisecond})}
	w := newWorld(t)
	s.seed, s.alice, s.bob = net.person(w, "Seed", public), net.person(w, "Alice", public), net.person(w, "Bob", public)
	for _, p := range []*person{s.seed, s.alice, s.bob} {
		p.address, p.port, p.quic = "0.0.0.0", 4101, !key
	}
	for _, change := range before {
		change(s)
	}
	network := []string{"init", "--name", "Seed", "--network", "home", "--no-passphrase"}
	if !key {
		network = append(network, "--no-psk")
	}
	s.seed.options = []string{"--seed"}
	s.seed.ok(network...)
	s.seed.start()
	s.alice.joins(s.seed.invite()).start()
	s.bob.joins(s.alice.invite()).start()
	s.alice.knows("Bob")
	s.bob.knows("Alice")
	s.talk = listen(t, s.alice, s.bob)
	s.talk.scatter() // the seed keeps for them what cannot be handed over
	return s
}

// much returns one of two counts: that of make rig, or that of every day.
func much(whole, daily int) int {
	if *wholeRig {
		return whole
	}
	return daily
}

// says lets Alice and Bob say a number of texts more, with pauses up to a longest one, and returns at once.
func (s *scene) says(alice, bob int, longest time.Duration) {
	c := s.talk
	for _, side := range []struct {
		end    *end
		said   *ledger
		number int
	}{{c.alice, c.fromAlice, alice}, {c.bob, c.fromBob, bob}} {
		before := side.said.attemptedCount()
		c.speaking.Go(func() {
			for i := range side.number {
				select {
				case <-time.After(rand.N(longest + 1)):
				case <-c.ctx.Done():
					return
				}
				c.note(side.end.sayOne(c.ctx, side.said, before+i))
			}
		})
	}
}

// settles waits until everything that is said has arrived, and is known to, and returns how long that took behind the last word.
func (s *scene) settles(within time.Duration) time.Duration {
	s.Helper()
	s.talk.speaking.Wait()
	begin := time.Now()
	await(s, within, "all that was said is shown and ticked", s.settled)
	return time.Since(begin)
}

func (s *scene) settled() bool {
	for _, l := range []*ledger{s.talk.fromAlice, s.talk.fromBob} {
		if n := l.acceptedCount(); l.shownCount() < n || l.tickedCount() < n {
			return false
		}
	}
	return true
}

// once lets Alice say one text, and returns how long it took until she knew that Bob has it.
func (s *scene) once(within time.Duration) time.Duration {
	s.Helper()
	behind := len(s.talk.fromAlice.times(0))
	s.says(1, 0, 0)
	s.settles(within)
	return s.talk.fromAlice.times(behind)[0]
}

// note adds a row to the table.
func (s *scene) note(format string, args ...any) { noteRow(s, fmt.Sprintf(format, args...)) }

func noteRow(t testing.TB, row string) {
	t.Helper()
	_, scene, _ := strings.Cut(t.Name(), "/")
	row = fmt.Sprintf("%-44s %s", scene, row)
	t.Log(row)
	file, err := os.OpenFile(os.Getenv(rigTable), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(row + "\n")
		file.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// spread is what a number of times look like.
type spread []time.Duration

func spreadOf(lists ...[]time.Duration) spread {
	s := spread(slices.Concat(lists...))
	slices.Sort(s)
	return s
}

func (s spread) at(share float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return s[int(share*float64(len(s)-1))]
}

func (s spread) String() string {
	return fmt.Sprintf("%d/%d in %d ms (p50), %d ms (p95), %d ms (longest)", len(s), len(s),
		s.at(0.5).Milliseconds(), s.at(0.95).Milliseconds(), s.at(1).Milliseconds())
}

// passes fails the test where something took longer than its line.
func (s *scene) passes(what string, took, line time.Duration) {
	s.Helper()
	if line *= slowness; took > line {
		s.Errorf("%s took %v, and %v is the line", what, took.Round(time.Millisecond), line)
	}
}

// ends checks everything that was said in the scene.
func (s *scene) ends() {
	s.Helper()
	s.talk.finish(restTime)
	s.Log(s.wire.tally())
}
