package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node"
	"parley/node/nodetest"
)

// couple starts Alice and Bob, who know each other's addresses from a link and have no seed.
func couple(t testing.TB, kind nodetest.Kind) (alice, bob *nodetest.Device) {
	world := nodetest.NewWorld(t, kind)
	alice, bob = world.Device("alice").Start(), world.Device("bob").Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	return alice, bob
}

func letters(n int) (envelopes [][]byte) {
	for i := range n {
		envelopes = append(envelopes, fmt.Appendf(nil, "letter %d", i))
	}
	return envelopes
}

func texts(envelopes [][]byte) (all []string) {
	for _, e := range envelopes {
		all = append(all, string(e))
	}
	return all
}

// deliverAll delivers as a messenger does: what was not handed over is offered again until it is.
func deliverAll(t *testing.T, from, to *nodetest.Device, envelopes [][]byte) {
	t.Helper()
	id := nodetest.PeerID(t, to.Config.Key)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx := nodetest.Context(t)
	for len(envelopes) > 0 {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		handed, err := from.Deliver(attempt, id, nil, nodetest.Letters(envelopes[:min(len(envelopes), 256)]...))
		cancel()
		for i, h := range handed {
			if !h.Acked {
				t.Fatalf("envelope %d was not accepted", i)
			}
		}
		envelopes = envelopes[len(handed):]
		if err != nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%d envelopes left: %v", len(envelopes), err)
			}
		}
	}
}

// TestThousandEachWay delivers 1,000 envelopes each way at once, in order, over TCP and over QUIC.
func TestThousandEachWay(t *testing.T) {
	for name, kind := range map[string]nodetest.Kind{"private": nodetest.Private, "open": nodetest.Open} {
		t.Run(name, func(t *testing.T) {
			alice, bob := couple(t, kind)
			bob.Learn(alice.ID(), alice.Config.Listen)
			done := make(chan struct{})
			go func() { defer close(done); deliverAll(t, bob, alice, letters(1000)) }()
			deliverAll(t, alice, bob, letters(1000))
			<-done
			for _, d := range []*nodetest.Device{alice, bob} {
				if !slices.Equal(d.Inbox.Envelopes(), texts(letters(1000))) || d.Inbox.Repeats() > 0 {
					t.Errorf("%s has %d envelopes, %d twice", d.Name, len(d.Inbox.Envelopes()), d.Inbox.Repeats())
				}
			}
		})
	}
}

// TestRefusedIsOfferedAgain lets Bob's database fail now and then.
func TestRefusedIsOfferedAgain(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob := world.Device("alice").Start(), world.Device("bob")
	var batches atomic.Int32
	bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error {
		if batches.Add(1)%5 == 2 {
			return errors.New("database is away")
		}
		return nil
	}
	bob.Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	deliverAll(t, alice, bob, letters(1000))
	if !slices.Equal(bob.Inbox.Envelopes(), texts(letters(1000))) {
		t.Errorf("Bob has %d envelopes, or another order", len(bob.Inbox.Envelopes()))
	}
}

// TestNotAccepted has Bob take letters of which he accepts only some: Alice is told which, and nothing behind them is held up.
func TestNotAccepted(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob := world.Device("alice").Start(), world.Device("bob")
	bob.Inbox.Refuses = func(e []byte) bool { return bytes.HasSuffix(e, []byte("7")) }
	bob.Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	all := letters(600)
	handed, err := alice.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters(all...))
	if err != nil || len(handed) != len(all) {
		t.Fatalf("%d of %d were taken: %v", len(handed), len(all), err)
	}
	var accepted []string
	for i, h := range handed {
		if h.Acked == bob.Inbox.Refuses(all[i]) || h.Route != "lan" {
			t.Errorf("letter %d: %+v", i, h)
		}
		if h.Acked {
			accepted = append(accepted, string(all[i]))
		}
	}
	if !slices.Equal(bob.Inbox.Envelopes(), accepted) || bob.Inbox.Opened() != 1 {
		t.Errorf("Bob has %d letters over %d streams", len(bob.Inbox.Envelopes()), bob.Inbox.Opened())
	}
}

// TestReceiverRestarts ends Bob in the middle of 1,000 envelopes and starts him again.
func TestReceiverRestarts(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	done := make(chan struct{})
	go func() { defer close(done); deliverAll(t, alice, bob, letters(1000)) }()
	nodetest.WaitFor(t, "the first letters", func() bool { return len(bob.Inbox.Envelopes()) > 0 })
	bob.Stop()
	bob.Start()
	<-done
	if !slices.Equal(bob.Inbox.Envelopes(), texts(letters(1000))) {
		t.Errorf("Bob has %d envelopes, or another order", len(bob.Inbox.Envelopes()))
	}
}

// TestConnectedIsTold tells both messengers that the other can be reached, again after each restart.
func TestConnectedIsTold(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	deliverAll(t, alice, bob, letters(1))
	alice.Knows(bob)
	bob.Knows(alice)
	bob.Stop()
	nodetest.WaitFor(t, "alice to notice that bob is gone", func() bool { return !alice.Sees(bob.ID()) })
	bob.Start() // he remembers alice, and greets her
	bob.Knows(alice)
}

