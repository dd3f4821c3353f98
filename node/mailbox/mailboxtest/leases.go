package mailboxtest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/mailbox"
)

func oldestFirst(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	var made []mailbox.Deposit
	for i := range 6 {
		d := s.box(100 + i)
		d.At = s.now.Add(time.Duration(-i) * time.Minute) // each is older than the one before
		s.expect(mailbox.Stored, d)
		made = append(made, d)
	}
	slices.Reverse(made)
	got := s.lease()
	if len(got) != len(made) {
		s.Fatalf("%d boxes of %d", len(got), len(made))
	}
	for i, d := range made {
		if got[i].ID != d.ID || !bytes.Equal(got[i].Box, d.Box) {
			s.Errorf("box %d is %x, want %x, or has changed", i, got[i].ID[:8], d.ID[:8])
		}
	}
}

func leaseBounds(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	for range 5 {
		s.expect(mailbox.Stored, s.box(100))
	}
	if got := s.lease(atMost(3)); len(got) != 3 {
		s.Errorf("%d boxes, where 3 are the most", len(got))
	}
	if got := s.lease(bytesMost(299)); len(got) != 2 {
		s.Errorf("%d boxes of 100 bytes in 299", len(got))
	}
	if got := s.lease(bytesMost(300)); len(got) != 3 {
		s.Errorf("%d boxes of 100 bytes in 300", len(got))
	}
	if got := s.lease(bytesMost(50)); len(got) != 1 {
		s.Errorf("%d boxes, where none fits and one must come", len(got))
	}
}

func skips(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	for range 5 {
		s.expect(mailbox.Stored, s.box(100))
	}
	first := s.lease(atMost(2))
	next := s.lease(without(idsOf(first)...))
	if len(next) != 3 {
		s.Fatalf("%d boxes behind the two that are on their way", len(next))
	}
	for _, b := range next {
		if slices.Contains(idsOf(first), b.ID) {
			s.Errorf("%x is on its way already", b.ID[:8])
		}
	}
	if got := s.lease(without(append(idsOf(first), idsOf(next)...)...)); len(got) != 0 {
		s.Errorf("%d boxes where all are on their way", len(got))
	}
}

func leases(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.bob, s.away, s.alice)
	s.expect(mailbox.Stored, s.box(100))
	if got := s.lease(); len(got) != 1 {
		s.Fatalf("%d boxes", len(got))
	}
	s.passes(mailbox.LeaseTime / 2)
	if got := s.lease(byHost(s.away)); len(got) != 0 {
		s.Error("two hosts have leased the same box")
	}
	if got := s.lease(); len(got) != 1 {
		s.Error("who has leased a box does not get it again")
	}
	s.passes(mailbox.LeaseTime * 3 / 4)
	if got := s.lease(byHost(s.away)); len(got) != 0 {
		s.Error("asking again has not renewed the lease")
	}
	s.passes(mailbox.LeaseTime)
	if got := s.lease(byHost(s.away)); len(got) != 1 {
		s.Error("a lease has no end")
	}
	if got := s.lease(); len(got) != 0 {
		s.Error("a lease that has ended still holds")
	}
}

func deletes(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.quota.Contact.Boxes = 2
	s.expect(mailbox.Stored, s.box(100))
	s.expect(mailbox.Stored, s.box(100))
	s.expect(mailbox.LaneFull, s.box(100))
	got := s.lease(atMost(1))
	s.delete(s.bob, idsOf(got)...)
	s.delete(s.bob, idsOf(got)...)
	s.delete(s.bob)
	s.expect(mailbox.Stored, s.box(100))
	if left := s.lease(); len(left) != 2 || slices.Contains(idsOf(left), got[0].ID) {
		s.Errorf("%d boxes are left, or the deleted one is among them", len(left))
	}
}

