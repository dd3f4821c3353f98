package reach

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
)

// village is a private network on loopback, whose addresses count as public.
type village struct {
	*testing.T
	key pnet.PSK
}

// seed is one that dials who asks for it, with a key.
func (v village) seed(with pnet.PSK) host.Host {
	v.Helper()
	cfg := Config{Open: true, Relays: true, Dialling: Dialling{Transports: []libp2p.Option{libp2p.Transport(tcp.NewTCPTransport), libp2p.PrivateNetwork(with)}}}
	h := newTestHost(v.T, append(Options(cfg), libp2p.PrivateNetwork(v.key), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")))
	r := New(h.(Host), cfg, everybody, func() {}, zap.NewNop())
	r.anywhere = true
	run(v.T, r)
	return h
}

// dweller is a node that says where it can be dialled, and asks seeds whether that is so. Others are connected, and are no seeds.
func (v village) dweller(seeds, others []host.Host, says ...ma.Multiaddr) (*Reach, <-chan any) {
	v.Helper()
	cfg := Config{}
	for _, s := range seeds {
		cfg.Seeds = append(cfg.Seeds, peer.AddrInfo{ID: s.ID(), Addrs: s.Addrs()})
	}
	options := append(Options(cfg), libp2p.PrivateNetwork(v.key), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if says != nil {
		options = append(options, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return says }))
	}
	h := newTestHost(v.T, options)
	reached, err := h.EventBus().Subscribe(new(EvtReached))
	if err != nil {
		v.Fatal(err)
	}
	v.Cleanup(func() { _ = reached.Close() })
	r := New(h.(Host), cfg, everybody, func() {}, zap.NewNop())
	r.anywhere = true
	run(v.T, r)
	for _, other := range slices.Concat(seeds, others) {
		if err := h.Connect(v.Context(), peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}); err != nil {
			v.Fatal(err)
		}
	}
	return r, reached.Out()
}

// tried waits until so many seeds have tried. One of a hundred takes two minutes longer: what goes out under another key may look like the beginning of something long, for
// which Bob waits, until he who has asked has waited long enough; and a seed answers every two minutes.
func (v village) tried(r *Reach, want int) (through int) {
	v.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if through, tried := r.cfg.Confirmed.Seeds(); tried >= want {
			return through
		}
	}
	v.Fatalf("no %d seeds have tried", want)
	return 0
}

func newVillage(t *testing.T) village {
	t.Helper()
	return village{t, slices.Repeat([]byte{7}, 32)}
}

// Two seeds of a private network dial Bob, each under a key that he has never seen, and with that of the network.
func TestSeedsConfirmWhoCanBeDialled(t *testing.T) {
	v := newVillage(t)
	bob, reached := v.dweller([]host.Host{v.seed(v.key), v.seed(v.key)}, nil)
	if through := v.tried(bob, 2); through != 2 {
		t.Errorf("%d of 2 seeds got through", through)
	}
	at := bob.host.Addrs()[0]
	if good := bob.cfg.Confirmed.Addresses(); len(good) != 1 || !good[0].Equal(at) {
		t.Errorf("good are %v, and Bob is at %v", good, at)
	}
	if e := (<-reached).(EvtReached); !e.Address.Equal(at) {
		t.Errorf("told is %v", e)
	}
	select {
	case e := <-reached:
		t.Errorf("it is told again: %v", e)
	default:
	}
	if slices.Contains(bob.host.Mux().Protocols(), autonatv2.DialProtocol) {
		t.Error("Bob, who is no seed, dials for others")
	}
}

// Where the router lets nobody in, that is said.
func TestSeedsFindNobodyBehindARouter(t *testing.T) {
	v := newVillage(t)
	bob, _ := v.dweller([]host.Host{v.seed(v.key)}, nil, ma.StringCast("/ip4/127.0.0.1/tcp/1"))
	if through := v.tried(bob, 1); through != 0 || len(bob.cfg.Confirmed.Addresses()) != 0 {
		t.Errorf("somebody got through where nobody listens: %v", bob.cfg.Confirmed.Addresses())
	}
}