// TestSeedGone restarts Alice and Bob when their only seed is gone for good. What they remember suffices, in either order.
func TestSeedGone(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice, bob := world.Seed("seed").Start(), world.Device("alice").Start(), world.Device("bob").Start()
	seed.Knows(alice, bob)
	alice.Knows(seed)
	deliverAll(t, alice, bob, letters(1))
	bob.Knows(alice)
	for _, d := range []*nodetest.Device{seed, alice, bob} {
		d.Stop()
	}
	for _, order := range [][]*nodetest.Device{{alice, bob}, {bob, alice}} {
		for _, d := range order {
			d.Start()
		}
		alice.Knows(bob)
		bob.Knows(alice)
		deliverAll(t, alice, bob, letters(10))
		deliverAll(t, bob, alice, letters(10))
		if w := alice.Warning(); !strings.HasPrefix(w, "no seed answers (last error: connection refused), retrying in ") {
			t.Errorf("alice's warning: %q", w)
		}
		alice.Stop()
		bob.Stop()
	}
}

// TestSeedComesBack restarts the seed: all find it again by themselves, and the warning goes.
func TestSeedComesBack(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), world.Device("alice").Start()
	alice.Knows(seed)
	seed.Stop()
	nodetest.WaitFor(t, "a warning", func() bool { return alice.Warning() != "" && alice.SeedsConnected() == 0 })
	seed.Start()
	alice.Knows(seed)
	nodetest.WaitFor(t, "the warning to go", func() bool { return alice.Warning() == "" })
}

// TestUnreachable says in one line why a device cannot be reached, without waiting longer than it has to.
func TestUnreachable(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob := world.Device("alice").Start(), world.Device("bob")
	bobID := nodetest.PeerID(t, bob.Config.Key)
	start := time.Now()
	if _, err := alice.Deliver(nodetest.Context(t), bobID, nil, nodetest.Letters(letters(1)...)); err == nil || err.Error() != "the device is not reachable: no address known" {
		t.Errorf("nothing known: %v", err)
	}
	alice.Learn(bobID, append(bob.Config.Listen, "not an address"))
	if _, err := alice.Deliver(nodetest.Context(t), bobID, nil, nodetest.Letters(letters(1)...)); err == nil || err.Error() != "the device is not reachable: connection refused" {
		t.Errorf("nobody there: %v", err)
	}
	if took := time.Since(start); took > node.DialTimeout {
		t.Errorf("it took %s", took)
	}
	carol := world.Device("carol").Start()
	daveID := nodetest.PeerID(t, world.Device("dave").Config.Key)
	alice.Learn(daveID, carol.Config.Listen)
	if _, err := alice.Deliver(nodetest.Context(t), daveID, nil, nodetest.Letters(letters(1)...)); err == nil || !strings.Contains(err.Error(), "another node answers at /ip4/127.0.0.1/tcp/") {
		t.Errorf("somebody else there: %v", err)
	}
}

// TestInterrupted returns when its context ends, with the reason, though the receiver never answers.
func TestInterrupted(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob := world.Device("alice").Start(), world.Device("bob")
	proceed := make(chan struct{})
	bob.Inbox.Before = func(_ context.Context, _ peer.ID, batch [][]byte) error {
		if string(batch[0]) == "never mind" {
			<-proceed
		}
		return nil
	}
	bob.Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	deliverAll(t, alice, bob, letters(1))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := alice.Deliver(ctx, bob.ID(), nil, nodetest.Letters([]byte("never mind")))
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "the device has not confirmed: no answer in time" {
		t.Errorf("got %v", err)
	}
	close(proceed)
}

// TestManyAtOnce delivers from many goroutines to one device that is not connected yet: they share the way there.
func TestManyAtOnce(t *testing.T) {
	alice, bob := couple(t, nodetest.Open)
	errs := make(chan error, 20)
	for i := range cap(errs) {
		go func() {
			_, err := alice.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters(fmt.Appendf(nil, "from %d", i)))
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := len(bob.Inbox.Envelopes()); n != cap(errs) {
		t.Errorf("Bob has %d envelopes", n)
	}
	if n := len(alice.Peers()); n != 1 {
		t.Errorf("Alice has %d peers", n)
	}
}

// TestPeers shows who is connected, and how.
func TestPeers(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), world.Device("alice").Start()
	alice.Knows(seed)
	peers := alice.Peers()
	if len(peers) != 1 {
		t.Fatalf("%d peers", len(peers))
	}
	p := peers[0]
	if p.ID != seed.ID() || !p.Seed || p.Route != "lan" || p.Address != seed.Config.Listen[0] || time.Since(p.Since) > time.Minute {
		t.Errorf("got %+v", p)
	}
	nodetest.WaitFor(t, "a round trip", func() bool { return alice.Peers()[0].RTT > 0 })
	seed.Knows(alice)
	if back := seed.Peers(); back[0].ID != alice.ID() || back[0].Seed {
		t.Errorf("the seed sees %+v", back[0])
	}
}

// TestPeerBook saves who was met and what was learned, without waiting for the end.
func TestPeerBook(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), world.Device("alice").Start()
	bob := world.Device("bob")
	alice.Knows(seed)
	alice.Learn(nodetest.PeerID(t, bob.Config.Key), bob.Config.Listen)
	book := alice.Config.Peers.(*nodetest.Book)
	nodetest.WaitFor(t, "the book to have the seed and bob", func() bool {
		return book.Has(seed.ID()) && book.Has(nodetest.PeerID(t, bob.Config.Key))
	})
}
