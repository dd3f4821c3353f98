package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
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
	if q.reason != errUnaccepted.Error() {
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
			q.failures = 0
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

// fly hands a device its rows until none is left, or some stay.
func (m *Messenger) fly(ctx context.Context, device peer.ID) {
	l := landing{ceiling: RetryMax}
	var last RowID
	for l.failure == nil {
		var rows []OutboxRow
		l.failure = m.look(ctx, func(tx Tx) (err error) {
			rows, err = sendable(tx, device, last)
			return err
		})
		if l.failure != nil || len(rows) == 0 {
			break
		}
		rows = within(rows, FlightBytes)
		last = rows[len(rows)-1].Row
		var gone int
		gone, l.failure = m.flight(ctx, device, rows)
		l.progress = l.progress || gone > 0
	}
	if l.failure != nil && !errors.Is(l.failure, errUnaccepted) {
		l.ceiling = m.restCeiling(device)
	}
	if l.failure != nil {
		m.log.Debug("flight ended", zap.Stringer("device", device), zap.Error(l.failure))
	}
	m.outbox.landed(device, m.now(), l)
}

// restCeiling is shorter for a device that is connected: it is there, and what keeps it from taking our envelopes will pass.
func (m *Messenger) restCeiling(device peer.ID) time.Duration {
	for _, p := range m.transport.Peers() {
		if p.ID == device {
			return RetryConnected
		}
	}
	return RetryMax
}

// within returns as many rows from the front as have at most a number of bytes together, but at least one.
func within(rows []OutboxRow, bytes int) []OutboxRow {
	for i, r := range rows {
		if bytes -= len(r.Envelope); bytes < 0 && i > 0 {
			return rows[:i]
		}
	}
	return rows
}

// Why rows stay.
var (
	errUnproven   = errors.New("the device has not acknowledged everything")
	errUnaccepted = errors.New("the recipient's device has not accepted it yet")
)

// flight makes one attempt with some rows of a device and settles what came of it. It returns how many rows went; where some stay that
// should not, the failure says why. (What a mailbox has taken stays, and holds up nothing.)
func (m *Messenger) flight(ctx context.Context, device peer.ID, rows []OutboxRow) (gone int, failure error) {
	envelopes := make([]Outgoing, len(rows))
	for i, r := range rows {
		envelopes[i] = Outgoing{Packet: r.Envelope, Tag: r.Tag}
	}
	attempt, cancel := context.WithTimeout(ctx, FlightTimeout)
	handed, failure := m.transport.Deliver(attempt, device, nil, envelopes)
	cancel()
	handed = handed[:min(len(handed), len(rows))]
	if failure == nil && len(handed) < len(rows) {
		failure = errUnproven
	}
	// What was handed over is settled even while we stop: the device has it.
	unaccepted := false
	err := m.update(context.WithoutCancel(ctx), func(tx Tx, after *aftermath) (err error) {
		gone, unaccepted, err = m.settle(tx, after, device, rows, handed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("settle a flight: %w", err)
	}
	if unaccepted {
		failure = cmp.Or(failure, errUnaccepted)
	}
	if unaccepted || failure != nil && m.restCeiling(device) == RetryConnected && m.outdated(ctx, device) {
		m.resolver.refresh(rows[0].Account) // it may have other keys by now: renew
	}
	return gone, failure
}

// outdated reports whether what we know of a device's keys is so old that it may have none of them any more.
func (m *Messenger) outdated(ctx context.Context, device peer.ID) (old bool) {
	err := m.look(ctx, func(tx Tx) error {
		row, ok, err := tx.Record(deviceRecordKey(device))
		age := m.now().Sub(row.At)
		old = !ok || age >= GenerationLife || age < 0
		return err
	})
	return old || err != nil
}

// settle removes the rows that the device has proven to hold, and reports what became of their messages.
func (m *Messenger) settle(tx Tx, after *aftermath, device peer.ID, rows []OutboxRow, handed []Handed) (gone int, unaccepted bool, err error) {
	var done []RowID
	for i, h := range handed {
		state, final := settled(rows[i], h)
		if final {
			done = append(done, rows[i].Row)
			if err := confirm(tx, after, rows[i]); err != nil {
				return 0, false, err
			}
		}
		unaccepted = unaccepted || state == ""
		if state == "" || rows[i].Message.IsZero() {
			continue
		}
		if err := m.advance(tx, rows[i].Message, state, ""); err != nil {
			return 0, false, err
		}
	}
	if len(done) == 0 {
		return 0, unaccepted, nil
	}
	return len(done), unaccepted, tx.DeleteOutbox(device, done)
}

// confirm notes in a row's session that the other side has it.
func confirm(tx Tx, after *aftermath, row OutboxRow) error {
	l, err := after.lines.line(tx, row.Session)
	if err != nil || l == nil {
		return err
	}
	l.changed = l.state.Confirm(row.Chain) || l.changed
	return nil
}

// settled judges one hand-over: the state that it gives the message (none: the device has not accepted it), and whether the row may go.
func settled(row OutboxRow, h Handed) (state State, final bool) {
	switch {
	case h.Acked:
		return StateDelivered, true
	case h.Route != RouteMailbox:
		return "", false
	}
	return StateSent, row.Message.IsZero() // receipts: nobody waits for the device to say that it has them
}

// advance reports a state of a message of ours. Reports that are late or repeated change nothing.
func (m *Messenger) advance(tx Tx, id RowID, to State, reason string) error {
	row, ok, err := tx.Message(id)
	if err != nil || !ok {
		return err
	}
	return m.advanceRow(tx, row, to, reason)
}

func (m *Messenger) advanceRow(tx Tx, row MessageRow, to State, reason string) error {
	state, changed := row.State.Advance(to)
	if !changed {
		return nil
	}
	if err := tx.SetMessageState(row.Row, state, reason); err != nil || row.Kind != KindText {
		return err
	}
	_, err := tx.AppendEvent(Event{
		Type: EventMessageState, At: m.now(), Conversation: row.Conversation, Message: row.ID, Account: row.Author, State: state,
	})
	return err
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
