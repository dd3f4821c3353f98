package member

import "time"

// Forgetful sets how long a stream lasts whose handler sets no deadline.
func (g *Gate) Forgetful(d time.Duration) { g.unspoken = d }
