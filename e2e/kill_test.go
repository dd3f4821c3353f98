package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	killCount = flag.Int("kills", 0, "how many kills TestWhoeverIsKilledNothingIsLostOrShownTwice makes on each database; 0: those of one town")
	killSeed  = flag.Uint64("seed", 1, "what the first of its towns is played by, and the next ones by each one more")
)

const (
	// townKills is how many kills one town takes: its histories stay short enough to be read whole, and a campaign can go on where it
	// was left.
	townKills = 60
	// longestPause is the longest time between two blows, twice the mean: nodes are hit in their first second as well as later.
	longestPause = 2 * time.Second
	// longestStay is the longest time that somebody stays away: others find out, and leave what they say at mailboxes.
	longestStay = 8 * time.Second
	// longestSilence is the longest time between two texts of one author.
	longestSilence = 50 * time.Millisecond
	// restTime ends the wait for a town to come to rest after its last blow: nodes look for each other every minute at least.
	restTime = 3 * time.Minute
)

// Three people talk by way of one to three hosts of mailboxes, and everybody is hit at any time: with kill -9, two at once too. Some stay
// away for a while, some are stopped in good order. While they talk, each tick is compared
// with what the reader's node has. In the end all are back, and the ledgers are compared with what was shown, ticked and kept.
func TestWhoeverIsKilledNothingIsLostOrShownTwice(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine func(testing.TB) string) {
		left := *killCount
		if left == 0 {
			left = townKills
		}
		var total figures
		for seed := *killSeed; left > 0; seed++ {
			n := min(left, townKills)
			left -= n
			if !t.Run(fmt.Sprintf("seed_%d", seed), func(t *testing.T) { total.add(playTown(t, engine, seed, n)) }) {
				t.Fatalf("to play it again: go test ./e2e -run '^%s$' -count 1 -v -args -kills %d -seed %d",
					strings.ReplaceAll(t.Name(), "/", "$/^"), n, seed)
			}
		}
		t.Logf("in all %s", total)
	})
}

// figures are what came of a town, or of several.
type figures struct {
	kills, stops, messages int
	posted                 int // messages that waited at a host of mailboxes
	found                  int // ticks that were compared with what the reader's node had, while everybody talked
	took                   time.Duration
	rest                   time.Duration // from the last start until everything had arrived; of several, the longest
}

func (f *figures) add(more figures) {
	f.kills += more.kills
	f.stops += more.stops
	f.messages += more.messages
	f.posted += more.posted
	f.found += more.found
	f.took += more.took
	f.rest = max(f.rest, more.rest)
}

func (f figures) String() string {
	return fmt.Sprintf("%d kills, %d stops, %d messages, %d of them by mailbox, each shown once, %d ticks true at once, %v; at rest %v after the last start",
		f.kills, f.stops, f.messages, f.posted, f.found, f.took.Round(time.Second), f.rest.Round(time.Millisecond))
}

// playTown plays one town. The seed says who is hit when and how; what that meets is up to the machine.
func playTown(t *testing.T, engine func(testing.TB) string, seed uint64, kills int) figures {
	begin := time.Now()
	town := newTown(t, engine, rand.New(rand.NewPCG(seed, townKills)))
	enough := make(chan struct{})
	for _, talk := range town.talks {
		talk.chatters(longestSilence, enough)
	}
	for town.kills < kills {
		town.blow()
	}
	town.everybodyIsBack()
	back := time.Now()
	close(enough)
	f := figures{kills: town.kills, stops: town.stops}
	for _, talk := range town.talks {
		talk.finish(restTime)
		for _, l := range []*ledger{talk.fromAlice, talk.fromBob} {
			f.messages += l.acceptedCount()
			f.posted += l.postedCount()
			f.found += l.foundCount()
		}
	}
	f.took, f.rest = time.Since(begin), time.Since(back)
	t.Logf("seed %d, %d hosts: %s", seed, len(town.hosts), f)
	return f
}

// town is where people talk while everything is killed: Alice with Bob and with Carol.
type town struct {
	*world
	dice         *rand.Rand
	hosts        []*person
	talks        []*conversation
	residents    []*person // hosts and people
	until        map[*person]time.Time
	kills, stops int
}

// newTown returns a town in which everybody is up and everybody has a mailbox at each host.
func newTown(t testing.TB, engine func(testing.TB) string, dice *rand.Rand) *town {
	w := newWorld(t)
	hosts := w.hosts(1+dice.IntN(3), engine)
	people := w.friends(hosts, engine, "Alice", "Bob", "Carol")
	town := &town{world: w, dice: dice, hosts: hosts, until: map[*person]time.Time{}}
	town.residents = append(append(town.residents, hosts...), people...)
	for _, friend := range people[1:] {
		town.talks = append(town.talks, listen(t, people[0], friend))
	}
	return town
}

// upTo returns any time up to a longest one.
func (w *town) upTo(longest time.Duration) time.Duration {
	return time.Duration(w.dice.Int64N(int64(longest)))
}

// blow lets some time pass, brings back who has been away for long enough, and hits somebody.
func (w *town) blow() {
	<-time.After(w.upTo(longestPause))
	for _, p := range w.residents {
		if until, away := w.until[p]; away && time.Now().After(until) {
			w.comeBack(p)
		}
	}
	order, kind, stay := w.dice.Perm(len(w.residents)), w.dice.IntN(20), w.upTo(longestStay)
	first, second := w.residents[order[0]], w.residents[order[1]]
	switch {
	case kind < 11:
		w.hit(0, first)
	case kind < 14:
		w.hit(0, first, second)
	case kind < 18:
		w.hit(stay, first)
	default:
		w.dismiss(first)
	}
}

// hit kills people at once. They come back, without anybody waiting until they are ready, when they have stayed away; those who are
// away already come back instead.
func (w *town) hit(stay time.Duration, victims ...*person) {
	for _, p := range victims {
		if _, away := w.until[p]; away {
			continue
		}
		w.isUp(p)
		p.node.kill()
		w.kills++
		w.until[p] = time.Now().Add(stay)
	}
	for _, p := range victims {
		if stay == 0 {
			w.comeBack(p)
		}
	}
}

// dismiss stops somebody in good order, who comes back at once.
func (w *town) dismiss(p *person) {
	if _, away := w.until[p]; away {
		w.comeBack(p)
		return
	}
	w.isUp(p)
	ready := strings.Contains(p.node.stderr.String(), "parley: ready")
	if code, _ := p.node.stop(); ready && code != 0 {
		w.Errorf("%s was asked to stop, and ended with %d", p.name, code)
	}
	w.stops++
	w.comeBack(p)
}

// isUp fails the test when a node has ended by itself.
func (w *town) isUp(p *person) {
	if !p.node.running() {
		w.Fatalf("%s has ended with %d by itself: %s", p.name, p.node.wait(), p.node.stderr.tail())
	}
}

func (w *town) comeBack(p *person) {
	delete(w.until, p)
	p.up()
}

// everybodyIsBack returns when all nodes are ready.
func (w *town) everybodyIsBack() {
	for _, p := range w.residents {
		if _, away := w.until[p]; away {
			w.comeBack(p)
		}
	}
	for _, p := range w.residents {
		p.node.says(p.node.stderr, "parley: ready")
	}
}
