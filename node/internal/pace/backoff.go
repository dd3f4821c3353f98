package pace

import (
	"math/rand/v2"
	"time"
)

// Backoff says how long to wait between attempts: twice as long each time.
type Backoff struct {
	First, Most time.Duration
	attempts    int
}

// Next returns how long to wait after one more attempt, the upper half of it by chance.
func (b *Backoff) Next() time.Duration {
	d := min(b.First<<min(b.attempts, 16), b.Most)
	b.attempts++
	return d/2 + rand.N(d/2)
}

// Reset begins from the first again.
func (b *Backoff) Reset() { b.attempts = 0 }
