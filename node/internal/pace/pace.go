// Package pace limits how fast each peer, or whatever else is told apart, may use a service: one token bucket for each, for a bounded number of them.
package pace

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// MaxPeers bounds the buckets that are remembered, at about 200 bytes each: more peers than a node has connections.
const MaxPeers = 1024

// Pace holds the buckets of one service, one for each peer.
type Pace = Of[peer.ID]

// Of holds the buckets of one service, one for each K: a place that peers come from, say, where another name costs a stranger nothing.
type Of[K comparable] struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	buckets map[K]*rate.Limiter
}

// New returns a pace of perSecond uses for each peer, and burst of them at once.
func New(perSecond float64, burst int) *Pace { return NewOf[peer.ID](perSecond, burst) }

// NewOf is New for what is not told apart as peers.
func NewOf[K comparable](perSecond float64, burst int) *Of[K] {
	return &Of[K]{rate: rate.Limit(perSecond), burst: burst, buckets: make(map[K]*rate.Limiter)}
}

// Allow takes one token of a peer and reports whether there was one.
func (p *Of[K]) Allow(id K) bool { return p.bucket(id).Allow() }

// Spent reports whether a peer has no token left, and takes none.
func (p *Of[K]) Spent(id K) bool { return p.bucket(id).Tokens() < 1 }

// Wait takes n tokens of a peer, and waits for them until ctx ends. n above the burst counts as the burst.
func (p *Of[K]) Wait(ctx context.Context, id K, n int) error {
	return p.bucket(id).WaitN(ctx, min(n, p.burst))
}

func (p *Of[K]) bucket(id K) *rate.Limiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.buckets[id]; ok {
		return b
	}
	if len(p.buckets) >= MaxPeers {
		p.evict()
	}
	b := rate.NewLimiter(p.rate, p.burst)
	p.buckets[id] = b
	return b
}

// evict drops the buckets that are full, which changes nothing for their peers, and one more when none was.
func (p *Of[K]) evict() {
	for id, b := range p.buckets {
		if b.Tokens() >= float64(p.burst) {
			delete(p.buckets, id)
		}
	}
	for id := range p.buckets {
		if len(p.buckets) < MaxPeers {
			return
		}
		delete(p.buckets, id)
	}
}
