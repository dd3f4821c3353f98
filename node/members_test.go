package node_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"parley/node"
	"parley/node/direct"
	"parley/node/directory"
	"parley/node/mailbox"
	"parley/node/member"
	"parley/node/nodetest"
	"parley/node/prekey"
)

// founder is a device that has the authority of its world.
func founder(world *nodetest.World, name string) *nodetest.Device {
	d := world.Seed(name)
	d.Config.Member.Authority = world.Town.Authority
	return d
}

// invited is somebody who holds an invite of a device that runs.
func invited(t *testing.T, world *nodetest.World, name string, by *nodetest.Device, uses int) *nodetest.Device {
	t.Helper()
	token, _, err := by.MakeInvite(name, uses, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return holding(world, name, by, token)
}

func holding(world *nodetest.World, name string, by *nodetest.Device, token [16]byte) *nodetest.Device {
	d := world.Stranger(name)
	d.Config.Member.Issuer, d.Config.Member.Token = by.ID(), token
	d.Config.Network.Seeds = world.Network.Seeds
	return d
}

// TestStrangerWithTheKey has the network's key, speaks every protocol that Bob names, and is served none.
func TestStrangerWithTheKey(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, bob := world.Seed("seed").Start(), world.Device("bob").Start()
	bob.Knows(seed)
	stranger := world.Stranger("mallory")
	key, err := crypto.UnmarshalEd25519PrivateKey(stranger.Config.Key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.PrivateNetwork(world.Network.PSK),
		libp2p.ProtocolVersion("parley/"+hex.EncodeToString(world.Network.ID[:])))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Connect(nodetest.Context(t), seed.Info()); err != nil {
		t.Fatal(err)
	}
	spoken, err := h.Peerstore().GetProtocols(seed.ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range append(spoken, direct.Protocol, directory.Protocol, prekey.Protocol, mailbox.ProtocolHosts) {
		if id == member.Protocol || id == identify.ID || id == identify.IDPush {
			continue
		}
		s, err := h.NewStream(network.WithNoDial(nodetest.Context(t), "they are connected"), seed.ID(), id)
		if err != nil {
			continue
		}
		_ = s.SetReadDeadline(time.Now().Add(nodetest.Patience))
		_, _ = s.Write([]byte{1, 1})
		if n, err := s.Read(make([]byte, 1)); n > 0 || err == nil || isTimeout(err) {
			t.Errorf("%s serves her: %v", id, err)
		}
		_ = s.Reset()
	}
	if seed.Sees(h.ID()) || bob.Sees(h.ID()) {
		t.Error("she counts as a peer")
	}
	stranger.Start()
	if stranger.Joined() || len(stranger.Peers()) > 0 {
		t.Error("her own node takes her for a member")
	}
	if _, err := stranger.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters([]byte("hi"))); err == nil {
		t.Error("her letter was taken")
	}
	if _, _, err := stranger.MakeInvite("", 1, time.Hour); !errors.Is(err, member.NoMember) {
		t.Errorf("she invites: %v", err)
	}
}

// TestInvited joins by an invite, while it listens and while it does not, and is a member as others are. Who comes later is told why not.
func TestInvited(t *testing.T) {
	t.Parallel()
	for _, kind := range []nodetest.Kind{nodetest.Private, nodetest.Open} {
		world := nodetest.NewWorld(t, kind)
		alice := founder(world, "alice").Start()
		bob := invited(t, world, "bob", alice, 1)
		if err := node.Join(nodetest.Context(t), bob.Config); err != nil {
			t.Fatal(err)
		}
		bob.Start()
		bob.Knows(alice)
		carol := invited(t, world, "carol", bob, 1)
		carol.Config.Network.Seeds = []peer.AddrInfo{bob.Info(), alice.Info()}
		carol.Start()
		carol.Knows(alice, bob)
		deliverAll(t, carol, alice, letters(3))
		for _, i := range alice.Invites() {
			late := holding(world, "dave", alice, carol.Config.Member.Token)
			err := node.Join(nodetest.Context(t), late.Config)
			if i.State != "used" || len(i.Used) != 1 || i.Used[0] != bob.ID() || err == nil || err.Error() != member.UnknownInvite.Error() {
				t.Errorf("the invite is %+v, and another's token at Alice's gets %v", i, err)
			}
		}
		late := holding(world, "mallory", alice, bob.Config.Member.Token)
		if err := node.Join(nodetest.Context(t), late.Config); !errors.Is(err, member.UsedInvite) || err.Error() != member.UsedInvite.Error() {
			t.Errorf("too late: %v", err)
		}
		late.Start()
		nodetest.WaitFor(t, "to be told why", func() bool { return strings.HasPrefix(late.Warning(), member.UsedInvite.Error()+", retrying in ") })
		if n := len(alice.Members()); n != 3 {
			t.Errorf("Alice knows %d members", n)
		}
		for by, joiner := range map[*nodetest.Device]*nodetest.Device{alice: bob, bob: carol} {
			nodetest.WaitFor(t, "who has made an invite to be told of its use", func() bool {
				return slices.Equal(by.Inbox.Joined(), [][32]byte{joiner.Config.Member.Account})
			})
		}
	}
}

// TestRevokeInvite makes one worthless, and none that is not there.
func TestRevokeInvite(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice := founder(world, "alice").Start()
	bob := invited(t, world, "bob", alice, 2)
	id := alice.Invites()[0].ID
	if found, err := alice.RevokeInvite(id); !found || err != nil {
		t.Fatal(found, err)
	}
	if found, err := alice.RevokeInvite([8]byte{1}); found || err != nil {
		t.Errorf("what is not there: %v, %v", found, err)
	}
	if err := node.Join(nodetest.Context(t), bob.Config); !errors.Is(err, member.RevokedInvite) {
		t.Errorf("Bob: %v", err)
	}
	if i := alice.Invites()[0]; i.State != "revoked" || i.For != "bob" || i.Uses != 2 {
		t.Errorf("the invite is %+v", i)
	}
}

// TestThrownOut is a member until the authority says otherwise. Bob hears of it while Alice goes on running, Carol after Alice has gone.
func TestThrownOut(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob, carol, mallory := founder(world, "alice").Start(), world.Device("bob").Start(), world.Device("carol"), world.Device("mallory").Start()
	bob.Knows(alice)
	mallory.Knows(alice)
	bob.Learn(mallory.ID(), mallory.Config.Listen)
	mallory.Learn(bob.ID(), bob.Config.Listen)
	deliverAll(t, mallory, bob, letters(1))
	if err := bob.RevokeMember(mallory.Config.Member.Account, false); !errors.Is(err, member.ErrNotAuthority) {
		t.Errorf("Bob throws her out: %v", err)
	}
	if err := alice.RevokeMember(mallory.Config.Member.Account, true); err != nil {
		t.Fatal(err)
	}
	nodetest.WaitFor(t, "Bob and Alice to hang up", func() bool { return !bob.Sees(mallory.ID()) && !alice.Sees(mallory.ID()) })
	if handed, err := mallory.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters(letters(2)[1:]...)); err == nil || len(handed) > 0 {
		t.Errorf("Bob takes her letters: %v", err)
	}
	gone := slices.ContainsFunc(alice.Members(), func(m node.Member) bool { return m.Device == mallory.ID() && m.Revoked })
	if !gone {
		t.Errorf("the members are %+v", alice.Members())
	}
	alice.Stop()
	carol.Start()
	carol.Learn(bob.ID(), bob.Config.Listen)
	deliverAll(t, carol, bob, letters(3)[2:])
	mallory.Learn(carol.ID(), carol.Config.Listen)
	nodetest.WaitFor(t, "Carol to shut her out", func() bool {
		_, err := mallory.Deliver(nodetest.Context(t), carol.ID(), nil, nodetest.Letters([]byte("psst")))
		return err != nil && strings.Contains(err.Error(), member.Revoked.Error())
	})
	if len(carol.Inbox.Envelopes()) > 0 {
		t.Error("Carol has taken her letter")
	}
}

