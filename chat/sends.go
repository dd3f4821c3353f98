package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Sends that come at the same time share one transaction: the session is loaded, moved on and stored once for all of them. There is at
// most one leader, who takes what waits, itself first, and then makes the next in the queue the leader; nobody waits for a timer.

// SendAll queues several drafts of one conversation, in their order and in one transaction: all of them, or after an error none. It takes at
// most SendBatch drafts with texts of MaxText bytes together; more are CodeLimit. Other errors are those of Send, of the first draft that has
// one.
func (m *Messenger) SendAll(ctx context.Context, drafts []Draft) ([]Message, error) {
	if err := CheckDrafts(drafts); err != nil {
		return nil, err
	}
	var messages []Message
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		messages = make([]Message, 0, len(drafts))
		for _, d := range drafts {
			row, err := m.sendOne(tx, after, d)
			if err != nil {
				return err
			}
			message, err := m.view(row)
			if err != nil {
				return err
			}
			messages = append(messages, message)
		}
		return nil
	})
	if err != nil {
		return nil, wrap(err, "queue messages")
	}
	return messages, nil
}

// CheckDrafts says why SendAll would take none of these drafts whatever the store holds, as an *Error; nil where it may.
func CheckDrafts(drafts []Draft) error {
	bytes := 0
	for _, d := range drafts {
		if err := d.check(); err != nil {
			return err
		}
		if d.Conversation != drafts[0].Conversation {
			return &Error{Code: CodeInvalid, Detail: "messages to several conversations do not go together: nothing was sent"}
		}
		bytes += len(d.Text)
	}
	if len(drafts) > SendBatch || bytes > MaxText {
		return &Error{Code: CodeLimit, Detail: fmt.Sprintf("%d messages with %d bytes together, at most %d with %d fit: nothing was sent",
			len(drafts), bytes, SendBatch, MaxText)}
	}
	return nil
}

// sends is who waits to send.
type sends struct {
	mu    sync.Mutex
	queue []*sending
	led   bool
}

// sending is one call of Send under way.
type sending struct {
	draft Draft
	wake  chan struct{} // closed when it is done, or is to lead
	leads bool          // set before wake is closed

	row MessageRow // what became of it
	err error
}

// send stores a draft, together with others that wait.
func (m *Messenger) send(ctx context.Context, d Draft) (MessageRow, error) {
	if err := ctx.Err(); err != nil {
		return MessageRow{}, err
	}
	s := &sending{draft: d, wake: make(chan struct{})}
	m.sends.join(s)
	select {
	case <-s.wake:
	case <-ctx.Done():
		if m.sends.leave(s) {
			return MessageRow{}, ctx.Err()
		}
		<-s.wake // too late: it is being stored
	}
	if s.leads {
		m.lead(context.WithoutCancel(ctx))
	}
	return s.row, s.err
}

// errBroken is for who waits for a leader that did not come back.
var errBroken = errors.New("what was sent at the same time has broken the attempt")

// lead stores what waits, and then lets another lead: also if it panics, since the caller may go on after that, and so must the others.
func (m *Messenger) lead(ctx context.Context) {
	batch := m.sends.take()
	done := false
	defer func() {
		for _, other := range batch[1:] {
			if !done {
				other.row, other.err = MessageRow{}, errBroken
			}
			close(other.wake)
		}
		m.sends.handOver()
	}()
	m.sendAll(ctx, batch)
	done = true
}

func (q *sends) join(s *sending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, s)
	if !q.led {
		q.led = true
		q.queue[0].lead()
	}
}

func (s *sending) lead() {
	s.leads = true
	close(s.wake)
}

// leave takes s out of the queue, unless somebody has it already or it is to lead.
func (q *sends) leave(s *sending) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.queue, s)
	if i < 0 || s.leads {
		return false
	}
	q.queue = slices.Delete(q.queue, i, i+1)
	return true
}

// take returns the front of the queue, the leader first.
func (q *sends) take() []*sending {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.queue), SendBatch)
	batch := slices.Clone(q.queue[:n])
	q.queue = slices.Delete(q.queue, 0, n)
	return batch
}

func (q *sends) handOver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.led = len(q.queue) > 0
	if q.led {
		q.queue[0].lead()
	}
}

// sendAll stores drafts in one transaction. A refusal concerns its draft alone, and comes before anything of it is written; any other
// error undoes all, and then each is tried on its own.
func (m *Messenger) sendAll(ctx context.Context, batch []*sending) {
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		for _, s := range batch {
			s.row, s.err = m.sendOne(tx, after, s.draft)
			if s.err != nil && !isRefusal(s.err) {
				return s.err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	common := len(batch) == 1 || CodeOf(err) == CodeUnavailable || CodeOf(err) == CodeLimit
	for i, s := range batch {
		if s.err = err; !common {
			m.sendAll(ctx, batch[i:i+1])
		}
	}
}
