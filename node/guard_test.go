package node

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"parley/node/internal/guard"
	"parley/node/member/membertest"
)

// doors are ports of this machine at which somebody counts who knocks.
type doors struct {
	addrs   []ma.Multiaddr
	knocked atomic.Int32
}

func newDoors(t *testing.T, n int) *doors {
	t.Helper()
	d := &doors{}
	var waiting sync.WaitGroup
	t.Cleanup(waiting.Wait) // which comes last
	for range n {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		d.addrs = append(d.addrs, ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)))
		waiting.Go(func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				d.knocked.Add(1)
				_ = c.Close()
			}
		})
		t.Cleanup(func() { _ = l.Close() })
	}
	return d
}

// TestAMemberHasUsKnockAtFewDoors has Mallory say that she is at fifty doors of her victim's, and Bob dial her in every way that he has.
func TestAMemberHasUsKnockAtFewDoors(t *testing.T) {
	town := membertest.NewTown(t)
	bob, mallory := villager(t, town), villager(t, town)
	victim := newDoors(t, 50)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 3 {
		if err := bob.connect(ctx, peer.AddrInfo{ID: mallory.ID(), Addrs: victim.addrs}); err == nil {
			t.Fatal("she answers at another's door")
		}
	}
	ids := bob.host.Network().(*swarm.Swarm) // as the hole puncher does
	for range 3 {
		ids.Backoff().Clear(mallory.ID())
		if _, err := ids.DialPeer(network.WithForceDirectDial(ctx, "hole-punching"), mallory.ID()); err == nil {
			t.Fatal("she answers at another's door")
		}
	}
	doors := make(map[string]bool)
	for _, a := range victim.addrs {
		if ids.CanDial(mallory.ID(), a) {
			doors[a.String()] = true
		}
	}
	if n := int(victim.knocked.Load()); n == 0 || n > 6*guard.PrivateAddresses || len(doors) > guard.PrivateAddresses {
		t.Errorf("Bob has knocked %d times in 6 attempts, and may knock at %d of 50 doors", n, len(doors))
	}
	if bob.Refused()["dial_budget"] == 0 {
		t.Error("nobody has counted it")
	}
	if err := bob.connect(ctx, peer.AddrInfo{ID: mallory.ID(), Addrs: mallory.host.Network().ListenAddresses()}); err == nil {
		t.Error("there is always room for one more")
	}
	bob.guard.Prove(mallory.ID(), mallory.host.Network().ListenAddresses()...)
	if err := bob.connect(ctx, peer.AddrInfo{ID: mallory.ID(), Addrs: mallory.host.Network().ListenAddresses()}); err != nil {
		t.Errorf("where she was found on the LAN she is not dialled: %v", err)
	}
}

