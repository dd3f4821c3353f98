package chat_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// trusts says what somebody knows of another's key.
func trusts(t *testing.T, p, other *chattest.Person, trust chat.Trust) chat.Contact {
	t.Helper()
	c, err := p.SetTrust(t.Context(), other.Identity.Account(), trust)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// contact returns what somebody has about another in their address book.
func contact(t *testing.T, p, other *chattest.Person) chat.Contact {
	t.Helper()
	contacts, err := p.Contacts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(contacts, func(c chat.Contact) bool { return c.Account == other.Identity.Account() })
	if i < 0 {
		t.Fatalf("%s is no contact of %s", other.Name, p.Name)
	}
	return contacts[i]
}

// events lists what somebody was told about another, of the given types.
func events(t *testing.T, p, about *chattest.Person, types ...chat.EventType) (told []chat.EventType) {
	t.Helper()
	err := p.Look(t.Context(), func(tx chat.Tx) error {
		all, err := tx.Events(0, chat.MaxPage)
		for _, e := range all {
			if e.Account == about.Identity.Account() && slices.Contains(types, e.Type) {
				told = append(told, e.Type)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return told
}

func TestBothSeeTheSameSafetyNumber(t *testing.T) {
	synctest.Test(t, inTown("ABC", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob, carol := people[0], people[1], people[2]
		alice.Befriend(bob)
		alice.Befriend(carol)
		hers, err1 := alice.SafetyNumber(t.Context(), bob.Identity.Account())
		his, err2 := bob.SafetyNumber(t.Context(), alice.Identity.Account())
		other, err3 := alice.SafetyNumber(t.Context(), carol.Identity.Account())
		if err1 != nil || err2 != nil || err3 != nil || hers != his || hers == other {
			t.Errorf("Alice sees %s, Bob %s, and of Carol it is %s (%v, %v, %v)", hers, his, other, err1, err2, err3)
		}
		if groups := hers.Groups(); len(groups) != 12 || len(hers.String()) != 12*5+11 || strings.Trim(hers.String(), "0123456789 ") != "" {
			t.Errorf("the number is %q", hers)
		}
	}))
}

func TestAMismatchHoldsEverythingBackUntilItMatches(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		bob.Stop()
		m := alice.Say(bob, "two")
		if c := trusts(t, alice, bob, chat.TrustMismatch); c.Trust != chat.TrustMismatch {
			t.Errorf("after a mismatch: %+v", c)
		}
		_, err := alice.Send(t.Context(), chat.Draft{Conversation: alice.With(bob), Text: "never sent"})
		if chat.CodeOf(err) != chat.CodeIdentity {
			t.Errorf("writing in spite of a mismatch: %v", err)
		}
		bob.Start(nil)
		time.Sleep(time.Hour)
		if got := bob.Texts(alice); !slices.Equal(got, []string{"one"}) {
			t.Errorf("Bob was sent %q in spite of a mismatch", got)
		}
		trusts(t, alice, bob, chat.TrustVerified)
		alice.Sees(m, chat.StateDelivered)
		if st, err := alice.Status(t.Context()); err != nil || st.Verified != 1 || st.Contacts != 1 {
			t.Errorf("the status counts %d verified of %d, %v", st.Verified, st.Contacts, err)
		}
		for _, bad := range []chat.Trust{chat.TrustDoubted, "blind"} {
			if _, err := alice.SetTrust(t.Context(), bob.Identity.Account(), bad); chat.CodeOf(err) != chat.CodeInvalid {
				t.Errorf("trust %q: %v", bad, err)
			}
		}
	}))
}

func TestANameIsNeverGivenAwaySilently(t *testing.T) {
	s := chattest.NewScene(t, 3)
	alice, bob, mallory := s.Person("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore()), s.Person("BOB", chattest.NewMemStore())
	alice.Adds(bob)
	trusts(t, alice, bob, chat.TrustVerified)
	link, err := mallory.ContactLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, as := range []string{"", "bob"} {
		_, err := alice.AddContact(t.Context(), link.Link, as)
		if chat.CodeOf(err) != chat.CodeIdentity || !strings.Contains(err.Error(), bob.Identity.Account().Short()+", verified") ||
			!strings.Contains(err.Error(), mallory.Identity.Account().Short()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("another key under Bob's name as %q: %v", as, err)
		}
	}
	if told := events(t, alice, bob, chat.EventKeyChanged); len(told) != 0 {
		t.Errorf("nothing has changed, and Alice is told %v", told)
	}
	c, err := alice.ReplaceContact(t.Context(), link.Link, "bob")
	if err != nil || c.Name != "bob" || c.Trust != chat.TrustNone || c.Account != mallory.Identity.Account() {
		t.Fatalf("replaced: %+v, %v", c, err)
	}
	old := contact(t, alice, bob)
	if want := "Bob (" + old.Account.Short()[:9] + ")"; old.Name != want || old.Trust != chat.TrustNone {
		t.Errorf("who had the name is %+v, want %s, not verified", old, want)
	}
	if told := events(t, alice, bob, chat.EventKeyChanged); len(told) != 1 {
		t.Errorf("Alice is told %v", told)
	}
	bobs, err := bob.ContactLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := alice.ReplaceContact(t.Context(), bobs.Link, "bob"); err != nil || c.Name != "bob" || c.Account != bob.Identity.Account() {
		t.Errorf("the name comes back: %+v, %v", c, err)
	}
	if c, err := alice.ReplaceContact(t.Context(), bobs.Link, "bob"); err != nil || c.Name != "bob" {
		t.Errorf("and stays: %+v, %v", c, err)
	}
}

func TestAnIntroductionReachesBothSides(t *testing.T) {
	synctest.Test(t, inTown("ABC", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob, carol := people[0], people[1], people[2]
		alice.Befriend(bob)
		carol.Adds(bob) // Bob has her token from her card alone
		carol.Sees(carol.Say(bob, "hello"), chat.StateQueued)
		bob.Asked(1)
		bob.Accepts(carol)
		introduce := func() error {
			return bob.Introduce(t.Context(), carol.Identity.Account(), alice.Identity.Account())
		}
		if err := introduce(); chat.CodeOf(err) != chat.CodeIdentity {
			t.Errorf("vouching for a key that was not compared: %v", err)
		}
		trusts(t, bob, carol, chat.TrustVerified)
		if err := introduce(); err != nil {
			t.Fatal(err)
		}
		if err := introduce(); err != nil { // twice is once
			t.Fatal(err)
		}
		r := alice.Asked(1)[0]
		if r.Name != "Carol" || r.Account != carol.Identity.Account() || r.Introducer.Name != "Bob" || r.Introducer.Verified {
			t.Errorf("Alice is told %+v", r)
		}
		trusts(t, alice, bob, chat.TrustVerified)
		if r := alice.Asked(1)[0]; !r.Introducer.Verified {
			t.Errorf("Bob is verified now, and his word counts: %+v", r)
		}
		c := alice.Accepts(carol)
		if c.Introducer.Name != "Bob" || !c.Introducer.Verified || !c.Known || c.Trust != chat.TrustNone {
			t.Errorf("Alice's new contact is %+v", c)
		}
		m := alice.Say(carol, "Bob told me of you")
		if asked := carol.Asked(1); asked[0].Name != "Alice" {
			t.Fatalf("Carol is asked %+v", asked)
		}
		carol.Accepts(alice)
		alice.Sees(m, chat.StateDelivered)
		if err := bob.Introduce(t.Context(), alice.Identity.Account(), carol.Identity.Account()); chat.CodeOf(err) != chat.CodeIdentity {
			t.Errorf("Alice is not verified at Bob's: %v", err)
		}
		trusts(t, bob, alice, chat.TrustVerified)
		if err := bob.Introduce(t.Context(), alice.Identity.Account(), carol.Identity.Account()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(aMoment)
		if c := contact(t, carol, alice); c.Introducer.Name != "Bob" {
			t.Errorf("of whom Carol knows already she is told %+v", c.Introducer)
		}
	}))
}

func TestACrowdOfIntroductionsLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, inTown("ABC", func(t *testing.T, s *chattest.Scene, people []*chattest.Person) {
		alice, bob, carol := people[0], people[1], people[2]
		alice.Befriend(bob)
		for range chat.MaxIntroductions + 3 {
			p := s.Person("", chattest.NewMemStore())
			bob.Adds(p)
			trusts(t, bob, p, chat.TrustVerified)
			if err := bob.Introduce(t.Context(), p.Identity.Account(), alice.Identity.Account()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(aMoment)
		if got := alice.Asked(chat.MaxIntroductions); len(got) != chat.MaxIntroductions {
			t.Errorf("Bob introduces %d", len(got))
		}
		carol.Adds(alice)
		alice.Asked(chat.MaxIntroductions + 1)
	}))
}
