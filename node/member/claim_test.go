package member_test

import (
	"errors"
	"testing"
	"time"

	"parley/node/member"
	"parley/node/member/membertest"
)

// Mallory says that Carol's device is hers, and then that the founder's is: nobody believes it, so that Carol does not fall with her, and she can be
// removed.
func TestNobodyClaimsAnothersDevice(t *testing.T) {
	town, mayor, _ := founder(t)
	now := time.Now()
	carols := membertest.NewKey(t)
	_, chain := admits(t, town, mayor, carols, town.Claim(membertest.KeyOf(carols)))
	token, _, err := mayor.NewInvite("Mallory", 3, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	mallory := town.Claim(membertest.KeyOf(membertest.NewKey(t)))
	if _, err := mayor.Redeem(town.Request(token, mallory), now); err != nil {
		t.Fatal(err)
	}
	for name, device := range map[string]member.Key{"Carol's": membertest.KeyOf(carols), "the founder's": mayor.Members()[0].Device} {
		if _, err := mayor.Redeem(town.Request(token, town.ClaimOf(mallory.Account, device)), now); !errors.Is(err, member.Unproven) {
			t.Errorf("%s device is hers: %v", name, err)
		}
	}
	if err := mayor.Revoke([]member.Key{mallory.Device}, false, now); err != nil {
		t.Errorf("Mallory cannot be removed: %v", err)
	}
	if v := mayor.Judge(chain, membertest.KeyOf(carols)); v != member.Admitted {
		t.Errorf("Carol has fallen: %v", v)
	}
}
