package member_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"parley/node/member"
	"parley/node/member/membertest"
)

// Mallory was thrown out. The link that let her in has a place left, and another device of hers asks for it: it is her account that was thrown out.
func TestWhoWasThrownOutDoesNotComeBackWithAnotherDevice(t *testing.T) {
	town, mayor, _ := founder(t)
	now := time.Now()
	token, _, err := mayor.NewInvite("the neighbours", 3, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	phone, laptop := town.Claim(membertest.KeyOf(town.NewKey())), membertest.KeyOf(town.NewKey())
	if _, err := mayor.Redeem(town.Request(token, phone), now); err != nil {
		t.Fatal(err)
	}
	if err := mayor.Revoke([]member.Key{phone.Device}, true, now); err != nil {
		t.Fatal(err)
	}
	if _, err := mayor.Redeem(town.Request(token, town.ClaimOf(phone.Account, laptop)), now); !errors.Is(err, member.Revoked) {
		t.Errorf("another device of hers gets %v", err)
	}
	if _, err := mayor.Redeem(town.Request(token, town.Claim(laptop)), now); err != nil {
		t.Errorf("somebody else with the same link gets %v", err)
	}
}

// admits makes a member invite a device with a claim, and returns what that has then.
func admits(t *testing.T, town *membertest.Town, by *member.Ledger, device ed25519.PrivateKey, claim member.Claim) (*member.Ledger, member.Chain) {
	t.Helper()
	now := time.Now()
	l, err := member.Open(member.Config{Network: town.Network, Device: device, Claim: claim}, now)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := by.NewInvite("", 1, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := by.Redeem(town.Request(token, claim), now)
	if err == nil {
		err = l.Take(chain)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := member.ParseChain(chain)
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

// Mallory has a phone that the mayor has let in, and a laptop that Bob has let in and the mayor has never seen. She is thrown out: so is the laptop, also at Carol's, who
// has seen neither, and so is a tablet that comes later. The invites that she has made lead nowhere any more, nor does a certificate that she signs all the same.
// Dave, whom her phone has let in and the mayor has seen, stays.
func TestWhoIsThrownOutIsWithAllDevices(t *testing.T) {
	town, mayor, _ := founder(t)
	now, key := time.Now(), func() ed25519.PrivateKey { return town.NewKey() }
	own := func(device ed25519.PrivateKey) member.Claim { return town.Claim(membertest.KeyOf(device)) }
	phone, laptop, tablet, bobs, carols, daves, eves := key(), key(), key(), key(), key(), key(), key()
	mallory := [32]byte(membertest.KeyOf(key()))
	hers := func(device ed25519.PrivateKey) member.Claim { return town.ClaimOf(mallory, membertest.KeyOf(device)) }
	bob, _ := admits(t, town, mayor, bobs, own(bobs))
	carol, _ := admits(t, town, mayor, carols, own(carols))
	phones, _ := admits(t, town, mayor, phone, hers(phone))
	laptops, laptopChain := admits(t, town, bob, laptop, hers(laptop))
	_, daveChain := admits(t, town, phones, daves, own(daves))
	if v := mayor.Judge(daveChain, membertest.KeyOf(daves)); v != member.Admitted {
		t.Fatalf("Dave gets %d", v)
	}
	open, _, err := laptops.NewInvite("", 1, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := mayor.Revoke([]member.Key{membertest.KeyOf(phone)}, false, now); err != nil {
		t.Fatal(err)
	}
	_, eveChain := admits(t, town, laptops, eves, own(eves)) // who does not care for the list
	for _, l := range []*member.Ledger{bob, carol, laptops} {
		if newer, err := l.TakeList(mayor.List()); !newer || err != nil {
			t.Fatalf("the list: %v, %v", newer, err)
		}
	}
	for name, l := range map[string]*member.Ledger{"the mayor": mayor, "Bob": bob, "Carol": carol} {
		if v := l.Judge(laptopChain, membertest.KeyOf(laptop)); v != member.Revoked {
			t.Errorf("the laptop gets %d of %s", v, name)
		}
		if v := l.Judge(eveChain, membertest.KeyOf(eves)); v != member.Revoked {
			t.Errorf("Eve, whom it lets in, gets %d of %s", v, name)
		}
		if v := l.Judge(daveChain, membertest.KeyOf(daves)); v != member.Admitted {
			t.Errorf("Dave gets %d of %s", v, name)
		}
	}
	if _, err := laptops.Redeem(town.Request(open, own(key())), now); !errors.Is(err, member.MayNotInvite) {
		t.Errorf("the open invite: %v", err)
	}
	for _, i := range laptops.Invites(now) {
		if i.State == member.Admitted {
			t.Error("an invite of hers looks as if it were open")
		}
	}
	token, _, err := bob.NewInvite("", 1, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Redeem(town.Request(token, hers(tablet)), now); !errors.Is(err, member.Revoked) {
		t.Errorf("her tablet gets %v of Bob", err)
	}
	for _, m := range bob.Members() {
		if m.Revoked != (m.Account == mallory) {
			t.Errorf("Bob shows %+v", m)
		}
	}
}

// The mayor removes a laptop of his own, and stays himself.
func TestRemovingADeviceOfOnesOwn(t *testing.T) {
	town, key := membertest.NewTown(t), membertest.NewKey(t)
	mayor := town.Ledger(key, town.Authority, nil)
	now, laptop := time.Now(), membertest.KeyOf(town.NewKey())
	token, _, err := mayor.NewInvite("", 2, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mayor.Redeem(town.Request(token, town.ClaimOf(membertest.KeyOf(key), laptop)), now); err != nil {
		t.Fatal(err)
	}
	if err := mayor.Revoke([]member.Key{laptop}, false, now); err != nil {
		t.Fatal(err)
	}
	if v := mayor.Standing(); v != member.Admitted {
		t.Errorf("he stands as %d", v)
	}
}

// The list has room for so many. Who would remove one too many is told what helps, and nothing changes.
func TestAFullListIsSaid(t *testing.T) {
	_, mayor, _ := founder(t)
	devices := make([]member.Key, member.MaxList/34) // an entry without certificates has 34 bytes
	for i := range devices {
		devices[i] = member.Key{1, byte(i), byte(i >> 8)}
	}
	if err := mayor.Revoke(devices[:10], false, time.Now()); err != nil {
		t.Fatal(err)
	}
	before := mayor.List()
	for withInvited, want := range map[bool]string{false: "remove with --with-invited", true: "most; make another network"} {
		err := mayor.Revoke(devices, withInvited, time.Now())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "nobody was removed: ") {
			t.Errorf("one too many, with whom they invited %v: %v", withInvited, err)
		}
		if !bytes.Equal(mayor.List(), before) {
			t.Error("the list has changed")
		}
	}
}

// Mallory certifies devices that she makes up, one after the other. Whom the mayor has let in stays known all the same.
func TestMadeUpDevicesPushNobodyOut(t *testing.T) {
	town, mayor, _ := founder(t)
	key, bob := town.NewKey(), membertest.KeyOf(town.NewKey())
	mallory := town.Ledger(key, nil, nil)
	town.Chain(mayor, bob)
	if err := mallory.Take(town.Chain(mayor, membertest.KeyOf(key))); err != nil {
		t.Fatal(err)
	}
	for range member.MaxKnown + 10 {
		device := membertest.KeyOf(town.NewKey())
		chain, err := member.ParseChain(town.Chain(mallory, device))
		if err != nil {
			t.Fatal(err)
		}
		if v := mayor.Judge(chain, device); v != member.Admitted {
			t.Fatalf("a device of Mallory's: %d", v)
		}
	}
	known := map[member.Key]bool{}
	for _, m := range mayor.Members() {
		known[m.Device] = true
	}
	if !known[bob] || !known[membertest.KeyOf(key)] || len(known) > member.MaxKnown {
		t.Errorf("of %d that are known Bob is one: %v, Mallory: %v", len(known), known[bob], known[membertest.KeyOf(key)])
	}
}
