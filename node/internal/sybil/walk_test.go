package sybil

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func testLimits() Limits {
	return Limits{
		Region: 40, Paths: 3, Width: 8, Servers: 48, Outside: 4, Names: 21, Addresses: 16,
		Samples: 12, Heard: 8, Timeout: 5 * time.Second,
	}
}

// town is a DHT without a wire: honest servers with tables of buckets of 20, and Sybils.
type town struct {
	rng    *rand.Rand
	key    string
	honest []peer.ID
	sybils []peer.ID
	tables map[peer.ID][]peer.ID // of those who were asked
	// lie is what a Sybil does; it names 21 others of its kind when nothing is set.
	lie func(ctx context.Context) ([]peer.ID, error)

	mu      sync.Mutex
	asked   int
	visited []peer.ID
}

// newTown makes a town whose Sybils are the closest of all to the key, and were there before everybody else.
func newTown(seed uint64, honest, sybils int) *town {
	c := &town{rng: rand.New(rand.NewPCG(seed, 0)), tables: make(map[peer.ID][]peer.ID)}
	c.key = fmt.Sprint("key ", seed)
	for range honest {
		c.honest = append(c.honest, c.id())
	}
	for len(c.sybils) < sybils {
		if id := c.id(); at(c.key).shared(at(id)) >= 12 {
			c.sybils = append(c.sybils, id)
		}
	}
	c.lie = func(context.Context) ([]peer.ID, error) { return c.sybils[:min(len(c.sybils), 21)], nil }
	return c
}

func (c *town) id() peer.ID {
	return peer.ID(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.rng.Uint64()), c.rng.Uint64()))
}

// table is whom a server knows: whom a Filter lets in, Sybils first.
func (c *town) table(server peer.ID) (known []peer.ID) {
	f := NewFilter(server, Places{Bucket: 20, Branch: 5, Subnet: 4}, nil, func(peer.ID) []ma.Multiaddr { return nil })
	others := slices.Clone(c.honest)
	rand.New(rand.NewPCG(uint64(at(server)), 0)).Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for _, p := range slices.Concat(c.sybils, others) {
		if comes(f, server, p) && p != server {
			known = append(known, p)
		}
	}
	return known
}

// nearest is what an honest server names.
func (c *town) nearest(server peer.ID, target place) (known []peer.ID) {
	near := make(map[place]peer.ID)
	for _, p := range c.tables[server] {
		near[at(p)^target] = p
	}
	for _, distance := range slices.Sorted(maps.Keys(near))[:min(len(near), 20)] {
		known = append(known, near[distance])
	}
	return known
}

func (c *town) answer(ctx context.Context, server peer.ID, target place) ([]peer.ID, error) {
	c.mu.Lock()
	c.asked++
	if !slices.Contains(c.honest, server) {
		c.mu.Unlock()
		return c.lie(ctx)
	}
	defer c.mu.Unlock()
	if c.tables[server] == nil {
		c.tables[server] = c.table(server)
	}
	return c.nearest(server, target), nil
}

func (c *town) Closer(ctx context.Context, server peer.ID) ([]peer.ID, error) {
	return c.answer(ctx, server, at(c.key))
}

func (c *town) Neighbours(ctx context.Context, server peer.ID) ([]peer.ID, error) {
	return c.answer(ctx, server, at(server))
}

func (c *town) Visit(_ context.Context, server peer.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visited = append(c.visited, server)
	return nil
}

// walk walks from the table of somebody who has just come, and returns which honest servers were visited.
func (c *town) walk(t *testing.T) (honest []peer.ID) {
	t.Helper()
	c.asked, c.visited = 0, nil
	if n := Walk(t.Context(), c, c.key, c.table(c.id()), testLimits()); n != len(c.visited) {
		t.Errorf("%d visits, %d counted", len(c.visited), n)
	}
	slices.Sort(c.visited)
	if len(slices.Compact(slices.Clone(c.visited))) != len(c.visited) {
		t.Error("a server was visited twice")
	}
	return slices.DeleteFunc(slices.Clone(c.visited), func(p peer.ID) bool { return !slices.Contains(c.honest, p) })
}

