package nodetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"

	"parley/node"
	"parley/node/member"
	"parley/node/member/membertest"
)

// Patience is how long a test waits for what should happen at once, on a machine that is busy with other tests.
const Patience = 4 * node.RetryMax

// Kind says whether a world's network has a pre-shared key.
type Kind bool

// The kinds of networks.
const (
	Private Kind = true  // with a pre-shared key: TCP alone
	Open    Kind = false // without: TCP and QUIC
)

// World is one network and its devices.
type World struct {
	Network node.Network
	Town    *membertest.Town // who is a member
	t       testing.TB
}

// NewWorld makes a network without nodes.
func NewWorld(t testing.TB, kind Kind) *World {
	t.Helper()
	w := &World{t: t, Town: membertest.NewTown(t)}
	w.Network = node.Network{Name: "home", ID: w.Town.ID}
	if kind == Private {
		w.Network.PSK = make([]byte, 32)
		fill(t, w.Network.PSK)
	}
	return w
}

// Device makes a member's device that is not started. Its address is known from now on.
func (w *World) Device(name string) *Device {
	w.t.Helper()
	d := w.Stranger(name)
	d.Become(d.Config.Key)
	return d
}

// Become gives a device that is not started another key, and makes that a member.
func (d *Device) Become(key ed25519.PrivateKey) {
	d.world.t.Helper()
	d.Config.Key, d.Config.Member = key, d.world.claim(key)
	d.Config.Member.Vault, d.Config.Member.Keys = d.world.Town.Admit(key), d.Keys
}

// claim is what a device brings that is no member yet.
func (w *World) claim(key ed25519.PrivateKey) node.Membership {
	claim := w.Town.Claim(membertest.KeyOf(key))
	return node.Membership{
		IDOf: membertest.IDOf, Proven: membertest.Proven, Account: claim.Account, Proof: claim.Proof, Vault: &membertest.Vault{},
	}
}

// Gate puts a gate around a host that runs under the key of a device that is not started, and has its membership.
func (d *Device) Gate(h host.Host) *member.Gate {
	d.world.t.Helper()
	ledger := d.world.Town.Ledger(d.Config.Key, nil, d.Config.Member.Vault)
	version := "parley/" + hex.EncodeToString(d.world.Network.ID[:])
	g, err := member.NewGate(h, member.Options{Ledger: ledger, Version: version, Logger: zap.NewNop()})
	if err != nil {
		d.world.t.Fatal(err)
	}
	d.world.t.Cleanup(func() { _ = g.Close() })
	return g
}

// Stranger makes a device that has the network's key and is no member.
func (w *World) Stranger(name string) *Device {
	w.t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	fill(w.t, seed)
	d := &Device{
		Name: name,
		Config: node.Config{
			Key:        ed25519.NewKeyFromSeed(seed),
			Network:    w.Network,
			Listen:     listenOn(FreePort(w.t), w.Network.PSK == nil),
			Peers:      &Book{},
			Validators: Validators(),
		},
		world: w,
	}
	d.Keys = &Keys{}
	d.Config.Member = w.claim(d.Config.Key)
	d.Config.Member.Keys = d.Keys
	d.Inbox = NewInbox(PeerID(w.t, d.Config.Key))
	d.Config.Network.Seeds = nil // Start takes those that the world has by then
	return d
}

// Seed makes a device that is one of the seeds of all devices of this world that start from now on.
func (w *World) Seed(name string) *Device {
	w.t.Helper()
	d := w.Device(name)
	d.Config.Seed = true
	w.Network.Seeds = append(w.Network.Seeds, d.Info())
	return d
}

// Device is one node, running or not. While it runs, the embedded Node is the present one.
type Device struct {
	*node.Node
	Name   string
	Config node.Config
	Inbox  *Inbox
	// Messenger takes the place of Inbox when it is set before the device starts.
	Messenger node.Messenger
	// Keys is where the device keeps what the network's key becomes.
	Keys *Keys

	world  *World
	cancel context.CancelFunc
	done   chan error
}

