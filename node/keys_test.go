package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node"
	"parley/node/member"
	"parley/node/nodetest"
)

// grace is longer than any test.
const grace = time.Hour

// hasKeyOf reports whether a device uses the key of another.
func hasKeyOf(d, other *nodetest.Device) bool { return bytes.Equal(d.NetworkKey(), other.NetworkKey()) }

// TestRotateKey changes the key of a running network. Bob is there, Carol comes back within the grace, Dave when it is over, and Eve was thrown out.
func TestRotateKey(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob, carol := founder(world, "alice").Start(), world.Device("bob").Start(), world.Device("carol").Start()
	dave, eve := world.Device("dave").Start(), world.Device("eve").Start()
	for _, d := range []*nodetest.Device{bob, carol, dave, eve} {
		d.Knows(alice)
	}
	carol.Stop()
	dave.Stop()
	if err := alice.RevokeMember(eve.Config.Member.Account, false); err != nil {
		t.Fatal(err)
	}
	if k := alice.KeyRotation(); !k.Made.IsZero() || k.Followed != nil {
		t.Errorf("before: %+v", k)
	}
	for name, err := range map[string]error{"Bob": bob.RotateKey(grace), "Bob's end": bob.EndKeyGrace()} {
		if !errors.Is(err, member.ErrNotFounder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := alice.RotateKey(grace); err != nil {
		t.Fatal(err)
	}
	nodetest.WaitFor(t, "Bob to follow", func() bool { return hasKeyOf(bob, alice) && slices.Contains(alice.KeyRotation().Followed, bob.ID()) })
	if k := alice.KeyRotation(); len(k.Followed) != 2 || len(k.Behind) != 2 || slices.Contains(k.Behind, eve.ID()) {
		t.Errorf("they have followed: %+v", k)
	}
	bob.Stop()
	bob.Start() // with the key that it has kept
	bob.Knows(alice)
	carol.Start()
	carol.Knows(alice)
	nodetest.WaitFor(t, "Carol to follow", func() bool {
		return hasKeyOf(carol, alice) && slices.Contains(alice.KeyRotation().Followed, carol.ID())
	})
	nodetest.WaitFor(t, "Eve to be told", func() bool { return strings.Contains(eve.Warning(), member.Revoked.Error()) })
	if hasKeyOf(eve, alice) {
		t.Error("Eve has the new key")
	}
	if err := alice.EndKeyGrace(); err != nil {
		t.Fatal(err)
	}
	wrong := alice.Refused()["wrong_key"]
	dave.Start()
	nodetest.WaitFor(t, "Dave to see that he is late", func() bool { return dave.OtherKey() && strings.Contains(dave.Warning(), "another key") })
	nodetest.WaitFor(t, "Eve to be shut out", eve.OtherKey)
	if now := alice.Refused()["wrong_key"]; now <= wrong || dave.Joined() || hasKeyOf(dave, alice) {
		t.Errorf("Alice has counted %d and %d of those with the old key", wrong, now)
	}
	deliverAll(t, carol, bob, letters(2))
}

// TestLateOneIsRepaired gives Dave the new key by a link, and he is the member that he was.
func TestLateOneIsRepaired(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, dave := founder(world, "alice").Start(), world.Device("dave")
	if err := alice.RotateKey(grace); err != nil {
		t.Fatal(err)
	}
	if err := alice.EndKeyGrace(); err != nil {
		t.Fatal(err)
	}
	late := dave.Config
	late.Network.Seeds = world.Network.Seeds
	if err := node.Join(nodetest.Context(t), late); err == nil || !strings.Contains(err.Error(), "has another network key") {
		t.Errorf("with the old key: %v", err)
	}
	late.Network.PSK = alice.NetworkKey()
	if err := node.Join(nodetest.Context(t), late); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"erin", "frank", "grace", "heidi"} { // Join does not return before Alice knows what they have
		d := world.Device(name)
		d.Config.Network.PSK, d.Config.Network.Seeds = alice.NetworkKey(), world.Network.Seeds
		began := time.Now()
		err := node.Join(nodetest.Context(t), d.Config)
		if known := slices.Contains(alice.KeyRotation().Followed, nodetest.PeerID(t, d.Config.Key)); err != nil || !known && time.Since(began) < node.LeaveTimeout {
			t.Errorf("%s has joined, and Alice does not know with which key: %v", name, err)
		}
	}
	dave.Start() // it was told the rotation too, and has kept it
	dave.Knows(alice)
	nodetest.WaitFor(t, "Alice to see it", func() bool { return len(alice.KeyRotation().Followed) == 6 })
}

// TestALinkIsNoKey: Mallory is a member, has a key that the network had once, and gives Dave a link to her node under a key that she has made up. He tries it, is let in
// there, and keeps neither. What Alice has signed since he keeps.
func TestALinkIsNoKey(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, dave, mallory := founder(world, "alice").Start(), world.Device("dave"), world.Device("mallory")
	turn := func() (rotation []byte) {
		t.Helper()
		if err := errors.Join(alice.RotateKey(grace), alice.EndKeyGrace()); err != nil {
			t.Fatal(err)
		}
		_, rotation = alice.Keys.Kept()
		return rotation
	}
	first, second := turn(), turn()
	made := bytes.Repeat([]byte{7}, 32)
	mallory.Config.Network.PSK, mallory.Config.Network.Rotation, mallory.Config.Network.Seeds = made, first, []peer.AddrInfo{alice.Info()}
	mallory.Start()
	tried := dave.Config
	tried.Network.PSK, tried.Network.Rotation, tried.Network.Seeds = made, second, []peer.AddrInfo{mallory.Info()}
	if err := node.Join(nodetest.Context(t), tried); err != nil {
		t.Fatalf("Mallory does not let him in: %v", err)
	}
	if key, _ := dave.Keys.Kept(); key != nil {
		t.Error("Dave has kept a key that is older than his")
	}
	third := turn()
	tried.Network.PSK, tried.Network.Seeds = alice.NetworkKey(), world.Network.Seeds
	if err := node.Join(nodetest.Context(t), tried); err != nil {
		t.Fatal(err)
	}
	if key, rotation := dave.Keys.Kept(); !bytes.Equal(key, alice.NetworkKey()) || !bytes.Equal(rotation, third) {
		t.Error("Dave has not the key that Alice has signed")
	}
}

// TestJoinWithinTheGrace joins with a link from before and with one from after, and both have the key in the end.
func TestJoinWithinTheGrace(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice := founder(world, "alice").Start()
	before := invited(t, world, "bob", alice, 1)
	if err := alice.RotateKey(grace); err != nil {
		t.Fatal(err)
	}
	after := invited(t, world, "carol", alice, 1)
	after.Config.Network.PSK = alice.NetworkKey()
	for _, d := range []*nodetest.Device{before, after} {
		d.Start()
		d.Knows(alice)
		nodetest.WaitFor(t, d.Name+" to follow", func() bool { return hasKeyOf(d, alice) && slices.Contains(alice.KeyRotation().Followed, d.ID()) })
	}
	if noMember := alice.Refused()["no_member"]; noMember > 0 {
		t.Errorf("%d were refused", noMember)
	}
}

// TestKeyThatCannotBeKept changes nothing, for who makes it and for who gets it, and is taken when there is room.
func TestKeyThatCannotBeKept(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob := founder(world, "alice").Start(), world.Device("bob").Start()
	bob.Knows(alice)
	old := alice.NetworkKey()
	alice.Keys.Stick(true)
	if err := alice.RotateKey(grace); err == nil || !bytes.Equal(alice.NetworkKey(), old) {
		t.Fatalf("a key that nobody keeps: %v", err)
	}
	alice.Keys.Stick(false)
	bob.Keys.Stick(true)
	if err := alice.RotateKey(grace); err != nil {
		t.Fatal(err)
	}
	bob.Stop()
	bob.Start()
	bob.Knows(alice)
	if hasKeyOf(bob, alice) || !slices.Contains(alice.KeyRotation().Behind, bob.ID()) {
		t.Error("Bob counts as one who has followed")
	}
	bob.Stop()
	bob.Keys.Stick(false)
	bob.Start()
	nodetest.WaitFor(t, "Bob to follow", func() bool { return hasKeyOf(bob, alice) })
}

// TestNoKeyToRotate says that there is none.
func TestNoKeyToRotate(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Open)
	alice := founder(world, "alice").Start()
	if err := alice.RotateKey(grace); !errors.Is(err, member.ErrNoKey) || alice.NetworkKey() != nil {
		t.Errorf("got %v", err)
	}
	spoilt := alice.Config
	spoilt.Network.PSK, spoilt.Network.Rotation = make([]byte, 32), []byte{1}
	spoilt.Network.Seeds = world.Network.Seeds
	if err := node.Join(nodetest.Context(t), spoilt); err == nil {
		t.Error("a spoilt key is taken")
	}
}

