package mailbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/node/internal/pace"
)

// Keeping is one mailbox that a device keeps: where, and who may deposit. (Keeping and Kept are aliases of unnamed structs, so that a
// messenger can name the same types without importing this package.)
type Keeping = struct {
	Host  peer.ID
	Lanes []Lane
}

// Kept says how a mailbox is doing.
type Kept = struct {
	Host    peer.ID
	Seen    time.Time // when it was last known to hand out; zero: not in this run
	Drained bool      // whether the host has said in this run that it keeps nothing more
	Trouble string    // why nothing is fetched right now, in one line; empty while all is well
}

// Collect takes boxes from a host; nil says that all are kept for good.
type Collect func(ctx context.Context, host peer.ID, boxes [][]byte) error

// Keeper keeps the mailboxes of a device: it opens them and fetches what comes.
type Keeper struct {
	host    host.Host
	connect func(ctx context.Context, host peer.ID) error
	explain func(error) string
	log     *zap.Logger
	pace    *pace.Pace
	silence time.Duration

	changed chan struct{} // has one when there is a mailbox without a loop
	mu      sync.Mutex
	kept    map[peer.ID]*kept
}

// NewKeeper returns the keeper of the device that h is. connect connects to a host, and explain says in a few words why that failed.
func NewKeeper(h host.Host, connect func(ctx context.Context, host peer.ID) error, explain func(error) string, log *zap.Logger) *Keeper {
	return &Keeper{
		host: h, connect: connect, explain: explain, log: log, pace: pace.New(BoxesPerSecond, BoxBurst), silence: FetchEvery,
		changed: make(chan struct{}, 1), kept: make(map[peer.ID]*kept),
	}
}

// tagKept protects the connections to the hosts of our mailboxes.
const tagKept = "mailbox"

// kept is one mailbox; its loop ends when it is not wanted and closed.
type kept struct {
	poke    chan struct{} // has one when it is worth trying at once
	running bool          // guarded by the keeper's mu, as all that follows
	dialled bool          // that it connects next is our own doing
	wanted  bool
	lanes   []Lane
	stop    context.CancelFunc // ends the fetch that goes on with other lanes
	state   Kept
}

// Keep says which mailboxes are wanted from now on, with which lanes: at most MaxKept, of other hosts than this one. A mailbox that is
// not named any more, or without lanes, is closed if its host can be reached.
func (k *Keeper) Keep(mailboxes []Keeping) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted := make(map[peer.ID][]Lane)
	for _, m := range mailboxes {
		if m.Host != k.host.ID() && len(m.Lanes) > 0 && len(wanted) < MaxKept {
			wanted[m.Host] = m.Lanes
		}
	}
	for id := range wanted {
		if k.kept[id] == nil {
			k.kept[id] = &kept{poke: make(chan struct{}, 1), state: Kept{Host: id}}
		}
	}
	for id, m := range k.kept {
		lanes, want := wanted[id]
		if want == m.wanted && hashOf(lanes) == hashOf(m.lanes) {
			continue
		}
		m.lanes, m.wanted = slices.Clone(lanes), want
		if m.stop != nil {
			m.stop()
		}
		signal(m.poke)
	}
	signal(k.changed)
}

func hashOf(lanes []Lane) [sha256.Size]byte { return sha256.Sum256(marshalLanes(lanes)) }

// signal leaves one in a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Connected says that a peer can be reached now: if it is one of the hosts, it is asked at once, unless we have just dialled it: a host
// that hangs up on us each time is not asked each time.
func (k *Keeper) Connected(p peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.kept[p]
	if m == nil {
		return
	}
	if !m.dialled {
		signal(m.poke)
	}
	m.dialled = false
}

// Kept says how the wanted mailboxes are doing, in the order of their hosts' ids.
func (k *Keeper) Kept() (all []Kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(k.kept)) {
		if m := k.kept[id]; m.wanted {
			all = append(all, m.state)
		}
	}
	return all
}

// Run keeps the mailboxes until ctx ends, and hands what comes to collect.
func (k *Keeper) Run(ctx context.Context, collect Collect) error {
	var loops errgroup.Group
	for ctx.Err() == nil {
		for _, m := range k.idle() {
			loops.Go(func() error { return k.loop(ctx, m, collect) })
		}
		select {
		case <-k.changed:
		case <-ctx.Done():
		}
	}
	return loops.Wait()
}

// idle returns the mailboxes that have no loop, and says that they have one now.
func (k *Keeper) idle() (begin []*kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.kept {
		if !m.running {
			m.running = true
			begin = append(begin, m)
		}
	}
	return begin
}

