package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"parley/chat"
)

var errAborted = errors.New("another update of the same commit panicked")

// committer makes one transaction out of the updates that are waiting. There is always at most one leader, who alone touches
// the session; everybody else waits to be answered or to lead.
//
//	update    join the queue; wait; lead if it is our turn
//	lead      take a batch, commit it, hand over
//	commit    one transaction for the batch; if a member fails: those before it, it alone, those after it
//	transact  try until it is clear what became of it
//	attempt   begin, run, commit
type committer struct {
	engine  engine
	session *session // the leader's; nil before the first update and after a loss

	mu    sync.Mutex
	queue []*update
	led   bool // somebody leads
}

// update is one call of Update under way.
type update struct {
	ctx context.Context
	fn  func(*tx) error
	// Where several nodes write at once (a shared mailbox database), they have to take locks in one order: first is run before all
	// updates of a transaction, once for those that name it, and the updates come in the order of their keys. Both are empty for the
	// messenger's, which keep the order in which they came.
	first func(*tx) error
	order string

	wake chan struct{} // closed when this update is answered, or is to lead

	leads    bool  // set before wake is closed, by whoever closes it
	answered bool  // the leader's
	err      error // set before the answer
	skipped  error // its context had ended before it could start
}

// update runs u in a transaction that it may share with others, and returns when that is durable or has failed.
func (c *committer) update(u *update) error {
	u.wake = make(chan struct{})
	c.join(u)
	select {
	case <-u.wake:
	case <-u.ctx.Done():
		if c.leave(u) {
			return u.ctx.Err()
		}
		<-u.wake // too late: it is being run
	}
	if u.leads {
		c.lead()
	}
	return u.err
}

// join queues u, and lets it lead where nobody does.
func (c *committer) join(u *update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, u)
	if !c.led {
		c.led = true
		u.lead()
	}
}

func (u *update) lead() {
	u.leads = true
	close(u.wake)
}

// leave takes u out of the queue. It returns false when a leader has it already, or it is to lead itself.
func (c *committer) leave(u *update) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, queued := range c.queue {
		if queued == u && !u.leads {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			return true
		}
	}
	return false
}

// lead does what is queued, the leader's own update first among it. Those whom the leader before has just answered come first to
// queue again: without that, callers fall into two halves that wait for each other, and a commit carries half as much.
func (c *committer) lead() {
	runtime.Gosched()
	batch := c.take()
	defer c.handOver(batch)
	c.commit(batch)
}

func (c *committer) take() []*update {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), MaxGroup)
	batch := c.queue[:n:n]
	c.queue = append([]*update(nil), c.queue[n:]...)
	slices.SortStableFunc(batch, func(a, b *update) int { return cmp.Compare(a.order, b.order) })
	return batch
}

// handOver makes the first in the queue the leader. It runs also when an update panics: the panic goes on in the leader, while
// the others get an error and the next leader a new session.
func (c *committer) handOver(batch []*update) {
	for _, u := range batch {
		if !u.answered {
			c.drop()
			u.answer(errAborted)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.led = len(c.queue) > 0
	if c.led {
		c.queue[0].lead()
	}
}

func (u *update) answer(err error) {
	u.err, u.answered = err, true
	if u.skipped != nil {
		u.err = u.skipped
	}
	if !u.leads {
		close(u.wake)
	}
}

// commit commits the batch, and answers everybody in it.
func (c *committer) commit(batch []*update) {
	for len(batch) > 0 {
		ran, err := c.transact(batch)
		if err == nil || ran == len(batch) || len(batch) == 1 {
			for _, u := range batch {
				u.answer(err)
			}
			return
		}
		c.commit(batch[:ran])
		c.commit(batch[ran : ran+1])
		batch = batch[ran+1:]
	}
}

// verdict is what an error of the database means for the transaction that met it.
type verdict int

const (
	verdictFinal verdict = iota // the update is wrong, or there is no room: running it again changes nothing
	verdictAgain                // the database undid it because of somebody else
	verdictLost                 // the connection is gone, or not to be trusted
)

// transact runs the batch in one transaction, and repeats what is known to be undone. ran is how many of the batch went well
// before the error; all of it when the error belongs to nobody in particular.
func (c *committer) transact(batch []*update) (ran int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), CommitTimeout)
	defer cancel()
	for attempt := range MaxAttempts {
		if err := c.connect(ctx); err != nil {
			return len(batch), unavailable(err)
		}
		var committing bool
		ran, committing, err = c.attempt(ctx, batch)
		if err == nil {
			c.engine.committed()
			return ran, nil
		}
		switch c.engine.judge(c.session, err) {
		case verdictFinal:
			return ran, c.engine.explain(err)
		case verdictLost:
			c.drop()
			if committing {
				return ran, unknown(c.engine.explain(err))
			}
			if attempt > 0 { // it was not just a connection that had died unnoticed
				pause(ctx, attempt)
			}
		case verdictAgain:
			pause(ctx, attempt)
		}
	}
	return ran, unavailable(c.engine.explain(err))
}

