package member_test

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"

	"parley/node/member"
	"parley/node/member/membertest"
)

// turnsKey makes Alice change the network's key.
func (n *neighbour) turnsKey(t *testing.T) {
	t.Helper()
	if err := n.ledger.Rotate(time.Hour, time.Now()); err != nil {
		t.Fatal(err)
	}
	n.Spread("")
}

// sawFollow reports whether another has our key, as far as we know.
func (n *neighbour) sawFollow(other *neighbour) bool {
	for _, m := range n.ledger.Members() {
		if p, err := m.Device.Peer(); err == nil && p == other.ID() {
			return m.Follows == n.ledger.Rotation().Sequence
		}
	}
	return false
}

// Bob is connected to Alice when she changes the key, Carol to Bob alone, and Dave, whom Bob invites, comes later. Alice sees who of those whom she
// met has followed, also after another start.
func TestTheKeyIsHandedOn(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob, carol := newFounder(t, town), newMember(t, town), newMember(t, town)
	if err := errors.Join(bob.calls(t, alice), carol.calls(t, bob)); err != nil {
		t.Fatal(err)
	}
	alice.turnsKey(t)
	key := alice.ledger.Rotation().Key
	eventually(t, "Bob to follow", func() bool { return alice.sawFollow(bob) && bob.ledger.Rotation().Key == key })
	eventually(t, "Carol to follow", func() bool { return bob.sawFollow(carol) && carol.ledger.Rotation().Key == key })
	if alice.sawFollow(carol) {
		t.Error("Alice has seen Carol, who never met her")
	}
	dave := bob.invited(t, town, bob.invite(t, 1))
	if err := dave.calls(t, bob); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Dave to follow", func() bool { return dave.ledger.Rotation().Key == key && bob.sawFollow(dave) })
	if err := alice.ledger.EndGrace(time.Now()); err != nil {
		t.Fatal(err)
	}
	alice.Spread("")
	eventually(t, "Bob to hear the end", func() bool { return bob.ledger.Rotation().Ends == alice.ledger.Rotation().Ends && alice.sawFollow(bob) })
	if err := alice.Close(); err != nil {
		t.Fatal(err)
	}
	again := town.Ledger(alice.key, town.Authority, alice.vault)
	if again.Rotation() != alice.ledger.Rotation() || again.Members()[1].Follows != again.Rotation().Sequence || again.Members()[0].Follows != again.Rotation().Sequence {
		t.Errorf("after a start the key is %v, and the members are %+v", again.Rotation(), again.Members())
	}
}

