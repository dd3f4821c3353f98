package reach

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
)

const talk protocol.ID = "/parley/test/talk/1"

// newSeed is a seed that everybody can dial, and that relays for whom members names.
func newSeed(t *testing.T, members func(peer.ID) bool) host.Host {
	t.Helper()
	cfg := Config{Open: true, Relays: true}
	seed := newTestHost(t, append(Options(cfg), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")))
	run(t, New(seed.(Host), cfg, members, func() {}, zap.NewNop()))
	return seed
}

// newGuest is a device that nobody can dial.
func newGuest(t *testing.T, seed host.Host) (host.Host, *Reach) {
	t.Helper()
	cfg := Config{Seeds: []peer.AddrInfo{{ID: seed.ID(), Addrs: seed.Addrs()}}}
	h := newTestHost(t, append(Options(cfg), libp2p.NoListenAddrs))
	r := New(h.(Host), cfg, everybody, func() {}, zap.NewNop())
	run(t, r)
	if err := h.Connect(t.Context(), cfg.Seeds[0]); err != nil {
		t.Fatal(err)
	}
	return h, r
}

func newTestHost(t *testing.T, options []libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(options, libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func run(t *testing.T, r *Reach) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func everybody(peer.ID) bool { return true }

// dial tries to reach a device by way of the seed until it has a reservation there.
func dial(t *testing.T, from host.Host, r *Reach, to peer.ID) error {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		through := r.Circuits(to)
		if len(through) == 0 {
			continue
		}
		from.Network().(*swarm.Swarm).Backoff().Clear(to)
		if err = from.Connect(network.WithAllowLimitedConn(t.Context(), "test"), peer.AddrInfo{ID: to, Addrs: through}); err == nil {
			return nil
		}
	}
	return err
}

// Alice and Bob sit where nobody can dial them. Their seed brings them together, and says so.
func TestWhoCannotBeDialledIsReachedThroughASeed(t *testing.T) {
	seed := newSeed(t, everybody)
	alice, ways := newGuest(t, seed)
	bob, _ := newGuest(t, seed)
	bob.SetStreamHandler(talk, func(s network.Stream) { _, _ = io.Copy(s, s); _ = s.Close() })
	if err := dial(t, alice, ways, bob.ID()); err != nil {
		t.Fatal(err)
	}
	s, err := alice.NewStream(network.WithAllowLimitedConn(t.Context(), "test"), bob.ID(), talk)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("hello Bob")); err != nil {
		t.Fatal(err)
	}
	_ = s.CloseWrite()
	if got, err := io.ReadAll(s); string(got) != "hello Bob" || err != nil {
		t.Errorf("Bob answers %q, %v", got, err)
	}
	if route := ways.Route(s.Conn()); route != Relayed {
		t.Errorf("the way to Bob is %q", route)
	}
	if route := ways.Route(alice.Network().ConnsToPeer(seed.ID())[0]); route != LAN {
		t.Errorf("the way to the seed on this machine is %q", route)
	}
}

// A seed relays for its network alone.
func TestASeedRelaysForNobodyElse(t *testing.T) {
	var outside atomic.Value // who is not of the network
	outside.Store(peer.ID(""))
	seed := newSeed(t, func(p peer.ID) bool { return p != outside.Load() })
	alice, ways := newGuest(t, seed)
	bob, _ := newGuest(t, seed)
	outside.Store(bob.ID())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := alice.Connect(network.WithAllowLimitedConn(ctx, "test"), peer.AddrInfo{ID: bob.ID(), Addrs: ways.Circuits(bob.ID())})
	if err == nil {
		t.Error("the seed has relayed to somebody for whom it does not")
	}
}

// An attempt that could not begin comes again soon, one that the routers refused later, and all with longer and longer pauses: a router
// that lets nothing through sees three dials a minute at most.
func TestPunchesComeWithPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPunches()
		device := peer.ID("bob")
		begin := time.Now()
		var at []time.Duration
		for time.Since(begin) < time.Hour {
			if p.begin(device, time.Now()) {
				at = append(at, time.Since(begin).Round(time.Second))
				var err error = holepunch.ErrHolePunchActive
				switch {
				case len(at) > 3:
					err = errRefused{}
				case len(at) > 1:
					err = io.EOF
				}
				p.end(device, time.Now(), err)
				<-p.ended
				continue
			}
			time.Sleep(max(p.next(time.Now()), time.Millisecond))
		}
		want := []time.Duration{1, 2, 4, 8, 68, 188, 428, 908, 1808, 2708}
		for i := range want {
			want[i] *= time.Second
		}
		if len(at) != len(want) {
			t.Fatalf("attempts after %v, want %v", at, want)
		}
		for i := range at {
			if at[i] != want[i] {
				t.Errorf("attempt %d after %v, want %v", i+1, at[i], want[i])
			}
		}
	})
}

type errRefused struct{}

// Error is what libp2p says.
func (errRefused) Error() string { return errAllFailed + " with peer bob failed" }

