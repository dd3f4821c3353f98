package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node"
	"parley/node/nodetest"
)

// TestTakenPort refuses a port that somebody else has, in one line, whether they have it for TCP or for UDP, and whether they
// are another node, which would share it, or not.
func TestTakenPort(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Open)
	alice := world.Device("alice").Start()
	bob := world.Device("bob")
	for _, address := range alice.Config.Listen {
		bob.Config.Listen = []string{address}
		refuses(t, bob.Config, address, "is in use")
	}
	port := nodetest.FreePort(t)
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bob.Config.Listen, bob.Config.Port = nil, port
	refuses(t, bob.Config, fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", port), fmt.Sprintf("port %d is in use", port))
}

// refuses checks that a node cannot be made, that the address is named, and why. It returns the error that says so.
func refuses(t *testing.T, cfg node.Config, address, why string) *node.ListenError {
	t.Helper()
	n, err := node.New(cfg)
	if err == nil {
		_ = n.Close()
		t.Fatalf("a node listens on %v and announces %q", cfg.Listen, cfg.Announce)
	}
	var listen *node.ListenError
	if !errors.As(err, &listen) {
		t.Fatalf("got %v; want one about %s", err, address)
	}
	if listen.Address != address || !strings.Contains(listen.Reason, why) {
		t.Errorf("got %v; want one about %s that says %q", err, address, why)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	return listen
}

// TestBadAddresses refuses what cannot be listened on even when another address can.
func TestBadAddresses(t *testing.T) {
	private := nodetest.NewWorld(t, nodetest.Private).Device("alice").Config
	good := private.Listen[0]
	for address, why := range map[string]string{
		"nonsense":                     "not a multiaddr",
		"/ip4/127.0.0.1":               "no transport",
		"/unix/tmp/socket":             "",
		"/ip4/192.0.2.1/tcp/4101":      "no such address",
		"/ip4/127.0.0.1/udp/0/quic-v1": "QUIC cannot be used in a network with a pre-shared key",
		"/ip4/127.0.0.1/tcp/0/wss":     "TLS is the web server's work",
		"/ip4/127.0.0.1/tcp/0/tls/ws":  "TLS is the web server's work",
	} {
		private.Listen = []string{good, address}
		refuses(t, private, address, why)
	}
}

// TestBadAnnouncements refuses to tell others what they cannot dial, and blames who was to be told of it, not who was to be listened to.
func TestBadAnnouncements(t *testing.T) {
	private := nodetest.NewWorld(t, nodetest.Private).Device("alice").Config
	for address, why := range map[string]string{
		"example.org:4101": "not a multiaddr", "/ip4/1.2.3.4": "no port", "/ip4/1.2.3.4/udp/4101/quic-v1": "QUIC cannot be used", "/ip4/127.0.0.1/tcp/4101": "this machine alone",
		"/dns/a\x1b[2Jb/tcp/4101": "a name has letters",
	} {
		private.Announce = []string{"/dns/example.org/tcp/4101", address}
		err := refuses(t, private, address, why)
		if !err.Announced || err.Instead() != "--announce /dns/NAME/tcp/PORT" || err.Error() != fmt.Sprintf("announce %q: %s", address, err.Reason) {
			t.Errorf("%v, instead %s", err, err.Instead())
		}
	}
	private.Announce, private.Listen = nil, []string{"nonsense"}
	if err := refuses(t, private, "nonsense", "not a multiaddr"); err.Announced || err.Instead() != "--listen MULTIADDR" {
		t.Errorf("%v, instead %s", err, err.Instead())
	}
}

// TestBadConfig refuses what no node can run with.
func TestBadConfig(t *testing.T) {
	for name, spoil := range map[string]func(*node.Config){
		"no key":         func(c *node.Config) { c.Key = nil },
		"short PSK":      func(c *node.Config) { c.Network.PSK = make([]byte, 31) },
		"negative port":  func(c *node.Config) { c.Port = -1 },
		"too many seeds": func(c *node.Config) { c.Network.Seeds = make([]peer.AddrInfo, node.MaxSeeds+1) },
	} {
		cfg := nodetest.NewWorld(t, nodetest.Private).Device("alice").Config
		spoil(&cfg)
		if n, err := node.New(cfg); err == nil {
			_ = n.Close()
			t.Errorf("%s: a node was made", name)
		}
		if err := node.Join(t.Context(), cfg); err == nil {
			t.Errorf("%s: a network was joined", name)
		}
	}
}

// TestDefaultListen listens on every interface at the port that was asked for, with QUIC where the network allows it.
func TestDefaultListen(t *testing.T) {
	for _, kind := range []nodetest.Kind{nodetest.Private, nodetest.Open} {
		cfg := nodetest.NewWorld(t, kind).Device("alice").Config
		cfg.Listen, cfg.Port = nil, nodetest.FreePort(t)
		n, err := node.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		listening := n.Listening()
		if !slices.Contains(listening, fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", cfg.Port)) {
			t.Errorf("listening on %v", listening)
		}
		quic := slices.Contains(listening, fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", cfg.Port))
		if quic != (kind == nodetest.Open) {
			t.Errorf("private %v: listening on %v", kind, listening)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAddresses lists loopback where there is nothing else, and what is announced before all.
func TestAddresses(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	alice := world.Device("alice").Start()
	addrs, reachable := alice.Addresses()
	if !slices.Equal(addrs, alice.Config.Listen) || reachable {
		t.Errorf("alice: %v, reachable %v", addrs, reachable)
	}
	bob := world.Device("bob")
	bob.Config.Announce = []string{"/dns4/bob.example.org/tcp/4101"}
	bob.Start()
	addrs, reachable = bob.Addresses()
	if len(addrs) != 1 || addrs[0] != bob.Config.Announce[0] || !reachable {
		t.Errorf("bob: %v, reachable %v", addrs, reachable)
	}
	carol := world.Device("carol")
	carol.Config.Announce = []string{"/dns/localhost/tcp/4101"}
	carol.Start()
	addrs, reachable = carol.Addresses()
	if addrs[0] != carol.Config.Announce[0] || reachable {
		t.Errorf("carol, whom each machine takes for itself: %v, reachable %v", addrs, reachable)
	}
}

// TestJoin says whether a network can be joined, and why not.
func TestJoin(t *testing.T) {
	t.Parallel()
	for _, kind := range []nodetest.Kind{nodetest.Private, nodetest.Open} {
		world := nodetest.NewWorld(t, kind)
		seed := world.Seed("seed").Start()
		world.Seed("away")
		cfg := world.Device("alice").Config
		cfg.Network.Seeds = world.Network.Seeds
		if err := node.Join(nodetest.Context(t), cfg); err != nil {
			t.Errorf("one of two seeds is there: %v", err)
		}
		seed.Stop()
		if err := node.Join(nodetest.Context(t), cfg); err == nil || err.Error() != "no seed answers: connection refused" {
			t.Errorf("nobody is there: %v", err)
		}
		cfg.Network.Seeds = nil
		if err := node.Join(nodetest.Context(t), cfg); err == nil {
			t.Errorf("a network without seeds was joined")
		}
	}
}

// TestJoinSilence ends with its context when a seed takes the connection and says nothing.
func TestJoinSilence(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	world := nodetest.NewWorld(t, nodetest.Private)
	mute := world.Seed("mute")
	cfg := world.Device("alice").Config
	info := mute.Info()
	info.Addrs = nodetest.Multiaddrs(t, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port))
	cfg.Network.Seeds = []peer.AddrInfo{info}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := node.Join(ctx, cfg); err == nil || err.Error() != "no seed answers: no answer in time" {
		t.Errorf("got %v", err)
	}
}

// TestOtherKey meets nodes with another network key, with one where we have none, and without one where we have one.
func TestOtherKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		theirs, ours nodetest.Kind
		why          string
	}{
		"another key":           {nodetest.Private, nodetest.Private, "has another network key"},
		"a key, and we without": {nodetest.Private, nodetest.Open, "closed the connection"},
		"no key, and we with":   {nodetest.Open, nodetest.Private, "has another network key"},
		"neither":               {nodetest.Open, nodetest.Open, "belongs to another network"},
	} {
		t.Run(name, func(t *testing.T) {
			seed := nodetest.NewWorld(t, c.theirs).Seed("seed").Start()
			alice := nodetest.NewWorld(t, c.ours).Device("alice")
			alice.Config.Network.Seeds = []peer.AddrInfo{{ID: seed.ID(), Addrs: seed.Info().Addrs[:1]}}
			if err := node.Join(nodetest.Context(t), alice.Config); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("join: %v; want %q", err, c.why)
			}
			alice.Start()
			why := strings.Replace(c.why, "another network key", "another key now", 1) // as members see it, who had the right one
			nodetest.WaitFor(t, "a warning", func() bool { return strings.Contains(alice.Warning(), why) })
			if alice.Joined() || seed.Joined() {
				t.Error("they take each other for members")
			}
		})
	}
}