// Mallory was thrown out before: she hears a verdict and no key, from Alice and from Bob, and a stranger with the old key hears no more.
func TestTheRemovedNeverGetTheKey(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob, mallory := newFounder(t, town), newMember(t, town), newMember(t, town)
	for _, n := range []*neighbour{bob, mallory} {
		if err := n.calls(t, alice); err != nil {
			t.Fatal(err)
		}
	}
	device := membertest.KeyOf(mallory.key)
	if err := alice.ledger.Revoke([]member.Key{device}, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	alice.turnsKey(t)
	eventually(t, "Bob to follow", func() bool { return alice.sawFollow(bob) })
	for _, n := range []*neighbour{alice, bob} {
		if err := mallory.calls(t, n); !errors.Is(err, member.Revoked) {
			t.Errorf("Mallory calls: %v", err)
		}
	}
	stranger := move(t, town, town.NewKey(), nil, &membertest.Vault{}, member.Invitation{})
	if err := stranger.calls(t, alice); err == nil {
		t.Error("a stranger is in")
	}
	for _, n := range []*neighbour{mallory, stranger} {
		if r := n.ledger.Rotation(); r.Sequence != 0 || n.vault.Rotation() != nil {
			t.Errorf("she has %v", r)
		}
	}
}

// Bob's disk is full when the key comes: nothing changes for him, Alice sees that he has not followed, and he follows when he can. Where he
// cannot write down who was removed, he does not take the key either.
func TestAKeyCountsWhenItIsKept(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob, mallory := newFounder(t, town), newMember(t, town), newMember(t, town)
	if err := bob.calls(t, alice); err != nil {
		t.Fatal(err)
	}
	bob.vault.Stick(true)
	alice.turnsKey(t)
	if err := bob.calls(t, alice); err != nil {
		t.Fatal(err)
	}
	if bob.ledger.Rotation().Sequence != 0 || alice.sawFollow(bob) {
		t.Error("Bob uses a key that he could not keep")
	}
	bob.vault.Stick(false)
	bob.vault.Fill(true)
	if err := alice.ledger.Revoke([]member.Key{membertest.KeyOf(mallory.key)}, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	alice.Spread("")
	eventually(t, "Bob to take the list", func() bool { return len(bob.ledger.List()) > 0 })
	if bob.ledger.Rotation().Sequence != 0 {
		t.Error("Bob takes the key, and may forget whom to keep it from")
	}
	bob.vault.Fill(false)
	_ = bob.Network().ClosePeer(alice.ID())
	if err := bob.calls(t, alice); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Bob to follow", func() bool { return alice.sawFollow(bob) && bob.ledger.Rotation() == alice.ledger.Rotation() })
}

// Only who made the network can change its key, once at a time, and only where there is one.
func TestWhoMayChangeTheKey(t *testing.T) {
	town := membertest.NewTown(t)
	now := time.Now()
	founder, member1 := town.Ledger(town.NewKey(), town.Authority, &membertest.Vault{}), newMember(t, town).ledger
	keyless := town.Ledger(town.NewKey(), town.Authority, nil)
	if err := member1.Rotate(time.Hour, now); !errors.Is(err, member.ErrNotFounder) {
		t.Errorf("a member: %v", err)
	}
	if err := keyless.Rotate(time.Hour, now); !errors.Is(err, member.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := keyless.TakeRotation(make([]byte, 152)); err == nil {
		t.Error("a key of nobody's is taken where there is none")
	}
	if err := founder.EndGrace(now); !errors.Is(err, member.ErrNoGrace) {
		t.Errorf("the end of no grace: %v", err)
	}
	if err := founder.Rotate(time.Hour, now); err != nil {
		t.Fatal(err)
	}
	first := founder.Rotation()
	var in *member.GraceError
	if err := founder.Rotate(time.Hour, now.Add(time.Minute)); !errors.As(err, &in) || in.Ends.Unix() != now.Add(time.Hour).Unix() {
		t.Errorf("twice: %v", err)
	}
	if err := founder.EndGrace(now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := founder.Rotate(time.Hour, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	second := founder.Rotation()
	if first.Older != [32]byte{1} || second.Older != first.Key || second.Key == first.Key || second.Sequence <= first.Sequence {
		t.Error("the keys do not follow each other")
	}
	elsewhere := membertest.NewTown(t)
	foreign := elsewhere.Ledger(town.NewKey(), elsewhere.Authority, &membertest.Vault{})
	if err := foreign.Rotate(time.Hour, now); err != nil {
		t.Fatal(err)
	}
	if newer, err := member1.TakeRotation(foreign.Rotation().Marshal()); newer || err == nil || member1.Rotation().Sequence != 0 {
		t.Errorf("another network's: %v, %v", newer, err)
	}
	if newer, err := member1.TakeRotation(second.Marshal()); !newer || err != nil {
		t.Errorf("the second: %v, %v", newer, err)
	}
	if newer, err := member1.TakeRotation(first.Marshal()); newer || err != nil || member1.Rotation() != second {
		t.Errorf("back to the first: %v, %v", newer, err)
	}
}

// Bob cannot keep the key when it comes. He is offered it again while he is connected, and nothing else has to happen.
func TestWhoMissedTheKeyIsOfferedItAgain(t *testing.T) {
	town := membertest.NewTown(t)
	aliceKey, bobKey := town.NewKey(), town.NewKey()
	vault := town.Admit(bobKey)
	synctest.Test(t, func(t *testing.T) {
		net := mocknet.New()
		defer net.Close()
		gate := func(key ed25519.PrivateKey, ledger *member.Ledger) *member.Gate {
			private, err := crypto.UnmarshalEd25519PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			h, err := net.AddPeer(private, ma.StringCast("/ip4/192.0.2.1/tcp/4101"))
			if err != nil {
				t.Fatal(err)
			}
			g, err := member.NewGate(h, member.Options{Ledger: ledger, Logger: zap.NewNop()}) // a host of mocknet says no version
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		theirs, ours := town.Ledger(bobKey, nil, vault), town.Ledger(aliceKey, town.Authority, &membertest.Vault{})
		bob, alice := gate(bobKey, theirs), gate(aliceKey, ours)
		defer bob.Close()
		defer alice.Close()
		if err := net.LinkAll(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.ConnectPeers(alice.ID(), bob.ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		vault.Stick(true)
		if err := ours.Rotate(time.Hour, time.Now()); err != nil {
			t.Fatal(err)
		}
		alice.Spread("")
		time.Sleep(member.HandOnAgain + time.Second)
		if !alice.Settled(bob.ID()) || theirs.Rotation().Sequence != 0 {
			t.Fatalf("Bob has %v, and is connected: %v", theirs.Rotation(), alice.Settled(bob.ID()))
		}
		vault.Stick(false)
		time.Sleep(member.HandOnAgain + time.Second)
		if theirs.Rotation() != ours.Rotation() {
			t.Error("he has not got it")
		}
	})
}
