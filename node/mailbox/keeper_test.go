package mailbox_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
)

// keeps makes Bob keep mailboxes until the test ends.
func (s *scene) keeps(connect func(context.Context, peer.ID) error, d *desk, silence time.Duration) *mailbox.Keeper {
	k := mailbox.NewKeeper(s.bob, connect, error.Error, zap.NewNop())
	k.Impatient(silence)
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- k.Run(ctx, func(ctx context.Context, _ peer.ID, boxes [][]byte) error { return d.take(ctx, boxes) })
	}()
	s.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.Errorf("the keeper ended with %v", err)
		}
	})
	return k
}

// state is how Bob's only mailbox is doing.
func state(k *mailbox.Keeper) mailbox.Kept {
	if all := k.Kept(); len(all) == 1 {
		return all[0]
	}
	return mailbox.Kept{}
}

// connected is how to connect to who is connected already.
func connected(context.Context, peer.ID) error { return nil }

// TestKeeper opens a mailbox, fetches what is in it and what comes, and renews a stream that is silent.
func TestKeeper(t *testing.T) {
	s := newScene(t)
	d := newDesk()
	k := s.keeps(connected, d, 50*time.Millisecond)
	k.Keep([]mailbox.Keeping{{Host: s.home.ID(), Lanes: s.lanes()}, {Host: s.bob.ID(), Lanes: s.lanes()}, {Host: s.alice.ID()}})
	s.waits("the mailbox to be open and drained", func() bool { return state(k).Drained })
	first := state(k)
	if first.Host != s.home.ID() || first.Trouble != "" {
		t.Errorf("the mailbox is doing so: %+v", first)
	}
	s.mustLeave([]byte("one"))
	s.waits("the box", func() bool { return len(d.all()) == 1 })
	s.waits("the stream to be renewed", func() bool { return state(k).Seen.After(first.Seen) })
	s.mustLeave([]byte("two"))
	s.waits("the next box", func() bool { return len(d.all()) == 2 })
	if got := d.all(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("Bob has %q", got)
	}
}

// TestKeeperSaysWhy tells people what is the matter with a mailbox.
func TestKeeperSaysWhy(t *testing.T) {
	s := newScene(t)
	d := newDesk()
	var away atomic.Bool
	k := s.keeps(func(context.Context, peer.ID) error {
		if away.Load() {
			return errors.New("no answer in time")
		}
		return nil
	}, d, patient)
	keep := []mailbox.Keeping{{Host: s.home.ID(), Lanes: s.lanes()}}
	says := func(want string) {
		t.Helper()
		s.waits(want, func() bool { return state(k).Trouble == want })
	}
	away.Store(true)
	k.Keep(keep)
	says("the host is not reachable: no answer in time")
	away.Store(false)
	h := hosting(s.store)
	h.Limits.Quota.Owners = 0
	s.serve(h)
	says("the host has no room for another mailbox")
	s.server.Stop(s.home, time.Second)
	says("the host does not answer")
	s.home.SetStreamHandler(mailbox.ProtocolFetch, func(stream network.Stream) {
		_, _ = stream.Write(frames([]byte{9}))
		_ = stream.CloseWrite()
	})
	says("the host breaks the protocol")
	s.serve(hosting(s.store))
	d.before = func([][]byte) error { return errors.New("the disk is full") }
	s.waits("the mailbox to be open", func() bool { return state(k).Drained })
	s.mustLeave([]byte("box"))
	says("what the host has cannot be kept now")
}

// TestKeeperComesBackAtOnce tries again as soon as the host connects by itself, and not sooner than it would because it has dialled.
func TestKeeperComesBackAtOnce(t *testing.T) {
	s := newScene(t)
	var tries atomic.Int32
	at := make(chan time.Time, 3)
	k := (*mailbox.Keeper)(nil)
	began := make(chan struct{})
	k = s.keeps(func(_ context.Context, host peer.ID) error {
		<-began
		if tries.Add(1) <= 3 {
			at <- time.Now()
		}
		k.Connected(host) // the node says so of whom we dial, too
		return errors.New("it hangs up on us")
	}, newDesk(), patient)
	close(began)
	if err := s.bob.Network().ClosePeer(s.home.ID()); err != nil {
		t.Fatal(err)
	}
	s.home.Close()
	s.waits("the connection to be gone", func() bool { return s.bob.Network().Connectedness(s.home.ID()) != network.Connected })
	k.Keep([]mailbox.Keeping{{Host: s.home.ID(), Lanes: s.lanes()}})
	one, two, three := <-at, <-at, <-at
	if first, next := two.Sub(one), three.Sub(two); first < mailbox.RetryFirst/2 || next < mailbox.RetryFirst {
		t.Errorf("it was tried again after %s and %s, though nothing had changed", first, next)
	}
	for range 8 { // by itself it would wait longer than this test
		before := tries.Load()
		k.Connected(s.home.ID())
		s.waits("the next try", func() bool { return tries.Load() > before })
	}
}

// TestKeeperKeepsSoMany mailboxes and no more, closes what is not wanted, and forgets it.
func TestKeeperKeepsSoMany(t *testing.T) {
	s := newScene(t)
	k := mailbox.NewKeeper(s.bob, connected, error.Error, zap.NewNop())
	var many []mailbox.Keeping
	for i := range 3 * mailbox.MaxKept {
		many = append(many, mailbox.Keeping{Host: mailboxtest.Peer(i), Lanes: s.lanes()})
	}
	k.Keep(many)
	if n := len(k.Kept()); n != mailbox.MaxKept {
		t.Errorf("%d mailboxes are kept", n)
	}
	k = s.keeps(connected, newDesk(), patient)
	k.Keep([]mailbox.Keeping{{Host: s.home.ID(), Lanes: s.lanes()}})
	s.waits("the mailbox to be open", func() bool { return state(k).Drained })
	if !s.bob.ConnManager().IsProtected(s.home.ID(), "") {
		t.Error("the connection to the host may be closed when there are too many")
	}
	k.Keep(nil)
	s.waits("the mailbox to be closed", func() bool {
		n, err := s.leave(s.alice, s.capability, []byte("late"))
		return n == 0 && verdict(err) == mailbox.Closed && !s.bob.ConnManager().IsProtected(s.home.ID(), "")
	})
	k.Keep([]mailbox.Keeping{{Host: s.home.ID(), Lanes: s.lanes()}})
	s.waits("the mailbox to be open again", func() bool { return state(k).Drained })
}