func deletesOwn(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.dave, s.home, s.alice)
	d := s.box(100)
	s.expect(mailbox.Stored, d)
	s.delete(s.dave, d.ID)
	s.delete(Peer(3), d.ID)
	if got := s.lease(); len(got) != 1 {
		s.Error("somebody else has deleted Bob's box")
	}
}

func closes(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.bob, s.away, s.alice)
	s.expect(mailbox.Stored, s.box(100))
	s.open(s.bob, s.home)
	s.expect(mailbox.Closed, s.box(100))
	s.expect(mailbox.Stored, s.box(100, atHost(s.away)))
	if got := s.lease(byHost(s.away)); len(got) != 2 {
		s.Errorf("%d boxes are left while there is a way", len(got))
	}
	s.open(s.bob, s.away)
	s.mustOpen(s.bob, s.away, s.alice)
	s.passes(2 * mailbox.LeaseTime)
	if got := s.lease(byHost(s.away)); len(got) != 0 {
		s.Errorf("%d boxes of a closed mailbox are in the next one", len(got))
	}
}

func expires(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.dave, s.home, s.alice)
	old := s.box(100)
	s.expect(mailbox.Stored, old)
	s.passes(time.Hour)
	kept := s.box(100)
	s.expect(mailbox.Stored, kept)
	s.mustOpen(Peer(3), s.home, s.alice)
	dropped, err := s.store.Expire(s.Context(), kept.At, kept.At)
	if err != nil || dropped != 1 {
		s.Errorf("%d boxes have expired, %v", dropped, err)
	}
	if got := s.lease(); len(got) != 1 || got[0].ID != kept.ID {
		s.Errorf("%d boxes are left", len(got))
	}
	s.expect(mailbox.Closed, s.box(100, forOwner(s.dave)))
	s.expect(mailbox.Stored, s.box(100, forOwner(Peer(3))))
	s.expect(mailbox.Stored, s.box(100))
}

// crowds deposits from many sides at once, some of it twice.
func crowds(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.quota.Contact.Boxes = 20
	var stored atomic.Int32
	var depositing sync.WaitGroup
	for range 10 {
		depositing.Go(func() {
			for range 5 {
				d := s.box(10)
				var both sync.WaitGroup
				for range 2 {
					both.Go(func() {
						if v, err := s.store.Deposit(context.WithoutCancel(s.Context()), d, s.quota); err != nil {
							s.Errorf("deposit: %v", err)
						} else if v == mailbox.Stored {
							stored.Add(1)
						}
					})
				}
				both.Wait()
			}
		})
	}
	depositing.Wait()
	if got := s.lease(); len(got) != 20 || stored.Load() != 40 {
		s.Errorf("%d boxes are kept, %d times it was said of one; want 20 and 40", len(got), stored.Load())
	}
}

// fleetLeases lets two hosts lease from many sides at once.
func fleetLeases(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.bob, s.away, s.alice)
	for range 40 {
		s.expect(mailbox.Stored, s.box(10))
	}
	var mu sync.Mutex
	holder := map[mailbox.DepositID]peer.ID{}
	var leasing sync.WaitGroup
	for _, host := range []peer.ID{s.home, s.away} {
		leasing.Go(func() {
			var mine []mailbox.DepositID
			for range 10 {
				boxes, err := s.store.Lease(context.WithoutCancel(s.Context()), mailbox.Lease{
					Owner: s.bob, Host: host, Skip: mine, Now: s.now, Until: s.now.Add(time.Hour), Boxes: 5, Bytes: mailbox.WindowBytes,
				})
				if err != nil {
					s.Errorf("lease: %v", err)
				}
				mine = append(mine, idsOf(boxes)...)
				mu.Lock()
				for _, b := range boxes {
					if other, taken := holder[b.ID]; taken {
						s.Errorf("%x is at %s and at %s", b.ID[:8], other, host)
					}
					holder[b.ID] = host
				}
				mu.Unlock()
			}
		})
	}
	leasing.Wait()
	if len(holder) != 40 {
		s.Errorf("%d boxes of 40 were handed out", len(holder))
	}
}
