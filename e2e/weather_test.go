package e2e

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// weather is what one way across the wire does to packets. On a day without any they arrive at once.
type weather struct {
	delay    time.Duration // of one way
	jitter   time.Duration // at most so much comes on top of it
	overtake bool          // a packet with less jitter passes those before it; else it waits behind them
	loss     float64       // the share that is lost, each packet for itself
	gusts    gusts
	twice    float64 // the share that arrives twice
	rate     int     // bytes a second; 0: any
	queue    int     // bytes that wait for their turn at most; what comes on top is lost
	mtu      int     // the largest IP packet in bytes: larger ones vanish, and nobody is told; 0: any
}

// gusts are losses that come together, after Gilbert and Elliott: it is calm for a while, then a share of the packets is lost for a while. Both
// last as long as chance says, with these means. They go by time and not by packets: weather clears also for those who wait.
type gusts struct {
	calm, gust time.Duration
	loss       float64 // while it blows
}

// share is how many packets of all are lost in the long run.
func (g gusts) share() float64 {
	if g.gust == 0 {
		return 0
	}
	return g.loss * float64(g.gust) / float64(g.gust+g.calm)
}

// way is one direction between two machines. The same seed and the same packets at the same times meet the same fate.
type way struct {
	weather
	chance *rand.Rand
	blows  bool
	turns  time.Time // when a gust begins or ends
	free   time.Time // when the line has sent all that waits for it
	last   time.Time // when the packet before arrives
}

func newWay(w weather, seed, number uint64) *way {
	return &way{weather: w, chance: rand.New(rand.NewPCG(seed, number))}
}

// fates of a packet.
const (
	arrives = iota
	tooLarge
	noRoom
	lost
	fates
)

// send says what becomes of a packet, and when it arrives: once, or twice.
func (w *way) send(now time.Time, bytes int) (fate int, at []time.Time) {
	if w.mtu > 0 && bytes > w.mtu {
		return tooLarge, nil
	}
	sent := now
	if w.rate > 0 {
		sent = later(now, w.free)
		if waiting := sent.Sub(now).Seconds() * float64(w.rate); waiting+float64(bytes) > float64(w.queue) {
			return noRoom, nil
		}
		sent = sent.Add(time.Duration(float64(bytes) / float64(w.rate) * float64(time.Second)))
		w.free = sent
	}
	if w.chance.Float64() < w.loss || w.inGust(now) && w.chance.Float64() < w.gusts.loss {
		return lost, nil
	}
	at = append(at, w.arrival(sent))
	if w.twice > 0 && w.chance.Float64() < w.twice {
		at = append(at, w.arrival(sent))
	}
	return arrives, at
}

func (w *way) arrival(sent time.Time) time.Time {
	at := sent.Add(w.delay)
	if w.jitter > 0 {
		at = at.Add(time.Duration(w.chance.Int64N(int64(w.jitter))))
	}
	if !w.overtake {
		at = later(at, w.last)
		w.last = at
	}
	return at
}

// inGust says whether it blows, after it has let the weather change as often as it has until now.
func (w *way) inGust(now time.Time) bool {
	if w.gusts.gust == 0 {
		return false
	}
	if w.turns.IsZero() {
		w.turns = now.Add(w.lasts(w.gusts.calm))
	}
	for !now.Before(w.turns) {
		w.blows = !w.blows
		if w.blows {
			w.turns = w.turns.Add(w.lasts(w.gusts.gust))
		} else {
			w.turns = w.turns.Add(w.lasts(w.gusts.calm))
		}
	}
	return w.blows
}

