package member_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/node/member"
	"parley/node/member/membertest"
)

// fails counts the errors in the log of a node of which this is one of the words.
func (n *neighbour) fails(t *testing.T, what string) (times int) {
	t.Helper()
	for _, e := range n.failed.All() {
		if e.Message != what {
			continue
		}
		if times++; !strings.HasSuffix(fmt.Sprint(e.ContextMap()["error"]), "keep the ledger of members: no space") {
			t.Errorf("the reason is %v", e.ContextMap())
		}
	}
	return times
}

// Alice's disk is full. Whoever asks her to be let in hears nothing, so her log says it: once, however many ask, and once more when the disk has had room and is full again.
func TestAFullDiskLetsNobodyInAndIsSaid(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		token := s.alice.invite(t, 2)
		for step, c := range []struct {
			full bool
			said int
		}{{true, 1}, {true, 1}, {false, 1}, {true, 2}, {true, 2}, {false, 2}, {true, 2}} { // the last one hears that the invite is used
			s.alice.vault.Fill(c.full)
			key := s.town.NewKey()
			h := s.host(key, "203.0.113.7")
			if _, err := s.net.ConnectPeers(h.ID(), s.alice.ID()); err != nil {
				t.Fatal(err)
			}
			answer := tells(t, h, s.alice.ID(), s.town.RequestOf(s.issuer, token, s.town.Claim(membertest.KeyOf(key))).Marshal())
			synctest.Wait()
			if said := s.alice.fails(t, "cannot write down whom an invite lets in, so nobody is let in"); said != c.said || (answer == nil) != (c.full && step < 6) {
				t.Errorf("joiner %d hears %d bytes, and it was said %d times", step+1, len(answer), said)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Carol's disk is full when Alice removes Mallory, and then Eve. Carol goes by both lists, and by no key that is to be kept from them; her log says each once.
func TestAFullDiskForgetsWhoWasRemovedAndIsSaid(t *testing.T) {
	const listed, turned = "cannot write down who was removed from the network", "cannot take the network's new key"
	onSquare(t, func(t *testing.T, s *square) {
		if err := s.connects(s.alice, s.carol); err != nil {
			t.Fatal(err)
		}
		s.carol.vault.Fill(true)
		removed := []member.Key{membertest.KeyOf(s.town.NewKey()), membertest.KeyOf(s.town.NewKey())}
		for _, who := range removed {
			if err := s.alice.ledger.Revoke([]member.Key{who}, false, time.Now()); err != nil {
				t.Fatal(err)
			}
			s.alice.turnsKey(t)
			if err := s.alice.ledger.EndGrace(time.Now()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			<-time.After(2 * member.HandOnAgain)
		}
		if n, m := s.carol.fails(t, listed), s.carol.fails(t, turned); n != 1 || m != 1 || !s.carol.names(t, removed...) || s.carol.ledger.Rotation().Sequence != 0 {
			t.Errorf("Carol has said %d times that she keeps no list, and %d times that she takes no key", n, m)
		}
	})
}