// TestNobodyHasUsCallThroughRelays has Mallory say that she, and the seed, are reached through sixteen relays that nobody has heard of, and through the seed
// at sixteen doors of her victim's. Bob knocks at none of them.
func TestNobodyHasUsCallThroughRelays(t *testing.T) {
	town := membertest.NewTown(t)
	seed, mallory := villager(t, town), villager(t, town)
	bob := villager(t, town, func(c *Config) {
		c.Network.Seeds = []peer.AddrInfo{{ID: seed.ID(), Addrs: seed.host.Network().ListenAddresses()}}
	})
	victim := newDoors(t, 2*MaxPeerAddresses)
	var circuits []string
	for i, a := range victim.addrs {
		relay := seed.ID()
		if i < MaxPeerAddresses {
			var err error
			if relay, err = membertest.KeyOf(town.NewKey()).Peer(); err != nil {
				t.Fatal(err)
			}
		}
		circuits = append(circuits, fmt.Sprintf("%s/p2p/%s/p2p-circuit", a, relay))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, p := range []peer.ID{mallory.ID(), seed.ID()} {
		_ = bob.host.Connect(ctx, peer.AddrInfo{ID: p, Addrs: addresses(t, circuits...)})
	}
	_ = bob.host.Connect(ctx, peer.AddrInfo{ID: seed.ID()}) // where she says that it is
	if n := victim.knocked.Load(); n != 0 {
		t.Errorf("Bob has knocked %d times", n)
	}
	if bob.Refused()["dial_budget"] == 0 {
		t.Error("nobody has counted it")
	}
	bob.Learn(mallory.ID(), circuits)
	if known := bob.book.Addrs(mallory.ID()); len(known) != 0 {
		t.Errorf("Bob remembers %v", known)
	}
}

// once is a peer book of one earlier run.
type once []peer.AddrInfo

func (o once) Load(context.Context) ([]peer.AddrInfo, error)          { return o, nil }
func (o once) Save(context.Context, []peer.AddrInfo, time.Time) error { return nil }

// TestServersCannotHideWhomWeKnow has a server say that Alice is at as many doors of its own as are dialled for her, before Bob, who has met her in an earlier
// run, and Carol, who has her link, look for her.
func TestServersCannotHideWhomWeKnow(t *testing.T) {
	town := membertest.NewTown(t)
	alice := villager(t, town)
	at := peer.AddrInfo{ID: alice.ID(), Addrs: withoutCircuits(alice.host.Network().ListenAddresses())}
	bob, carol := villager(t, town, func(c *Config) { c.Peers = once{at} }), villager(t, town)
	bob.recall(t.Context())
	carol.Learn(alice.ID(), texts(at.Addrs))
	server := newDoors(t, 2*guard.PrivateAddresses)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for name, n := range map[string]*Node{"Bob": bob, "Carol": carol} {
		if err := n.connect(ctx, peer.AddrInfo{ID: alice.ID(), Addrs: server.addrs}); err == nil {
			t.Fatal("she answers at another's door")
		}
		if n.Refused()["dial_budget"] == 0 {
			t.Errorf("%s would knock at another door", name)
		}
		if err := n.find(ctx, alice.ID()); err != nil {
			t.Errorf("%s does not find her where he or she knows her to be: %v", name, err)
		}
	}
}

// TestEveryLimitIsOne has the marks of the connection manager below half of what comes in, and no memory of one peer without an end.
func TestEveryLimitIsOne(t *testing.T) {
	if ConnsHigh >= SystemConnsIn/2 || SeedConnsHigh >= SystemConnsIn/2 {
		t.Error("strangers could fill the host before it begins to close what is idle")
	}
	l := limits().ToPartialLimitConfig()
	for _, id := range []protocol.ID{"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"} {
		if m := l.ProtocolPeer[id].Memory; m <= 0 || m > PeerMemory {
			t.Errorf("%s: one peer may reserve %d bytes", id, m)
		}
	}
	for name, s := range l.ServicePeer {
		if s.Memory <= 0 || s.Memory > PeerMemory {
			t.Errorf("%s: one peer may reserve %d bytes", name, s.Memory)
		}
	}
}

// TestASeedComesInThoughAllPlacesAreTaken lets a seed connect while strangers hold everything.
func TestASeedComesInThoughAllPlacesAreTaken(t *testing.T) {
	at := addresses(t, "/ip4/5.5.5.5/tcp/4101")
	town := membertest.NewTown(t)
	seed := villager(t, town).ID()
	m, err := resourceManager(Config{Network: Network{Seeds: []peer.AddrInfo{{ID: seed, Addrs: at}}}}, guard.New(guard.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	open := func(address string) bool {
		c, err := m.OpenConnection(network.DirInbound, true, addresses(t, "/ip4/"+address+"/tcp/4101")[0])
		if err == nil {
			t.Cleanup(c.Done)
		}
		return err == nil
	}
	taken := 0
	for i := range SystemConns {
		if open(fmt.Sprintf("5.7.%d.%d", i/256, i%256)) {
			taken++
		}
	}
	if taken == SystemConns || open("5.8.8.8") {
		t.Fatalf("there is room after %d", taken)
	}
	if !open("5.5.5.5") {
		t.Error("there is none for the seed")
	}
}

// TestNodesKnowWhereTheyListen tells nodes of one machine from others.
func TestNodesKnowWhereTheyListen(t *testing.T) {
	for want, listen := range map[bool][]string{
		true:  {"/ip4/127.0.0.1/tcp/4101", "/ip6/::1/tcp/4101"},
		false: {"/ip4/127.0.0.1/tcp/4101", "/ip4/0.0.0.0/tcp/4101"},
	} {
		if got := onlyHere(Config{Listen: listen}); got != want {
			t.Errorf("%v: %v", listen, got)
		}
	}
	if onlyHere(Config{}) {
		t.Error("who listens everywhere listens not only here")
	}
}
