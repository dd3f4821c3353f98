package psk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const patience = 30 * time.Second

func peerOf(i int) peer.ID { return peer.ID(strconv.Itoa(i)) }

// settle starts a host with a ring.
func settle(t *testing.T, ring *Ring) host.Host {
	t.Helper()
	return settleAt(t, ring, "/ip4/127.0.0.1/tcp/0")
}

func settleAt(t *testing.T, ring *Ring, listen string) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.Transport(ring.Transport), libp2p.Transport(ring.WebSocket), libp2p.Security(noise.ID, noise.New), libp2p.DisableMetrics(),
		libp2p.ListenAddrStrings(listen), libp2p.Ping(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// calls connects two hosts, and hears the other's answer.
func calls(t *testing.T, from, to host.Host) error {
	t.Helper()
	return callsAt(t, from, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()})
}

func callsAt(t *testing.T, from host.Host, to peer.AddrInfo) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(network.WithForceDirectDial(t.Context(), "no back-off here"), patience)
	defer cancel()
	from.Peerstore().ClearAddrs(to.ID)
	_ = from.Network().ClosePeer(to.ID)
	if err := from.Connect(ctx, to); err != nil {
		return err
	}
	return (<-ping.Ping(ctx, from, to.ID)).Error
}

func soon() time.Time { return time.Now().Add(time.Hour) }

// Alice has turned the key and Bob has not: they reach each other in the grace, whoever calls, and not after it.
func TestTwoKeysOnOnePort(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"} {
		t.Run(listen, func(t *testing.T) { twoKeysOnOnePort(t, listen) })
	}
}

