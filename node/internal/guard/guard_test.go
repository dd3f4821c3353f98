package guard_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"parley/node/internal/guard"
)

const (
	mallory = peer.ID("mallory")
	bob     = peer.ID("bob")
	seed    = peer.ID("seed")
)

// atHome is the guard of a node on a LAN with a seed on the internet.
func atHome(t *testing.T, change ...func(*guard.Config)) *guard.Guard {
	t.Helper()
	cfg := guard.Config{
		Seeds: []peer.AddrInfo{{ID: seed, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/5.5.5.5/tcp/4101")}}},
		Ground: func() []netip.Prefix {
			return []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00:1::/64")}
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	return guard.New(cfg)
}

// TestPrivateAddressesOfOthersAreNotDialled has somebody far away name what is in our LAN, and in others.
func TestPrivateAddressesOfOthersAreNotDialled(t *testing.T) {
	inside := func(c *guard.Config) { c.Seeds[0].Addrs = []ma.Multiaddr{ma.StringCast("/ip4/10.3.0.1/tcp/4101")} }
	here := func(c *guard.Config) { c.Loopback = true }
	alone := func(c *guard.Config) { c.Ground = func() []netip.Prefix { return nil } }
	for addr, may := range map[string]struct{ home, inside, here, alone bool }{
		"/ip4/5.6.7.8/tcp/22":                   {true, true, true, true},
		"/dns4/example.org/tcp/4101":            {true, true, true, true},
		"/ip4/192.168.1.7/tcp/4101":             {true, true, true, false},
		"/ip4/192.168.1.7/udp/4101/quic-v1":     {true, true, true, false},
		"/ip4/192.168.1.1/tcp/80":               {false, false, false, false},
		"/ip4/192.168.2.7/tcp/4101":             {false, true, false, false},
		"/ip4/10.1.2.3/tcp/5432":                {false, true, false, false},
		"/ip4/127.0.0.1/tcp/5432":               {false, false, true, true},
		"/ip6/::1/tcp/5432":                     {false, false, true, true},
		"/ip6/::ffff:127.0.0.1/tcp/5432":        {false, false, true, true},
		"/ip6/::ffff:10.1.2.3/tcp/5432":         {false, true, false, false},
		"/ip6/fd00:1::7/tcp/4101":               {true, true, true, false},
		"/ip6/fd00:2::7/tcp/4101":               {false, true, false, false},
		"/ip4/169.254.169.254/tcp/80":           {false, false, false, false},
		"/ip4/0.0.0.0/tcp/5432":                 {false, false, false, false},
		"/ip4/224.0.0.1/udp/4101/quic-v1":       {false, false, false, false},
		"/ip6/64:ff9b::10.1.2.3/tcp/4101":       {false, true, false, false},
		"/ip4/100.64.1.1/tcp/4101":              {false, true, false, false},
		"/ip4/172.17.0.1/tcp/4101":              {false, true, false, false},
		"/ip6/2a00:1450::1/tcp/4101":            {true, true, true, true},
		"/ip6/2a00:1450::1/udp/4101/quic-v1":    {true, true, true, true},
		"/ip4/198.18.0.1/tcp/4101":              {false, true, false, false},
		"/ip4/192.168.1.255/tcp/1023":           {false, false, false, false},
		"/ip4/192.168.1.254/tcp/1024":           {true, true, true, false},
		"/dns/localhost/tcp/4101":               {true, true, true, true}, // comes back as what it leads to
		"/ip4/240.0.0.1/tcp/4101":               {false, true, false, false},
		"/ip6/fe80::1/tcp/4101":                 {false, true, false, false},
		"/ip4/192.168.1.7/tcp/4101/ws":          {true, true, true, false},
		"/ip4/192.168.1.7/udp/500/quic-v1":      {false, false, false, false},
		"/ip6/ff02::1/udp/4101/quic-v1":         {false, false, false, false},
		"/ip4/203.0.113.9/tcp/4101":             {false, true, false, false},
		"/ip4/255.255.255.255/udp/1900/quic-v1": {false, true, false, false},
	} {
		a := ma.StringCast(addr)
		for name, c := range map[string]struct {
			g    *guard.Guard
			want bool
		}{
			"at home": {atHome(t), may.home}, "in a network that is all inside": {atHome(t, inside), may.inside},
			"on one machine": {atHome(t, here), may.here}, "without a network": {atHome(t, alone), may.alone},
		} {
			if got := c.g.InterceptAddrDial(mallory, a); got != c.want {
				t.Errorf("%s: %s is dialled: %v", name, addr, got)
			}
			if counted := c.g.Refused()["dial_private"]; (counted == 1) == c.want {
				t.Errorf("%s: %s is counted %d times", name, addr, counted)
			}
		}
	}
}

// TestACircuitGoesByWayOfASeed has Mallory name circuits through whom she likes, for herself, for Bob and for the seed. Only those through the seed are
// dialled, where the network says that it is, or where it has been met.
func TestACircuitGoesByWayOfASeed(t *testing.T) {
	const hub, other = "12D3KooWRxzcNXHryBdhMSMeDWds7HvvS9Jkf2TV2VVM2DykqBfK", "12D3KooWCRRonfLKKpX4QNQkjQFTZdWzC9GjiHzH3YPGGfBKPdTC"
	id, err := peer.Decode(hub)
	if err != nil {
		t.Fatal(err)
	}
	g := atHome(t, func(c *guard.Config) {
		c.Seeds = []peer.AddrInfo{
			{ID: id, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/5.5.5.5/tcp/4101"), ma.StringCast("/dns4/example.org/tcp/4101")}},
			{ID: id, Addrs: []ma.Multiaddr{ma.StringCast("/ip6/2a00:1450::1/udp/4101/quic-v1")}},
		}
	})
	met := func(dir network.Direction, at string) {
		g.InterceptUpgraded(&conn{peer: id, remote: ma.StringCast(at), stat: network.Stats{Direction: dir}})
	}
	met(network.DirOutbound, "/ip4/5.5.5.6/tcp/4101")
	met(network.DirInbound, "/ip4/5.5.5.7/tcp/50000")
	met(network.DirInbound, "/ip4/5.1.1.1/tcp/4101/p2p/"+other+"/p2p-circuit")
	for addr, want := range map[string]bool{
		"/ip4/5.5.5.5/tcp/4101/p2p/" + hub + "/p2p-circuit":                               true,
		"/dns4/example.org/tcp/4101/p2p/" + hub + "/p2p-circuit":                          true,
		"/ip6/2a00:1450::1/udp/4101/quic-v1/p2p/" + hub + "/p2p-circuit":                  true,
		"/ip4/5.5.5.6/tcp/4101/p2p/" + hub + "/p2p-circuit":                               true,
		"/ip4/5.5.5.7/tcp/50000/p2p/" + hub + "/p2p-circuit":                              true,
		"/p2p/" + hub + "/p2p-circuit":                                                    true,
		"/ip4/5.9.9.9/tcp/4101/p2p/" + hub + "/p2p-circuit":                               false,
		"/ip4/5.5.5.5/tcp/4102/p2p/" + hub + "/p2p-circuit":                               false,
		"/dns4/example.com/tcp/4101/p2p/" + hub + "/p2p-circuit":                          false,
		"/ip4/5.5.5.5/tcp/4101/p2p/" + other + "/p2p-circuit":                             false,
		"/dns4/example.org/tcp/4101/p2p/" + other + "/p2p-circuit":                        false,
		"/p2p/" + other + "/p2p-circuit":                                                  false,
		"/ip4/5.5.5.5/tcp/4101/p2p/" + hub + "/p2p/" + other + "/p2p-circuit":             false,
		"/ip4/5.1.1.1/tcp/4101/p2p/" + other + "/p2p-circuit/p2p/" + hub + "/p2p-circuit": false,
		"/ip4/5.5.5.5/tcp/4101/p2p-circuit":                                               false,
		"/ip4/10.1.2.3/tcp/4101/p2p-circuit":                                              false,
		"/p2p-circuit":                                                                    false,
	} {
		before := g.Refused()["dial_budget"]
		for _, p := range []peer.ID{mallory, bob, id} {
			if got := g.InterceptAddrDial(p, ma.StringCast(addr)); got != want {
				t.Errorf("%s is dialled for %s: %v", addr, p, got)
			}
		}
		if counted := g.Refused()["dial_budget"] - before; (counted == 3) == want {
			t.Errorf("%s is counted %d times", addr, counted)
		}
	}
	for i := range guard.SeedAddresses {
		met(network.DirInbound, fmt.Sprintf("/ip4/5.5.5.8/tcp/%d", 50000+i))
	}
	for addr, want := range map[string]bool{"/ip4/5.5.5.5/tcp/4101": true, "/ip4/5.5.5.8/tcp/50000": true, "/ip4/5.5.5.7/tcp/50000": false} {
		if got := g.InterceptAddrDial(bob, ma.StringCast(addr+"/p2p/"+hub+"/p2p-circuit")); got != want {
			t.Errorf("after the seed has called from many ports, a circuit through it at %s is dialled: %v", addr, got)
		}
	}
}

// TestWhatIsKnownIsDialled dials what a seed says of itself, what was found on the LAN, and where a peer has answered.
func TestWhatIsKnownIsDialled(t *testing.T) {
	g, router := atHome(t), ma.StringCast("/ip4/10.0.0.1/tcp/80")
	if !g.InterceptAddrDial(seed, router) {
		t.Error("not even for a seed")
	}
	g.Prove(bob, router.Encapsulate(ma.StringCast("/p2p/12D3KooWRxzcNXHryBdhMSMeDWds7HvvS9Jkf2TV2VVM2DykqBfK")))
	if !g.InterceptAddrDial(bob, router) || g.InterceptAddrDial(mallory, router) {
		t.Error("what was found counts for who was found, and for nobody else")
	}
	answered := ma.StringCast("/ip4/10.0.0.2/tcp/80")
	g.InterceptUpgraded(&conn{peer: bob, remote: answered, stat: network.Stats{Direction: network.DirInbound}})
	if g.InterceptAddrDial(bob, answered) {
		t.Error("he may have come from anywhere")
	}
	g.InterceptUpgraded(&conn{peer: bob, remote: answered, stat: network.Stats{Direction: network.DirOutbound}})
	if !g.InterceptAddrDial(bob, answered) {
		t.Error("where he has answered is not dialled again")
	}
	for i := range 2 * guard.MaxProven {
		g.Prove(peer.ID(fmt.Sprint(i)), router)
	}
	known := 0
	for i := range 2 * guard.MaxProven {
		if g.InterceptAddrDial(peer.ID(fmt.Sprint(i)), router) {
			known++
		}
	}
	if known < guard.MaxProven/2 || known > guard.MaxProven {
		t.Errorf("%d are known of %d", known, 2*guard.MaxProven)
	}
}

// TestFewAddressesAreDialledForOnePeer has Mallory name very many of her victims'.
func TestFewAddressesAreDialledForOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := atHome(t)
		dialled := func(format string, n int) (count int) {
			for range 2 { // the same again costs nothing
				count = 0
				for i := range n {
					if g.InterceptAddrDial(mallory, ma.StringCast(fmt.Sprintf(format, i+1))) {
						count++
					}
				}
			}
			return count
		}
		if n := dialled("/ip4/5.1.1.1/tcp/%d", 50); n != guard.PlaceAddresses {
			t.Errorf("%d ports of one host", n)
		}
		if n := dialled("/ip6/2a00:1:2:3::%d/tcp/4101", 50); n != guard.PlaceAddresses {
			t.Errorf("%d addresses of one household", n)
		}
		if n := dialled("/ip4/5.2.2.%d/tcp/4101", 50); n != guard.Places-2 {
			t.Errorf("%d more hosts", n)
		}
		if n := dialled("/ip4/192.168.1.%d/tcp/4101", 50); n != guard.PrivateAddresses {
			t.Errorf("%d on our LAN", n)
		}
		if !g.InterceptAddrDial(bob, ma.StringCast("/ip4/5.3.3.3/tcp/4101")) {
			t.Error("Bob pays for it")
		}
		if g.Refused()["dial_budget"] == 0 {
			t.Error("nothing is counted")
		}
		time.Sleep(guard.BudgetLife)
		if n := dialled("/ip4/5.4.4.%d/tcp/4101", 50); n != guard.Places {
			t.Errorf("%d hosts after she has moved", n)
		}
	})
}

// TestHearsayTakesNothingFromWhatWeKnow has servers name very many addresses for Bob before we dial where he was in an earlier run, and in his link. They get
// what is theirs, and so does what we remember, if it was Bob himself who had us note whatever he liked.
func TestHearsayTakesNothingFromWhatWeKnow(t *testing.T) {
	list := func(format string, n int) (addrs []ma.Multiaddr) {
		for i := range n {
			addrs = append(addrs, ma.StringCast(fmt.Sprintf(format, i+1)))
		}
		return addrs
	}
	g := atHome(t)
	dialled := func(addrs []ma.Multiaddr) (count int) {
		for range 2 {
			count = 0
			for _, a := range slices.Backward(addrs) {
				if g.InterceptAddrDial(bob, a) {
					count++
				}
			}
		}
		return count
	}
	home, lan := list("/ip4/5.1.1.1/tcp/410%d", 2), list("/ip4/192.168.1.7/tcp/410%d", 2)
	g.Remember(bob, slices.Concat(home, lan, list("/ip4/5.2.2.%d/tcp/4101", 50), list("/ip4/192.168.1.%d/tcp/4105", 50))...)
	if n := dialled(list("/ip4/5.8.8.%d/tcp/4101", 50)); n != guard.Places {
		t.Errorf("%d hosts on hearsay", n)
	}
	if n := dialled(list("/ip4/192.168.1.%d/tcp/4108", 50)); n != guard.PrivateAddresses {
		t.Errorf("%d addresses of our LAN on hearsay", n)
	}
	if dialled(home) != 2 || dialled(lan) != 2 {
		t.Error("where Bob was last is not dialled")
	}
	if n := dialled(list("/ip4/5.2.2.%d/tcp/4101", 50)); n != guard.Places-1 {
		t.Errorf("%d more hosts that we remember", n)
	}
	if n := dialled(list("/ip4/192.168.1.%d/tcp/4105", 50)); n != guard.PrivateAddresses-2 {
		t.Errorf("%d more addresses of our LAN that we remember", n)
	}
	moved := list("/ip4/5.3.3.3/tcp/410%d", 2)
	g.Remember(bob, append(moved, ma.StringCast("/dns4/example.org/tcp/4101"), ma.StringCast("/ip4/10.1.1.1/tcp/4101"))...)
	if dialled(moved) != 2 || dialled(home) != 2 || dialled(list("/ip4/5.2.2.%d/tcp/4101", 50)) != guard.Places-2 {
		t.Error("what a link says is not before what we remember, or beside it")
	}
	if g.InterceptAddrDial(mallory, ma.StringCast("/ip4/10.1.1.1/tcp/4101")) || dialled(list("/ip4/10.1.1.1/tcp/410%d", 1)) != 0 {
		t.Error("a network that is not ours is dialled, because it is remembered")
	}
	if g.Remember(mallory); g.Known() != 1 {
		t.Errorf("%d are remembered", g.Known())
	}
}

// TestHearsayIsDialledBehindWhatWeKnow has Mallory name low ports, which libp2p takes for likely ones, of hosts that may never answer.
func TestHearsayIsDialledBehindWhatWeKnow(t *testing.T) {
	g := atHome(t)
	remembered, proven := ma.StringCast("/ip4/5.1.1.1/tcp/60001"), ma.StringCast("/ip6/2600::1/tcp/60002")
	g.Remember(bob, remembered)
	g.Prove(bob, proven)
	var hearsay []ma.Multiaddr
	for i := range guard.Places {
		hearsay = append(hearsay, ma.StringCast(fmt.Sprintf("/ip4/5.8.8.%d/tcp/1", i)), ma.StringCast(fmt.Sprintf("/ip4/5.8.8.%d/udp/1/quic-v1", i)))
	}
	circuit := ma.StringCast("/p2p/12D3KooWRxzcNXHryBdhMSMeDWds7HvvS9Jkf2TV2VVM2DykqBfK/p2p-circuit")
	order := func(p peer.ID, addrs ...ma.Multiaddr) map[string]time.Duration {
		for _, a := range addrs {
			g.InterceptAddrDial(p, a)
		}
		before := slices.Clone(addrs)
		delays := make(map[string]time.Duration)
		for _, next := range g.Order(addrs) {
			delays[next.Addr.String()] = next.Delay
		}
		if len(delays) != len(addrs) || !slices.EqualFunc(before, addrs, ma.Multiaddr.Equal) {
			t.Fatalf("of %d addresses %d are dialled", len(addrs), len(delays))
		}
		return delays
	}
	delays := order(bob, append(slices.Clone(hearsay), remembered, proven, circuit)...)
	for _, a := range hearsay {
		if d := delays[a.String()]; d < guard.HearsayAfter {
			t.Errorf("%s is dialled after %v", a, d)
		}
	}
	if first, second := delays[proven.String()], delays[remembered.String()]; first != 0 || second > guard.HearsayAfter {
		t.Errorf("what we know is dialled after %v and %v", first, second)
	}
	alone := order(mallory, append(slices.Clone(hearsay), circuit)...)
	if d := delays[circuit.String()]; d != alone[circuit.String()] {
		t.Errorf("a circuit is dialled after %v", d)
	}
	for _, next := range swarm.DefaultDialRanker(append(slices.Clone(hearsay), circuit)) {
		if d := alone[next.Addr.String()]; d != next.Delay {
			t.Errorf("where nothing is known %s is dialled after %v", next.Addr, d)
		}
	}
	seeds := order(seed, ma.StringCast("/ip4/5.9.9.9/tcp/1"), ma.StringCast("/ip4/5.5.5.5/tcp/4101"))
	if seeds["/ip4/5.5.5.5/tcp/4101"] != 0 || seeds["/ip4/5.9.9.9/tcp/1"] < guard.HearsayAfter {
		t.Errorf("a seed is dialled after %v", seeds)
	}
}

// TestManyPeersCostLittle keeps the budgets of a bounded number of peers, and what is remembered of as many.
func TestManyPeersCostLittle(t *testing.T) {
	g := atHome(t)
	for i := range 2 * guard.MaxKnown {
		p, a := peer.ID(fmt.Sprint(i)), ma.StringCast("/ip4/5.1.1.1/tcp/4101")
		if g.Remember(p, a); !g.InterceptAddrDial(p, a) {
			t.Fatalf("the peer %d is not dialled", i)
		}
	}
	if n := g.Known(); n != guard.MaxKnown || g.Budgets() != 0 {
		t.Errorf("%d are remembered, and %d have a budget who need none", n, g.Budgets())
	}
	for i := range 3 * guard.MaxBudgets {
		if !g.InterceptAddrDial(peer.ID(fmt.Sprint(i)), ma.StringCast("/ip4/5.1.1.1/tcp/4101")) {
			t.Fatalf("the peer %d is not dialled", i)
		}
	}
	if n := g.Budgets(); n > guard.MaxBudgets {
		t.Errorf("%d are kept", n)
	}
}

// TestWhoBreaksTheProtocolIsShutOut bans Mallory at the place that she comes from, until she is forgiven, and nobody else there.
func TestWhoBreaksTheProtocolIsShutOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := atHome(t)
		from := func(p peer.ID, addr string) *conn { return &conn{peer: p, remote: ma.StringCast(addr)} }
		wrong := func(c *conn) { _ = g.Stream(&stream{conn: c}).ResetWithError(network.StreamProtocolViolation) }
		her := from(mallory, "/ip6/2a00:1:2:3::4/tcp/5")
		for range 10 * guard.BanAfter { // now and then is human
			wrong(her)
			time.Sleep(guard.Forgive)
		}
		if her.closed || !g.InterceptSecured(network.DirInbound, mallory, her) {
			t.Fatal("she is shut out for one a minute")
		}
		for range guard.BanAfter {
			wrong(her)
		}
		if !her.closed {
			t.Error("nobody has hung up")
		}
		again := from(mallory, "/ip6/2a00:1:2:99::9/tcp/6") // of the same /56
		if g.InterceptSecured(network.DirInbound, mallory, again) || g.InterceptPeerDial(mallory) {
			t.Error("she is in again")
		}
		if !g.InterceptSecured(network.DirInbound, bob, from(bob, "/ip6/2a00:1:2:3::4/tcp/7")) {
			t.Error("Bob, who lives there, is shut out as well")
		}
		if !g.InterceptSecured(network.DirInbound, mallory, from(mallory, "/ip4/5.5.1.1/tcp/6")) {
			t.Error("she is shut out elsewhere, where somebody else may have her key")
		}
		if n := g.Refused(); n["banned"] != 2 || n["bad_frame"] != 11*guard.BanAfter {
			t.Errorf("counted: %v", n)
		}
		time.Sleep(guard.BanFor)
		if !g.InterceptSecured(network.DirInbound, mallory, again) || !g.InterceptPeerDial(mallory) {
			t.Error("she is never forgiven")
		}
		for range 2 * guard.BanAfter {
			wrong(from(seed, "/ip4/5.5.5.5/tcp/4101"))
		}
		if !g.InterceptSecured(network.DirInbound, seed, from(seed, "/ip4/5.5.5.5/tcp/4101")) {
			t.Error("a seed is shut out: then there is no network")
		}
	})
}

