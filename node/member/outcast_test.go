package member_test

import (
	"errors"
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
	phone, laptop := town.Claim(membertest.KeyOf(membertest.NewKey(t))), membertest.KeyOf(membertest.NewKey(t))
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

// Mallory certifies devices that she makes up, one after the other. Whom the mayor has let in stays known all the same.
func TestMadeUpDevicesPushNobodyOut(t *testing.T) {
	town, mayor, _ := founder(t)
	key, bob := membertest.NewKey(t), membertest.KeyOf(membertest.NewKey(t))
	mallory := town.Ledger(key, nil, nil)
	town.Chain(mayor, bob)
	if err := mallory.Take(town.Chain(mayor, membertest.KeyOf(key))); err != nil {
		t.Fatal(err)
	}
	for range member.MaxKnown + 10 {
		device := membertest.KeyOf(membertest.NewKey(t))
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
