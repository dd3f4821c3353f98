package member_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"regexp"
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
	if err := mayor.Revoke([]member.Key{phone.Account}, true, now); err != nil {
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
	if err := mayor.Revoke([]member.Key{mallory}, false, now); err != nil {
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

// Alice is thrown out with whom she let in: Heidi falls, and Ivy, whom Heidi let in. The mayor lets Heidi in anew. What she signed before does not rise with
// her: Ivy comes with the same chain, is refused, and is listed as who was removed, also where the ledger is read again. Whom Heidi lets in now is not.
func TestWhoFellDoesNotRiseWithWhoLetThemIn(t *testing.T) {
	town, mayor, _ := founder(t)
	key := func() ed25519.PrivateKey { return town.NewKey() }
	own := func(device ed25519.PrivateKey) member.Claim { return town.Claim(membertest.KeyOf(device)) }
	alices, bobs, heidis, ivys, judys := key(), key(), key(), key(), key()
	alice, _ := admits(t, town, mayor, alices, own(alices))
	heidi, heidiChain := admits(t, town, alice, heidis, own(heidis))
	_, ivyChain := admits(t, town, heidi, ivys, own(ivys))
	vault := town.Admit(bobs)
	bob := town.Ledger(bobs, nil, vault)
	for _, l := range []*member.Ledger{mayor, bob} {
		if v := l.Judge(heidiChain, membertest.KeyOf(heidis)); v != member.Admitted {
			t.Fatalf("Heidi gets %d", v)
		}
		if v := l.Judge(ivyChain, membertest.KeyOf(ivys)); v != member.Admitted {
			t.Fatalf("Ivy gets %d", v)
		}
	}
	if err := mayor.Revoke([]member.Key{membertest.KeyOf(alices)}, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	heidi, heidiChain = admits(t, town, mayor, heidis, own(heidis))
	_, judyChain := admits(t, town, heidi, judys, own(judys))
	if newer, err := bob.TakeList(mayor.List()); !newer || err != nil {
		t.Fatalf("the list: %v, %v", newer, err)
	}
	for _, l := range []*member.Ledger{mayor, bob} {
		l.Judge(heidiChain, membertest.KeyOf(heidis))
		l.Judge(judyChain, membertest.KeyOf(judys))
	}
	if err := bob.Keep(); err != nil {
		t.Fatal(err)
	}
	kept, err := vault.Load()
	old := &membertest.Vault{} // as Bob's was written before chains were kept in it
	if err := errors.Join(err, old.Save(regexp.MustCompile(`,"above":"[^"]*"`).ReplaceAll(kept, nil))); err != nil {
		t.Fatal(err)
	}
	gone := map[member.Key]bool{membertest.KeyOf(alices): true, membertest.KeyOf(ivys): true}
	for name, l := range map[string]*member.Ledger{
		"the mayor": mayor, "Bob": bob, "Bob, started again": town.Ledger(bobs, nil, vault), "Bob, of before": town.Ledger(bobs, nil, old),
	} {
		if v := l.Judge(ivyChain, membertest.KeyOf(ivys)); v != member.Revoked {
			t.Errorf("Ivy gets %d of %s", v, name)
		}
		seen := map[member.Key]bool{}
		for _, m := range l.Members() {
			seen[m.Device] = true
			if m.Revoked != gone[m.Device] || l.Outcast(m.Device) != gone[m.Device] {
				t.Errorf("%s shows %+v", name, m)
			}
		}
		if !seen[membertest.KeyOf(ivys)] || !seen[membertest.KeyOf(judys)] || !seen[membertest.KeyOf(heidis)] {
			t.Errorf("%s knows of %d", name, len(seen))
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

// The list has room for so many. Who would remove one too many is told what helps, and nothing changes: with whom somebody had invited an entry takes less
// room, also that of somebody who was removed before.
func TestAFullListIsSaid(t *testing.T) {
	town, mayor, _ := founder(t)
	key := town.NewKey()
	mallory, her := town.Member(key), membertest.KeyOf(key)
	for range 10 {
		device := membertest.KeyOf(town.NewKey())
		c, err := member.ParseChain(town.Chain(mallory, device))
		if err != nil || mayor.Judge(c, device) != member.Admitted {
			t.Fatal("a device of hers is not let in", err)
		}
	}
	const entry, spared = 34, 16 // bytes
	most := (member.MaxList - 18 - 64 - entry - 10*spared) / entry
	others := make([]member.Key, most)
	for i := range others {
		others[i] = member.Key{1, byte(i), byte(i >> 8)}
	}
	if err := mayor.Revoke(append(others, her), false, time.Now()); err != nil {
		t.Fatal(err)
	}
	before, more := mayor.List(), []member.Key{{2, 1}, {2, 2}, {2, 3}, {2, 4}}
	for withInvited, want := range map[bool]string{
		false: "most; remove with --with-invited, which takes less room, or", true: "most; remove who was removed without --with-invited once more with it, which makes room, or",
	} {
		err := mayor.Revoke(more, withInvited, time.Now())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "nobody was removed: ") {
			t.Errorf("one too many, with whom they invited %v: %v", withInvited, err)
		}
		if !bytes.Equal(mayor.List(), before) {
			t.Error("the list has changed")
		}
	}
	if err := errors.Join(mayor.Revoke([]member.Key{her}, true, time.Now()), mayor.Revoke(more, false, time.Now())); err != nil {
		t.Errorf("with room made: %v", err)
	}
}

// Mallory certifies a hundred devices that she makes up under her account: when she is thrown out they take no room in the list.
func TestMadeUpDevicesTakeNoRoom(t *testing.T) {
	town, mayor, _ := founder(t)
	key := town.NewKey()
	mallory, her := town.Member(key), membertest.KeyOf(key)
	for i := range 100 {
		device := town.NewKey()
		_, c := admits(t, town, mallory, device, town.ClaimOf(her, membertest.KeyOf(device)))
		if v := mayor.Judge(c, membertest.KeyOf(device)); v != member.Admitted {
			t.Fatalf("her device %d: %d", i, v)
		}
	}
	if err := mayor.Revoke([]member.Key{her}, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	if l, err := member.ParseList(mayor.List()); err != nil || len(l.Entries) != 1 {
		t.Errorf("the list has %d entries, %v", len(l.Entries), err)
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
