package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/wire"
)

// One flight: rows of a device that are alike → the transport → settle: what the device has proven to hold goes; what its mailboxes have
// stored stays until it has, and is only offered to the device itself from then on.

// Why rows stay.
var (
	errUnproven   = errors.New("the device has not acknowledged everything")
	errUnaccepted = errors.New("the recipient's device has not accepted it yet")
	errStored     = errors.New("the device is away, and its mailboxes keep it")
)

// load is what one flight carries: rows that the same mailbox hosts hold, and the mailboxes that do not.
type load struct {
	rows      []OutboxRow
	mailboxes []Mailbox
}

// stored reports whether a mailbox holds all of it.
func (l load) stored() bool { return len(l.rows[0].Holders) > 0 }

// pass says which rows a pass over a device's queue takes.
type pass int

const (
	passAll    pass = iota // every row, in order
	passUnheld             // what no mailbox holds
	passHeld               // what one holds
)

// fly hands a device its rows until none is left, or some stay. A device that is away gets first into its mailboxes what is nowhere yet,
// and is tried with the rest behind that.
func (m *Messenger) fly(ctx context.Context, device peer.ID) {
	l := landing{ceiling: RetryMax}
	if m.restCeiling(device) == RetryConnected {
		m.hand(ctx, device, passAll, &l)
	} else if m.hand(ctx, device, passUnheld, &l); l.failure == nil || errors.Is(l.failure, errStored) {
		m.hand(ctx, device, passHeld, &l)
	}
	if l.failure != nil && !errors.Is(l.failure, errUnaccepted) {
		l.ceiling = m.restCeiling(device)
	}
	if l.failure != nil {
		m.log.Debug("flight ended", zap.Stringer("device", device), zap.Error(l.failure))
	}
	m.outbox.landed(device, m.now(), l)
}

// hand makes flights with the rows of one pass. Rows that a mailbox holds keep up nobody: where the device does not take them, the others go
// on.
func (m *Messenger) hand(ctx context.Context, device peer.ID, p pass, l *landing) {
	var last RowID
	for {
		cargo, next, err := m.load(ctx, device, p, last)
		if err != nil {
			l.failure = err
			return
		}
		if len(cargo.rows) == 0 {
			return
		}
		last = next
		if cargo.stored() && l.failure != nil {
			continue // the device has just not taken what was before it
		}
		gone, stored, err := m.flight(ctx, device, cargo)
		l.progress = l.progress || gone > 0 || stored && !cargo.stored()
		if err == nil {
			continue
		}
		if l.failure = err; !stored {
			return
		}
	}
}

// load reads the next rows for a flight, behind a row, and says which row was the last that it looked at.
func (m *Messenger) load(ctx context.Context, device peer.ID, p pass, after RowID) (cargo load, last RowID, err error) {
	err = m.look(ctx, func(tx Tx) error {
		cargo, last = load{}, after
		for len(cargo.rows) == 0 {
			page, err := tx.OutboxOf(device, last, FlightSize)
			if err != nil || len(page) == 0 {
				return err
			}
			last = page[len(page)-1].Row
			rows, err := sendable(tx, page)
			if err != nil {
				return err
			}
			cargo.rows = within(alike(rows, p), FlightBytes)
		}
		if taken := cargo.rows[len(cargo.rows)-1].Row; slices.Compare(taken[:], last[:]) < 0 {
			last = taken
		}
		cargo.mailboxes, err = m.mailboxesFor(tx, cargo.rows[0])
		return err
	})
	return cargo, last, err
}

// alike returns, of the rows that a pass takes, those from the first on that the same hosts hold.
func alike(rows []OutboxRow, p pass) []OutboxRow {
	rows = slices.DeleteFunc(rows, func(r OutboxRow) bool {
		return p == passUnheld && len(r.Holders) > 0 || p == passHeld && len(r.Holders) == 0
	})
	for i, r := range rows {
		if !slices.Equal(r.Holders, rows[0].Holders) {
			return rows[:i]
		}
	}
	return rows
}

