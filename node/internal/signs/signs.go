// Package signs remembers when devices gave their last sign of life, so that one that is only slow is not taken for one that is away.
package signs

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Signs remembers devices that acknowledged an envelope, or brought one. Its methods may be called from several goroutines.
type Signs struct {
	size int
	life time.Duration

	mu   sync.Mutex
	last map[peer.ID]time.Time
}

// New returns signs that are worth something for a time. Those that are older go where there would be more than size.
func New(size int, life time.Duration) *Signs {
	return &Signs{size: size, life: life, last: make(map[peer.ID]time.Time)}
}

// Note notes that a device lives.
func (s *Signs) Note(device peer.ID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) >= s.size {
		maps.DeleteFunc(s.last, func(_ peer.ID, at time.Time) bool { return now.Sub(at) > s.life })
	}
	s.last[device] = now
}

// Silent returns how long ago the last sign of life was: very long, where there was none.
func (s *Signs) Silent(device peer.ID, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.last[device])
}

// Patience returns how long a device may stay silent from now on, not beyond a last moment; nothing, or less, where it may not.
func (s *Signs) Patience(device peer.ID, now, last time.Time) time.Duration {
	return min(s.life-s.Silent(device, now), last.Sub(now))
}

// WhenSilent calls then once a device has given no sign of life for a while from now on, unless ctx ends before.
func (s *Signs) WhenSilent(ctx context.Context, device peer.ID, while time.Duration, then func()) {
	time.AfterFunc(while, func() {
		switch {
		case ctx.Err() != nil:
		case s.Silent(device, time.Now()) < while:
			s.WhenSilent(ctx, device, while, then)
		default:
			then()
		}
	})
}
