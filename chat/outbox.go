package chat

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The way from an outbox row to a device: a device wants a flight (something was queued, it came online, or its rest is over) → the
// flight takes its oldest rows, in order → the transport hands them over → settle: rows that the device has accepted go, the
// others stay for the next attempt, byte for byte the same, and hold up those behind them, so that the order stays. One flight per
// device at a time. Who flies and who rests is kept in memory: the store belongs to one process, so a crash ends all flights and all
// rests, and loses none of the rows.

// outbox knows which devices want a flight, which have one, and which rest.
type outbox struct {
	mu      sync.Mutex
	queues  map[peer.ID]*queue
	changed chan struct{} // holds one token: look again
}

// queue is what is known of the way to one device.
type queue struct {
	wanted   bool
	flying   bool
	fresh    bool      // it came online, or its rows were sealed anew, while a flight was under way
	heard    bool      // it sent something while a flight was under way
	greeted  bool      // its card has ended a rest since something was last handed over
	failures int       // attempts in a row that handed nothing over
	ended    time.Time // of the last of them
	until    time.Time // no attempt before
	reason   string    // what the last of them ran into
}

func newOutbox() *outbox {
	return &outbox{queues: map[peer.ID]*queue{}, changed: make(chan struct{}, 1)}
}

func (o *outbox) of(device peer.ID) *queue {
	q, ok := o.queues[device]
	if !ok {
		q = &queue{}
		o.queues[device] = q
	}
	return q
}

// queued asks for a flight because a device has something new. It shortens a rest, but a script that talks to an absent device makes
// no storm, and neither does one that talks to somebody who does not accept us.
func (o *outbox) queued(device peer.ID) {
	o.mu.Lock()
	q := o.of(device)
	q.wanted = true
	switch q.reason {
	case errUnaccepted.Error():
	case errStored.Error():
		q.shorten(0) // the device is away, and its mailboxes are not
	default:
		q.shorten(RetryNew)
	}
	o.mu.Unlock()
	poke(o.changed)
}

// heard shortens a rest because a device has sent what we accepted: it may accept now what it did not before.
func (o *outbox) heard(device peer.ID) {
	o.mu.Lock()
	if q, ok := o.queues[device]; ok {
		q.heard = true
		q.shorten(RetryFirst)
	}
	o.mu.Unlock()
	poke(o.changed)
}

// accepted ends a rest because a device has sent its card, as it does to those alone whom it accepts. That counts once, until something
// was handed over: cards make no storm.
func (o *outbox) accepted(device peer.ID) {
	o.mu.Lock()
	if q, ok := o.queues[device]; ok && !q.greeted {
		q.greeted, q.fresh, q.until = true, true, time.Time{}
	}
	o.mu.Unlock()
	poke(o.changed)
}

// shorten ends a rest early, but not so soon after the last attempt.
func (q *queue) shorten(rest time.Duration) {
	if soon := q.ended.Add(rest); soon.Before(q.until) {
		q.until = soon
	}
}

// online ends a device's rest: it can be reached now, or what it is offered is not what it did not accept.
func (o *outbox) online(device peer.ID) {
	o.mu.Lock()
	if q, ok := o.queues[device]; ok {
		q.fresh, q.until = true, time.Time{}
	}
	o.mu.Unlock()
	poke(o.changed)
}

// next takes a device that may fly now; else it says how long nothing will change by itself.
func (o *outbox) next(now time.Time) (device peer.ID, ok bool, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	flying := 0
	for _, q := range o.queues {
		if q.flying {
			flying++
		}
	}
	wait = RetryMax
	for id, q := range o.queues {
		switch {
		case !q.wanted || q.flying || flying >= DeliveryWorkers:
		case q.until.After(now) && q.until.Sub(now) <= RetryMax:
			wait = min(wait, q.until.Sub(now))
		default:
			q.wanted, q.flying, q.fresh, q.heard = false, true, false, false
			return id, true, 0
		}
	}
	return "", false, wait
}

// landing is how a flight ended.
type landing struct {
	progress bool          // some rows went
	failure  error         // why some are left; without one none is, as far as the flight could see
	ceiling  time.Duration // of the rest after a failure
}

// landed ends a flight.
func (o *outbox) landed(device peer.ID, now time.Time, l landing) {
	o.mu.Lock()
	q := o.of(device)
	q.flying = false
	switch {
	case l.failure == nil && !q.wanted:
		delete(o.queues, device)
	case l.failure == nil:
		*q = queue{wanted: true}
	default:
		if l.progress {
			q.failures, q.greeted = 0, false
		}
		q.wanted, q.ended, q.reason = true, now, l.failure.Error()
		q.until = now.Add(min(backoff(q.failures), l.ceiling))
		q.failures++
		if q.heard {
			q.shorten(RetryFirst)
		}
		if q.fresh {
			q.until = time.Time{}
		}
	}
	o.mu.Unlock()
	poke(o.changed)
}

// reason says what the last attempt to reach a device ran into; nothing while all is well.
func (o *outbox) reason(device peer.ID) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q, ok := o.queues[device]; ok {
		return q.reason
	}
	return ""
}

// poke leaves a token for whoever looks.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Connected tells the messenger that a device can be reached now: what waits for it is tried at once.
func (m *Messenger) Connected(device peer.ID) {
	m.outbox.online(device)
	m.resolver.poke(m.now())
	poke(m.arrange)
}

// dispatch starts flights until ctx ends, and waits for those under way.
func (m *Messenger) dispatch(ctx context.Context) error {
	var flights sync.WaitGroup
	defer flights.Wait()
	loaded := false
	for {
		if m.copied.found.Load() {
			<-ctx.Done()
			return nil
		}
		if !loaded {
			loaded = m.wantQueued(ctx) == nil
		}
		device, ok, wait := m.outbox.next(m.now())
		if ok {
			flights.Go(func() { m.fly(ctx, device) })
			continue
		}
		if !loaded || m.trouble.now() != "" {
			wait = min(wait, RetryFirst)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-m.outbox.changed:
		case <-timer.C:
			m.probe(ctx)
		}
		timer.Stop()
	}
}

// wantQueued asks for flights to every device that something waits for since an earlier run.
func (m *Messenger) wantQueued(ctx context.Context) error {
	var devices []peer.ID
	err := m.look(ctx, func(tx Tx) (err error) {
		devices, err = tx.OutboxDevices()
		return err
	})
	m.trouble.judge(ctx, err)
	for _, device := range devices {
		m.outbox.queued(device)
	}
	return err
}

// probe writes something to a store that was in trouble, so that people see the end of it.
func (m *Messenger) probe(ctx context.Context) {
	if m.trouble.now() == "" {
		return
	}
	own := RecordRow{Key: accountRecordKey(m.self), Sequence: m.identity.sequence(), Value: m.identity.accountRecord, At: m.now()}
	_ = m.update(ctx, func(tx Tx, _ *aftermath) error { return tx.PutRecord(own) }) // judged already
}

// backoff returns the pause after a number of failed attempts to reach a device.
func backoff(attempts int) time.Duration { return pause(attempts, RetryMax) }

// pause returns 1, 2, 4 … s up to a ceiling, the upper half of it jittered, so that nodes that lost the same peer do not come back at once.
func pause(attempts int, ceiling time.Duration) time.Duration {
	if attempts < 12 { // 2^12 s is over an hour
		ceiling = min(RetryFirst<<attempts, ceiling)
	}
	return ceiling/2 + rand.N(ceiling/2+1)
}
