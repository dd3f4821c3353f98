package chat

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Info is all that is known of where a message is.
type Info struct {
	Message
	Waits []Waiting // what is still to come, where the message is ours
}

// Waiting is a device that has not acknowledged a message of ours.
type Waiting struct {
	Device   peer.ID   // empty: no device of the recipient has been found yet
	Holders  []peer.ID // the mailbox hosts that keep it for the device
	Attempts int       // to reach the device, in vain, since it was last reached
	Last     time.Time // the last of them; zero for none
	Next     time.Time // not before then; zero: at once, or when something changes
	Reason   string    // what the last attempt ran into
}

// Info says where a message is: how it went so far, what it waits for, and when the next attempt is. The error is CodeTarget where there is
// no such message.
func (m *Messenger) Info(ctx context.Context, id MessageID) (Info, error) {
	var info Info
	err := m.look(ctx, func(tx Tx) error {
		info = Info{}
		row, ok, err := tx.MessageByID(id)
		if err != nil {
			return err
		}
		if !ok {
			return &Error{Code: CodeTarget, Detail: "no such message: " + id.String(), Try: "parley history NAME --json"}
		}
		if info.Message, err = m.viewIn(tx, row); err != nil || !info.Mine {
			return err
		}
		info.Waits, err = m.waitsOf(tx, row)
		return err
	})
	if err != nil || !info.Mine || info.State.Reached(StateDelivered) || info.State == StateFailed {
		return info, wrap(err, "look at a message")
	}
	info.Reason, err = m.reasonFor(ctx, info.Message)
	return info, err
}

// waitsOf lists the devices that a message waits for.
func (m *Messenger) waitsOf(tx Tx, row MessageRow) (waits []Waiting, err error) {
	c, ok, err := tx.Conversation(row.Conversation)
	if err != nil || !ok {
		return nil, err
	}
	devices, err := m.recipients(tx, c.Peer)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		rows, err := tx.OutboxOf(d.device, row.Row.before(), 1)
		if err != nil {
			return nil, err
		}
		if len(rows) == 1 && rows[0].Row == row.Row {
			w := m.outbox.waiting(d.device)
			w.Holders = rows[0].Holders
			w.Reason = about(w.Reason, len(w.Holders) > 0)
			waits = append(waits, w)
		}
	}
	some, err := tx.Unaddressed(c.Peer, "", MaxReseal)
	for _, r := range some {
		if r == row.Row {
			waits = append(waits, Waiting{Reason: "the recipient's device has not been found yet"})
		}
	}
	return waits, err
}

// about turns what the last attempt at a device ran into to one of its messages: mailboxes that keep others may not have this one yet.
func about(reason string, held bool) string {
	if reason == errStored.Error() && !held {
		return "the device is away"
	}
	return reason
}

// before returns the id right before r.
func (r RowID) before() RowID {
	for i := len(r) - 1; i >= 0; i-- {
		if r[i]--; r[i] != 0xff {
			break
		}
	}
	return r
}

// waiting says how the way to a device is doing.
func (o *outbox) waiting(device peer.ID) Waiting {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := Waiting{Device: device}
	if q, ok := o.queues[device]; ok {
		w.Attempts, w.Last, w.Next, w.Reason = q.failures, q.ended, q.until, q.reason
	}
	return w
}
