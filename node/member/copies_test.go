package member_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"parley/node/internal/frame"
	"parley/node/member"
	"parley/node/member/membertest"
)

// newcomer is somebody whom Alice has let in, at an address of the square.
func (s *square) newcomer(ip string) *neighbour {
	s.t.Helper()
	key := s.town.NewKey()
	chain := s.town.Chain(s.alice.ledger, membertest.KeyOf(key))
	vault := &membertest.Vault{}
	n := s.arrives(key, s.town.Ledger(key, nil, vault), member.Invitation{}, ip)
	n.vault = vault
	if err := n.ledger.Take(chain); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// putBack stops Alice and starts her again with a ledger of before.
func (s *square) putBack(ledger []byte, ip string) {
	s.t.Helper()
	if err := s.alice.Close(); err != nil {
		s.t.Fatal(err)
	}
	vault := &membertest.Vault{}
	if err := vault.Save(ledger); err != nil {
		s.t.Fatal(err)
	}
	s.alice = s.arrives(s.alice.key, s.town.Ledger(s.alice.key, s.town.Authority, vault), member.Invitation{}, ip)
	s.alice.vault = vault
}

func (n *neighbour) names(t *testing.T, devices ...member.Key) bool {
	t.Helper()
	list, err := member.ParseList(n.ledger.List())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if !bytes.Contains(list.Marshal(), d[:]) {
			return false
		}
	}
	return true
}

