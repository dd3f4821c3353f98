package member

import "time"

// Forgetful sets how long a stream lasts whose handler sets no deadline.
func (g *Gate) Forgetful(d time.Duration) { g.unspoken = d }

// Hasty sets how long the gate takes to say that an issuer is away.
func (g *Gate) Hasty(d time.Duration) { g.away = d }