// TestManyCulpritsPushNobodyOut forgets those who have done least.
func TestManyCulpritsPushNobodyOut(t *testing.T) {
	g := atHome(t)
	wrong := func(p peer.ID) {
		c := &conn{peer: p, remote: ma.StringCast("/ip4/5.1.1.1/tcp/1")}
		_ = g.Stream(&stream{conn: c}).ResetWithError(network.StreamProtocolViolation)
	}
	for range guard.BanAfter + 1 { // time passes
		wrong(mallory)
	}
	for i := range 2 * guard.MaxCulprits {
		wrong(peer.ID(fmt.Sprint(i)))
	}
	if g.InterceptPeerDial(mallory) {
		t.Error("she is forgotten, because many others have come")
	}
}

// TestStreamsAreCountedByHowTheyEnd counts reasons, and no ends that are nobody's fault.
func TestStreamsAreCountedByHowTheyEnd(t *testing.T) {
	g := atHome(t)
	for code, times := range map[network.StreamErrorCode]int{
		network.StreamRateLimited: 1, network.StreamGarbageCollected: 2, network.StreamGated: 3, network.StreamNoError: 4,
		network.StreamShutdown: 5, network.StreamResourceLimitExceeded: 6,
	} {
		for range times {
			s := &stream{conn: &conn{peer: bob, remote: ma.StringCast("/ip4/5.1.1.1/tcp/1")}}
			if err := g.Stream(s).ResetWithError(code); err != nil || s.code != code {
				t.Errorf("%d arrives as %d, %v", code, s.code, err)
			}
		}
	}
	for name, n := range g.Refused() {
		if want := map[string]uint64{"rate_limited": 1, "too_slow": 2, "not_admitted": 3}[name]; n != want {
			t.Errorf("%s: %d, want %d", name, n, want)
		}
	}
}

