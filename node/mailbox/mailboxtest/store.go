// Package mailboxtest is the kit for tests of mailboxes: a store in memory, and the suite that says what every store promises.
package mailboxtest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/mailbox"
)

// Store is a mailbox.Store in memory. Hosts that share one are a fleet.
type Store struct {
	// Before, when set, is called before each request: its error is what the request returns. Set it before the store is used.
	Before func(ctx context.Context) error

	mu    sync.Mutex
	boxes map[peer.ID]*owner
	count int
}

// NewStore returns a store that holds nothing.
func NewStore() *Store { return &Store{boxes: make(map[peer.ID]*owner)} }

// owner is one mailbox.
type owner struct {
	ways   map[peer.ID]map[[32]byte]uint8 // by host: the lanes and their classes
	opened time.Time
	kept   []*kept

	// What is kept, counted.
	ids   map[mailbox.DepositID]bool
	lanes map[[32]byte]mailbox.Room
	use   mailbox.Room
}

type kept struct {
	mailbox.Deposit
	place  int
	holder peer.ID // who has it on lease
	until  time.Time
}

func (s *Store) begin(ctx context.Context) error {
	if s.Before != nil {
		if err := s.Before(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Open implements mailbox.Store.
func (s *Store) Open(ctx context.Context, id, host peer.ID, lanes []mailbox.Lane, q mailbox.Quota, at time.Time) (mailbox.Verdict, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, known := s.boxes[id]
	if len(lanes) == 0 {
		if known {
			if delete(o.ways, host); len(o.ways) == 0 {
				delete(s.boxes, id)
			}
		}
		return mailbox.Stored, nil
	}
	if !known {
		if len(s.boxes) >= q.Owners {
			return mailbox.HostFull, nil
		}
		o = &owner{ways: make(map[peer.ID]map[[32]byte]uint8)}
		o.recount()
		s.boxes[id] = o
	}
	way := map[[32]byte]uint8{{}: mailbox.ClassOpen}
	for _, l := range lanes {
		way[l.Key] = l.Class
	}
	o.ways[host], o.opened = way, at
	return mailbox.Stored, nil
}

// Deposit implements mailbox.Store.
func (s *Store) Deposit(ctx context.Context, d mailbox.Deposit, q mailbox.Quota) (mailbox.Verdict, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.boxes[d.Owner]
	if o == nil {
		return mailbox.Closed, nil
	}
	class, open := o.ways[d.Host][d.Lane]
	if !open {
		return mailbox.Closed, nil
	}
	if o.ids[d.ID] {
		return mailbox.Stored, nil
	}
	if v := s.room(o, d, class, q); v != mailbox.Stored {
		return v, nil
	}
	s.count++
	d.Box = slices.Clone(d.Box)
	o.kept = append(o.kept, &kept{Deposit: d, place: s.count})
	o.count(d)
	return mailbox.Stored, nil
}

// room says whether there is some for a deposit.
func (s *Store) room(o *owner, d mailbox.Deposit, class uint8, q mailbox.Quota) mailbox.Verdict {
	lane := map[uint8]mailbox.Room{mailbox.ClassOpen: q.Open, mailbox.ClassContact: q.Contact, mailbox.ClassLink: q.Link}[class]
	switch {
	case !fits(o.lanes[d.Lane], d, lane):
		return mailbox.LaneFull
	case !fits(o.use, d, q.Mailbox):
		return mailbox.MailboxFull
	case !s.hostHasRoom(o, d, q):
		return mailbox.HostFull
	}
	return mailbox.Stored
}

// hostHasRoom reports whether what owners have beyond what is theirs for sure still fits into what all share.
func (s *Store) hostHasRoom(o *owner, d mailbox.Deposit, q mailbox.Quota) bool {
	shared := mailbox.Room{Boxes: q.Host.Boxes - q.Owners*q.Sure.Boxes, Bytes: q.Host.Bytes - int64(q.Owners)*q.Sure.Bytes}
	var over mailbox.Room
	for _, other := range s.boxes {
		use := other.use
		if other == o {
			use = with(use, d)
		}
		over.Boxes += max(0, use.Boxes-q.Sure.Boxes)
		over.Bytes += max(0, use.Bytes-q.Sure.Bytes)
	}
	return over.Boxes <= shared.Boxes && over.Bytes <= shared.Bytes
}

func fits(use mailbox.Room, d mailbox.Deposit, most mailbox.Room) bool {
	return use.Boxes < most.Boxes && use.Bytes+int64(len(d.Box)) <= most.Bytes
}

// count adds a box to what is counted, and recount counts anew.
func (o *owner) count(d mailbox.Deposit) {
	o.ids[d.ID] = true
	o.lanes[d.Lane] = with(o.lanes[d.Lane], d)
	o.use = with(o.use, d)
}

func (o *owner) recount() {
	o.ids, o.lanes, o.use = make(map[mailbox.DepositID]bool), make(map[[32]byte]mailbox.Room), mailbox.Room{}
	for _, k := range o.kept {
		o.count(k.Deposit)
	}
}

func with(r mailbox.Room, d mailbox.Deposit) mailbox.Room {
	return mailbox.Room{Boxes: r.Boxes + 1, Bytes: r.Bytes + int64(len(d.Box))}
}

// Lease implements mailbox.Store.
func (s *Store) Lease(ctx context.Context, l mailbox.Lease) ([]mailbox.Box, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.boxes[l.Owner]
	if o == nil {
		return nil, nil
	}
	slices.SortFunc(o.kept, func(a, b *kept) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.place, b.place)) })
	var leased []mailbox.Box
	bytes := 0
	for _, k := range o.kept {
		if slices.Contains(l.Skip, k.ID) || k.holder != "" && k.holder != l.Host && k.until.After(l.Now) {
			continue
		}
		bytes += len(k.Box)
		if len(leased) == l.Boxes || len(leased) > 0 && bytes > l.Bytes {
			break
		}
		k.holder, k.until = l.Host, l.Until
		leased = append(leased, mailbox.Box{ID: k.ID, Box: slices.Clone(k.Box)})
	}
	return leased, nil
}

// Delete implements mailbox.Store.
func (s *Store) Delete(ctx context.Context, id peer.ID, ids []mailbox.DepositID) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.boxes[id]; o != nil {
		o.kept = slices.DeleteFunc(o.kept, func(k *kept) bool { return slices.Contains(ids, k.ID) })
		o.recount()
	}
	return nil
}

// Expire implements mailbox.Store.
func (s *Store) Expire(ctx context.Context, boxes, mailboxes time.Time) (dropped int, err error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, o := range s.boxes {
		before := len(o.kept)
		o.kept = slices.DeleteFunc(o.kept, func(k *kept) bool { return k.At.Before(boxes) })
		o.recount()
		dropped += before - len(o.kept)
		if len(o.kept) == 0 && o.opened.Before(mailboxes) {
			delete(s.boxes, id)
		}
	}
	return dropped, nil
}

// Kept returns how much is kept for an owner.
func (s *Store) Kept(id peer.ID) mailbox.Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.boxes[id]; o != nil {
		return o.use
	}
	return mailbox.Room{}
}

// All returns how much is kept for everybody.
func (s *Store) All() (r mailbox.Room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.boxes {
		r.Boxes, r.Bytes = r.Boxes+o.use.Boxes, r.Bytes+o.use.Bytes
	}
	return r
}
