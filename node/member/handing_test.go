package member_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"parley/node/internal/guard"
	"parley/node/member"
	"parley/node/member/membertest"
)

// square is a place where everybody has an address, and time is virtual: Carol is a seed that everybody can dial, Alice has invited Bob, and sits where
// nobody can dial her.
type square struct {
	t      *testing.T
	town   *membertest.Town
	net    mocknet.Mocknet
	guard  *guard.Guard // Carol's
	alice  *neighbour
	carol  *neighbour
	issuer member.Key // Alice's device
}

func onSquare(t *testing.T, story func(*testing.T, *square)) {
	t.Helper()
	town := membertest.NewTown(t)
	synctest.Test(t, func(t *testing.T) {
		s := &square{t: t, town: town, net: mocknet.New()}
		defer s.net.Close()
		founder, seed := s.town.NewKey(), s.town.NewKey()
		alices, vault := &membertest.Vault{}, town.Admit(seed)
		s.alice = s.arrives(founder, town.Ledger(founder, town.Authority, alices), member.Invitation{}, "192.0.2.1")
		s.alice.vault = alices
		s.carol = s.arrives(seed, town.Ledger(seed, nil, vault), member.Invitation{}, "192.0.2.2")
		s.carol.vault = vault
		s.guard, s.issuer = s.carol.guard, membertest.KeyOf(founder)
		defer func() { _ = errors.Join(s.alice.Close(), s.carol.Close()) }() // Alice may be another one by then
		story(t, s)
	})
}

// host puts a host on the square, at an address.
func (s *square) host(key ed25519.PrivateKey, ip string) host.Host {
	s.t.Helper()
	private, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	h, err := s.net.AddPeer(private, ma.StringCast("/ip4/"+ip+"/tcp/4101"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range s.net.Peers() {
		_ = s.net.UnlinkPeers(h.ID(), p) // of a host that it was before, and that has left; there may be none
	}
	err = s.net.LinkAll()
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// arrives puts a host with a gate there. A host of mocknet says no version.
func (s *square) arrives(key ed25519.PrivateKey, ledger *member.Ledger, invitation member.Invitation, ip string) *neighbour {
	s.t.Helper()
	core, failed := observer.New(zap.ErrorLevel)
	n := &neighbour{key: key, ledger: ledger, guard: guard.New(guard.Config{}), failed: failed}
	var err error
	n.Gate, err = member.NewGate(s.host(key, ip), member.Options{Ledger: ledger, Invitation: invitation, Logger: zap.New(core), Guard: n.guard})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// requests connects to Carol with a request, and returns what comes of it and when.
func (s *square) requests(h host.Host, r member.Request) (v member.Verdict, took time.Duration) {
	s.t.Helper()
	if _, err := s.net.ConnectPeers(h.ID(), s.carol.ID()); err != nil {
		s.t.Fatal(err)
	}
	begin := time.Now()
	answer := tells(s.t, h, s.carol.ID(), r.Marshal())
	if answer == nil {
		return 0, time.Since(begin)
	}
	return member.Verdict(answer[0]), time.Since(begin)
}

// stranger asks under a new name at an address, with a token that Alice may have made, for a claim that is not proven, or for an invite of another id.
func (s *square) stranger(ip string, token member.Token, unproven bool, invite *member.InviteID) (v member.Verdict, took time.Duration) {
	s.t.Helper()
	key := s.town.NewKey()
	claim := s.town.Claim(membertest.KeyOf(key))
	if unproven {
		claim.Proof[0]++
	}
	r := s.town.RequestOf(s.issuer, token, claim)
	if invite != nil {
		r.Invite = *invite
	}
	return s.requests(s.host(key, ip), r)
}

func (s *square) connects(from, to *neighbour) error {
	s.t.Helper()
	if _, err := s.net.ConnectPeers(from.ID(), to.ID()); err != nil {
		s.t.Fatal(err)
	}
	return from.Await(soon(s.t), to.ID())
}

// bob is there with a token of Alice's, and with patience: he asks again while he is told that it may help.
func (s *square) bob(token member.Token, ip string) error {
	s.t.Helper()
	key := s.town.NewKey()
	issuer, err := s.issuer.Peer()
	if err != nil {
		s.t.Fatal(err)
	}
	n := s.arrives(key, s.town.Ledger(key, nil, &membertest.Vault{}), member.Invitation{Issuer: issuer, Token: token}, ip)
	defer n.Close()
	return s.connects(n, s.carol)
}

// Mallory has the network's key, and asks under one name after another, all at once and for invites that she makes up. Carol hands on what one address may
// have, says that she is busy to all else, and hands on what Bob asks from elsewhere, at once.
func TestAStrangerDoesNotUseUpWhatIsHandedOn(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		token := s.alice.invite(t, 1)
		if err := s.connects(s.alice, s.carol); err != nil {
			t.Fatal(err)
		}
		heard := make(chan member.Verdict)
		const names = 20
		for i := range names {
			key := s.town.NewKey()
			h := s.host(key, "198.51.100.7")
			r := s.town.RequestOf(s.issuer, member.Token{byte(i), 1}, s.town.Claim(membertest.KeyOf(key)))
			go func() { v, _ := s.requests(h, r); heard <- v }()
		}
		synctest.Wait()
		if err := s.bob(token, "203.0.113.9"); err != nil {
			t.Errorf("Bob, at another address: %v", err)
		}
		told := map[member.Verdict]int{}
		for range names {
			told[<-heard]++
		}
		if told[member.IssuerAway] != member.PlaceRequestBurst || told[member.Busy] != names-member.PlaceRequestBurst {
			t.Errorf("Mallory is told %v", told)
		}
		if n := s.guard.Refused()["rate_limited"]; n != names-member.PlaceRequestBurst {
			t.Errorf("%d are counted", n)
		}
		if v, _ := s.stranger("198.51.100.7", token, false, nil); v != member.Busy || v.Refused() {
			t.Errorf("a neighbour of Mallory's at the same address is told %d", v)
		}
		<-time.After(time.Minute)
		if v, _ := s.stranger("198.51.100.7", token, false, nil); v != member.UsedInvite {
			t.Errorf("and later %d", v)
		}
	})
}

// Mallory has many addresses, and asks from all at once: what Alice is asked stays below what she answers, and Carol can hand her a list all the while.
func TestAnIssuerIsAskedNoMoreThanItAnswers(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		if err := s.connects(s.alice, s.carol); err != nil {
			t.Fatal(err)
		}
		told := map[member.Verdict]int{}
		heard := make(chan member.Verdict)
		for i := range 40 {
			key := s.town.NewKey()
			h := s.host(key, fmt.Sprintf("198.51.101.%d", i+1))
			r := s.town.RequestOf(s.issuer, member.Token{1}, s.town.Claim(membertest.KeyOf(key)))
			go func() { v, _ := s.requests(h, r); heard <- v }()
		}
		for range 40 {
			told[<-heard]++
		}
		if told[member.IssuerAway] != member.IssuerRequests || told[member.Busy] != 40-member.IssuerRequests {
			t.Errorf("they are told %v", told)
		}
		if err := s.alice.ledger.Revoke([]member.Key{{9}}, false, time.Now()); err != nil {
			t.Fatal(err)
		}
		s.alice.Spread("")
		synctest.Wait()
		if len(s.carol.ledger.List()) == 0 || !s.alice.Settled(s.carol.ID()) {
			t.Error("Carol has not heard of the list")
		}
	})
}