// Info returns where the device is, or will be.
func (d *Device) Info() peer.AddrInfo {
	d.world.t.Helper()
	info := peer.AddrInfo{ID: PeerID(d.world.t, d.Config.Key)}
	info.Addrs = Multiaddrs(d.world.t, d.Config.Listen...)
	return info
}

// Multiaddrs parses addresses.
func Multiaddrs(t testing.TB, texts ...string) (addrs []ma.Multiaddr) {
	t.Helper()
	for _, s := range texts {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, a)
	}
	return addrs
}

// Start runs the device until Stop or the end of the test. It returns when the device serves.
func (d *Device) Start() *Device {
	d.world.t.Helper()
	cfg := d.Config
	if cfg.Network.Seeds == nil {
		cfg.Network.Seeds = d.world.Network.Seeds
	}
	d.Keys.open(&cfg.Network)
	n, err := node.New(cfg)
	if err != nil {
		d.world.t.Fatalf("start %s: %v", d.Name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	d.Inbox.forgetMet()
	d.Node, d.cancel, d.done = n, cancel, done
	var messenger node.Messenger = d.Inbox
	if d.Messenger != nil {
		messenger = d.Messenger
	}
	go func() { done <- n.Run(ctx, messenger) }()
	d.world.t.Cleanup(d.Stop)
	select {
	case <-n.Serving():
	case <-time.After(Patience):
		d.world.t.Fatalf("%s does not begin to serve", d.Name)
	}
	return d
}

// Stop ends the device and waits until it has ended. Stopping twice is stopping once.
func (d *Device) Stop() {
	d.world.t.Helper()
	if d.done == nil {
		return
	}
	d.cancel()
	select {
	case err := <-d.done:
		if err != nil {
			d.world.t.Errorf("%s ended with: %v", d.Name, err)
		}
	case <-time.After(Patience):
		d.world.t.Errorf("%s does not end", d.Name)
	}
	d.done = nil
}

// Neighbour makes another device in the same world.
func (d *Device) Neighbour(name string) *Device { return d.world.Device(name) }

// Knows waits until the others are connected to the device and have said who they are.
func (d *Device) Knows(others ...*Device) {
	d.world.t.Helper()
	for _, other := range others {
		id := PeerID(d.world.t, other.Config.Key)
		WaitFor(d.world.t, fmt.Sprintf("%s to meet %s", d.Name, other.Name), func() bool { return d.Inbox.Met(id) && d.Sees(id) })
	}
}

// WaitFor waits until condition holds, and ends the test when that takes too long.
func WaitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(Patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %s for %s", Patience, what)
		}
	}
}

// Context returns a context that ends with the patience of a test.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// PeerID returns the id of a device key.
func PeerID(t testing.TB, key ed25519.PrivateKey) peer.ID {
	t.Helper()
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The ports that FreePort gives: below those of outgoing connections, which would take the port of a device that is down, and apart from those of
// the end-to-end tests, which run beside these.
const firstPort, ports = 5_000, 4_900

// FreePort returns a port of the loopback address that is free for TCP and for UDP, and that nobody else is given before the test is over.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := firstPort + mathrand.IntN(ports)
		if !claimed(t, port) {
			continue
		}
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err := errors.Join(err, l.Close()); err != nil {
			continue
		}
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port")
	return 0
}

// claimed makes a port the test's own, also beside tests of other packages: who is to listen on it may do so later, or again and again. Where there are no names of
// sockets without files, two tests may be given one port.
func claimed(t testing.TB, port int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	ticket, err := net.Listen("unix", fmt.Sprintf("@parley-test-port-%d", port))
	if err != nil {
		return false
	}
	t.Cleanup(func() { _ = ticket.Close() })
	return true
}

func listenOn(port int, quic bool) []string {
	addrs := []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)}
	if quic {
		addrs = append(addrs, fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", port))
	}
	return addrs
}

func fill(t testing.TB, b []byte) {
	t.Helper()
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
}
