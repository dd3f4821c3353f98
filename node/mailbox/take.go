package mailbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
)

// takeDeposits serves a depositor: deposit after deposit, until one is refused.
func (s *Server) takeDeposits(in *incoming) error {
	for idle := s.patience.first; ; idle = s.patience.idle {
		verdict, size, err := s.takeDeposit(in, idle)
		if err != nil {
			return err
		}
		if err := put(in, []byte{byte(verdict)}, s.patience.write); err != nil {
			return fmt.Errorf("write verdict: %w", err)
		}
		if verdict != Stored { // what may be behind it is not read
			s.hosting.Refused(verdict)
			return nil
		}
		if err := s.bytes.Wait(s.streams.Context(), in.from, size); err != nil {
			return fmt.Errorf("wait for a turn: %w", err)
		}
	}
}

// takeDeposit reads one deposit, and keeps it if there is room. Of a lane that was refused lately it reads no box.
func (s *Server) takeDeposit(in *incoming, idle time.Duration) (v Verdict, size int, err error) {
	raw, err := in.next(maxHead, idle, s.patience.frame)
	if err != nil {
		return 0, 0, fmt.Errorf("read head: %w", err)
	}
	h, err := parseHead(raw)
	in.frames.Release(raw)
	if err != nil {
		return 0, 0, frame.Malformed(err)
	}
	if err := s.deposits.Wait(s.streams.Context(), in.from, 1); err != nil {
		return 0, 0, fmt.Errorf("wait for a turn: %w", err)
	}
	if v, known := s.refused.of(h, time.Now()); known {
		s.refusals.Allow(in.from)
		return v, 0, nil
	}
	box, err := in.next(MaxBox, s.patience.frame, s.patience.box)
	if err != nil {
		return 0, 0, fmt.Errorf("read box: %w", unended(err))
	}
	defer in.frames.Release(box)
	if v, err = s.keep(s.streams.Context(), h, box); err != nil {
		return 0, 0, err
	}
	if v != Stored {
		s.refused.note(h, v, time.Now())
		s.refusals.Allow(in.from)
	}
	return v, len(box), nil
}

// keep puts a box into the store, and wakes its owner's stream.
func (s *Server) keep(ctx context.Context, h head, box []byte) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreTimeout)
	defer cancel()
	v, err := s.hosting.Store.Deposit(ctx, Deposit{
		Owner: h.owner, Host: s.self, Lane: LaneOf(h.capability), ID: h.id, Box: box, At: time.Now(),
	}, s.hosting.Limits.Quota)
	if err != nil {
		return 0, fmt.Errorf("store a box: %w", err)
	}
	if v == Stored {
		s.wake(h.owner)
	}
	return v, nil
}

// takeLanes serves an owner that says who may deposit.
func (s *Server) takeLanes(in *incoming) error {
	raw, err := in.next(maxLanes, s.patience.first, s.patience.frame)
	if err != nil {
		return fmt.Errorf("read lanes: %w", err)
	}
	lanes, err := parseLanes(raw)
	hash := sha256.Sum256(raw)
	in.frames.Release(raw)
	if err != nil {
		return frame.Malformed(err)
	}
	ctx, cancel := context.WithTimeout(s.streams.Context(), StoreTimeout)
	defer cancel()
	now := time.Now()
	s.current.begin(in.from)
	v, err := s.hosting.Store.Open(ctx, in.from, s.self, lanes, s.hosting.Limits.Quota, now)
	s.current.end(in.from, opening{lanes: hash, at: now}, err == nil && v == Stored && len(lanes) > 0)
	if err != nil {
		return fmt.Errorf("open a mailbox: %w", err)
	}
	s.refused.forget(in.from)
	if len(lanes) == 0 {
		s.endFeed(in.from)
	}
	q := s.hosting.Limits.Quota.Mailbox
	return put(in, marshalPolicy(v, Policy{TimeToLive: s.hosting.Limits.Life, Boxes: q.Boxes, Bytes: q.Bytes}), s.patience.write)
}

// openings remembers which lanes owners have named while this host has run.
type openings struct {
	mu    sync.Mutex
	asked map[peer.ID]*asked // of owners whose lanes are being stored
	known map[peer.ID]opening
}

// asked is how many openings of one owner are under way, and whether any two of them were at the same time.
type asked struct {
	running int
	mixed   bool
}

type opening struct {
	lanes [sha256.Size]byte // their hash
	at    time.Time
}

func newOpenings() *openings {
	return &openings{asked: make(map[peer.ID]*asked), known: make(map[peer.ID]opening)}
}

// begin says that an owner names lanes: until the store has them, nothing is certain.
func (o *openings) begin(owner peer.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, owner)
	a := o.asked[owner]
	if a == nil {
		a = &asked{}
		o.asked[owner] = a
	}
	a.running++
	a.mixed = a.mixed || a.running > 1
}

// end notes what was named, unless the same owner named something else meanwhile: then nobody knows which of the two the store has.
func (o *openings) end(owner peer.ID, named opening, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.asked[owner]
	if a.running--; a.running > 0 {
		return
	}
	delete(o.asked, owner)
	maps.DeleteFunc(o.known, func(_ peer.ID, old opening) bool { return named.at.Sub(old.at) > OpenLife })
	if done && !a.mixed {
		o.known[owner] = named
	}
}

// are reports whether an owner's lanes are those that it has named, not long ago.
func (o *openings) are(owner peer.ID, lanes [sha256.Size]byte, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, ok := o.known[owner]
	return ok && known.lanes == lanes && now.Sub(known.at) <= OpenLife
}

// memory remembers refusals for a while, by lane: of a lane that does not exist nothing else is known than of one that is full.
type memory struct {
	mu   sync.Mutex
	till map[way]refusal
}

type way struct {
	owner      peer.ID
	capability [32]byte
}

type refusal struct {
	verdict Verdict
	until   time.Time
}

func newMemory() *memory { return &memory{till: make(map[way]refusal)} }

func (m *memory) of(h head, now time.Time) (Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.till[way{h.owner, h.capability}]
	return r.verdict, ok && now.Before(r.until)
}

// note forgets any other refusal when there are many.
func (m *memory) note(h head, v Verdict, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w := range m.till {
		if len(m.till) < Refusals {
			break
		}
		delete(m.till, w)
	}
	m.till[way{h.owner, h.capability}] = refusal{v, now.Add(RefusedFor)}
}

// forget drops what was refused for an owner, who has made room or other lanes.
func (m *memory) forget(owner peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.till, func(w way, _ refusal) bool { return w.owner == owner })
}