// Bob's connection has one request under way. The second at the same time is not handed on.
func TestOneRequestAtATime(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		key := s.town.NewKey()
		bob := s.host(key, "203.0.113.9")
		r := s.town.RequestOf(s.issuer, member.Token{1}, s.town.Claim(membertest.KeyOf(key)))
		first := make(chan member.Verdict)
		go func() { v, _ := s.requests(bob, r); first <- v }()
		synctest.Wait()
		if v, took := s.requests(bob, r); v != member.Busy || took != 0 {
			t.Errorf("the second: %d after %v", v, took)
		}
		if v := <-first; v != member.IssuerAway {
			t.Errorf("the first: %d", v)
		}
		if v, _ := s.requests(bob, r); v != member.IssuerAway {
			t.Errorf("when it is answered: %d", v)
		}
	})
}

// Mallory wants to know whether Alice is there. Whatever she asks for without an invite of Alice's, she is told the same after the same time. Who has an invite is told
// what became of it.
func TestAStrangerDoesNotLearnWhoIsThere(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		used, revoked, open := s.alice.invite(t, 1), s.alice.invite(t, 1), s.alice.invite(t, 1)
		somebody := s.town.Claim(membertest.KeyOf(s.town.NewKey()))
		if _, err := s.alice.ledger.Redeem(s.town.Request(used, somebody), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.alice.ledger.RevokeInvite(s.alice.ledger.Invites(time.Now())[1].ID); err != nil {
			t.Fatal(err)
		}
		hidden := s.alice.ledger.Invites(time.Now())[2].ID
		at := 0
		look := func() (told [3]string) {
			for i, invite := range []*member.InviteID{nil, nil, &hidden} {
				at++
				v, took := s.stranger(fmt.Sprintf("198.51.100.%d", at), member.Token{7}, i == 1, invite)
				told[i] = fmt.Sprint(byte(v), " ", took)
				<-time.After(time.Minute)
			}
			return told
		}
		away := look()
		if err := s.connects(s.alice, s.carol); err != nil {
			t.Fatal(err)
		}
		if there := look(); there != away || there[0] != fmt.Sprint(byte(member.IssuerAway), " ", member.AwayAfter) {
			t.Errorf("without Alice she is told %v, and with her %v", away, there)
		}
		for want, token := range map[member.Verdict]member.Token{member.UsedInvite: used, member.RevokedInvite: revoked} {
			if v, took := s.stranger("203.0.113.9", token, false, nil); v != want || took != 0 {
				t.Errorf("who has the link is told %d after %v, and not %d", v, took, want)
			}
		}
		if v, _ := s.stranger("203.0.113.9", open, true, nil); v != member.Unproven {
			t.Errorf("who has the link, and calls himself somebody else: %d", v)
		}
		if err := s.bob(open, "203.0.113.10"); err != nil {
			t.Errorf("Bob has the link: %v", err)
		}
	})
}

// Mallory has invited Bob, and was thrown out. Bob does not wait for her to come back: Carol tells him at once that her invites lead nowhere.
func TestAnInviteDiesWithWhoMadeIt(t *testing.T) {
	onSquare(t, func(t *testing.T, s *square) {
		key := s.town.NewKey()
		mallory := s.arrives(key, s.town.Ledger(key, nil, s.town.Admit(key)), member.Invitation{}, "198.51.100.7")
		defer mallory.Close()
		token := mallory.invite(t, 1)
		if err := errors.Join(s.connects(mallory, s.carol), s.connects(s.alice, s.carol)); err != nil {
			t.Fatal(err)
		}
		if err := s.alice.ledger.Revoke([]member.Key{membertest.KeyOf(key)}, false, time.Now()); err != nil {
			t.Fatal(err)
		}
		s.alice.Spread("")
		synctest.Wait()
		s.issuer = membertest.KeyOf(key)
		if v, took := s.stranger("203.0.113.9", token, false, nil); v != member.MayNotInvite || !v.Refused() || took != 0 {
			t.Errorf("Bob is told %d after %v", v, took)
		}
	})
}
