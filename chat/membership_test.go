package chat_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/chattest"
)

// A proof is good for one device of one account in one network.
func TestAMemberProofIsForOneDevice(t *testing.T) {
	alice, err1 := chat.NewIdentity("laptop")
	bob, err2 := chat.NewIdentity("phone")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	network, other := [16]byte{1}, [16]byte{2}
	proof := alice.MemberProof(network)
	for name, c := range map[string]struct {
		network [16]byte
		account [32]byte
		device  peer.ID
		proof   []byte
		good    bool
	}{
		"as it was made":  {network, alice.Account(), alice.Device(), proof[:], true},
		"another network": {other, alice.Account(), alice.Device(), proof[:], false},
		"another account": {network, bob.Account(), alice.Device(), proof[:], false},
		"another device":  {network, alice.Account(), bob.Device(), proof[:], false},
		"cut short":       {network, alice.Account(), alice.Device(), proof[:63], false},
		"a weak key":      {network, [32]byte{1}, alice.Device(), make([]byte, 64), false},
	} {
		if got := chat.CheckMemberProof(c.network, c.account, c.device, c.proof); got != c.good {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAnInviteIsMadeAsAsked(t *testing.T) {
	alice := chattest.NewScene(t, 1).Person("Alice", chattest.NewMemStore())
	for name, c := range map[string]struct {
		o    chat.InviteOptions
		code chat.Code
	}{
		"a negative number":  {chat.InviteOptions{Uses: -1}, chat.CodeInvalid},
		"too many":           {chat.InviteOptions{Uses: chat.MaxInviteUses + 1}, chat.CodeInvalid},
		"over before it was": {chat.InviteOptions{TTL: time.Second}, chat.CodeInvalid},
		"for ever":           {chat.InviteOptions{TTL: chat.MaxInviteLifetime + 1}, chat.CodeInvalid},
		"for a family":       {chat.InviteOptions{For: "the \U0001F468\u200d\U0001F469\u200d\U0001F467"}, chat.CodeInvalid},
		"for nobody's name":  {chat.InviteOptions{For: "a\nb"}, chat.CodeInvalid},
	} {
		if _, err := alice.Invite(t.Context(), c.o); chat.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for uses, ttl := range map[int]time.Duration{0: time.Hour, 1: 0} { // which to Invite are what was left open
		var e *chat.Error
		if err := chat.CheckInvite(uses, ttl); !errors.As(err, &e) || e.Code != chat.CodeInvalid || !strings.HasPrefix(e.Try, "parley net invite --") {
			t.Errorf("%d uses in %v: %v", uses, ttl, err)
		}
	}
	link, err := alice.Invite(t.Context(), chat.InviteOptions{For: "Bob", Uses: 3, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	invite, err := chat.ParseInvite(link.Link)
	if err != nil || invite.Member.IsZero() || invite.Issuer() != alice.Identity.Device() || time.Until(invite.Expires) > time.Hour || link.Uses != 3 {
		t.Errorf("the link leads to %+v (%v), and is %+v", invite, err, link)
	}
	if strings.Contains(link.Link, "Bob") {
		t.Error("whom it is for is in the link")
	}
	alice.Town.Refuses = errors.New("not now")
	if _, err := alice.Invite(t.Context(), chat.InviteOptions{}); chat.CodeOf(err) != chat.CodeRefused || err.Error() != "not now" {
		t.Errorf("where the node refuses: %v", err)
	}
}

// An invite from before there were members says so, and one of nobody lets nobody in.
func TestAnOldInviteIsToldApart(t *testing.T) {
	alice := chattest.NewScene(t, 1).Person("Alice", chattest.NewMemStore())
	link, err := alice.Invite(t.Context(), chat.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	invite, err := chat.ParseInvite(link.Link)
	if err != nil {
		t.Fatal(err)
	}
	invite.Member = chat.Token{}
	if _, err := chat.ParseInvite(invite.String()); chat.CodeOf(err) != chat.CodeInvalid || !strings.Contains(err.Error(), "older parley") {
		t.Errorf("got %v", err)
	}
	var none *chat.Invite
	if none.Issuer() != "" || !none.MemberToken().IsZero() {
		t.Error("no invite has an issuer")
	}
}

// Invites are named by their ids, or the beginning of one; a reset of the links makes all worthless that are open.
func TestInvitesAreRevoked(t *testing.T) {
	alice := chattest.NewScene(t, 1).Person("Alice", chattest.NewMemStore())
	var links []chat.InviteLink
	for range 3 {
		link, err := alice.Invite(t.Context(), chat.InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, link)
	}
	for _, id := range []string{"", "f", "/", "zzzz", "0000000000000000", links[0].ID + "00"} {
		if err := alice.RevokeInvite(t.Context(), id); chat.CodeOf(err) != chat.CodeTarget {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := alice.RevokeInvite(t.Context(), strings.ToUpper(links[1].ID[:12])); err != nil {
		t.Fatal(err)
	}
	states := func() (all []string) {
		invites, err := alice.Invites(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range invites {
			all = append(all, i.State)
		}
		return all
	}
	if got := strings.Join(states(), " "); got != "open revoked open" {
		t.Errorf("they are %s", got)
	}
	if _, err := alice.ResetContactLink(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(states(), " "); got != "revoked revoked revoked" {
		t.Errorf("after the reset they are %s", got)
	}
	link, err := alice.Invite(t.Context(), chat.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := chat.ParseInviteID(link.ID)
	if err != nil {
		t.Fatal(err)
	}
	alice.Town.Use(id, peer.ID("bob"))
	if err := alice.RevokeInvite(t.Context(), link.ID); chat.CodeOf(err) != chat.CodeRefused || !strings.Contains(err.Error(), "net revoke-member") {
		t.Errorf("one that was used up: %v", err)
	}
	if got := strings.Join(states(), " "); got != "revoked revoked revoked used" {
		t.Errorf("where one was used up they are %s", got)
	}
	if id, err := chat.ParseInviteID(links[0].ID); err != nil || chat.InviteID(id) != links[0].ID || chat.InviteID([8]byte{}) != "" {
		t.Errorf("an id is read as %x (%v)", id, err)
	}
	if _, err := chat.ParseInviteID("ffff"); err == nil {
		t.Error("half an id is read")
	}
}

// Who is no contact is called by what the invite was noted for that let them in, if it was for nobody else.
func TestMembersHaveTheNamesOfTheirInvites(t *testing.T) {
	alice := chattest.NewScene(t, 1).Person("Alice", chattest.NewMemStore())
	for _, o := range []chat.InviteOptions{{For: "Dave"}, {For: "the choir", Uses: 2}} {
		if _, err := alice.Invite(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	made, err := alice.Invites(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, invite := range made {
		alice.Town.Meet(chat.MemberDevice{Device: peer.ID("another"), Account: [32]byte{byte(i + 7)}, Invite: invite.ID})
	}
	members, err := alice.Members(t.Context())
	if err != nil || len(members) != 3 || members[1].Name != "Dave" || members[2].Name != "" {
		t.Errorf("%+v, %v", members, err)
	}
}

// Whoever uses an invite of ours is told of, also to those who follow later.
func TestWhoUsesAnInviteIsAnEvent(t *testing.T) {
	s := chattest.NewScene(t, 1)
	alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	alice.LetIn(bob.Identity.Account())
	if told := events(t, alice, bob, chat.EventInviteUsed); len(told) != 1 {
		t.Errorf("it is told %d times", len(told))
	}
}

// Members are called by the names that we have for their accounts.
func TestMembersHaveTheNamesThatWeKnow(t *testing.T) {
	s := chattest.NewScene(t, 1)
	alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
	alice.Befriend(bob)
	phone, stranger := peer.ID("phone"), peer.ID("stranger")
	alice.Town.Meet(chat.MemberDevice{Device: bob.Identity.Device(), Account: bob.Identity.Account(), Invite: [8]byte{1}})
	alice.Town.Meet(chat.MemberDevice{Device: phone, Account: bob.Identity.Account(), Invite: [8]byte{2}})
	alice.Town.Meet(chat.MemberDevice{Device: stranger, Account: [32]byte{9}, Invite: [8]byte{3}})
	members, err := alice.Members(t.Context())
	if err != nil || len(members) != 4 {
		t.Fatal(members, err)
	}
	if m := members[0]; m.Name != "Alice" || !m.Self || m.Invite != "" {
		t.Errorf("we are %+v", m)
	}
	if m := members[2]; m.Name != "Bob" || m.Self || m.Invite != "0200000000000000" || m.Device != phone {
		t.Errorf("Bob's phone is %+v", m)
	}
	if m := members[3]; m.Name != "" || m.Account != (chat.AccountID{9}) {
		t.Errorf("the stranger is %+v", m)
	}
	if err := alice.RevokeMember(t.Context(), alice.Identity.Account(), false); chat.CodeOf(err) != chat.CodeRefused {
		t.Errorf("throwing ourselves out: %v", err)
	}
	if err := alice.RevokeMember(t.Context(), chat.AccountID{8}, false); chat.CodeOf(err) != chat.CodeTarget {
		t.Errorf("throwing nobody out: %v", err)
	}
	if err := alice.RevokeMember(t.Context(), bob.Identity.Account(), false); err != nil {
		t.Fatal(err)
	}
	members, _ = alice.Members(t.Context())
	for i, want := range []bool{false, true, true, false} {
		if members[i].Revoked != want {
			t.Errorf("member %d: revoked %v", i, members[i].Revoked)
		}
	}
}

// A messenger that only reads knows of no network.
func TestAReaderInvitesNobody(t *testing.T) {
	s := chattest.NewScene(t, 1)
	alice := s.Person("Alice", chattest.NewMemStore())
	reader := chat.New(chat.Config{Identity: alice.Identity, Network: s.Network, Store: alice.Store, Keys: alice.Keys})
	if _, err := reader.Invite(t.Context(), chat.InviteOptions{}); chat.CodeOf(err) != chat.CodeUnavailable {
		t.Errorf("inviting: %v", err)
	}
	invites, err1 := reader.Invites(t.Context())
	members, err2 := reader.Members(t.Context())
	if err := errors.Join(err1, err2); err != nil || len(invites)+len(members) > 0 {
		t.Errorf("%v %v %v", invites, members, err)
	}
}
