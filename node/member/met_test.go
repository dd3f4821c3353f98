package member_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parley/node/member"
	"parley/node/member/membertest"
)

// Mallory is a member, and says that she has a key that there is not, or less than she said before, or the same once more. Nobody believes it, and nothing is to be
// written down for it.
func TestNobodyFollowsAKeyThatThereIsNot(t *testing.T) {
	town, vault := membertest.NewTown(t), &membertest.Vault{}
	mayor := town.Ledger(town.NewKey(), town.Authority, vault)
	mallory := membertest.KeyOf(town.NewKey())
	town.Chain(mayor, mallory)
	for range 2 {
		if err := mayor.Rotate(time.Hour, time.Unix(0, 0)); err != nil { // the keys 1 and 2
			t.Fatal(err)
		}
		if err := mayor.EndGrace(time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ says, counts uint64 }{{7, 0}, {0, 0}, {1, 1}, {1, 1}, {3, 1}, {2, 2}, {0, 2}, {1, 2}, {1 << 63, 2}} {
		before := mayor.Members()[1].Follows
		mayor.Hears(mallory, c.says)
		if got := mayor.Members()[1].Follows; got != c.counts || mayor.Met() != (got != before) {
			t.Errorf("she says %d: %d counts, and is to be kept: %v", c.says, got, mayor.Met())
		}
		if err := mayor.Keep(); err != nil {
			t.Fatal(err)
		}
	}
}

// A crowd comes to Carol within moments. She writes it down once, soon, and what came after that when she stops.
func TestACrowdIsWrittenDownTogether(t *testing.T) {
	const crowd = 5
	onSquare(t, func(t *testing.T, s *square) {
		vault := s.carol.vault
		known := func() int { return len(s.town.Ledger(s.carol.key, nil, vault).Members()) }
		comes := func(i int) {
			key := s.town.NewKey()
			n := s.arrives(key, s.town.Member(key), member.Invitation{}, fmt.Sprintf("203.0.113.%d", i+1))
			if err := s.connects(n, s.carol); err != nil {
				t.Fatal(err)
			}
			_ = n.Close()
			synctest.Wait()
		}
		before := vault.Saves()
		for i := range crowd {
			comes(i)
		}
		if vault.Saves() != before || known() != 1 {
			t.Errorf("it was written down %d times at once", vault.Saves()-before)
		}
		<-time.After(2 * member.KeepMet)
		if vault.Saves() != before+1 || known() != 1+crowd {
			t.Errorf("it was written down %d times, %d are known", vault.Saves()-before, known())
		}
		comes(crowd)
		if err := s.carol.Close(); err != nil {
			t.Fatal(err)
		}
		if known() != 2+crowd {
			t.Errorf("in the end %d are known", known())
		}
	})
}