// TestWrongKeysAreCounted has somebody come with another network's key, who is counted when he is told, and nobody else.
func TestWrongKeysAreCounted(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	core, logged := observer.New(zap.InfoLevel)
	alice, bob := world.Device("alice"), world.Device("bob").Start()
	alice.Config.Logger = zap.New(core)
	alice.Start()
	stranger := nodetest.NewWorld(t, nodetest.Private).Device("stranger")
	stranger.Config.Network.Seeds = []peer.AddrInfo{alice.Info()}
	if err := node.Join(nodetest.Context(t), stranger.Config); err == nil {
		t.Fatal("a stranger is in")
	}
	if said := logged.FilterMessage("refused").All(); len(said) != 1 || said[0].ContextMap()["reason"] != "wrong_key" || said[0].ContextMap()["ip"] != "127.0.0.1" {
		t.Errorf("for fail2ban there is %v", said)
	}
	if c := alice.Refused(); c["wrong_key"] != 1 || c["no_member"] != 0 {
		t.Errorf("Alice has counted %v", c)
	}
	bob.Learn(alice.ID(), alice.Config.Listen)
	deliverAll(t, bob, alice, letters(1))
	for _, d := range []*nodetest.Device{alice, bob} {
		if c := d.Refused(); d == alice && c["wrong_key"] != 1 || d == bob && c["wrong_key"] > 0 || c["no_member"] > 0 {
			t.Errorf("%s has counted %v", d.Name, c)
		}
	}
}