// connect makes sure that there is a session, with the owner's lock.
func (c *committer) connect(ctx context.Context) (err error) {
	if c.session != nil && (c.session.broken || c.engine.suspects()) {
		c.drop()
	}
	if c.session == nil {
		c.session, err = c.engine.writer(ctx)
	}
	return err
}

// drop ends the session; the next transaction gets a new one.
func (c *committer) drop() {
	if c.session != nil {
		c.session.close()
		c.session = nil
	}
}

// attempt runs the batch in one transaction. committing says that an error came from the commit, whose outcome is then unknown
// unless the database itself said no.
func (c *committer) attempt(ctx context.Context, batch []*update) (ran int, committing bool, err error) {
	s := c.session
	if err := s.begin(ctx, c.engine.dialect().begin); err != nil {
		return len(batch), false, err
	}
	if i := slices.IndexFunc(batch, func(u *update) bool { return u.first != nil }); i >= 0 {
		if err := batch[i].first(&tx{ctx: ctx, session: s}); err != nil {
			s.rollBack(ctx)
			return len(batch), false, err
		}
	}
	for i, u := range batch {
		if err := u.run(ctx, s); err != nil {
			s.rollBack(ctx)
			return i, false, err
		}
	}
	return len(batch), true, s.commit(ctx)
}

// run runs the update's function. A statement that failed fails the update, whatever the function says.
func (u *update) run(ctx context.Context, s *session) error {
	if u.skipped = u.ctx.Err(); u.skipped != nil {
		return nil
	}
	t := &tx{ctx: ctx, session: s}
	err := u.fn(t)
	if err == nil {
		err = t.settleAll()
	}
	switch {
	case t.err == nil || errors.Is(err, t.err):
		return err
	case err == nil:
		return t.err
	default:
		return fmt.Errorf("%w: %w", err, t.err)
	}
}

// pause waits a little longer after each attempt, with jitter, so that two who are in each other's way part.
func pause(ctx context.Context, attempt int) {
	wait := RetryPause << attempt
	select {
	case <-time.After(wait/2 + rand.N(wait/2)):
	case <-ctx.Done():
	}
}

// unknown returns the error for an update of which nobody knows what became of it: whatever is said to people, machines have to ask again.
func unknown(cause error) error {
	told := (*chat.Error)(nil)
	if !errors.As(cause, &told) {
		return unavailable(cause)
	}
	return &trouble{told: &chat.Error{Code: chat.CodeUnavailable, Detail: told.Detail, Try: told.Try}, cause: cause}
}

// unavailable returns the error for a database that cannot be asked right now.
func unavailable(cause error) error {
	if told := (*chat.Error)(nil); errors.As(cause, &told) {
		return cause
	}
	return &trouble{
		told:  &chat.Error{Code: chat.CodeUnavailable, Detail: "database unreachable: " + reason(cause)},
		cause: cause,
	}
}