// Without the network's key nobody gets through, a seed's second host neither.
func TestASeedDialsWithTheNetworksKey(t *testing.T) {
	v := newVillage(t)
	bob, _ := v.dweller([]host.Host{v.seed(slices.Repeat([]byte{8}, 32))}, nil)
	if through := v.tried(bob, 1); through != 0 {
		t.Error("it got through with another key")
	}
}

// Mallory, a member who offers to dial others, is not asked: what she says counts for nothing.
func TestNobodyButSeedsIsAsked(t *testing.T) {
	v := newVillage(t)
	mallory := v.seed(v.key)
	bob, _ := v.dweller([]host.Host{v.seed(v.key)}, []host.Host{mallory})
	v.tried(bob, 1)
	ask := &asker{Host: bob.host, seeds: bob.seedIDs()}
	if _, err := ask.NewStream(t.Context(), mallory.ID(), autonatv2.DialProtocol); err == nil {
		t.Error("she is asked")
	}
	if _, tried := bob.cfg.Confirmed.Seeds(); tried != 1 {
		t.Errorf("%d have tried", tried)
	}
}

// What was answered an hour ago is asked again, what is new comes first, and what is ours no more is forgotten.
func TestWhatIsAskedAndWhen(t *testing.T) {
	a, b := ma.StringCast("/ip4/5.5.5.5/tcp/1"), ma.StringCast("/ip4/5.5.5.5/tcp/2")
	one, two, now := peer.ID("one"), peer.ID("two"), time.Now()
	both, ours := []peer.ID{one, two}, []ma.Multiaddr{a, b}
	c := NewConfirmed()
	if !c.note(a, one, true, now) || c.note(a, two, true, now) || c.note(b, one, false, now.Add(time.Minute)) {
		t.Error("the first that gets through is told, and nothing else")
	}
	if ask, _ := c.due(ours, both, now.Add(time.Minute)); len(ask) != 1 || !ask[0].Equal(b) {
		t.Errorf("asked is %v", ask)
	}
	c.note(b, two, false, now.Add(time.Minute))
	if ask, next := c.due(ours, both, now.Add(time.Minute)); len(ask) != 0 || !next.Equal(now.Add(ConfirmEvery)) {
		t.Errorf("asked is %v, and again at %v", ask, next.Sub(now))
	}
	if ask, _ := c.due(ours, both, now.Add(ConfirmEvery)); len(ask) != 1 || !ask[0].Equal(a) {
		t.Errorf("after an hour asked is %v", ask)
	}
	if ask, _ := c.due(ours, nil, now.Add(2*ConfirmEvery)); len(ask) != 0 {
		t.Errorf("without seeds asked is %v", ask)
	}
	c.again(one)
	if ask, _ := c.due(ours, both, now.Add(time.Minute)); len(ask) != 2 {
		t.Errorf("of a seed that is connected anew asked is %v", ask)
	}
	if through, tried := c.Seeds(); through != 2 || tried != 2 || len(c.Addresses()) != 1 {
		t.Errorf("%d of %d got through, at %v", through, tried, c.Addresses())
	}
	if c.note(a, one, false, now); len(c.Addresses()) != 1 {
		t.Error("one that fails now and then is enough to give an address up")
	}
	c.note(a, two, false, now)
	if through, tried := c.Seeds(); through != 0 || tried != 2 {
		t.Errorf("when the router has closed %d of %d get through", through, tried)
	}
	if c.keep(nil); len(c.of) != 0 {
		t.Error("what is ours no more is kept")
	}
}

// What is lent is closed by its owner.
func TestWhatIsLentStaysOpen(t *testing.T) {
	account := &account{ResourceManager: &network.NullResourceManager{}}
	h, err := newDialler(Dialling{Transports: []libp2p.Option{libp2p.Transport(tcp.NewTCPTransport)}}, account)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil || account.closed {
		t.Errorf("closed: %v, %v", account.closed, err)
	}
}

type account struct {
	network.ResourceManager
	closed bool
}

func (a *account) Close() error { a.closed = true; return nil }