func twoKeysOnOnePort(t *testing.T, listen string) {
	before, after := Key{1}, Key{2}
	rings := []*Ring{NewRing(before), NewRing(before), NewRing(Key{9})}
	alice, bob, mallory := settleAt(t, rings[0], listen), settleAt(t, rings[1], listen), settleAt(t, rings[2], listen)
	if err := errors.Join(calls(t, alice, bob), calls(t, bob, alice)); err != nil {
		t.Fatal(err)
	}
	rings[0].Turn(after, before, soon())
	if err := calls(t, bob, alice); err != nil {
		t.Errorf("Bob calls with the older key: %v", err)
	}
	if n := rings[0].Wrong(); n != 0 {
		t.Errorf("Alice has counted %d", n)
	}
	if err := calls(t, alice, bob); err != nil {
		t.Errorf("Alice calls Bob, who has the older key alone: %v", err)
	}
	if n := rings[1].Wrong(); n != 1 {
		t.Errorf("Bob has counted %d calls with a key that he does not know", n)
	}
	if err := calls(t, alice, bob); err != nil || rings[1].Wrong() != 1 {
		t.Errorf("Alice does not remember which key Bob has (he counts %d): %v", rings[1].Wrong(), err)
	}
	rings[1].Turn(after, before, soon())
	if err := errors.Join(calls(t, alice, bob), calls(t, bob, alice)); err != nil {
		t.Errorf("both have turned: %v", err)
	}
	for name, err := range map[string]error{"Mallory calls": calls(t, mallory, alice), "Mallory is called": calls(t, alice, mallory)} {
		if !errors.Is(err, ErrHungUp) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if rings[0].Wrong() != 1 || rings[2].Wrong() != 2 {
		t.Errorf("Alice has counted %d of Mallory's calls, and Mallory %d of hers", rings[0].Wrong(), rings[2].Wrong())
	}
	rings[0].Turn(after, before, time.Now())
	rings[1].Turn(before, Key{}, time.Time{})
	if err := calls(t, bob, alice); !errors.Is(err, ErrHungUp) {
		t.Errorf("Bob calls with a key whose grace is over: %v", err)
	}
}

// Who takes a connection and says nothing has not hung up: Bob may be busy, or behind a slow line, and his key may be ours.
func TestSilenceSaysNothingOfKeys(t *testing.T) {
	t.Parallel()
	const hasty = 100 * time.Millisecond
	alice, err := libp2p.New(libp2p.Transport(NewRing(Key{1}).Transport), libp2p.Security(noise.ID, noise.New), libp2p.DisableMetrics(), libp2p.NoListenAddrs,
		libp2p.WithDialTimeout(hasty), libp2p.SwarmOpts(swarm.WithDialTimeoutLocal(hasty)))
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close()
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	at, err := manet.FromNetAddr(silent.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := callsAt(t, alice, peer.AddrInfo{ID: "bob", Addrs: []ma.Multiaddr{at}}); err == nil || errors.Is(err, ErrHungUp) {
			t.Fatalf("Alice calls somebody who is silent: %v", err)
		}
	}
}

// Nodes of libp2p's own option speak the same, both ways.
func TestItIsLibp2psPrivateNetwork(t *testing.T) {
	t.Parallel()
	key := Key{1}
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"} {
		alice := settleAt(t, NewRing(key), listen)
		bob, err := libp2p.New(libp2p.PrivateNetwork(key[:]), libp2p.DisableMetrics(), libp2p.ListenAddrStrings(listen))
		if err != nil {
			t.Fatal(err)
		}
		defer bob.Close()
		if err := errors.Join(calls(t, alice, bob), calls(t, bob, alice)); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

// Where somebody without a key answers, the caller is told at once; and one who says nothing keeps nobody else out.
func TestNoKeyThere(t *testing.T) {
	t.Parallel()
	ring := NewRing(Key{1})
	alice := settle(t, ring)
	open, err := libp2p.New(libp2p.DisableMetrics(), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := calls(t, alice, open); !errors.Is(err, ErrOtherKey) {
		t.Errorf("Alice calls somebody without a key: %v", err)
	}
	var silent []net.Conn
	for range 40 { // more than libp2p has in its hands at once
		mute, err := net.Dial("tcp", dialable(t, alice))
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, mute)
	}
	if err := calls(t, settle(t, NewRing(Key{1})), alice); err != nil {
		t.Errorf("Bob calls while others keep silent: %v", err)
	}
	for _, mute := range silent { // who goes without a word is not counted, whose time is up is
		mute.Close()
	}
	before := ring.Wrong()
	if err := calls(t, open, alice); err == nil {
		t.Error("somebody without a key is in")
	}
	if n := ring.Wrong() - before; n != 1 {
		t.Errorf("%d are counted", n)
	}
}

// Alice and Bob dial each other at the same moment, and Bob is to listen. But his dial is there before hers, and is taken by her as that of anybody who
// calls: so he speaks.
func TestWhoIsToListenSpeaksWhereNobodyDoes(t *testing.T) {
	t.Parallel()
	ring := NewRing(Key{1})
	bob := settle(t, NewRing(Key{1}))
	alice := settle(t, ring)
	for alice.ID() < bob.ID() { // the one with the lower id listens
		alice = settle(t, ring)
	}
	ctx, cancel := context.WithTimeout(network.WithSimultaneousConnect(network.WithForceDirectDial(t.Context(), "punch"), true, "punch"), patience)
	defer cancel()
	if err := bob.Connect(ctx, peer.AddrInfo{ID: alice.ID(), Addrs: alice.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if err := (<-ping.Ping(ctx, bob, alice.ID())).Error; err != nil || ring.Wrong() != 0 {
		t.Errorf("Alice has counted %d wrong keys: %v", ring.Wrong(), err)
	}
}

func dialable(t *testing.T, h host.Host) string {
	t.Helper()
	port, err := h.Addrs()[0].ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// tap stands between a caller and a host, and keeps all that goes by.
type tap struct {
	net.Listener
	to   string
	mu   sync.Mutex
	seen bytes.Buffer
}

func newTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tap{Listener: l, to: to}
	t.Cleanup(func() { _ = l.Close() })
	go w.run()
	return w
}

func (w *tap) run() {
	for {
		a, err := w.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = a.Close()
			return
		}
		go w.pass(a, b)
		go w.pass(b, a)
	}
}

func (w *tap) pass(from, to net.Conn) {
	_, _ = io.Copy(io.MultiWriter(to, w), from)
	_, _ = from.Close(), to.Close()
}

// Write keeps what goes by.
func (w *tap) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.Write(b)
}

func (w *tap) text() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.seen.Bytes())
}

