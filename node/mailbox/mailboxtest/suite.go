package mailboxtest

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/mailbox"
)

// TestStore runs the suite: what a host, and hosts that share a store, may rely on. open returns an empty store each time.
func TestStore(t *testing.T, open func() mailbox.Store) {
	for _, c := range []struct {
		name string
		run  func(*scene)
	}{
		{"a mailbox is opened before anything is deposited", opensFirst},
		{"lanes that are not named any more are closed", lanesChange},
		{"each host is a way of its own", waysByHost},
		{"a deposit that is made twice is kept once", twice},
		{"a wrong lane hides what is kept", noOracle},
		{"a lane has an end", laneFull},
		{"the open lane has an end of its own", openLaneFull},
		{"a mailbox has an end", mailboxFull},
		{"sizes count as numbers do", bytesCount},
		{"what is sure is there whatever others do", sure},
		{"there are so many mailboxes and no more", owners},
		{"limits that shrink let nothing more in and drop nothing", shrinks},
		{"boxes come as they were, the oldest first", oldestFirst},
		{"a lease is bounded", leaseBounds},
		{"what is on its way is skipped", skips},
		{"who has leased may lease again, others wait", leases},
		{"what is deleted makes room", deletes},
		{"one owner deletes nothing of another", deletesOwn},
		{"the last way that is closed drops the boxes", closes},
		{"old boxes and forsaken mailboxes expire", expires},
		{"crowds keep to the quota", crowds},
		{"hosts of a fleet never hand out the same", fleetLeases},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newScene(t, open())) })
	}
}

// scene is Bob's mailbox, two hosts that share the store, and a clock.
type scene struct {
	*testing.T
	store      mailbox.Store
	quota      mailbox.Quota
	bob, dave  peer.ID
	home, away peer.ID // hosts
	alice      mailbox.Lane
	stranger   [32]byte
	now        time.Time
	made       atomic.Uint64
}