// Alice, who made the network, has thrown Mallory out, and Bob knows. Then her home is put back to before, and she throws Eve out before she meets anybody. Dave
// hears of that list alone. When she meets Bob, whichever of them calls, he does not forget Mallory; she makes one list of both, and in the end all know of both.
func TestAFounderWhoWasPutBackForgetsNobody(t *testing.T) {
	for _, calls := range []string{"Alice", "Bob"} {
		onSquare(t, func(t *testing.T, s *square) {
			mallory, eve := membertest.KeyOf(s.town.NewKey()), membertest.KeyOf(s.town.NewKey())
			bob, dave := s.newcomer("203.0.113.1"), s.newcomer("203.0.113.2")
			defer bob.Close()
			defer dave.Close()
			malloryChain, err := member.ParseChain(s.town.Chain(s.alice.ledger, mallory))
			if err != nil {
				t.Fatal(err)
			}
			before, err := s.alice.vault.Load()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.connects(s.alice, bob); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
			if err := s.alice.ledger.Revoke([]member.Key{mallory}, false, time.Now()); err != nil {
				t.Fatal(err)
			}
			s.alice.Spread("")
			synctest.Wait()
			if !bob.names(t, mallory) || dave.names(t, mallory) {
				t.Fatal("Bob does not know of Mallory, or Dave does")
			}
			<-time.After(time.Minute)
			s.putBack(before, "192.0.2.7")
			if err := s.alice.ledger.Revoke([]member.Key{eve}, false, time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := s.connects(s.alice, dave); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if !dave.names(t, eve) || dave.names(t, mallory) {
				t.Fatal("Dave does not know of Eve alone")
			}
			if err := s.connects(dave, bob); err != nil {
				t.Errorf("Dave and Bob have different lists: %v", err)
			}
			if bob.names(t, eve) || bob.ledger.Stands(malloryChain) != member.Revoked {
				t.Error("Bob has taken a list without Mallory")
			}
			if err := s.net.DisconnectPeers(dave.ID(), bob.ID()); err != nil {
				t.Fatal(err)
			}
			from, to := s.alice, bob
			if calls == "Bob" {
				from, to = bob, s.alice
			}
			if err := s.connects(from, to); err != nil {
				t.Fatalf("%s calls: %v", calls, err)
			}
			synctest.Wait()
			for name, n := range map[string]*neighbour{"Alice": s.alice, "Bob": bob, "Dave": dave} {
				if !n.names(t, mallory, eve) || !bytes.Equal(n.ledger.List(), s.alice.ledger.List()) {
					t.Errorf("%s calls: %s does not know of both", calls, name)
				}
			}
		})
	}
}

// Alice has two copies of her home. Each removes somebody, or changes the key, while the other is off: the later counts everywhere, and never has the number of
// the other.
func TestTwoCopiesNeverSayTwoThingsUnderOneNumber(t *testing.T) {
	town, now := membertest.NewTown(t), time.Now()
	key := town.NewKey()
	first, second := town.Ledger(key, town.Authority, &membertest.Vault{}), town.Ledger(key, town.Authority, &membertest.Vault{})
	bobs := town.NewKey()
	bob := town.Ledger(bobs, nil, &membertest.Vault{})
	for i, l := range []*member.Ledger{first, second} {
		at := now.Add(time.Duration(i) * time.Minute)
		if err := errors.Join(l.Rotate(time.Second, at), l.Revoke([]member.Key{{1}}, false, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := bob.Take(town.Chain(first, membertest.KeyOf(bobs))); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*member.Ledger{first, second, first} {
		if _, err := bob.TakeRotation(l.Rotation().Marshal()); err != nil {
			t.Fatal(err)
		}
		if _, err := bob.TakeList(l.List()); err != nil {
			t.Fatal(err)
		}
	}
	if bob.Rotation() != second.Rotation() || !bytes.Equal(bob.List(), second.List()) {
		t.Error("Bob does not have the later of both")
	}
}

// fall makes Mallory invite Bob, and Alice throw Mallory out with all whom she has let in. Bob's ledger is returned, and what his certificate was.
func (s *square) fall(mallory *neighbour, bobs ed25519.PrivateKey) (bob *member.Ledger, old member.Chain) {
	s.t.Helper()
	bob = s.town.Ledger(bobs, nil, &membertest.Vault{})
	chain := s.town.Chain(mallory.ledger, membertest.KeyOf(bobs))
	old, err := member.ParseChain(chain)
	if err = errors.Join(err, bob.Take(chain)); err != nil {
		s.t.Fatal(err)
	}
	for _, n := range []*neighbour{s.alice, s.carol} {
		if v := n.ledger.Judge(old, membertest.KeyOf(bobs)); v != member.Admitted {
			s.t.Fatalf("Bob was no member: %d", v)
		}
	}
	if err := s.connects(s.alice, s.carol); err != nil {
		s.t.Fatal(err)
	}
	if err := s.alice.ledger.Revoke([]member.Key{membertest.KeyOf(mallory.key)}, true, time.Now()); err != nil {
		s.t.Fatal(err)
	}
	s.alice.Spread("")
	synctest.Wait()
	return bob, old
}

// Mallory has invited Bob, and was thrown out with him. Alice invites Bob anew: he is a member again, for all who hear of it, with his old ledger and
// his new certificate, and may invite. Mallory may not, whoever invites her, and Bob's old certificate is worth nothing.
func TestWhoFellComesBackWithAnInvite(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		mallory, bobs := s.newcomer("198.51.100.7"), s.town.NewKey()
		defer mallory.Close()
		bob, old := s.fall(mallory, bobs)
		used, open := s.alice.invite(t, 1), s.alice.invite(t, 2)
		if _, err := s.alice.ledger.Redeem(s.town.Request(used, s.town.Claim(membertest.KeyOf(s.town.NewKey()))), time.Now()); err != nil {
			t.Fatal(err)
		}
		with := func(token member.Token, anew bool) member.Invitation {
			return member.Invitation{Issuer: s.alice.ID(), Token: token, Anew: anew}
		}
		for i, c := range []struct {
			who  string
			key  ed25519.PrivateKey
			l    *member.Ledger
			with member.Invitation
			told error
		}{
			{"Bob, without an invite", bobs, bob, member.Invitation{}, member.Revoked},
			{"Bob, with an invite that was used", bobs, bob, with(used, true), member.UsedInvite},
			{"Bob, with an invite that he did not mean to use", bobs, bob, with(open, false), member.Revoked},
			{"Bob, with an invite", bobs, bob, with(open, true), nil},
			{"Bob, once more", bobs, bob, with(open, true), nil},
			{"Mallory, with an invite", mallory.key, mallory.ledger, with(open, true), member.Revoked},
		} {
			n := s.arrives(c.key, c.l, c.with, fmt.Sprintf("203.0.113.%d", i+1))
			if err := s.connects(n, s.carol); !errors.Is(err, c.told) {
				t.Errorf("%s: %v", c.who, err)
			}
			_ = n.Close()
			<-time.After(time.Minute)
		}
		if i := s.alice.ledger.Invites(time.Now())[2]; len(i.Used) != 1 {
			t.Errorf("the invite was used by %d", len(i.Used))
		}
		s.isBack(bob, membertest.KeyOf(bobs), old)
		if s.carol.ledger.Outcast(membertest.KeyOf(bobs)) || !s.carol.ledger.Outcast(membertest.KeyOf(mallory.key)) {
			t.Error("Carol hands on no requests to Bob, or to Mallory")
		}
	})
}

// isBack checks that everybody takes Bob for a member, himself included, though nobody his old certificate for one.
func (s *square) isBack(bob *member.Ledger, device member.Key, old member.Chain) {
	s.t.Helper()
	for name, l := range map[string]*member.Ledger{"Alice": s.alice.ledger, "Carol": s.carol.ledger, "Bob": bob} {
		if v := l.Stands(old); v != member.Revoked {
			s.t.Errorf("%s: the old certificate of Bob's gets %d", name, v)
		}
		for _, m := range l.Members() {
			if m.Device == device && m.Revoked {
				s.t.Errorf("%s says that Bob was removed", name)
			}
		}
	}
	if _, _, err := bob.NewInvite("", 1, time.Now().Add(time.Hour), time.Now()); err != nil {
		s.t.Errorf("Bob invites: %v", err)
	}
}

// Bob has a certificate of the mayor's, and then one of Mallory's. When she is thrown out he stays, and takes hers in the place of his own no more.
func TestNobodyTakesACertificateOfWhoWasRemoved(t *testing.T) {
	town, mayor, _ := founder(t)
	key, bobs := town.NewKey(), town.NewKey()
	mallory, bob := town.Ledger(key, nil, nil), town.Ledger(bobs, nil, nil)
	if err := errors.Join(mallory.Take(town.Chain(mayor, membertest.KeyOf(key))), bob.Take(town.Chain(mayor, membertest.KeyOf(bobs)))); err != nil {
		t.Fatal(err)
	}
	chain := town.Chain(mallory, membertest.KeyOf(bobs))
	other, err := member.ParseChain(chain)
	if err != nil || mayor.Judge(other, membertest.KeyOf(bobs)) != member.Admitted {
		t.Fatal("it is no certificate", err)
	}
	if err := mayor.Revoke([]member.Key{membertest.KeyOf(key)}, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, m := range mayor.Members() {
		if m.Device == membertest.KeyOf(bobs) && m.Revoked {
			t.Error("the mayor says that Bob was removed")
		}
	}
	if changed, err := bob.TakeList(mayor.List()); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if err := bob.Take(chain); !errors.Is(err, member.Revoked) || bob.Standing() != member.Admitted {
		t.Errorf("he takes it: %v, and stands as %d", err, bob.Standing())
	}
}

// lies is a node that says to everybody that they were removed, and shows what it has of a list for it.
func (s *square) lies(ip string, list []byte) host.Host {
	h := s.host(s.town.NewKey(), ip)
	h.SetStreamHandler(member.Protocol, func(stream network.Stream) {
		b := frame.Append(frame.Append(nil, []byte{byte(member.Revoked)}), append([]byte{0}, list...))
		_, _ = stream.Write(b)
		_, _ = io.Copy(io.Discard, stream)
	})
	return h
}

// Bob is a member, and means to use an invite of Mallory's, should he have been removed. Her node says that he was, and shows nothing, or a list without him, or one that she has signed
// herself. He does not believe it, asks her for nothing, and stays who he is.
func TestNobodyBelievesThatHeWasRemoved(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		bob := s.newcomer("203.0.113.1")
		defer bob.Close()
		if err := s.alice.ledger.Revoke([]member.Key{{9}}, false, time.Now()); err != nil {
			t.Fatal(err)
		}
		foreign := membertest.NewTown(t)
		mallory := foreign.Ledger(foreign.NewKey(), foreign.Authority, nil)
		if err := mallory.Revoke([]member.Key{membertest.KeyOf(bob.key)}, false, time.Now()); err != nil {
			t.Fatal(err)
		}
		for i, list := range [][]byte{nil, s.alice.ledger.List(), mallory.List(), {1}} {
			h := s.lies(fmt.Sprintf("198.51.100.%d", i+1), list)
			bob.Invite(member.Invitation{Issuer: h.ID(), Token: member.Token{1}, Anew: true})
			if _, err := s.net.ConnectPeers(bob.ID(), h.ID()); err != nil {
				t.Fatal(err)
			}
			if err := bob.Await(soon(t), h.ID()); !errors.Is(err, member.ErrUnshown) {
				t.Errorf("lie %d: %v", i, err)
			}
			<-time.After(time.Minute)
		}
		if bob.ledger.Standing() != member.Admitted {
			t.Errorf("Bob stands as %d", bob.ledger.Standing())
		}
		eve := s.newcomer("203.0.113.2")
		defer eve.Close()
		if err := s.connects(eve, bob); err != nil {
			t.Fatal(err)
		}
		if err := s.alice.ledger.Revoke([]member.Key{membertest.KeyOf(eve.key)}, false, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.net.ConnectPeers(bob.ID(), s.lies("198.51.100.9", s.alice.ledger.List()).ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if bob.Admits(eve.ID()) {
			t.Error("Bob has a list that names Eve, and serves her")
		}
		if err := s.connects(bob, s.alice); err != nil {
			t.Errorf("Bob and Alice: %v", err)
		}
	})
}
