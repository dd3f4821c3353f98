package mailbox_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
)

func texts(boxes [][]byte) (all []string) {
	for _, b := range boxes {
		all = append(all, string(b))
	}
	return all
}

// TestAwayAndBack deposits for Bob while he is away: he gets all in order, and when he has it the host does not.
func TestAwayAndBack(t *testing.T) {
	s := newScene(t)
	s.opens()
	sent := append(boxes(200, 3000), boxes(4, mailbox.MaxBox)...)
	s.mustLeave(sent[:10]...)
	s.mustLeave(sent[10:]...)
	d := newDesk()
	s.fetches(d)
	s.waits("Bob to have drained his mailbox", func() bool { return d.drains() == 1 })
	if !slices.Equal(d.all(), texts(sent)) {
		t.Errorf("Bob has %d boxes of %d, or another order", len(d.all()), len(sent))
	}
	if left := s.store.Kept(s.bob.ID()); left.Boxes != 0 {
		t.Errorf("%d boxes are still there", left.Boxes)
	}
}

// TestPushed hands a deposit at once to an owner who is there, and says each time that it was the last.
func TestPushed(t *testing.T) {
	s := newScene(t)
	s.opens()
	d := newDesk()
	s.fetches(d)
	s.waits("the word that nothing is kept", func() bool { return d.drains() == 1 })
	for i, b := range boxes(5, 100) {
		s.mustLeave(b)
		s.waits("the box to arrive and the word that it was the last", func() bool { return len(d.all()) == i+1 && d.drains() == i+2 })
	}
}

// TestPolicy tells an owner what he may rely on.
func TestPolicy(t *testing.T) {
	s := newScene(t)
	p, err := mailbox.Open(s.context(), s.bob, s.home.ID(), s.lanes())
	if want := (mailbox.Policy{TimeToLive: mailbox.TimeToLive, Boxes: 10_000, Bytes: 64 << 20}); err != nil || p != want {
		t.Errorf("the host promises %+v, %v", p, err)
	}
	if _, err := mailbox.Open(s.context(), s.bob, s.home.ID(), make([]mailbox.Lane, mailbox.MaxLanes+1)); err == nil {
		t.Error("more lanes than there may be were sent")
	}
}

// TestVerdicts refuses for each reason with its own word, and takes what else is deposited.
func TestVerdicts(t *testing.T) {
	s := newScene(t)
	h := hosting(s.store)
	h.Limits.Quota.Contact.Boxes, h.Limits.Quota.Open.Boxes, h.Limits.Quota.Mailbox.Boxes, h.Limits.Quota.Owners = 3, 1, 4, 1
	s.serve(h)
	other := mailbox.Lane{Key: mailbox.LaneOf(capability(8)), Class: mailbox.ClassContact}
	sent := boxes(10, 100)
	if n, err := s.leave(s.alice, s.capability, sent[0]); n != 0 || verdict(err) != mailbox.Closed {
		t.Errorf("before the mailbox is open: %d, %v", n, err)
	}
	s.opens(other)
	if n, err := s.leave(s.alice, capability(9), sent[0]); n != 0 || verdict(err) != mailbox.Closed {
		t.Errorf("with a wrong capability: %d, %v", n, err)
	}
	if n, err := s.leave(s.alice, s.capability, sent...); n != 3 || verdict(err) != mailbox.LaneFull {
		t.Errorf("ten boxes where three have room: %d, %v", n, err)
	}
	if n, err := s.leave(s.alice, [32]byte{}, sent[5:]...); n != 1 || verdict(err) != mailbox.LaneFull {
		t.Errorf("strangers' boxes: %d, %v", n, err)
	}
	if n, err := s.leave(s.alice, capability(8), sent[9]); n != 0 || verdict(err) != mailbox.MailboxFull {
		t.Errorf("a contact's box in a full mailbox: %d, %v", n, err)
	}
	if _, err := mailbox.Open(s.context(), s.alice, s.home.ID(), s.lanes()); verdict(err) != mailbox.HostFull {
		t.Errorf("a second mailbox where one has room: %v", err)
	}
	s.fetches(newDesk())
	s.waits("Bob to have emptied his mailbox", func() bool { return s.store.Kept(s.bob.ID()).Boxes == 0 })
	s.waits("room", func() bool {
		n, err := s.leave(s.alice, s.capability, sent[3:6]...)
		return n == 3 && err == nil
	})
}

