package chat

import (
	"crypto/rand"
	"encoding/binary"
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

// nextRow returns a row id greater than every one before, and than that of every message that came in and moved our clock.
func (c *clock) nextRow() RowID {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row = newRowID(max(stampAt(hlcAt(now)), stampAt(c.hlc)), c.row)
	return c.row
}

// stampAt returns the time part of a row id at a clock value.
func stampAt(hlc uint64) uint64 { return hlc&^0xffff | 0x7000 | min(hlc&0xffff, 0xfff) }

// believe returns the time part of a row id for a clock value that came in. What is further ahead than is credible counts as now.
func (c *clock) believe(theirs uint64) uint64 {
	if now := c.now(); theirs > hlcAt(now.Add(ClockTolerance)) {
		theirs = hlcAt(now)
	}
	return stampAt(theirs)
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

// RowID is a local, time-ordered key in the layout of UUIDv7: 48 bits of milliseconds, 12 bits of a counter within the
// millisecond, the rest random. It is never sent. Time order doubles the insert rate of both engines.
type RowID [16]byte

// IsZero reports whether r names no row.
func (r RowID) IsZero() bool { return r == RowID{} }

// firstRowID returns an id that is less than any other's.
func firstRowID() RowID {
	var r RowID
	mustRandom(r[8:])
	return r
}

// newRowID returns an id that is greater than last, even when the clock stands still or goes back.
func newRowID(stamp uint64, last RowID) RowID {
	var r RowID
	mustRandom(r[8:])
	if prev := binary.BigEndian.Uint64(last[:]); stamp <= prev {
		stamp = nextStamp(prev)
	}
	binary.BigEndian.PutUint64(r[:], stamp)
	r[8] = r[8]&0x3f | 0x80
	return r
}

// nextStamp counts within the millisecond, and borrows the next one after 4,096 rows.
func nextStamp(prev uint64) uint64 {
	if prev&0xfff < 0xfff {
		return prev + 1
	}
	return (prev>>16+1)<<16 | 0x7000
}

// mustRandom fills b; crypto/rand never fails on the systems that Go supports.
func mustRandom(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
}
