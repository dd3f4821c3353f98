package reach

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/zap"
)

// cable lies before the address of a host. When it is cut, neither side hears of it.
type cable struct {
	at  ma.Multiaddr
	cut chan struct{}
}

// before listens for those who want to go to a host, and returns where they find it, and where they want to go.
func before(t *testing.T, to ma.Multiaddr) (l net.Listener, at ma.Multiaddr, far string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, err = manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_, far, err = manet.DialArgs(to)
	if err != nil {
		t.Fatal(err)
	}
	return l, at, far
}

func newCable(t *testing.T, to ma.Multiaddr) *cable {
	t.Helper()
	l, at, far := before(t, to)
	c := &cable{at: at, cut: make(chan struct{})}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close() })
			other, err := net.Dial("tcp4", far)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = other.Close() })
			carrying.Go(func() { c.carry(near, other) })
			carrying.Go(func() { c.carry(other, near) })
		}
	})
	t.Cleanup(carrying.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return c
}

func (c *cable) carry(to io.Writer, from io.Reader) {
	b := make([]byte, 4<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		select {
		case <-c.cut:
		default:
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
}

// newNeighbour is a host that everybody can dial.
func newNeighbour(t *testing.T) host.Host {
	t.Helper()
	return newTestHost(t, []libp2p.Option{libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")})
}

// The line between Alice and Bob is cut without a word, and Bob, who has noticed, connects anew. Alice hangs up on the old connection, at which nobody
// answers, and not on the new one.
func TestADeadConnectionIsClosedAndALivingOneStays(t *testing.T) {
	t.Parallel()
	alice, bob := newNeighbour(t), newNeighbour(t)
	ways := New(alice.(Host), Config{Open: true}, everybody, func() {}, zap.NewNop())
	run(t, ways)
	line := newCable(t, bob.Addrs()[0])
	if err := alice.Connect(t.Context(), peer.AddrInfo{ID: bob.ID(), Addrs: []ma.Multiaddr{line.at}}); err != nil {
		t.Fatal(err)
	}
	old := alice.Network().ConnsToPeer(bob.ID())[0]
	close(line.cut)
	if err := bob.Network().ClosePeer(alice.ID()); err != nil {
		t.Fatal(err)
	}
	if err := bob.Connect(t.Context(), peer.AddrInfo{ID: alice.ID(), Addrs: alice.Addrs()}); err != nil {
		t.Fatal(err)
	}
	var second network.Conn
	waitFor(t, "Bob's new connection", func() bool {
		for _, c := range alice.Network().ConnsToPeer(bob.ID()) {
			if c != old {
				second = c
			}
		}
		return second != nil
	})
	if old.IsClosed() {
		t.Fatal("the cable tells of its end")
	}
	ways.Another(second)
	waitFor(t, "the end of the dead connection", old.IsClosed)
	if second.IsClosed() {
		t.Error("the living one is closed too")
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(4 * DoubtTimeout); !holds(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Somebody who refuses to answer is there.
func TestWhoRefusesIsThere(t *testing.T) {
	t.Parallel()
	alice, bob := newNeighbour(t), newNeighbour(t)
	bob.RemoveStreamHandler(ping.ID)
	if err := alice.Connect(t.Context(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	ways := New(alice.(Host), Config{Open: true}, everybody, func() {}, zap.NewNop())
	c := alice.Network().ConnsToPeer(bob.ID())[0]
	ways.question(t.Context(), c)
	if c.IsClosed() {
		t.Error("Alice has hung up")
	}
}

// A machine that slept is noticed by its clock, one that was only busy is not.
func TestSleepIsNoticed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	clock := elapsed{now}
	for i, c := range []struct {
		after time.Duration
		slept bool
	}{
		{SleepEvery, false},
		{SleepEvery + SleepMargin, false},
		{8 * time.Hour, true},
		{SleepEvery, false},
		{SleepEvery + SleepMargin + time.Second, true},
		{-time.Hour, true}, // somebody has set the clock: nobody knows
	} {
		now = now.Add(c.after)
		if got := clock.slept(now, SleepEvery); got != c.slept {
			t.Errorf("%d: after %v: %v", i, c.after, got)
		}
	}
}

// A machine has moved when it has another address, or one of its own on another link, and not when the system lists them in another order.
func TestAnotherOrderIsNoMove(t *testing.T) {
	t.Parallel()
	cable, wifi, six := ownLink{2, "192.0.2.7"}, ownLink{3, "198.51.100.7"}, ownLink{3, "2001:db8::7"}
	for name, c := range map[string]struct {
		before, now []ownLink
		same        bool
	}{
		"nothing new":            {[]ownLink{cable, wifi}, []ownLink{cable, wifi}, true},
		"another order":          {[]ownLink{cable, wifi, six}, []ownLink{six, cable, wifi}, true},
		"one more":               {[]ownLink{cable}, []ownLink{cable, wifi}, false},
		"another link":           {[]ownLink{cable}, []ownLink{{4, cable.address}}, false},
		"another address":        {[]ownLink{wifi}, []ownLink{{wifi.index, "198.51.100.8"}}, false},
		"a cable that is pulled": {[]ownLink{cable, wifi}, nil, false},
	} {
		if got := sameLinks(c.now, c.before); got != c.same {
			t.Errorf("%s: the same is %v", name, got)
		}
	}
}

// A link that comes up says many things. What follows is done once, when it is quiet again, and not never.
func TestChangesAreWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		every time.Duration
		n     int
		want  time.Duration
	}{
		"one":      {0, 0, Settle},
		"a burst":  {Settle / 3, 3, Settle + Settle/3*3},
		"for ever": {Settle / 3, 1000, SettleMost},
	} {
		synctest.Test(t, func(t *testing.T) {
			changes := make(chan struct{}, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for range c.n {
					select {
					case <-time.After(c.every):
						changes <- struct{}{}
					case <-ctx.Done():
						return
					}
				}
			}()
			begin := time.Now()
			settle(ctx, changes)
			cancel()
			if took := time.Since(begin); took < c.want || took > c.want+Settle {
				t.Errorf("%s: %v, want %v", name, took, c.want)
			}
		})
	}
}
