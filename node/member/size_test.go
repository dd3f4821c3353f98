package member_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/home"
	"parley/node/member"
	"parley/node/member/membertest"
)

// atHome makes a home, and returns where its ledger lies.
func atHome(t *testing.T) home.Ledger {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	id, err := chat.NewIdentity("laptop")
	if err != nil {
		t.Fatal(err)
	}
	network, authority, err := chat.NewNetwork("home", true)
	if err != nil {
		t.Fatal(err)
	}
	h, err := home.Create(filepath.Join(t.TempDir(), "alice"), home.Params{Name: "Alice", Identity: id, Network: home.Network{Network: network}, Authority: authority})
	if err != nil {
		t.Fatal(err)
	}
	return h.Ledger()
}

// farthest makes a chain of devices, as long as one may be whose last may still invite, and returns the key and the ledger of that one.
func farthest(t *testing.T, town *membertest.Town, mayor *member.Ledger) (key ed25519.PrivateKey, last *member.Ledger) {
	t.Helper()
	last = mayor
	for range member.MaxDepth - 1 {
		key = town.NewKey()
		next := town.Ledger(key, nil, &membertest.Vault{})
		if err := next.Take(town.Chain(last, membertest.KeyOf(key))); err != nil {
			t.Fatal(err)
		}
		last = next
	}
	return key, last
}

// removesAsManyAsFit fills the list of revocations, and changes the network's key, under a number that is as long as one may be.
func removesAsManyAsFit(t *testing.T, mayor *member.Ledger) (list, rotation []byte) {
	t.Helper()
	const entry = 32 + 2
	who := make([]member.Key, (member.MaxList-256)/entry)
	for i := range who {
		binary.BigEndian.PutUint32(who[i][:], uint32(i))
	}
	if err := errors.Join(mayor.Revoke(who, true, time.Now()), mayor.Rotate(time.Hour, time.Unix(1<<61, 0))); err != nil {
		t.Fatal(err)
	}
	if list = mayor.List(); len(list) < member.MaxList-512 {
		t.Fatalf("the list has %d bytes", len(list))
	}
	return list, mayor.Rotation().Marshal()
}

// invitesAsManyAsMayBe fills the invites, of which each is used up and then revoked, and has a note that takes the most room.
func invitesAsManyAsMayBe(t *testing.T, town *membertest.Town, alice *member.Ledger) {
	t.Helper()
	now := time.Now().Truncate(time.Second).Add(123_456_789)
	for range member.MaxInvites {
		token, invite, err := alice.NewInvite(strings.Repeat("<", member.MaxNote), member.MaxPlaces/member.MaxInvites, now.Add(time.Hour), now)
		if err != nil {
			t.Fatal(err)
		}
		for range invite.Most {
			if _, err := alice.Redeem(town.Request(token, town.Claim(membertest.KeyOf(town.NewKey()))), now); err != nil {
				t.Fatal(err)
			}
		}
		if err := alice.RevokeInvite(invite.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// places counts whom a device has let in.
func places(l *member.Ledger) (used int) {
	for _, i := range l.Invites(time.Now()) {
		used += len(i.Used)
	}
	return used
}

// Alice is as far from the founder as one may be who invites. She has let in as many as she may, remembers as many members as she can, all of whom follow the network's key, and
// has the longest list of the removed that there is. Her home keeps all that, and would keep half as much again.
func TestTheFullestLedgerIsKept(t *testing.T) {
	town, mayor, _ := founder(t)
	key, alice := farthest(t, town, mayor)
	list, rotation := removesAsManyAsFit(t, mayor)
	_, err := alice.TakeList(list)
	_, turned := alice.TakeRotation(rotation)
	if err := errors.Join(err, turned, alice.KeepIn(nil)); err != nil { // writing down each step takes long
		t.Fatal(err)
	}
	invitesAsManyAsMayBe(t, town, alice)
	members := alice.Members()
	for _, m := range members {
		alice.Hears(m.Device, alice.Rotation().Sequence)
	}
	if n := len(alice.Invites(time.Now())); n != member.MaxInvites || places(alice) != member.MaxPlaces || len(members) != member.MaxKnown {
		t.Fatalf("there are %d invites, %d uses, %d members", n, places(alice), len(members))
	}
	kept := atHome(t)
	if err := kept.Save(make([]byte, member.MaxLedger)); err != nil {
		t.Errorf("a home does not take what a node may keep: %v", err)
	}
	if err := alice.KeepIn(kept); err != nil {
		t.Fatal(err)
	}
	ledger, err := kept.Load()
	if err != nil || len(ledger)*3/2 > member.MaxLedger {
		t.Errorf("the fullest ledger has %d bytes, of %d (%v)", len(ledger), member.MaxLedger, err)
	}
	if again := town.Ledger(key, nil, kept); places(again) != member.MaxPlaces || len(again.Members()) != member.MaxKnown || !bytes.Equal(again.List(), list) {
		t.Error("after a start it is another ledger")
	}
}