// door is an address at which somebody takes connections, and hangs up on the first of them without a word; the others lead to a node.
type door struct {
	at     ma.Multiaddr
	knocks atomic.Int64
}

func newDoor(t *testing.T, hangUps int64, to func() string) *door {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{at: nodetest.Multiaddrs(t, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port))[0]}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close() })
			if d.knocks.Add(1) <= hangUps {
				_ = near.Close()
				continue
			}
			far, err := net.Dial("tcp4", to())
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = far.Close() })
			carrying.Go(func() { _, _ = io.Copy(near, far) })
			carrying.Go(func() { _, _ = io.Copy(far, near) })
		}
	})
	t.Cleanup(carrying.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return d
}

// A seed that is full hangs up on Alice until it has room: she does not take it for one with another key, and is in.
func TestAFullSeedHasNoOtherKey(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	seed := world.Seed("seed").Start()
	busy := newDoor(t, node.KeyRebuffs-1, func() string {
		_, at, err := manet.DialArgs(seed.Info().Addrs[0])
		if err != nil {
			t.Error(err)
		}
		return at
	})
	alice := world.Device("alice")
	alice.Config.Network.Seeds = []peer.AddrInfo{{ID: seed.ID(), Addrs: []ma.Multiaddr{busy.at}}}
	alice.Start()
	nodetest.WaitFor(t, "Alice to be in", func() bool {
		if alice.OtherKey() {
			t.Fatalf("Alice takes a seed that has hung up %d times for one with another key", busy.knocks.Load())
		}
		return alice.Joined()
	})
}