// More callers than attempts may go on at once wait until one of these has ended, and nobody asks again and again.
func TestACrowdOfCallersWaits(t *testing.T) {
	p, now := newPunches(), time.Now()
	for i := range MaxPunches + 3 {
		if begun := p.begin(peer.ID(fmt.Sprint(i)), now.Add(-PunchSoon)); begun {
			t.Fatal("libp2p's own attempt comes first")
		}
	}
	begun := 0
	for i := range MaxPunches + 3 {
		if p.begin(peer.ID(fmt.Sprint(i)), now) {
			begun++
		}
	}
	if wait := p.next(now); begun != MaxPunches || wait != PunchMax {
		t.Errorf("%d attempts go on, and the next look is in %v", begun, wait)
	}
	p.end("0", now, io.EOF)
	if wait := p.next(now); wait != 0 {
		t.Errorf("the next look after the end of one is in %v", wait)
	}
}

// Nobody has us dial what is not a router's address, nor again and again.
func TestNobodyHasUsDialWhateverTheyLike(t *testing.T) {
	r := New(nil, Config{}, func(p peer.ID) bool { return p != "stranger" }, func() {}, zap.NewNop())
	addrs := []ma.Multiaddr{
		ma.StringCast("/ip4/192.168.1.1/tcp/80"), ma.StringCast("/ip4/127.0.0.1/tcp/22"), ma.StringCast("/ip4/5.5.5.5/tcp/4101"),
		ma.StringCast("/ip4/5.5.5.5/tcp/443/ws"),
		ma.StringCast("/ip4/5.5.5.5/tcp/4101/p2p/12D3KooWRxzcNXHryBdhMSMeDWds7HvvS9Jkf2TV2VVM2DykqBfK/p2p-circuit"),
	}
	if got := (wary{r}).FilterRemote("stranger", addrs); len(got) > 0 {
		t.Errorf("a stranger has us dial %v", got)
	}
	for i := range 2 * PunchBurst {
		got := (wary{r}).FilterRemote("member", addrs)
		if i < PunchBurst && (len(got) != 1 || !got[0].Equal(addrs[2])) || i >= PunchBurst && len(got) > 0 {
			t.Errorf("attempt %d dials %v", i+1, got)
		}
	}
}

// Only what peers see of connections that we have dialled is of any use, and only while they are there.
func TestSightingsEndWithTheirPeers(t *testing.T) {
	s := newSightings()
	seen := ma.StringCast("/ip4/5.5.5.5/tcp/4101")
	s.note("seed", conn{network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}}, seen, nil)
	s.note("caller", conn{network.ConnStats{Stats: network.Stats{Direction: network.DirInbound}}}, ma.StringCast("/ip4/5.5.5.5/tcp/1"), nil)
	s.note("other", conn{network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}}, ma.StringCast("/ip4/192.168.1.7/tcp/4101"), nil)
	s.note("relayed", conn{network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound, Limited: true}}}, ma.StringCast("/ip4/5.5.5.5/tcp/2"), nil)
	s.note("web", conn{network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}}, ma.StringCast("/ip4/5.5.5.5/tcp/3/ws"), nil)
	if got := s.addresses(everybody); len(got) != 1 || !got[0].Equal(seen) {
		t.Errorf("seen at %v", got)
	}
	if s.forget("seed"); len(s.addresses(everybody)) != 0 {
		t.Errorf("seen at %v after the seed was gone", s.addresses(everybody))
	}
}

// Bob has dialled more peers than he remembers the sightings of when a seed comes back, behind another address. What it sees counts, for it alone can be asked to dial him
// there; and of seeds none takes the place of another one.
func TestSeedsSightingsComeFirst(t *testing.T) {
	s, dialled := newSightings(), conn{network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}}
	seeds := []peer.ID{"seed"}
	isSeed := func(p peer.ID) bool { return slices.Contains(seeds, p) }
	old, now := ma.StringCast("/ip4/5.5.5.5/tcp/4101"), ma.StringCast("/ip4/5.5.5.6/tcp/4101")
	s.note("seed", dialled, old, seeds)
	for i := range 2 * MaxObservers {
		s.note(peer.ID(fmt.Sprint("peer ", i)), dialled, old, seeds)
	}
	s.forget("seed")
	s.note("one more", dialled, old, seeds)
	s.note("seed", dialled, now, seeds)
	if got := s.addresses(isSeed); len(got) != 1 || !got[0].Equal(now) || len(s.of) != MaxObservers {
		t.Errorf("seeds see him at %v; %d sightings are remembered", got, len(s.of))
	}
	for i := range MaxObservers {
		seeds = append(seeds, peer.ID(fmt.Sprint("seed ", i)))
		s.note(seeds[len(seeds)-1], dialled, now, seeds)
	}
	_, first := s.of["seed"]
	_, last := s.of[seeds[MaxObservers]]
	if len(s.of) != MaxObservers || !first || last {
		t.Errorf("%d sightings of %d seeds are remembered; the first's %v, the last's %v", len(s.of), len(seeds), first, last)
	}
}

// conn is a connection of which only the direction matters.
type conn struct{ stats network.ConnStats }

func (c conn) Stat() network.ConnStats { return c.stats }