// TestWhoWaitsIsToldThatTheSeedIsBusy: Alice, who has invited Bob, is away, and others at his address have asked the seed as often as one address may. He sees why he
// waits, and that he asks again.
func TestWhoWaitsIsToldThatTheSeedIsBusy(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), founder(world, "alice").Start()
	bob := invited(t, world, "bob", alice, 1)
	alice.Stop()
	bob.Config.Network.Seeds = []peer.AddrInfo{seed.Info()}
	var asking sync.WaitGroup
	for i := range member.PlaceRequestBurst {
		other := holding(world, "somebody", alice, [16]byte{byte(i)})
		other.Config.Network.Seeds = bob.Config.Network.Seeds
		asking.Go(func() {
			var v member.Verdict
			if err := node.Join(nodetest.Context(t), other.Config); !errors.As(err, &v) || v.Refused() {
				t.Errorf("somebody is told %v", err)
			}
		})
	}
	asking.Wait()
	bob.Start()
	nodetest.WaitFor(t, "Bob to be told, and it to be counted", func() bool { // on a slow machine he has his turn first, and that tells more
		w := bob.Warning()
		told := strings.HasPrefix(w, member.Busy.Error()+", retrying in ") || strings.HasPrefix(w, member.IssuerAway.Error()+", retrying in ")
		return told && seed.Refused()["rate_limited"] > 0
	})
}

// TestWhoWaitsSeesOneReason: Alice, who has invited Bob, is away, and her place refuses connections; the seed says so. Bob sees that alone, however often both are tried, until
// she is back. When all are gone, what the seed has said is of yesterday.
func TestWhoWaitsSeesOneReason(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), founder(world, "alice").Start()
	bob := invited(t, world, "bob", alice, 1)
	bob.Config.Network.Seeds = []peer.AddrInfo{alice.Info(), seed.Info()}
	alice.Stop()
	bob.Start()
	away := func() bool { return strings.HasPrefix(bob.Warning(), member.IssuerAway.Error()+", retrying in ") }
	nodetest.WaitFor(t, "Bob to be told", away)
	enough := time.Now().Add(5 * time.Second) // in which both are tried several times
	nodetest.WaitFor(t, "more attempts", func() bool {
		if !away() {
			t.Errorf("now he is told %q", bob.Warning())
			return true
		}
		return time.Now().After(enough)
	})
	alice.Start()
	bob.Knows(alice)
	nodetest.WaitFor(t, "the warning to go", func() bool { return bob.Warning() == "" })
	alice.Stop()
	seed.Stop()
	nodetest.WaitFor(t, "Bob to miss them", func() bool { return strings.HasPrefix(bob.Warning(), "no seed answers (last error: ") })
}

// TestAnInviteThatIsTooOldIsSaid, also while nobody is there who could say it: another one is what helps.
func TestAnInviteThatIsTooOldIsSaid(t *testing.T) {
	t.Parallel()
	world := nodetest.NewWorld(t, nodetest.Private)
	alice := founder(world, "alice").Start()
	bob := invited(t, world, "bob", alice, 1)
	bob.Config.Member.Expires = time.Now().Add(-time.Minute)
	alice.Stop()
	bob.Start()
	nodetest.WaitFor(t, "Bob to be told", func() bool {
		return strings.HasPrefix(bob.Warning(), "the invite has expired by this computer's clock, retrying in ")
	})
	alice.Start() // whose clock counts
	bob.Knows(alice)
	nodetest.WaitFor(t, "the warning to go", func() bool { return bob.Warning() == "" })
}