// A router in the place of a seed takes every connection and ends it: after some attempts Alice says that the key may be another one. One in the place of Bob
// says nothing about it: he cannot be reached, and she goes on trying.
func TestWhoHangsUpWithoutAWord(t *testing.T) {
	t.Parallel()
	const always = 1 << 62
	world := nodetest.NewWorld(t, nodetest.Private)
	gone, bob := world.Seed("seed"), world.Device("bob")
	router, other := newDoor(t, always, nil), newDoor(t, always, nil)
	alice, carol := world.Device("alice"), world.Device("carol")
	alice.Config.Network.Seeds = []peer.AddrInfo{{ID: nodetest.PeerID(t, gone.Config.Key), Addrs: []ma.Multiaddr{router.at}}}
	alice.Start()
	nodetest.WaitFor(t, "Alice to give up her key", alice.OtherKey)
	if n := router.knocks.Load(); n < node.KeyRebuffs {
		t.Errorf("she has tried %d times", n)
	}
	carol.Config.Network.Seeds = nil
	carol.Start()
	bobs := nodetest.PeerID(t, bob.Config.Key)
	carol.Learn(bobs, []string{other.at.String()})
	for range 2 * node.KeyRebuffs {
		_, err := carol.Deliver(nodetest.Context(t), bobs, nil, nodetest.Letters(letters(1)...))
		if err == nil || !strings.Contains(err.Error(), "closed the connection") || carol.OtherKey() {
			t.Errorf("Carol takes Bob for somebody with another key (%v): %v", carol.OtherKey(), err)
		}
	}
	if n := other.knocks.Load(); n < 2*node.KeyRebuffs {
		t.Errorf("Carol has tried %d times", n)
	}
}

// Who has made the network knows of no seed, and goes by those whom she remembers. Dave was thrown out, and at Erin's old address is a node without keys: neither says anything
// of the key. At Bob's something hangs up on her, until he calls from elsewhere: she has the right key after all.
func TestWhoHasNoSeedsGoesByThoseSheRemembers(t *testing.T) {
	t.Parallel()
	const always = 1 << 62
	world, strangers := nodetest.NewWorld(t, nodetest.Private), nodetest.NewWorld(t, nodetest.Open)
	alice := founder(world, "alice").Start()
	bob, dave, erin, stranger := world.Device("bob"), world.Device("dave"), world.Device("erin"), strangers.Device("stranger").Start()
	if err := alice.RevokeMember(dave.Config.Member.Account, false); err != nil {
		t.Fatal(err)
	}
	calls := func(to *nodetest.Device, at string) {
		id := nodetest.PeerID(t, to.Config.Key)
		alice.Learn(id, []string{at})
		for range node.KeyRebuffs {
			if _, err := alice.Deliver(nodetest.Context(t), id, nil, nodetest.Letters(letters(1)...)); err == nil {
				t.Fatalf("%s has taken it", to.Name)
			}
		}
	}
	daves, bobs := newDoor(t, always, nil), newDoor(t, always, nil)
	calls(dave, daves.at.String())
	calls(erin, stranger.Info().Addrs[0].String())
	if alice.OtherKey() || daves.knocks.Load() < node.KeyRebuffs {
		t.Errorf("after %d knocks at Dave's she gives up her key: %v", daves.knocks.Load(), alice.OtherKey())
	}
	calls(bob, bobs.at.String())
	if !alice.OtherKey() {
		t.Error("Bob has hung up on her, and she has seen nothing")
	}
	bob.Start().Knows(alice)
	nodetest.WaitFor(t, "Alice to see him", func() bool { return alice.Sees(bob.ID()) })
	before := bobs.knocks.Load()
	bob.Stop()
	nodetest.WaitFor(t, "Alice to be alone", func() bool { return len(alice.Peers()) == 0 })
	if alice.OtherKey() && bobs.knocks.Load()-before < node.KeyRebuffs {
		t.Error("he has called her with the key, and she gives it up")
	}
}
