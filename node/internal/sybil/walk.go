package sybil

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Servers is how a Walk reaches the servers of the DHT. Its methods are called from several goroutines; an error means that there was no
// answer.
type Servers interface {
	// Closer asks a server about the key, and returns whom it names as closer to it.
	Closer(ctx context.Context, server peer.ID) ([]peer.ID, error)
	// Neighbours asks a server who the closest to itself are.
	Neighbours(ctx context.Context, server peer.ID) ([]peer.ID, error)
	// Visit does what the walk is for at a server of the region, which has answered a question before.
	Visit(ctx context.Context, server peer.ID) error
}

// Limits bounds a Walk.
type Limits struct {
	Region    int           // the most honest servers that a region should hold; it holds half of them at least
	Paths     int           // how many paths there are
	Width     int           // how many servers one path asks at a time
	Servers   int           // how many servers one path asks in all
	Outside   int           // how many of those in each ring outside the region
	Names     int           // how many servers one answer may name; what follows is not looked at
	Addresses int           // how many addresses of each are looked at
	Samples   int           // how many servers are asked how crowded it is around them
	Heard     int           // how many answers to that are enough
	Timeout   time.Duration // for one server
}

// core is how many rings of the region are told apart, beside what is closer still: of 2k servers one or two are expected there.
const core = 4

// Walk visits the servers around a key, which it finds from those in table, and returns how many visits went well. It ends when there is
// nobody left to ask, when the budgets are spent, or with ctx.
func Walk(ctx context.Context, servers Servers, key string, table []peer.ID, limits Limits) (visited int) {
	table = shuffled(table)
	w := &walk{servers: servers, key: at(key), limits: limits, asked: make(map[peer.ID]bool)}
	w.depth = depth(w.survey(ctx, table), limits.Region)
	var going sync.WaitGroup
	for i := range limits.Paths {
		p := w.path()
		for j := i; j < len(table); j += limits.Paths {
			p.hear(table[j])
		}
		going.Go(func() { p.follow(ctx) })
	}
	going.Wait()
	return w.visited
}

func shuffled(table []peer.ID) []peer.ID {
	mixed := make([]peer.ID, len(table))
	for i, j := range rand.Perm(len(table)) {
		mixed[i] = table[j]
	}
	return mixed
}

// walk is what the paths have in common.
type walk struct {
	servers Servers
	key     place
	limits  Limits
	depth   int // with how many bits of the key the region's ids begin

	mu      sync.Mutex
	asked   map[peer.ID]bool
	visited int
}

// survey estimates how many servers there are: the median of what follows from the answers of some, of whom the slowest are not waited for.
func (w *walk) survey(ctx context.Context, table []peer.ID) float64 {
	sample := table[:min(len(table), w.limits.Samples)]
	sizes := make(chan float64, len(sample))
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithTimeout(ctx, w.limits.Timeout)
	defer cancel()
	for _, server := range sample {
		asking.Go(func() {
			near, _ := w.servers.Neighbours(ctx, server) // who does not answer says nothing
			sizes <- crowd(server, near[:min(len(near), w.limits.Names)])
		})
	}
	var heard []float64
	for range sample {
		if size := <-sizes; size > 0 {
			heard = append(heard, size)
		}
		if len(heard) == w.limits.Heard {
			break
		}
	}
	return median(heard, float64(len(table)))
}

// claim reports whether a server has not been asked yet, on any path; from now on it has.
func (w *walk) claim(server peer.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked[server] {
		return false
	}
	w.asked[server] = true
	return true
}

// ask asks a server about the key, and visits it when it is one of the region. It returns whom the server names.
func (w *walk) ask(ctx context.Context, server peer.ID) []peer.ID {
	ctx, cancel := context.WithTimeout(ctx, w.limits.Timeout)
	defer cancel()
	named, err := w.servers.Closer(ctx, server)
	if err != nil {
		return nil
	}
	if w.key.shared(at(server)) >= w.depth && w.servers.Visit(ctx, server) == nil {
		w.mu.Lock()
		w.visited++
		w.mu.Unlock()
	}
	return named[:min(len(named), w.limits.Names)]
}

// path is one of the ways to the region. It believes nobody but those whom it has asked itself.
type path struct {
	*walk
	rings []ring
	known map[peer.ID]bool
	spent int // servers asked
}

// ring is the servers that share a number of bits with the key, of those that a path knows.
type ring struct {
	waiting []peer.ID
	asked   int
}

func (w *walk) path() *path {
	return &path{walk: w, rings: make([]ring, w.depth+core+1), known: make(map[peer.ID]bool)}
}

// hear notes a server that somebody has named.
func (p *path) hear(server peer.ID) {
	if p.known[server] {
		return
	}
	p.known[server] = true
	r := &p.rings[min(p.key.shared(at(server)), len(p.rings)-1)]
	r.waiting = append(r.waiting, server)
}

// follow asks one server after the other, Width at a time, until none is left.
func (p *path) follow(ctx context.Context) {
	answers := make(chan []peer.ID, p.limits.Width)
	var asking sync.WaitGroup
	defer asking.Wait()
	for open := 0; ; open-- {
		for ; open < p.limits.Width; open++ {
			server, ok := p.next(ctx)
			if !ok {
				break
			}
			asking.Go(func() { answers <- p.ask(ctx, server) })
		}
		if open == 0 {
			return
		}
		for _, server := range <-answers {
			p.hear(server)
		}
	}
}

// next chooses whom to ask: somebody of the ring of which the fewest were asked, and of two such rings, the inner one.
func (p *path) next(ctx context.Context) (peer.ID, bool) {
	for ctx.Err() == nil && p.spent < p.limits.Servers {
		r := p.turn()
		if r == nil {
			break
		}
		i := rand.IntN(len(r.waiting))
		server := r.waiting[i]
		r.waiting[i] = r.waiting[len(r.waiting)-1]
		r.waiting = r.waiting[:len(r.waiting)-1]
		if p.claim(server) {
			r.asked++
			p.spent++
			return server, true
		}
	}
	return "", false
}

// turn returns the ring whose turn it is; nil when nobody is waiting who may be asked.
func (p *path) turn() (best *ring) {
	for i := len(p.rings) - 1; i >= 0; i-- {
		r := &p.rings[i]
		if len(r.waiting) == 0 || i < p.depth && r.asked >= p.limits.Outside {
			continue
		}
		if best == nil || r.asked < best.asked {
			best = r
		}
	}
	return best
}
