package chat

import (
	"sync"
	"time"
)

// clock makes what this device stamps: row ids that only grow, and the hybrid logical clock (48 bits of milliseconds, 16 of a
// counter), which runs ahead of the wall clock when the others' clocks do, but never more than ClockTolerance by their word.
type clock struct {
	wall func() time.Time

	mu  sync.Mutex
	row RowID
	hlc uint64
}

func (c *clock) now() time.Time { return c.wall().UTC().Truncate(time.Microsecond) }

// nextRow returns a row id greater than every one before.
func (c *clock) nextRow() RowID {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row = newRowID(now, c.row)
	return c.row
}

// tick returns the clock value of a content that we write.
func (c *clock) tick() uint64 {
	now := hlcAt(c.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hlc = max(c.hlc+1, now)
	return c.hlc
}

// merge moves our clock past one that came in, unless that is further ahead than is credible: such a value is kept as its author's
// claim, and moves nothing.
func (c *clock) merge(theirs uint64) {
	limit := hlcAt(c.now().Add(ClockTolerance))
	c.mu.Lock()
	defer c.mu.Unlock()
	if theirs > c.hlc && theirs <= limit {
		c.hlc = theirs
	}
}

// resume continues after the newest row of an earlier run, whatever the wall clock says now.
func (c *clock) resume(row RowID, hlc uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if string(row[:]) > string(c.row[:]) {
		c.row = row
	}
	c.hlc = max(c.hlc, hlc)
}

func hlcAt(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) << 16 }