func (w *way) lasts(mean time.Duration) time.Duration {
	return time.Duration(w.chance.ExpFloat64()*float64(mean)) + 1
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Every kind of weather is what it says, on a clock of the test's own.
func TestTheWeatherIsWhatItSays(t *testing.T) {
	const packets, size, step = 100_000, 1000, time.Millisecond
	blowing := gusts{calm: 300 * time.Millisecond, gust: 100 * time.Millisecond, loss: 0.8}
	for name, day := range map[string]struct {
		weather
		lost, arrivals, longest float64 // shares of what was sent, and seconds
	}{
		"fair":             {weather{}, 0, 1, 0},
		"far away":         {weather{delay: 250 * time.Millisecond}, 0, 1, 0.25},
		"lossy":            {weather{loss: 0.3}, 0.3, 0.7, 0},
		"gusty":            {weather{gusts: blowing}, blowing.share(), 1 - blowing.share(), 0},
		"with echoes":      {weather{twice: 0.1}, 0, 1.1, 0},
		"a road too small": {weather{rate: 500_000, queue: 50_000}, 0.5, 0.5, 0.1},
		"a low bridge":     {weather{mtu: size - 1}, 1, 0, 0},
		"a bridge":         {weather{mtu: size}, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, begin := newWay(day.weather, 1, 1), time.Unix(0, 0)
			var gone, came, longest float64
			for i := range packets {
				now := begin.Add(time.Duration(i) * step)
				fate, at := w.send(now, size)
				if fate != arrives {
					gone++
				}
				for _, arrival := range at {
					came++
					longest = max(longest, arrival.Sub(now).Seconds())
				}
			}
			if got := gone / packets; math.Abs(got-day.lost) > 0.02 {
				t.Errorf("%.3f of all packets were lost, want %.3f", got, day.lost)
			}
			if got := came / packets; math.Abs(got-day.arrivals) > 0.02 {
				t.Errorf("%.3f packets arrived for each that was sent, want %.3f", got, day.arrivals)
			}
			if math.Abs(longest-day.longest) > 0.005 {
				t.Errorf("the longest took %.3f s, want %.3f", longest, day.longest)
			}
		})
	}
}

// Losses of gusts come together: far more often than by chance the next packet is lost, too.
func TestGustsTakeNeighbours(t *testing.T) {
	w := newWay(weather{gusts: gusts{calm: 900 * time.Millisecond, gust: 100 * time.Millisecond, loss: 1}}, 1, 1)
	gone, pairs, before := 0, 0, false
	for i := range 100_000 {
		fate, _ := w.send(time.Unix(0, 0).Add(time.Duration(i)*time.Millisecond), 100)
		now := fate == lost
		if now {
			gone++
		}
		if now && before {
			pairs++
		}
		before = now
	}
	if share := float64(pairs) / float64(gone); share < 0.95 {
		t.Errorf("behind %.2f of the lost packets the next was lost too; gusts of 100 packets are to take 0.99", share)
	}
}

// Jitter keeps the order, unless it is asked not to.
func TestJitterOvertakesOnlyWhereItIsAskedTo(t *testing.T) {
	for _, overtake := range []bool{false, true} {
		w := newWay(weather{delay: 100 * time.Millisecond, jitter: 50 * time.Millisecond, overtake: overtake}, 1, 1)
		overtaken, last := false, time.Time{}
		for i := range 1000 {
			now := time.Unix(0, 0).Add(time.Duration(i) * time.Millisecond)
			_, at := w.send(now, 100)
			if took := at[0].Sub(now); took < 100*time.Millisecond || took > 151*time.Millisecond {
				t.Fatalf("a packet took %v", took)
			}
			overtaken = overtaken || at[0].Before(last)
			last = at[0]
		}
		if overtaken != overtake {
			t.Errorf("a packet overtook: %v, want %v", overtaken, overtake)
		}
	}
}

// The same seed plays the same day again, and another one another.
func TestTheSameSeedIsTheSameWeather(t *testing.T) {
	play := func(seed uint64) (fatesSeen []int) {
		w := newWay(weather{loss: 0.5}, seed, 1)
		for range 100 {
			fate, _ := w.send(time.Unix(0, 0), 100)
			fatesSeen = append(fatesSeen, fate)
		}
		return fatesSeen
	}
	same := func(a, b []int) bool {
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if !same(play(1), play(1)) || same(play(1), play(2)) {
		t.Error("the seed does not say what the weather is")
	}
}