// common counts the servers that two walks visited.
func common(a, b []peer.ID) (n int) {
	for _, p := range a {
		if slices.Contains(b, p) {
			n++
		}
	}
	return n
}

// TestWalkAmongSybils lets Bob put records in towns where 45 Sybils stand between every key and the honest: Alice comes by the same honest
// servers, many of them.
func TestWalkAmongSybils(t *testing.T) {
	for seed := range uint64(5) {
		c := newTown(seed, 300, 45)
		bob, alice := c.walk(t), c.walk(t)
		if n := common(bob, alice); n < 5 || len(bob) > 90 {
			t.Errorf("seed %d: Bob visits %d, Alice %d, of them %d the same", seed, len(bob), len(alice), n)
		}
		if most := 3*48 + 12; c.asked > most {
			t.Errorf("seed %d: %d questions, at most %d", seed, c.asked, most)
		}
	}
}

// TestWalkInPeace visits all of the region where nobody lies, in towns of any size.
func TestWalkInPeace(t *testing.T) {
	for _, size := range []int{21, 40, 150, 600} {
		c := newTown(uint64(size), size, 0)
		visited := c.walk(t)
		if len(visited) < 8 || len(visited) > 90 { // where the estimate takes the region for half as wide, half of it
			t.Errorf("of %d servers, %d were visited", size, len(visited))
		}
		furthest := 64
		for _, p := range visited {
			furthest = min(furthest, at(c.key).shared(at(p)))
		}
		for _, p := range c.honest {
			if at(c.key).shared(at(p)) > furthest && !slices.Contains(visited, p) {
				t.Errorf("of %d servers, one in the middle of the region was left out", size)
			}
		}
	}
}

// TestWalkFlooded has Sybils name ever more Sybils: the budgets hold, and honest servers are visited all the same.
func TestWalkFlooded(t *testing.T) {
	for seed := range uint64(3) {
		c := newTown(seed, 300, 45)
		prefix := uint64(at(c.key))
		c.lie = func(context.Context) (names []peer.ID, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for len(names) < 50 {
				if id := c.id(); at(id).shared(place(prefix)) > 3 { // anywhere in the region
					names = append(names, id)
				}
			}
			return names, nil
		}
		bob, alice := c.walk(t), c.walk(t)
		if most := 3*48 + 12; c.asked > most {
			t.Errorf("seed %d: %d questions, at most %d", seed, c.asked, most)
		}
		if n := common(bob, alice); n == 0 {
			t.Errorf("seed %d: Bob visits %d honest servers, Alice %d, and none the same", seed, len(bob), len(alice))
		}
	}
}

// TestWalkHeldUp has Sybils keep silent: honest servers are visited long before a search has to end.
func TestWalkHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTown(1, 300, 45)
		c.lie = func(ctx context.Context) ([]peer.ID, error) { <-ctx.Done(); return nil, ctx.Err() }
		start := time.Now()
		if honest := c.walk(t); len(honest) < 15 {
			t.Errorf("%d visits to honest servers", len(honest))
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestWalkEnds ends with its context, and where nobody is, at once.
func TestWalkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := newTown(1, 0, 45)
		c.lie = func(ctx context.Context) ([]peer.ID, error) { <-ctx.Done(); return nil, ctx.Err() }
		start := time.Now()
		if n := Walk(ctx, c, c.key, c.sybils, testLimits()); n != 0 || time.Since(start) != time.Second {
			t.Errorf("%d visits in %s", n, time.Since(start))
		}
		if n := Walk(t.Context(), c, c.key, nil, testLimits()); n != 0 {
			t.Errorf("%d visits to nobody", n)
		}
	})
}

// refusing is a town that does not take what a walk brings.
type refusing struct{ *town }

func (refusing) Visit(context.Context, peer.ID) error { return errors.New("not here") }