// Nothing on the wire says that it is libp2p, not even where the caller has another key, or none; over WebSocket it is a WebSocket of anything.
func TestTheWireIsNoise(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{"", "/ws"} {
		t.Run("tcp"+ending, func(t *testing.T) { theWireIsNoise(t, ending) })
	}
}

func theWireIsNoise(t *testing.T, ending string) {
	alice := settleAt(t, NewRing(Key{1}), "/ip4/127.0.0.1/tcp/0"+ending)
	w := newTap(t, dialable(t, alice))
	to := peer.AddrInfo{ID: alice.ID(), Addrs: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/" + portOf(t, w) + ending)}}
	if err := callsAt(t, settle(t, NewRing(Key{1})), to); err != nil {
		t.Fatal(err)
	}
	if err := callsAt(t, settle(t, NewRing(Key{2})), to); !errors.Is(err, ErrHungUp) {
		t.Errorf("with another key: %v", err)
	}
	all := w.text()
	if len(all) < 200 {
		t.Fatalf("%d bytes went by", len(all))
	}
	for _, word := range []string{"multistream", "noise", "yamux", "ping", "libp2p", "parley"} {
		if bytes.Contains(all, []byte(word)) {
			t.Errorf("%q is on the wire in clear", word)
		}
	}
}

func portOf(t *testing.T, l net.Listener) string {
	t.Helper()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

// There is no other way in or out: what is neither TCP nor WebSocket is neither dialled nor listened on.
func TestNoOtherTransport(t *testing.T) {
	t.Parallel()
	alice, bob := settle(t, NewRing(Key{1})), settle(t, NewRing(Key{1}))
	for _, a := range []string{"/ip4/127.0.0.1/udp/9/quic-v1", "/ip4/127.0.0.1/udp/9/quic-v1/webtransport", "/ip4/127.0.0.1/udp/9/webrtc-direct"} {
		if err := alice.Network().Listen(ma.StringCast(a)); err == nil {
			t.Errorf("listens on %s", a)
		}
		if err := callsAt(t, alice, peer.AddrInfo{ID: bob.ID(), Addrs: []ma.Multiaddr{ma.StringCast(a)}}); err == nil {
			t.Errorf("dials %s", a)
		}
	}
}

// A ring turns while others call: nobody is turned away who has either key.
func TestARingTurnsUnderLoad(t *testing.T) {
	t.Parallel()
	ring := NewRing(Key{1})
	alice := settle(t, ring)
	var callers sync.WaitGroup
	for range 4 {
		bob := settle(t, NewRing(Key{1}))
		callers.Go(func() {
			for range 10 {
				if err := calls(t, bob, alice); err != nil {
					t.Errorf("Bob: %v", err)
				}
			}
		})
	}
	for i := range byte(20) {
		ring.Turn(Key{10 + i}, Key{1}, soon())
		ring.Newest()
	}
	callers.Wait()
	if ring.Wrong() != 0 {
		t.Errorf("%d were counted", ring.Wrong())
	}
}

// Alice and Bob dial each other at the same moment, and libp2p has told both to speak, or both to listen. One of them does each.
func TestOneOfTwoSpeaks(t *testing.T) {
	for _, told := range []bool{true, false} {
		ctx := network.WithSimultaneousConnect(t.Context(), told, "punch")
		_, alice, _ := network.GetSimultaneousConnect(withRole(ctx, "alice", "bob"))
		together, bob, why := network.GetSimultaneousConnect(withRole(ctx, "bob", "alice"))
		if alice == bob || alice || !together || why != "punch" {
			t.Errorf("both told %v: Alice speaks: %v, and Bob: %v, %q", told, alice, bob, why)
		}
	}
	if together, _, _ := network.GetSimultaneousConnect(withRole(t.Context(), "alice", "bob")); together {
		t.Error("a dial is taken for one of two")
	}
}
