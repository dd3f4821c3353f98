package node

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// deliverOrDeposit hands envelopes to a device that has mailboxes: to the device itself, or to them when it is known to be away, cannot be
// reached, or has acknowledged nothing for a while, or nothing more: then they get what is left. A device that is connected and not silent is only slow: what goes to its mailboxes as well,
// and comes to it from there, would make it slower.
func (n *Node) deliverOrDeposit(ctx context.Context, device peer.ID, mailboxes []Mailbox, envelopes []Outgoing) ([]Handed, error) {
	if away := n.absent.reason(device, time.Now()); away != nil && !n.connected(device) {
		handed, err := n.deposit(ctx, device, mailboxes, envelopes)
		return handed, neither(away, err)
	}
	t := n.begin(ctx, device, envelopes)
	defer t.leave()
	late, last := time.NewTimer(DepositAfter), time.Now().Add(atLast(envelopes))
	defer late.Stop()
	for waiting := true; waiting; {
		waiting = false
		select {
		case <-t.acked: // it takes them, and has as long for the next
			more := atLast(envelopes[t.count.Load():])
			last = time.Now().Add(more)
			late.Reset(more)
			waiting = true
		case <-t.done:
			if t.err == nil || len(t.handed) > 0 || ctx.Err() != nil {
				return t.handed, t.err
			}
		case <-late.C:
			if !n.connected(device) {
				n.absent.note(device, errLate, time.Now())
			} else if more := n.heard.Patience(device, time.Now(), last); more > 0 {
				late.Reset(more)
				waiting = true
			}
		}
	}
	before := int(t.count.Load())
	if before == len(envelopes) { // it has just taken the last
		<-t.done
		return t.handed, t.err
	}
	stored, err := n.deposit(ctx, device, mailboxes, envelopes[before:])
	if err != nil { // the device is what is left
		select {
		case <-t.done:
		case <-ctx.Done():
		}
	}
	t.leave()
	taken, why := t.outcome()
	if len(taken) > 0 && len(taken) >= before+len(stored) {
		return taken, why
	}
	return append(taken, stored[len(taken)-before:]...), neither(why, err)
}

// atLast is how long a device may take for the first of some envelopes: longer for one that takes long on a slow line, which would be slower still if all
// went over it twice.
func atLast(envelopes []Outgoing) time.Duration {
	if len(envelopes) == 0 {
		return DepositAtLast
	}
	return DepositAtLast + time.Duration(len(envelopes[0].Packet))*time.Second/SlowestLine
}

// neither says in one line why not the device, and why not its mailboxes.
func neither(why, err error) error {
	if err == nil {
		return nil
	}
	return &failure{text: why.Error() + "; " + err.Error(), cause: why}
}

// errLate says that a device has neither answered nor refused.
var errLate = errors.New("the device has not answered yet")

// try is the attempt to hand envelopes to the device itself. The dial goes on when nobody waits for it any more: a device that is
// slow to answer should be connected next time.
type try struct {
	ctx   context.Context // of the handing over
	leave context.CancelFunc
	acked chan struct{} // there is something in it when there were more acknowledgements
	count atomic.Int64  // of the envelopes that were acknowledged
	sends chan struct{} // closed before the handing over begins
	done  chan struct{} // closed at the end

	handed []Handed
	err    error
}

// begin makes the attempt.
func (n *Node) begin(ctx context.Context, device peer.ID, envelopes []Outgoing) *try {
	t := &try{acked: make(chan struct{}, 1), sends: make(chan struct{}), done: make(chan struct{})}
	dialling := context.WithoutCancel(ctx)
	t.ctx, t.leave = context.WithCancel(ctx)
	n.attempts.begin(func() {
		defer close(t.done)
		if t.err = n.approach(dialling, device); t.err != nil {
			return
		}
		if close(t.sends); t.ctx.Err() != nil {
			t.err = t.ctx.Err()
			return
		}
		t.handed, t.err = n.hand(t.ctx, device, envelopes, func() {
			t.count.Add(1)
			select {
			case t.acked <- struct{}{}:
			default:
			}
		})
	})
	return t
}

// outcome says what came of an attempt that was left: nothing yet, while it still dials.
func (t *try) outcome() ([]Handed, error) {
	select {
	case <-t.done:
	case <-t.sends:
		<-t.done
	default:
		return nil, errLate
	}
	return t.handed, t.err
}

// approach connects to a device, and remembers when that fails.
func (n *Node) approach(ctx context.Context, device peer.ID) error {
	err := n.unreachable(n.reach(ctx, device))
	if err != nil {
		n.absent.note(device, err, time.Now())
	}
	return err
}

// deposit makes deposits at the mailboxes of a device.
func (n *Node) deposit(ctx context.Context, device peer.ID, mailboxes []Mailbox, envelopes []Outgoing) ([]Handed, error) {
	packets := make([][]byte, len(envelopes))
	for i, e := range envelopes {
		packets[i] = e.Packet
	}
	holders, err := n.post.Deliver(ctx, device, mailboxes, packets)
	handed := make([]Handed, len(holders))
	for i, hosts := range holders {
		handed[i] = Handed{Route: routeMailbox, Holders: hosts}
	}
	return handed, err
}

// attempts are those that may outlive who began them, and not the node.
type attempts struct {
	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
}

// begin makes an attempt in the background, or here where the node has ended and it can only fail.
func (a *attempts) begin(attempt func()) {
	a.mu.Lock()
	if !a.ended {
		a.running.Go(attempt)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	attempt()
}

// end lets no attempt begin any more, and waits for those that are under way.
func (a *attempts) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.running.Wait()
}

// absences remembers which devices could not be reached lately, and why.
type absences struct {
	mu    sync.Mutex
	known map[peer.ID]absence
}

type absence struct {
	since time.Time
	why   error
}

func newAbsences() *absences { return &absences{known: make(map[peer.ID]absence)} }

// note forgets those that are over when there are many.
func (a *absences) note(device peer.ID, why error, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= BookSize {
		maps.DeleteFunc(a.known, func(_ peer.ID, old absence) bool { return now.Sub(old.since) > AwayFor })
	}
	a.known[device] = absence{since: now, why: why}
}

// over says that a device is there.
func (a *absences) over(device peer.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, device)
}

// clear forgets all: we may reach others now.
func (a *absences) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.known)
}

// reason returns why a device is taken to be away, or nil.
func (a *absences) reason(device peer.ID, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.known[device]; ok && now.Sub(known.since) <= AwayFor {
		return known.why
	}
	return nil
}