// TestALineForEachThatFail2BanCanRead says why, from where and who, and does not fill the disk.
func TestALineForEachThatFail2BanCanRead(t *testing.T) {
	core, logged := observer.New(zapcore.InfoLevel)
	g := atHome(t, func(c *guard.Config) { c.Logger = zap.New(core) })
	for range 3 * guard.LineBurst {
		g.Refuse(guard.WrongKey, "", ma.StringCast("/ip4/5.9.9.9/tcp/5"))
	}
	lines := logged.All()
	if len(lines) < guard.LineBurst || len(lines) > guard.LineBurst+guard.LinesPerSecond {
		t.Fatalf("%d lines", len(lines))
	}
	if m := lines[0].ContextMap(); lines[0].Message != "refused" || m["reason"] != "wrong_key" || m["ip"] != "5.9.9.9" || len(m) != 2 {
		t.Errorf("it says %q, %v", lines[0].Message, m)
	}
	if n := g.Refused()["wrong_key"]; n != 3*guard.LineBurst {
		t.Errorf("%d are counted", n)
	}
}

// TestEveryReasonHasItsName has no two that are alike, and none without.
func TestEveryReasonHasItsName(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range guard.Reasons() {
		if s := r.String(); seen[s] || s == "unknown" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%d is called %q", r, s)
		}
		seen[r.String()] = true
	}
}

// conn is a connection of which only its ends matter.
type conn struct {
	network.Conn
	peer   peer.ID
	remote ma.Multiaddr
	stat   network.Stats
	closed bool
}

func (c *conn) RemotePeer() peer.ID                        { return c.peer }
func (c *conn) RemoteMultiaddr() ma.Multiaddr              { return c.remote }
func (c *conn) LocalMultiaddr() ma.Multiaddr               { return nil }
func (c *conn) Stat() network.ConnStats                    { return network.ConnStats{Stats: c.stat} }
func (c *conn) CloseWithError(network.ConnErrorCode) error { c.closed = true; return nil }

// stream is a stream of which only its end matters.
type stream struct {
	network.Stream
	conn *conn
	code network.StreamErrorCode
}

func (s *stream) Conn() network.Conn                                { return s.conn }
func (s *stream) ResetWithError(code network.StreamErrorCode) error { s.code = code; return nil }