// loop keeps one mailbox as long as it is wanted.
func (k *Keeper) loop(ctx context.Context, m *kept, collect Collect) error {
	id := m.state.Host
	k.host.ConnManager().Protect(id, tagKept)
	defer k.host.ConnManager().Unprotect(id, tagKept)
	delay := pace.Backoff{First: RetryFirst, Most: RetryMax}
	for ctx.Err() == nil {
		lanes, begun := k.look(ctx, m)
		if lanes == nil {
			k.close(ctx, id)
			if k.forget(m) {
				return nil
			}
			continue
		}
		err := k.fetch(begun, m, lanes, &delay, collect)
		if begun.Err() != nil || err == nil {
			continue // other lanes, or a stream that was silent for long
		}
		k.note(m, func(s *Kept) { s.Trouble = k.trouble(err) })
		k.log.Debug("cannot fetch from a mailbox", zap.Stringer("host", id), zap.Error(err))
		select {
		case <-m.poke:
		case <-time.After(delay.Next()):
		case <-ctx.Done():
		}
	}
	return nil
}

// look returns the lanes that are wanted, nil when the mailbox is not, and a context that ends with this.
func (k *Keeper) look(ctx context.Context, m *kept) ([]Lane, context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m.stop != nil {
		m.stop()
	}
	select { // what it says is seen now
	case <-m.poke:
	default:
	}
	ctx, m.stop = context.WithCancel(ctx)
	return m.lanes, ctx
}

// forget drops a mailbox, unless it is wanted again.
func (k *Keeper) forget(m *kept) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m.wanted {
		return false
	}
	m.stop()
	delete(k.kept, m.state.Host)
	return true
}

func (k *Keeper) note(m *kept, change func(*Kept)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&m.state)
}

// close closes a mailbox if that can be done soon.
func (k *Keeper) close(ctx context.Context, id peer.ID) {
	ctx, cancel := context.WithTimeout(ctx, CloseTimeout)
	defer cancel()
	err := k.connect(ctx, id)
	if err == nil {
		_, err = Open(ctx, k.host, id, nil)
	}
	if err != nil {
		k.log.Debug("cannot close a mailbox", zap.Stringer("host", id), zap.Error(err))
	}
}

// fetch connects, fetches, and opens the mailbox first where its host does not know our lanes. A fetch that has lasted begins the back-off
// anew.
func (k *Keeper) fetch(ctx context.Context, m *kept, lanes []Lane, delay *pace.Backoff, collect Collect) error {
	id := m.state.Host
	if err := k.reach(ctx, m); err != nil {
		return err
	}
	began := time.Now()
	lasting, cancel := context.WithTimeout(ctx, FetchAge)
	defer cancel()
	served := false
	f := Fetching{
		Host: id, Lanes: lanes, Silence: k.silence,
		Began: func() {
			served = true
			k.note(m, func(s *Kept) { s.Trouble, s.Seen = "", time.Now() })
		},
		Take:    func(ctx context.Context, boxes [][]byte) error { return collect(ctx, id, boxes) },
		Drained: func() { k.note(m, func(s *Kept) { s.Drained = true }) },
		Pause:   func(ctx context.Context, boxes int) error { return k.pace.Wait(ctx, id, boxes) },
	}
	err := Fetch(lasting, k.host, f)
	if errors.Is(err, ErrOtherLanes) {
		if _, err = Open(lasting, k.host, id, lanes); err == nil {
			err = Fetch(lasting, k.host, f)
		}
	}
	if served {
		k.note(m, func(s *Kept) { s.Seen = time.Now() })
	}
	if time.Since(began) >= RetryMax {
		delay.Reset()
	}
	if lasting.Err() != nil {
		return ctx.Err()
	}
	return err
}

// reach connects to the host of a mailbox.
func (k *Keeper) reach(ctx context.Context, m *kept) error {
	id := m.state.Host
	k.mu.Lock()
	m.dialled = k.host.Network().Connectedness(id) != network.Connected
	k.mu.Unlock()
	if err := k.connect(ctx, id); err != nil {
		k.mu.Lock()
		m.dialled = false
		k.mu.Unlock()
		return &unreachable{err}
	}
	return nil
}

// unreachable is the error of a host that cannot be connected to.
type unreachable struct{ cause error }

func (u *unreachable) Error() string { return "connect: " + u.cause.Error() }
func (u *unreachable) Unwrap() error { return u.cause }

// trouble says in one line why nothing is fetched.
func (k *Keeper) trouble(err error) string {
	away, refusal := (*unreachable)(nil), (*Refusal)(nil)
	switch {
	case errors.As(err, &away):
		return "the host is not reachable: " + k.explain(away.cause)
	case errors.As(err, &refusal) && refusal.Verdict == HostFull:
		return "the host has no room for another mailbox"
	case errors.Is(err, errHostile):
		return "the host breaks the protocol"
	case errors.Is(err, errCollect):
		return "what the host has cannot be kept now"
	}
	return "the host does not answer"
}