// TestWalkRefused counts only visits that went well.
func TestWalkRefused(t *testing.T) {
	c := newTown(1, 100, 0)
	if n := Walk(t.Context(), refusing{c}, c.key, c.honest, testLimits()); n != 0 {
		t.Errorf("%d visits", n)
	}
}

// TestCrowd estimates how many servers there are from whom some know next to them; those who crowd around a key change nothing.
func TestCrowd(t *testing.T) {
	for _, size := range []int{60, 300, 800} {
		for seed := range uint64(2) {
			c := newTown(seed, size, 45)
			w := &walk{servers: c, key: at(c.key), limits: testLimits()}
			if n := w.survey(t.Context(), shuffled(c.table(c.id()))); n < 0.5*float64(size) || n > 2*float64(size) {
				t.Errorf("%d servers are taken for %.0f", size, n)
			}
		}
	}
	for servers, want := range map[float64]int{0: 0, 40: 0, 41: 1, 80: 1, 300: 3, 1e6: 15} {
		if got := depth(servers, 40); got != want {
			t.Errorf("of %.0f servers a region has %d bits, not %d", servers, got, want)
		}
	}
	if got := median([]float64{9, 1, 5, 2}, 7); got != 2 {
		t.Errorf("the median is %.0f", got)
	}
	if crowd("alone", []peer.ID{"alone"}) != 0 || median(nil, 7) != 7 {
		t.Error("something from nothing")
	}
}

// near makes up a server that shares exactly so many bits with the key.
func (c *town) near(bits int) peer.ID {
	for {
		if id := c.id(); at(c.key).shared(at(id)) == bits {
			return id
		}
	}
}

// TestTurns asks in turn out of the rings: however many crowd in one, the others come first as often, and those outside the region no more
// often than they may.
func TestTurns(t *testing.T) {
	c := newTown(1, 0, 0)
	w := &walk{servers: c, key: at(c.key), limits: testLimits(), depth: 2, asked: make(map[peer.ID]bool)}
	p := w.path()
	for _, crowd := range []struct{ bits, servers int }{{0, 30}, {2, 10}, {3, 200}, {9, 50}} {
		for range crowd.servers {
			p.hear(c.near(crowd.bits))
		}
	}
	turns := func(n int) map[int]int {
		asked := make(map[int]int)
		for range n {
			server, ok := p.next(t.Context())
			if !ok {
				break
			}
			asked[p.key.shared(at(server))]++
		}
		return asked
	}
	if first := turns(1); first[9] != 1 {
		t.Errorf("the innermost is not asked first: %v", first)
	}
	if next := turns(15); next[0] != 4 || next[2] != 4 || next[3] != 4 || next[9] != 3 {
		t.Errorf("the first sixteen turns, but one: %v", next)
	}
	if rest := turns(1000); rest[0] != 0 || rest[2] != 6 || rest[3]+rest[9] != 26 {
		t.Errorf("the rest: %v", rest)
	}
}

// TestNames looks at no more of an answer than an honest server gives.
func TestNames(t *testing.T) {
	c := newTown(1, 0, 1)
	c.lie = func(context.Context) ([]peer.ID, error) { return make([]peer.ID, 1000), nil }
	w := &walk{servers: c, key: at(c.key), limits: testLimits()}
	if names := w.ask(t.Context(), c.sybils[0]); len(names) != 21 {
		t.Errorf("one server names %d others", len(names))
	}
}

// TestSurveyDoesNotWait goes on when enough have answered.
func TestSurveyDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTown(1, 60, 4)
		c.lie = func(ctx context.Context) ([]peer.ID, error) { <-ctx.Done(); return nil, ctx.Err() }
		w := &walk{servers: c, key: at(c.key), limits: testLimits()}
		start := time.Now()
		if n := w.survey(t.Context(), slices.Concat(c.sybils, c.honest)); n < 30 || n > 120 || time.Since(start) > 0 {
			t.Errorf("60 servers are taken for %.0f after %s", n, time.Since(start))
		}
	})
}