// restCeiling is shorter for a device that is connected: it is there, and what keeps it from taking our envelopes will pass.
func (m *Messenger) restCeiling(device peer.ID) time.Duration {
	if m.transport.Sees(device) {
		return RetryConnected
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

// flight makes one attempt with some rows of a device and settles what came of it. It returns how many rows went, and whether a mailbox
// holds what is left of them; where some stay, the failure says why.
func (m *Messenger) flight(ctx context.Context, device peer.ID, cargo load) (gone int, stored bool, failure error) {
	rows := cargo.rows
	envelopes := make([]Outgoing, len(rows))
	for i, r := range rows {
		envelopes[i] = Outgoing{Packet: r.Envelope, Tag: r.Tag}
	}
	attempt, cancel := context.WithTimeout(ctx, FlightTimeout)
	handed, failure := m.transport.Deliver(attempt, device, cargo.mailboxes, envelopes)
	cancel()
	handed = handed[:min(len(handed), len(rows))]
	if failure == nil && len(handed) < len(rows) {
		failure = errUnproven
	}
	// What was handed over is settled even while we stop: the device has it.
	var came outcome
	err := m.update(context.WithoutCancel(ctx), func(tx Tx, after *aftermath) (err error) {
		came, err = m.settle(tx, after, device, rows, handed)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("settle a flight: %w", err)
	}
	if came.unaccepted {
		failure = cmp.Or(failure, errUnaccepted)
	}
	if came.unaccepted || failure != nil && m.outdated(ctx, device, cargo) {
		m.resolver.refresh(rows[0].Account) // it may have other keys or mailboxes by now
	}
	if stored = cargo.stored() || len(handed) == len(rows) && !came.unaccepted; stored && came.gone < len(rows) && !came.unaccepted {
		failure = errStored
	}
	return came.gone, stored, failure
}

// outdated reports whether what we know of a device that did not take a flight may be too old: of one that is connected, which may have
// none of those keys any more; and of one that is away and has no mailbox that we know.
func (m *Messenger) outdated(ctx context.Context, device peer.ID, cargo load) (old bool) {
	if m.restCeiling(device) != RetryConnected {
		return len(cargo.mailboxes) == 0 && !cargo.stored()
	}
	err := m.look(ctx, func(tx Tx) error {
		row, ok, err := tx.Record(deviceRecordKey(device))
		age := m.now().Sub(row.At)
		old = !ok || age >= GenerationLife || age < 0
		return err
	})
	return old || err != nil
}

// outcome is what became of a flight.
type outcome struct {
	gone       int  // rows that went
	unaccepted bool // the device has taken one, and not accepted it
}

// settle removes the rows that the device has proven to hold, notes who holds the others, and reports what became of their messages.
func (m *Messenger) settle(tx Tx, after *aftermath, device peer.ID, rows []OutboxRow, handed []Handed) (came outcome, err error) {
	var done []RowID
	var reports []report
	for i, h := range handed {
		row := rows[i]
		state, final := settled(row, h)
		if final {
			done = append(done, row.Row)
		}
		if h.Acked {
			err = confirm(tx, after, row)
		} else if !final && h.Route == RouteMailbox {
			row.Holders = append(slices.Clone(row.Holders), h.Holders...)
			err = tx.SetOutboxHolders(row)
		}
		if err != nil {
			return came, err
		}
		came.unaccepted = came.unaccepted || state == "" && !final
		if state == "" || row.Message.IsZero() {
			continue
		}
		reports = append(reports, report{row.Message, Way{Device: device, State: state, Route: h.Route, Holders: row.Holders, At: m.now()}})
	}
	if err := m.advance(tx, reports...); err != nil {
		return came, err
	}
	if came.gone = len(done); len(done) == 0 {
		return came, nil
	}
	return came, tx.DeleteOutbox(device, done)
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
	case row.Body == bodyAcks: // nobody acknowledges these
		return "", true
	case h.Route != RouteMailbox:
		return "", false
	}
	return StateSent, row.light()
}

// light reports whether nobody waits for the device to say that it has a row.
func (o OutboxRow) light() bool {
	if o.Body == wire.BodyStep {
		return true
	}
	c, err := wire.ParseContent(o.Content)
	return err == nil && Kind(c.Kind) == KindReceipt
}

// report is how far a message of ours has come on a way.
type report struct {
	message RowID
	way     Way
}

// advance notes reports. Those that are late or repeated, or about a message that is gone, change nothing.
func (m *Messenger) advance(tx Tx, reports ...report) error {
	ids := make([]RowID, len(reports))
	for i, r := range reports {
		ids[i] = r.message
	}
	rows, err := tx.MessagesAt(ids...)
	if err != nil {
		return err
	}
	known := make(map[RowID]MessageRow, len(rows))
	for _, row := range rows {
		known[row.Row] = row
	}
	for _, r := range reports {
		if row, ok := known[r.message]; ok {
			if known[r.message], err = m.advanceRow(tx, row, r.way.State, r.way); err != nil {
				return err
			}
		}
	}
	return nil
}

// advanceRow is advance for one message that is loaded, and returns it as it is then.
func (m *Messenger) advanceRow(tx Tx, row MessageRow, to State, way Way) (MessageRow, error) {
	state, changed := row.State.Advance(to)
	trace, noted := parseTrace(row.Trace).with(way)
	if !changed && !noted {
		return row, nil
	}
	row.State, row.Trace = state, trace.append()
	if err := tx.SetMessageState(row); err != nil || row.Kind != KindText || !changed {
		return row, err
	}
	_, err := tx.AppendEvent(Event{
		Type: EventMessageState, At: m.now(), Conversation: row.Conversation, Message: row.ID, Account: row.Author, State: state,
	})
	return row, err
}

// messageAt loads one message by its row id.
func messageAt(tx Tx, id RowID) (row MessageRow, ok bool, err error) {
	rows, err := tx.MessagesAt(id)
	if err != nil || len(rows) == 0 {
		return row, false, err
	}
	return rows[0], true, nil
}
