package chat

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// elapsed is this device's own time: for how long there has been its store. What our keys live for is measured by it, because the wall
// clock is set by whoever likes. In a run it follows a clock that nobody sets (Go's monotonic one; it may stand still while a machine
// sleeps, and then keys live longer); from one run to the next it believes the wall clock, forwards and for GenerationLife at most.
type elapsed struct {
	before time.Duration // when this run began
	began  time.Time     // of the process, never of Config.Clock: a reading without its monotonic part would be the wall clock's
}

func newElapsed() elapsed { return elapsed{began: time.Now()} }

func (e elapsed) now() time.Duration { return e.before + time.Since(e.began) }

// elapsedKey is the record of our own whose number is the time that had elapsed, in milliseconds, when it was written.
const elapsedKey = "/instance/elapsed"

// resumeElapsed goes on where the run before ended, and notes it at once: what lies between two runs counts once, however often a start
// fails.
func (m *Messenger) resumeElapsed(ctx context.Context) error {
	if m.identity == nil {
		return nil
	}
	err := m.update(ctx, func(tx Tx, _ *aftermath) error {
		row, ok, err := tx.Record(elapsedKey)
		if err != nil {
			return err
		}
		m.elapsed = newElapsed()
		if ok {
			away := max(m.now().Sub(row.At), 0)
			m.elapsed.before = time.Duration(row.Sequence)*time.Millisecond + min(away, GenerationLife)
		}
		return m.noteElapsed(tx)
	})
	return wrap(err, "go on with the time of this device")
}

// noteElapsed writes down how much time has elapsed, and what the wall clock says to that.
func (m *Messenger) noteElapsed(tx Tx) error {
	return tx.PutRecord(RecordRow{Key: elapsedKey, Sequence: uint64(m.elapsed.now().Milliseconds()), Value: []byte{1}, At: m.now()})
}

// saveElapsed is noteElapsed in a transaction of its own. What a failure leaves out the next run takes from the wall clock.
func (m *Messenger) saveElapsed(ctx context.Context) {
	err := m.update(ctx, func(tx Tx, _ *aftermath) error { return m.noteElapsed(tx) })
	if err != nil && ctx.Err() == nil {
		m.log.Debug("cannot note the time of this device yet", zap.Error(err))
	}
}