func newScene(t *testing.T, s mailbox.Store) *scene {
	return &scene{
		T: t, store: s, quota: mailbox.DefaultQuota(), bob: Peer(1), dave: Peer(2), home: Peer(101), away: Peer(102),
		alice: Lane(1, mailbox.ClassContact), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// Peer returns the n-th of many peer ids, of the form and length of real ones.
func Peer(n int) peer.ID {
	id := append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, make([]byte, 32)...)
	binary.BigEndian.PutUint64(id[30:], uint64(n))
	return peer.ID(id)
}

// Lane returns the n-th of many lanes.
func Lane(n int, class uint8) mailbox.Lane {
	l := mailbox.Lane{Class: class}
	l.Key[0] = 0xaa
	binary.BigEndian.PutUint64(l.Key[24:], uint64(n))
	return l
}

// open opens a mailbox at a host with lanes.
func (s *scene) open(owner, host peer.ID, lanes ...mailbox.Lane) mailbox.Verdict {
	s.Helper()
	v, err := s.store.Open(s.Context(), owner, host, lanes, s.quota, s.now)
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	return v
}

func (s *scene) mustOpen(owner, host peer.ID, lanes ...mailbox.Lane) {
	s.Helper()
	if v := s.open(owner, host, lanes...); v != mailbox.Stored {
		s.Fatalf("opening a mailbox: verdict %d", v)
	}
}

// box makes a deposit for Bob at home through Alice's lane, another one each time; change says what is different.
func (s *scene) box(size int, change ...func(*mailbox.Deposit)) mailbox.Deposit {
	d := mailbox.Deposit{Owner: s.bob, Host: s.home, Lane: s.alice.Key, At: s.now, Box: make([]byte, size)}
	binary.BigEndian.PutUint64(d.ID[:], s.made.Add(1))
	for i := range d.Box {
		d.Box[i] = byte(i) ^ d.ID[7]
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

func forOwner(id peer.ID) func(*mailbox.Deposit) { return func(d *mailbox.Deposit) { d.Owner = id } }

func atHost(id peer.ID) func(*mailbox.Deposit) { return func(d *mailbox.Deposit) { d.Host = id } }

func through(key [32]byte) func(*mailbox.Deposit) { return func(d *mailbox.Deposit) { d.Lane = key } }

func (s *scene) deposit(d mailbox.Deposit) mailbox.Verdict {
	s.Helper()
	v, err := s.store.Deposit(s.Context(), d, s.quota)
	if err != nil {
		s.Fatalf("deposit: %v", err)
	}
	return v
}

// expect deposits and says what should become of it.
func (s *scene) expect(want mailbox.Verdict, d mailbox.Deposit) {
	s.Helper()
	if got := s.deposit(d); got != want {
		s.Fatalf("deposit %x of %d bytes: verdict %d, want %d", d.ID[:8], len(d.Box), got, want)
	}
}

// lease is what home may hand out to Bob now; change says what is different.
func (s *scene) lease(change ...func(*mailbox.Lease)) []mailbox.Box {
	s.Helper()
	l := mailbox.Lease{
		Owner: s.bob, Host: s.home, Now: s.now, Until: s.now.Add(mailbox.LeaseTime), Boxes: mailbox.Window, Bytes: mailbox.WindowBytes,
	}
	for _, c := range change {
		c(&l)
	}
	boxes, err := s.store.Lease(s.Context(), l)
	if err != nil {
		s.Fatalf("lease: %v", err)
	}
	return boxes
}

func byHost(id peer.ID) func(*mailbox.Lease)  { return func(l *mailbox.Lease) { l.Host = id } }
func toOwner(id peer.ID) func(*mailbox.Lease) { return func(l *mailbox.Lease) { l.Owner = id } }
func atMost(n int) func(*mailbox.Lease)       { return func(l *mailbox.Lease) { l.Boxes = n } }
func bytesMost(n int) func(*mailbox.Lease)    { return func(l *mailbox.Lease) { l.Bytes = n } }
func without(ids ...mailbox.DepositID) func(*mailbox.Lease) {
	return func(l *mailbox.Lease) { l.Skip = ids }
}

func (s *scene) delete(owner peer.ID, ids ...mailbox.DepositID) {
	s.Helper()
	if err := s.store.Delete(s.Context(), owner, ids); err != nil {
		s.Fatalf("delete: %v", err)
	}
}

func (s *scene) passes(d time.Duration) { s.now = s.now.Add(d) }

func idsOf(boxes []mailbox.Box) (ids []mailbox.DepositID) {
	for _, b := range boxes {
		ids = append(ids, b.ID)
	}
	return ids
}

func opensFirst(s *scene) {
	s.expect(mailbox.Closed, s.box(10))
	s.mustOpen(s.bob, s.home, s.alice)
	s.expect(mailbox.Stored, s.box(10))
	s.expect(mailbox.Stored, s.box(10, through(s.stranger)))
	s.expect(mailbox.Closed, s.box(10, through(Lane(2, mailbox.ClassContact).Key)))
	s.expect(mailbox.Closed, s.box(10, forOwner(s.dave)))
	if got := s.lease(); len(got) != 2 {
		s.Errorf("%d boxes are kept", len(got))
	}
	if got := s.lease(toOwner(s.dave)); len(got) != 0 {
		s.Errorf("%d boxes are kept for one who has no mailbox", len(got))
	}
}

func lanesChange(s *scene) {
	carol := Lane(2, mailbox.ClassLink)
	s.mustOpen(s.bob, s.home, s.alice)
	kept := s.box(10)
	s.expect(mailbox.Stored, kept)
	s.mustOpen(s.bob, s.home, carol)
	s.expect(mailbox.Closed, s.box(10))
	s.expect(mailbox.Stored, s.box(10, through(carol.Key)))
	if got := s.lease(); len(got) != 2 || got[0].ID != kept.ID {
		s.Errorf("what came through a lane that was closed is gone: %d boxes", len(got))
	}
}

func waysByHost(s *scene) {
	atAway := Lane(2, mailbox.ClassContact)
	s.mustOpen(s.bob, s.home, s.alice)
	s.expect(mailbox.Closed, s.box(10, atHost(s.away)))
	s.mustOpen(s.bob, s.away, atAway)
	s.expect(mailbox.Closed, s.box(10, atHost(s.away)))
	s.expect(mailbox.Stored, s.box(10, atHost(s.away), through(atAway.Key)))
	if got := s.lease(); len(got) != 1 {
		s.Errorf("home hands out %d boxes of what its neighbour has taken", len(got))
	}
}

func twice(s *scene) {
	atAway := Lane(2, mailbox.ClassContact)
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.bob, s.away, atAway)
	s.mustOpen(s.dave, s.home, s.alice)
	s.quota.Contact.Boxes, s.quota.Mailbox.Boxes = 1, 1
	first := s.box(10)
	s.expect(mailbox.Stored, first)
	s.expect(mailbox.LaneFull, s.box(10))
	s.expect(mailbox.Stored, first)
	first.Box = []byte("sealed another time")
	s.expect(mailbox.Stored, first)
	elsewhere, daves := first, first
	elsewhere.Host, elsewhere.Lane = s.away, atAway.Key
	s.expect(mailbox.Stored, elsewhere)
	daves.Owner = s.dave
	s.expect(mailbox.Stored, daves)
	if got := s.lease(); len(got) != 1 || len(got[0].Box) != 10 {
		s.Errorf("%d boxes are kept of one deposit, or the later one", len(got))
	}
	if got := s.lease(toOwner(s.dave)); len(got) != 1 || string(got[0].Box) != "sealed another time" {
		s.Error("a deposit that has the same name for another owner is another one")
	}
}

func noOracle(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.quota.Mailbox.Boxes = 1
	kept := s.box(10)
	s.expect(mailbox.Stored, kept)
	kept.Lane = Lane(2, mailbox.ClassContact).Key
	s.expect(mailbox.Closed, kept)
	s.expect(mailbox.Closed, s.box(10, through(kept.Lane)))
}

func laneFull(s *scene) {
	carol, link := Lane(2, mailbox.ClassContact), Lane(3, mailbox.ClassLink)
	s.mustOpen(s.bob, s.home, s.alice, carol, link)
	s.quota.Contact.Boxes, s.quota.Link.Boxes = 3, 2
	for range 3 {
		s.expect(mailbox.Stored, s.box(10))
		s.expect(mailbox.Stored, s.box(10, through(carol.Key)))
	}
	for range 2 {
		s.expect(mailbox.Stored, s.box(10, through(link.Key)))
	}
	for _, key := range [][32]byte{s.alice.Key, carol.Key, link.Key} {
		s.expect(mailbox.LaneFull, s.box(10, through(key)))
	}
	s.expect(mailbox.Stored, s.box(10, through(s.stranger)))
}

func openLaneFull(s *scene) {
	s.mustOpen(s.bob, s.home, s.alice)
	s.quota.Open.Boxes = 2
	s.expect(mailbox.Stored, s.box(10, through(s.stranger)))
	s.expect(mailbox.Stored, s.box(10, through(s.stranger)))
	s.expect(mailbox.LaneFull, s.box(10, through(s.stranger)))
	s.expect(mailbox.Stored, s.box(10))
}

func mailboxFull(s *scene) {
	carol := Lane(2, mailbox.ClassContact)
	s.mustOpen(s.bob, s.home, s.alice, carol)
	s.mustOpen(s.dave, s.home, s.alice)
	s.quota.Mailbox.Boxes = 3
	s.expect(mailbox.Stored, s.box(10))
	s.expect(mailbox.Stored, s.box(10, through(carol.Key)))
	s.expect(mailbox.Stored, s.box(10, through(s.stranger)))
	s.expect(mailbox.MailboxFull, s.box(10))
	s.expect(mailbox.MailboxFull, s.box(10, through(carol.Key)))
	s.expect(mailbox.Stored, s.box(10, forOwner(s.dave)))
}

func bytesCount(s *scene) {
	carol, link := Lane(2, mailbox.ClassContact), Lane(3, mailbox.ClassLink)
	s.mustOpen(s.bob, s.home, s.alice, carol, link)
	s.quota.Contact.Bytes, s.quota.Link.Bytes, s.quota.Open.Bytes, s.quota.Mailbox.Bytes = 1000, 500, 100, 1800
	s.expect(mailbox.LaneFull, s.box(1001))
	s.expect(mailbox.Stored, s.box(600))
	s.expect(mailbox.LaneFull, s.box(401))
	s.expect(mailbox.Stored, s.box(400))
	s.expect(mailbox.LaneFull, s.box(501, through(link.Key)))
	s.expect(mailbox.Stored, s.box(500, through(link.Key)))
	s.expect(mailbox.LaneFull, s.box(101, through(s.stranger)))
	s.expect(mailbox.MailboxFull, s.box(301, through(carol.Key)))
	s.expect(mailbox.Stored, s.box(300, through(carol.Key)))
}

// sure has room for ten boxes, of which three are Bob's and three Dave's for sure: the other four are for who comes first.
func sure(s *scene) {
	for _, q := range []struct {
		name string
		set  func()
	}{
		{"boxes", func() { s.quota.Host.Boxes, s.quota.Sure.Boxes = 10, 3 }},
		{"bytes", func() { s.quota.Host.Bytes, s.quota.Sure.Bytes = 100, 30 }},
	} {
		s.quota = mailbox.DefaultQuota()
		s.quota.Owners = 2
		s.mustOpen(s.bob, s.home, s.alice)
		s.mustOpen(s.dave, s.home, s.alice)
		q.set()
		for range 7 {
			s.expect(mailbox.Stored, s.box(10))
		}
		s.expect(mailbox.HostFull, s.box(10))
		for range 3 {
			s.expect(mailbox.Stored, s.box(10, forOwner(s.dave)))
		}
		s.expect(mailbox.HostFull, s.box(10, forOwner(s.dave)))
		s.delete(s.bob, idsOf(s.lease(atMost(1)))...)
		s.expect(mailbox.Stored, s.box(10, forOwner(s.dave)))
		s.expect(mailbox.HostFull, s.box(10))
		s.open(s.bob, s.home)
		s.open(s.dave, s.home)
	}
}

func owners(s *scene) {
	s.quota.Owners = 2
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.dave, s.home, s.alice)
	erin := Peer(3)
	if v := s.open(erin, s.home, s.alice); v != mailbox.HostFull {
		s.Errorf("a third mailbox: verdict %d", v)
	}
	s.expect(mailbox.Closed, s.box(10, forOwner(erin)))
	s.mustOpen(s.bob, s.home, s.alice, Lane(2, mailbox.ClassLink))
	s.mustOpen(s.bob, s.away, s.alice)
	s.open(s.dave, s.home)
	s.mustOpen(erin, s.home, s.alice)
	if v := s.open(s.dave, s.home); v != mailbox.Stored {
		s.Errorf("closing what is not open: verdict %d", v)
	}
}

// shrinks makes each limit smaller than what is kept: nothing more comes in, all of it is handed out, and what makes room is used again.
// Owners who are there stay, and can change their lanes.
func shrinks(s *scene) {
	for name, c := range map[string]struct {
		shrink func()
		want   mailbox.Verdict
	}{
		"a lane":    {func() { s.quota.Contact.Boxes = 2 }, mailbox.LaneFull},
		"a mailbox": {func() { s.quota.Mailbox.Bytes = 25 }, mailbox.MailboxFull},
		"the host":  {func() { s.quota.Host.Boxes, s.quota.Sure.Boxes, s.quota.Owners = 2, 1, 1 }, mailbox.HostFull},
	} {
		s.quota = mailbox.DefaultQuota()
		s.mustOpen(s.bob, s.home, s.alice)
		for range 4 {
			s.expect(mailbox.Stored, s.box(10))
		}
		c.shrink()
		s.expect(c.want, s.box(10))
		s.mustOpen(s.bob, s.home, s.alice, Lane(2, mailbox.ClassLink))
		boxes := s.lease()
		if len(boxes) != 4 {
			s.Errorf("%s: %d boxes of 4 are handed out", name, len(boxes))
		}
		s.delete(s.bob, idsOf(boxes[:2])...)
		s.expect(c.want, s.box(10))
		s.delete(s.bob, idsOf(boxes[2:])...)
		s.expect(mailbox.Stored, s.box(10))
		s.open(s.bob, s.home)
	}
	s.quota = mailbox.DefaultQuota()
	s.mustOpen(s.bob, s.home, s.alice)
	s.mustOpen(s.dave, s.home, s.alice)
	s.quota.Owners = 1
	s.mustOpen(s.bob, s.home, s.alice, Lane(2, mailbox.ClassLink))
	s.expect(mailbox.Stored, s.box(10, forOwner(s.dave)))
	if v := s.open(Peer(3), s.home, s.alice); v != mailbox.HostFull {
		s.Errorf("a third mailbox where there is room for one: verdict %d", v)
	}
}
