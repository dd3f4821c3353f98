package chat

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
)

// The way from an outbox row to a device: a device is due (something was queued, it came online, or its back-off ended) → a flight
// takes its oldest rows, in order → the transport hands them over → settle: rows that the device has acknowledged go, the others
// stay for the next attempt, byte for byte the same. One flight per device at a time. Which devices have one is kept in memory: the
// store belongs to one process, so a crash ends all flights and loses none of the rows.

// outbox knows which devices want a flight and which have one.
type outbox struct {
	mu      sync.Mutex
	wanted  map[peer.ID]bool      // to be served at once
	flying  map[peer.ID]bool      // served now
	rest    map[peer.ID]time.Time // when the last attempt failed: new messages do not make a storm of attempts
	changed chan struct{}         // holds one token: look again
}

func newOutbox() *outbox {
	return &outbox{
		wanted: map[peer.ID]bool{}, flying: map[peer.ID]bool{}, rest: map[peer.ID]time.Time{}, changed: make(chan struct{}, 1),
	}
}

// want asks for a flight to a device. fresh says that the device just came online, which ends any rest.
func (o *outbox) want(device peer.ID, now time.Time, fresh bool) {
	o.mu.Lock()
	if fresh {
		delete(o.rest, device)
	}
	if failed, ok := o.rest[device]; !ok || now.Sub(failed) >= RetryFirst {
		o.wanted[device] = true
	}
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) poke() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// next takes a wanted device that has no flight and marks it as flying.
func (o *outbox) next() (peer.ID, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for device := range o.wanted {
		if !o.flying[device] && len(o.flying) < DeliveryWorkers {
			delete(o.wanted, device)
			o.flying[device] = true
			return device, true
		}
	}
	return "", false
}

// landed ends a flight.
func (o *outbox) landed(device peer.ID, now time.Time, failed bool) {
	o.mu.Lock()
	delete(o.flying, device)
	if failed {
		o.rest[device] = now
	} else {
		delete(o.rest, device)
	}
	o.mu.Unlock()
	o.poke()
}

// Connected tells the messenger that a device can be reached now: what waits for it is tried at once.
func (m *Messenger) Connected(device peer.ID) {
	m.outbox.want(device, m.now(), true)
	m.resolver.poke()
}

// dispatch starts flights until ctx ends, and waits for those under way.
func (m *Messenger) dispatch(ctx context.Context) error {
	var flights sync.WaitGroup
	defer flights.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for device, ok := m.outbox.next(); ok; device, ok = m.outbox.next() {
			flights.Go(func() { m.outbox.landed(device, m.now(), m.fly(ctx, device) != nil) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.outbox.changed:
		case <-timer.C:
			timer.Reset(m.wantDue(ctx))
		}
	}
}

// wantDue asks for flights to the devices whose back-off has ended, and says when to look again.
func (m *Messenger) wantDue(ctx context.Context) time.Duration {
	var due []peer.ID
	var next time.Time
	now := m.now()
	err := m.store.View(ctx, func(tx Tx) (err error) {
		due, next, err = tx.DueDevices(now, DeliveryWorkers)
		return err
	})
	if err == nil && m.trouble.now() != "" { // does it take writes again?
		err = m.update(ctx, func(Tx, *aftermath) error { return nil })
	}
	if err != nil {
		m.trouble.judge(ctx, err)
		return RetryFirst
	}
	for _, device := range due {
		m.outbox.want(device, now, false)
	}
	if len(due) > 0 || next.IsZero() {
		return RetryFirst
	}
	return min(max(next.Sub(now), 10*time.Millisecond), RetryFirst)
}

// fly hands a device its rows until none is left. The error says why it stopped; it has been noted with the rows.
func (m *Messenger) fly(ctx context.Context, device peer.ID) error {
	for {
		var rows []OutboxRow
		err := m.store.View(ctx, func(tx Tx) (err error) {
			rows, err = tx.OutboxOf(device, FlightSize)
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := m.flight(ctx, device, rows); err != nil {
			if ctx.Err() == nil {
				m.log.Debug("flight ended", zap.Stringer("device", device), zap.Int("rows", len(rows)), zap.Error(err))
			}
			return err
		}
	}
}

// flight makes one attempt with some rows of a device and settles what came of it.
func (m *Messenger) flight(ctx context.Context, device peer.ID, rows []OutboxRow) error {
	envelopes := make([][]byte, len(rows))
	for i, r := range rows {
		envelopes[i] = r.Envelope
	}
	attempt, cancel := context.WithTimeout(ctx, FlightTimeout)
	handed, failure := m.transport.Deliver(attempt, device, nil, envelopes)
	cancel()
	if ctx.Err() != nil && len(handed) == 0 {
		return ctx.Err() // we are stopping: that is not the device's failure
	}
	if failure == nil && len(handed) < len(rows) {
		failure = errors.New("the device took only a part")
	}
	// What was handed over is settled even while we stop: the device has it.
	err := m.update(context.WithoutCancel(ctx), func(tx Tx, _ *aftermath) error {
		return m.settle(tx, device, rows, handed, failure)
	})
	if err != nil {
		return fmt.Errorf("settle a flight: %w", err)
	}
	return failure
}

// settle removes the rows that the device has proven to hold, and moves the rest to a later attempt.
func (m *Messenger) settle(tx Tx, device peer.ID, rows []OutboxRow, handed []Handed, failure error) error {
	var gone []RowID
	for i, h := range handed[:min(len(handed), len(rows))] {
		row := rows[i]
		state, reason, final := settled(row, h)
		if final {
			gone = append(gone, row.Row)
		} else if failure == nil && state == "" {
			failure = errors.New("the device acknowledged with a wrong tag")
		}
		if state == "" || row.Message.IsZero() {
			continue
		}
		if err := m.advance(tx, row.Message, state, reason); err != nil {
			return err
		}
	}
	if err := tx.DeleteOutbox(device, gone); err != nil {
		return err
	}
	if failure == nil || len(gone) == len(rows) {
		return nil
	}
	return tx.PostponeOutbox(device, m.now().Add(backoff(rows[len(gone)].Attempts)), failure.Error())
}

// settled judges one hand-over: the state it gives the message (none: it changes nothing), and whether the row may go.
func settled(row OutboxRow, h Handed) (state State, reason string, final bool) {
	switch {
	case len(h.Tag) == 0: // a mailbox holds it: the row stays until the device says so, unless it carries receipts alone
		return StateSent, "", row.Message.IsZero()
	case len(h.Tag) != len(row.Tag):
		return "", "", false
	case subtle.ConstantTimeCompare(h.Tag, row.Tag[:]) == 1:
		return StateDelivered, "", true
	case AckTag(h.Tag) == AckTag{}:
		return StateFailed, "the recipient's device could not open it", true
	}
	return "", "", false
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

// backoff returns the pause after a number of failed attempts: 1, 2, 4 … 300 s, the upper half of it jittered, so that nodes that lost
// the same peer do not come back at once.
func backoff(attempts int) time.Duration {
	ceiling := RetryMax
	if attempts < 9 { // 2^9 s is over RetryMax
		ceiling = min(RetryFirst<<attempts, RetryMax)
	}
	return ceiling/2 + rand.N(ceiling/2+1)
}