// TestRefusedUnread does not read the box of a lane that was refused a moment ago, however large: the depositor learns at once, without
// having to finish.
func TestRefusedUnread(t *testing.T) {
	for _, listen := range []string{overTCP, overQUIC} {
		s := newSceneOver(t, listen)
		var asked atomic.Int32
		s.store.Before = func(context.Context) error { asked.Add(1); return nil }
		for i := range 20 {
			large := boxes(20, mailbox.MaxBox)
			if n, err := s.leave(s.alice, s.capability, large...); n != 0 || verdict(err) != mailbox.Closed {
				t.Fatalf("%s, attempt %d: %d stored, %v", listen, i, n, err)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("%s: the store was asked %d times about one lane that is closed", listen, n)
		}
		s.opens()
		s.mustLeave([]byte("the owner has opened: what was refused is forgotten"))
	}
}

// TestGuesser has no box read any more after so many refusals, whatever capability it tries; Alice goes on.
func TestGuesser(t *testing.T) {
	s := newScene(t)
	s.server.Refusals(0, 5)
	s.opens()
	mallory := newHost(t, overTCP)
	connect(t, mallory, s.home)
	refused := 0
	for i := range byte(20) {
		_, err := s.leave(mallory, capability(100+i), []byte("guess"))
		if err == nil {
			t.Fatal("a guess was right")
		}
		if verdict(err) != 0 {
			refused++
		}
	}
	if refused != 5 {
		t.Errorf("%d guesses were answered", refused)
	}
	s.mustLeave([]byte("honest"))
}

// TestNoOracle answers about a mailbox that does not exist as about a wrong capability, also the second time, and to one who knows the name
// of a deposit that is kept.
func TestNoOracle(t *testing.T) {
	s := newScene(t)
	h := hosting(s.store)
	h.Limits.Quota.Mailbox.Boxes = 1
	s.serve(h)
	s.opens()
	s.mustLeave([]byte("kept"))
	for range 2 {
		for owner, c := range map[peer.ID][32]byte{s.bob.ID(): capability(9), mailboxtest.Peer(1): capability(9), s.alice.ID(): {}} {
			at := mailbox.Mailbox{Host: s.home.ID(), Cap: c}
			_, err := mailbox.Leave(s.context(), s.alice, at, owner, 1, func(int) (mailbox.Box, error) {
				return mailbox.Box{ID: mailbox.IDOf(s.bob.ID(), [][]byte{[]byte("kept")}), Box: []byte("kept")}, nil
			})
			if verdict(err) != mailbox.Closed {
				t.Errorf("to %s with %x…: %v", owner, c[:2], err)
			}
		}
	}
}

// TestOtherLanes says at once that the lanes have changed, and forgets them when it restarts.
func TestOtherLanes(t *testing.T) {
	s := newScene(t)
	fetch := func(lanes []mailbox.Lane) error {
		ctx, cancel := context.WithCancel(s.context())
		defer cancel()
		return mailbox.Fetch(ctx, s.bob, mailbox.Fetching{
			Host: s.home.ID(), Lanes: lanes, Began: cancel, Take: newDesk().take, Drained: func() {}, Silence: patient,
		})
	}
	if err := fetch(s.lanes()); !errors.Is(err, mailbox.ErrOtherLanes) {
		t.Errorf("before the mailbox is open: %v", err)
	}
	s.opens()
	if err := fetch(s.lanes()); !errors.Is(err, context.Canceled) {
		t.Errorf("with the lanes of the mailbox: %v", err)
	}
	if err := fetch(s.lanes(mailboxtest.Lane(1, mailbox.ClassLink))); !errors.Is(err, mailbox.ErrOtherLanes) {
		t.Errorf("with other lanes: %v", err)
	}
	s.serve(hosting(s.store))
	if err := fetch(s.lanes()); !errors.Is(err, mailbox.ErrOtherLanes) {
		t.Errorf("after the host has restarted: %v", err)
	}
	s.opens()
	if _, err := mailbox.Open(s.context(), s.bob, s.home.ID(), nil); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := fetch(nil); !errors.Is(err, mailbox.ErrOtherLanes) {
		t.Errorf("when the mailbox is closed: %v", err)
	}
}

// TestLeaseOutlivesTheOwner offers again what the owner could not keep, or has not acknowledged before the connection broke.
func TestLeaseOutlivesTheOwner(t *testing.T) {
	s := newScene(t)
	s.opens()
	sent := boxes(100, 1000)
	s.mustLeave(sent...)
	d := newDesk()
	d.before = func([][]byte) error { return errors.New("the disk is full") }
	ended := make(chan error, 1)
	go func() {
		ended <- mailbox.Fetch(s.context(), s.bob, mailbox.Fetching{
			Host: s.home.ID(), Lanes: s.lanes(), Began: func() {}, Take: d.take, Drained: d.drain,
			Pause: func(context.Context, int) error { return nil }, Silence: patient,
		})
	}()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Fatalf("the fetch ended with %v", err)
	}
	if s.store.Kept(s.bob.ID()).Boxes != 100 || d.drains() != 0 {
		t.Fatal("boxes that nobody has kept are gone")
	}
	d.before = nil
	s.fetches(d)
	s.waits("Bob to have drained his mailbox", func() bool { return d.drains() == 1 })
	if !slices.Equal(d.all(), texts(sent)) {
		t.Errorf("Bob has %d boxes, or another order", len(d.all()))
	}
}

