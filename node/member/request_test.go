package member_test

import (
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/member"
	"parley/node/member/membertest"
)

// TestInvitedByWhoCannotBeDialled: Alice sits where nobody can dial her, and has invited Bob. Carol, whom everybody can dial, sees Alice, hands on what
// Bob asks, and back what Alice says. She cannot do that before Alice is there.
func TestInvitedByWhoCannotBeDialled(t *testing.T) {
	town := membertest.NewTown(t)
	alice, carol := newFounder(t, town), newMember(t, town)
	token := alice.invite(t, 1)
	bob, mallory := alice.invited(t, town, token), alice.invited(t, town, token)
	if err := bob.calls(t, carol); !errors.Is(err, member.IssuerAway) {
		t.Fatalf("Alice is not there: %v", err)
	}
	if err := alice.calls(t, carol); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first connection to end", func() bool { return len(bob.Network().ConnsToPeer(carol.ID())) == 0 })
	if err := bob.calls(t, carol); err != nil {
		t.Fatalf("Bob asks Carol, who sees Alice: %v", err)
	}
	if got := hears(t, bob, carol.ID(), echo); got != "x" {
		t.Errorf("Bob hears %q of Carol", got)
	}
	if err := mallory.calls(t, carol); !errors.Is(err, member.UsedInvite) {
		t.Errorf("Mallory has found the same link: %v", err)
	}
}

// TestNobodyOnTheWayCanUseARequest: Mallory is a member, and has seen what Bob asks. She has it handed on for herself, changed, or for a device that has not
// asked her, and gets nothing.
func TestNobodyOnTheWayCanUseARequest(t *testing.T) {
	town := membertest.NewTown(t)
	alice, mallory := newFounder(t, town), newMember(t, town)
	token := alice.invite(t, 1)
	key, thief := town.NewKey(), town.NewKey()
	issuer := membertest.KeyOf(alice.key)
	good := town.RequestOf(issuer, token, town.Claim(membertest.KeyOf(key)))
	stolen := good
	stolen.Claim = town.Claim(membertest.KeyOf(thief))
	guessed := town.RequestOf(issuer, member.Token{7}, stolen.Claim)
	guessed.Invite = good.Invite
	if err := mallory.calls(t, alice); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]member.Request{"for another device": stolen, "with another token": guessed} {
		if answer := tells(t, mallory.Gate.Host, alice.ID(), r.Marshal()); len(answer) != 1 {
			t.Errorf("%s: %x", name, answer)
		}
	}
	stranger := newHost(t, thief, libp2p.ProtocolVersion(version))
	if err := stranger.Connect(soon(t), peer.AddrInfo{ID: alice.ID(), Addrs: alice.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if answer := tells(t, stranger, alice.ID(), good.Marshal()); answer != nil {
		t.Errorf("a stranger hands on what Bob asks: %x", answer)
	}
	if answer := tells(t, mallory.Gate.Host, alice.ID(), good.Marshal()); len(answer) < 2 {
		t.Errorf("a member hands on what Bob asks: %x", answer)
	}
}

// TestNobodyPutsSomebodyElsesDeviceUnderAnAccount: Mallory has a place in a link, and asks for Carol's device under Mallory's account, with everything that she can
// sign; and for the founder's own. Who would be removed with her, or could not be, is not certified.
func TestNobodyPutsSomebodyElsesDeviceUnderAnAccount(t *testing.T) {
	town := membertest.NewTown(t)
	alice, carol, mallory := newFounder(t, town), newMember(t, town), newMember(t, town)
	for _, m := range []*neighbour{mallory, carol} {
		if err := m.calls(t, alice); err != nil {
			t.Fatal(err)
		}
	}
	token, her := alice.invite(t, 3), membertest.KeyOf(mallory.key)
	for name, device := range map[string]member.Key{"Carol's": membertest.KeyOf(carol.key), "the founder's": membertest.KeyOf(alice.key)} {
		r := member.NewRequest(town.Network, membertest.KeyOf(alice.key), token, town.ClaimOf(her, device), mallory.key)
		if answer := tells(t, mallory.Gate.Host, alice.ID(), r.Marshal()); len(answer) != 1 || member.Verdict(answer[0]) != member.Unproven {
			t.Errorf("%s device: %x", name, answer)
		}
	}
	agreed := town.RequestOf(membertest.KeyOf(alice.key), token, town.Claim(membertest.KeyOf(carol.key)))
	agreed.Claim = town.ClaimOf(her, agreed.Claim.Device)
	if answer := tells(t, mallory.Gate.Host, alice.ID(), agreed.Marshal()); len(answer) != 1 {
		t.Errorf("what Carol has signed for herself: %x", answer)
	}
	for _, m := range alice.ledger.Members() {
		if m.Account == her && m.Device != her {
			t.Errorf("Alice has certified %x for Mallory", m.Device)
		}
	}
	if err := alice.ledger.Revoke([]member.Key{her}, true, time.Now()); err != nil {
		t.Errorf("Mallory cannot be removed: %v", err)
	}
	for _, m := range alice.ledger.Members() {
		if m.Revoked != (m.Device == her) {
			t.Errorf("Mallory is removed, and %x: %t", m.Device, m.Revoked)
		}
	}
}