// TestNewerStreamWins cuts off the older stream of an owner.
func TestNewerStreamWins(t *testing.T) {
	s := newScene(t)
	s.opens()
	older, newer := newDesk(), newDesk()
	first := s.fetches(older)
	s.fetches(newer)
	s.mustLeave([]byte("for the newer"))
	s.waits("the box", func() bool { return len(newer.all()) == 1 })
	if err := first(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the older stream ended with %v", err)
	}
	if s.server.Feeds() != 1 || len(older.all()) != 0 {
		t.Errorf("%d streams, and the older got %d boxes", s.server.Feeds(), len(older.all()))
	}
}

// TestFleet finds what another host on the same store has taken, also when that one is gone.
func TestFleet(t *testing.T) {
	s := newScene(t)
	h := hosting(s.store)
	h.Shared = true
	s.serve(h)
	s.opens()
	away := newHost(t, overTCP)
	neighbour := mailbox.NewServer(away, h)
	neighbour.Hurry(patient, patient, time.Hour)
	neighbour.Serve(away)
	connect(t, s.alice, away)
	connect(t, s.bob, away)
	there := capability(8)
	lane := mailbox.Lane{Key: mailbox.LaneOf(there), Class: mailbox.ClassContact}
	if _, err := mailbox.Open(s.context(), s.bob, away.ID(), []mailbox.Lane{lane}); err != nil {
		t.Fatal(err)
	}
	d := newDesk()
	s.fetches(d)
	leave := func(b string) {
		t.Helper()
		_, err := mailbox.Leave(s.context(), s.alice, mailbox.Mailbox{Host: away.ID(), Cap: there}, s.bob.ID(), 1, func(int) (mailbox.Box, error) {
			return mailbox.Box{ID: mailbox.IDOf(s.bob.ID(), [][]byte{[]byte(b)}), Box: []byte(b)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	leave("taken by the neighbour")
	s.waits("what the neighbour has taken", func() bool { return len(d.all()) == 1 })
	leave("the last")
	neighbour.Stop(away, time.Second)
	away.Close()
	s.waits("what the neighbour has left", func() bool { return len(d.all()) == 2 })
}

// TestExpiry drops boxes after their time to live.
func TestExpiry(t *testing.T) {
	s := newScene(t)
	s.opens()
	s.mustLeave(boxes(3, 100)...)
	s.server.Expire(time.Now().Add(mailbox.TimeToLive - time.Hour))
	if n := s.store.Kept(s.bob.ID()).Boxes; n != 3 {
		t.Errorf("%d boxes before their time", n)
	}
	s.server.Expire(time.Now().Add(mailbox.TimeToLive + time.Hour))
	if n := s.store.Kept(s.bob.ID()).Boxes; n != 0 {
		t.Errorf("%d boxes after their time", n)
	}
	s.mustLeave([]byte("the mailbox is still there"))
	s.server.Expire(time.Now().Add(mailbox.EmptyLife + time.Hour))
	s.server.Expire(time.Now().Add(mailbox.EmptyLife + time.Hour))
	if n, err := s.leave(s.alice, s.capability, []byte("late")); n != 0 || verdict(err) != mailbox.Closed {
		t.Errorf("a mailbox that nobody opens stays: %d, %v", n, err)
	}
}

// TestStoreFails gives no verdict while the store does not answer, and takes the same deposit later.
func TestStoreFails(t *testing.T) {
	s := newScene(t)
	s.opens()
	var down atomic.Bool
	s.store.Before = func(context.Context) error {
		if down.Load() {
			return errors.New("the database is away")
		}
		return nil
	}
	down.Store(true)
	if n, err := s.leave(s.alice, s.capability, []byte("box")); n != 0 || err == nil || verdict(err) != 0 {
		t.Errorf("%d stored, %v", n, err)
	}
	if _, err := mailbox.Open(s.context(), s.bob, s.home.ID(), s.lanes()); err == nil {
		t.Error("a mailbox is open that no store knows")
	}
	down.Store(false)
	s.mustLeave([]byte("box"))
}

// TestStop lets a deposit that the store is taking be answered, and ends the streams that wait.
func TestStop(t *testing.T) {
	s := newScene(t)
	s.opens()
	d := newDesk()
	fetching := s.fetches(d)
	s.waits("Bob's stream to have asked the store", func() bool { return d.drains() > 0 })
	taking, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.store.Before = func(ctx context.Context) error {
		once.Do(func() { close(taking) })
		select {
		case <-release:
			return nil
		case <-ctx.Done(): // what Bob's stream asks for ends with it
			return ctx.Err()
		}
	}
	stored := make(chan int, 1)
	go func() {
		n, _ := s.leave(s.alice, s.capability, []byte("at the last moment"))
		stored <- n
	}()
	<-taking
	stopped := make(chan struct{})
	go func() {
		s.server.Stop(s.home, patient)
		close(stopped)
	}()
	s.waits("Bob's stream to end", func() bool { return s.busy() == 1 })
	close(release)
	if n := <-stored; n != 1 {
		t.Error("what the store has taken was not answered")
	}
	<-stopped
	if err := fetching(); errors.Is(err, context.Canceled) {
		t.Errorf("Bob's stream outlived the host")
	}
	if n, err := s.leave(s.alice, s.capability, []byte("too late")); n != 0 || err == nil {
		t.Error("a host that has stopped takes deposits")
	}
}

// TestOwnersAreWorthMore lets a host that has too many connections keep Bob's, as long as he fetches.
func TestOwnersAreWorthMore(t *testing.T) {
	s := newScene(t)
	s.opens()
	worth := func(h host.Host) int {
		if info := s.home.ConnManager().GetTagInfo(h.ID()); info != nil {
			return info.Value
		}
		return 0
	}
	stop := s.fetches(newDesk())
	s.waits("Bob to be worth more than Alice", func() bool { return worth(s.bob) > worth(s.alice) })
	_ = stop()
	s.waits("Bob to be one like others", func() bool { return worth(s.bob) == worth(s.alice) })
}
