package chat_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// inTown returns a story with people who run, and who stop at its end; it is for a bubble of time.
func inTown(names string, story func(t *testing.T, s *chattest.Scene, people []*chattest.Person)) func(*testing.T) {
	return func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		var people []*chattest.Person
		for _, initial := range names {
			name := map[rune]string{'A': "Alice", 'B': "Bob", 'C': "Carol", 'M': "Mallory"}[initial]
			people = append(people, s.Started(name, chattest.NewMemStore()))
		}
		story(t, s, people)
		for _, p := range people {
			p.Stop()
		}
	}
}

// aMoment is longer than any pause between two attempts to reach somebody who is there.
const aMoment = 2 * chat.RetryConnected

// state returns how far a message of somebody's has come.
func state(t *testing.T, p *chattest.Person, m chat.Message) chat.State {
	t.Helper()
	page, err := p.History(t.Context(), m.Conversation, chat.MessageID{}, chat.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range page {
		if now.ID == m.ID {
			return now.State
		}
	}
	t.Fatalf("%s has no message %q", p.Name, m.Text)
	return ""
}

// wantNoTrace checks that somebody shows nothing of anybody, and has sent nothing.
func wantNoTrace(t *testing.T, p *chattest.Person, when string) {
	t.Helper()
	contacts, err1 := p.Contacts(t.Context())
	threads, err2 := p.Conversations(t.Context())
	unread, err3 := p.Unread(t.Context(), chat.ConversationID{}, 0)
	var devices int
	err4 := p.Look(t.Context(), func(tx chat.Tx) error {
		list, err := tx.OutboxDevices()
		devices = len(list)
		return err
	})
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(contacts)+len(threads)+len(unread)+devices != 0 {
		t.Errorf("%s, %s: %d contacts, %d conversations, %d unread, letters for %d devices", p.Name, when, len(contacts), len(threads), len(unread), devices)
	}
}

func TestAStrangersFirstMessagesWaitUntilTheyAreAccepted(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Adds(bob)
		hello, more := alice.Say(bob, "hello Bob"), alice.Say(bob, "it is me")
		time.Sleep(aMoment)
		requests := bob.Asked(1)
		if len(requests) != 1 || requests[0].Name != "Alice" || requests[0].Account != alice.Identity.Account() || requests[0].State != chat.RequestPending ||
			!slices.Equal(requests[0].Texts, []string{"hello Bob", "it is me"}) {
			t.Fatalf("Bob is asked %+v", requests)
		}
		wantNoTrace(t, bob, "before he has answered")
		if s := state(t, alice, hello); s != chat.StateQueued {
			t.Errorf("a message that waits for Bob's answer is %s at Alice's", s)
		}
		bob.Stop() // a request outlives a restart
		bob.Start(nil)
		contact := bob.Accepts(alice)
		if contact.Name != "Alice" || !contact.Known || contact.Introducer != (chat.Introducer{}) {
			t.Errorf("Bob's new contact is %+v", contact)
		}
		if got := bob.Hears(alice, 2); !slices.Equal(got, []string{"hello Bob", "it is me"}) {
			t.Errorf("Bob hears %q", got)
		}
		began := time.Now()
		alice.Sees(hello, chat.StateDelivered)
		alice.Sees(more, chat.StateDelivered)
		if waited := time.Since(began); waited > chat.RetryFirst {
			t.Errorf("Alice learns %v later that she was accepted", waited)
		}
		bob.Sees(bob.Say(alice, "welcome"), chat.StateDelivered)
		if again := bob.Accepts(alice); again.Account != contact.Account {
			t.Errorf("accepted again: %+v", again)
		}
		if left, _ := bob.Requests(t.Context()); len(left) != 0 {
			t.Errorf("still asked: %+v", left)
		}
	}))
}

// TestWhoIsAddedBackDoesNotRestFirst has Alice speak as soon as Bob has added her. Her card came before that, and she rests since.
func TestWhoIsAddedBackDoesNotRestFirst(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Adds(bob)
		time.Sleep(chat.RetryFirst / 10)
		bob.Adds(alice)
		time.Sleep(chat.RetryFirst / 10)
		began := time.Now()
		alice.Sees(alice.Say(bob, "hello Bob"), chat.StateDelivered)
		if waited := time.Since(began); waited > chat.RetryFirst/10 {
			t.Errorf("her words came %v after she had said them", waited)
		}
	}))
}

func TestAStrangerSaysNoMoreThanAFewThingsAndLosesNone(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Adds(bob)
		var said []string
		var last chat.Message
		for i := range 10 {
			said = append(said, fmt.Sprint(i))
			last = alice.Say(bob, said[i])
		}
		time.Sleep(4 * aMoment)
		if got := bob.Asked(1)[0].Texts; !slices.Equal(got, said[:chat.HeldTexts]) {
			t.Errorf("Bob is shown %q of a stranger", got)
		}
		bob.Accepts(alice)
		alice.Sees(last, chat.StateDelivered)
		if got := bob.Texts(alice); !slices.Equal(got, said) {
			t.Errorf("Bob's history is %q", got)
		}
	}))
}

func TestAddingWhoAsksAnswersThem(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Adds(bob)
		m := alice.Say(bob, "hello")
		bob.Asked(1)
		bob.Adds(alice)
		alice.Sees(m, chat.StateDelivered)
		if left, _ := bob.Requests(t.Context()); len(left) != 0 {
			t.Errorf("still asked: %+v", left)
		}
	}))
}

func TestARenewedLinkLeavesTheOldOneWithoutAWay(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		old, err := bob.ContactLink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		renewed, err := bob.ResetContactLink(t.Context())
		if err != nil || renewed.Link == old.Link {
			t.Fatalf("renewed to %q, %v", renewed.Link, err)
		}
		if _, err := alice.AddContact(t.Context(), old.Link, ""); err != nil {
			t.Fatal(err)
		}
		m := alice.Say(bob, "by the old link")
		time.Sleep(time.Hour)
		wantNoTrace(t, bob, "who has renewed his link")
		if requests, _ := bob.Requests(t.Context()); len(requests) != 0 {
			t.Fatalf("the old link reaches Bob: %+v", requests)
		}
		if _, err := alice.AddContact(t.Context(), renewed.Link, ""); err != nil {
			t.Fatal(err)
		}
		bob.Asked(1)
		bob.Accepts(alice)
		alice.Sees(m, chat.StateDelivered)
		if contacts, _ := alice.Contacts(t.Context()); len(contacts) != 1 {
			t.Errorf("two links made %+v", contacts)
		}
	}))
}

func TestWhoIsTurnedAwayIsNotHeardUntilTheyMayAskAgain(t *testing.T) {
	synctest.Test(t, inTown("MB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		mallory, bob := people[0], people[1]
		mallory.Adds(bob)
		m := mallory.Say(bob, "buy this")
		bob.Asked(1)
		account := mallory.Identity.Account()
		for range 2 {
			if err := bob.RejectRequest(t.Context(), account); err != nil {
				t.Fatal(err)
			}
		}
		mallory.Say(bob, "buy that")
		time.Sleep(time.Hour)
		wantNoTrace(t, bob, "who turned Mallory away")
		requests, err := bob.Requests(t.Context())
		if err != nil || len(requests) != 1 || requests[0].State != chat.RequestRejected || len(requests[0].Texts) != 0 {
			t.Errorf("what is left of Mallory: %+v, %v", requests, err)
		}
		if _, err := bob.AcceptRequest(t.Context(), account, ""); chat.CodeOf(err) != chat.CodeRefused {
			t.Errorf("accepting who was turned away: %v", err)
		}
		if err := bob.Unblock(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		bob.Asked(1)
		bob.Accepts(mallory)
		mallory.Sees(m, chat.StateDelivered)
	}))
}

func TestBlockingIsSilence(t *testing.T) {
	synctest.Test(t, inTown("MB", func(t *testing.T, s *chattest.Scene, people []*chattest.Person) {
		mallory, bob := people[0], people[1]
		bob.Befriend(mallory)
		seen := mallory.Say(bob, "one")
		mallory.Sees(seen, chat.StateDelivered)
		waits := bob.Say(mallory, "bye")
		bob.Sees(waits, chat.StateDelivered)
		contact, err := bob.Block(t.Context(), mallory.Identity.Account())
		if err != nil || !contact.Blocked {
			t.Fatalf("blocked: %+v, %v", contact, err)
		}
		sent := len(s.Net.Envelopes())
		unheard := mallory.Say(bob, "two")
		if err := bob.MarkRead(t.Context(), []chat.MessageID{seen.ID}); err != nil {
			t.Fatal(err)
		}
		if err := mallory.MarkRead(t.Context(), []chat.MessageID{waits.ID}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if st := state(t, mallory, unheard); st != chat.StateQueued {
			t.Errorf("a message to somebody who blocks is %s", st)
		}
		if st := state(t, mallory, seen); st != chat.StateDelivered {
			t.Errorf("who blocks says that a message is %s", st)
		}
		if st := state(t, bob, waits); st != chat.StateDelivered {
			t.Errorf("a blocked reader moves a message to %s", st)
		}
		if got := bob.Texts(mallory); !slices.Equal(got, []string{"one", "bye"}) {
			t.Errorf("Bob's history is %q", got)
		}
		_, err = bob.Send(t.Context(), chat.Draft{Conversation: bob.With(mallory), Text: "never sent"})
		if chat.CodeOf(err) != chat.CodeRefused {
			t.Errorf("writing to whom we block: %v", err)
		}
		if len(s.Net.Envelopes()) == sent {
			t.Error("Mallory did not even try")
		}
		if err := bob.Unblock(t.Context(), mallory.Identity.Account()); err != nil {
			t.Fatal(err)
		}
		mallory.Sees(unheard, chat.StateDelivered)
		bob.Sees(bob.Say(mallory, "again"), chat.StateDelivered)
	}))
}

// TestWhatWasQueuedBeforeABlockWaitsForItsEnd has the recipient come back while they are blocked.
func TestWhatWasQueuedBeforeABlockWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		bob.Stop()
		m := alice.Say(bob, "two")
		if _, err := alice.Block(t.Context(), bob.Identity.Account()); err != nil {
			t.Fatal(err)
		}
		alice.Stop()
		alice.Start(nil)
		bob.Start(nil)
		time.Sleep(time.Hour)
		if got := bob.Texts(alice); !slices.Equal(got, []string{"one"}) {
			t.Errorf("somebody blocked was sent %q", got)
		}
		if err := alice.Unblock(t.Context(), bob.Identity.Account()); err != nil {
			t.Fatal(err)
		}
		alice.Sees(m, chat.StateDelivered)
	}))
}

// TestAProbingStrangerGetsNothingBack knocks in every way without a link of Bob's that counts.
func TestAProbingStrangerGetsNothingBack(t *testing.T) {
	synctest.Test(t, inTown("MB", func(t *testing.T, s *chattest.Scene, people []*chattest.Person) {
		mallory, bob := people[0], people[1]
		link, err := bob.ContactLink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		invite, err := chat.ParseInvite(link.Link)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range []chat.Token{{}, {1}, mallory.Links.LinkKey().Contact()} {
			invite.Token = token
			if _, err := mallory.AddContact(t.Context(), invite.String(), ""); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				mallory.Say(bob, "are you there?")
			}
			time.Sleep(time.Minute)
		}
		probes := s.Net.Envelopes()
		if len(probes) < 150 {
			t.Fatalf("Mallory sent %d probes", len(probes))
		}
		for n := 0; n < 2_000; n += len(probes) { // the same again, and again
			tags, err := bob.Receive(t.Context(), mallory.Identity.Device(), probes)
			if err != nil {
				t.Fatal(err)
			}
			for _, tag := range tags {
				if !bytes.Equal(tag, make([]byte, len(tag))) {
					t.Fatalf("a probe is answered with %x", tag)
				}
			}
		}
		wantNoTrace(t, bob, "probed by a stranger")
		if st, err := bob.Status(t.Context()); err != nil || st.LastEvent != 0 || st.Requests != 0 {
			t.Errorf("probes left %d events and %d requests, %v", st.LastEvent, st.Requests, err)
		}
	}))
}

// TestACrowdOfRequestsEndsAtItsLimit begins when all but one have asked, with a text each.
func TestACrowdOfRequestsEndsAtItsLimit(t *testing.T) {
	synctest.Test(t, inTown("BAC", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		bob, alice, carol := people[0], people[1], people[2]
		err := bob.Change(t.Context(), func(tx chat.Tx) error {
			for i := range chat.MaxRequests - 1 {
				r := chat.RequestRow{Account: chat.AccountID{1, byte(i)}, State: chat.RequestPending, Card: true, Texts: 1}
				if err := tx.PutRequest(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		alice.Adds(bob)
		alice.Say(bob, "first")
		second := alice.Say(bob, "second")
		time.Sleep(aMoment)
		if got := bob.Asked(chat.MaxRequests); !slices.Equal(got[len(got)-1].Texts, []string{"first"}) || chat.HeldInAll != chat.MaxRequests {
			t.Errorf("of the last who asks there is %+v", got[len(got)-1])
		}
		carol.Adds(bob)
		hello := carol.Say(bob, "hello")
		time.Sleep(aMoment)
		if requests, err := bob.Requests(t.Context()); err != nil || len(requests) != chat.MaxRequests {
			t.Errorf("%d wait, %v", len(requests), err)
		}
		bob.Accepts(alice) // whose place is free then
		alice.Sees(second, chat.StateDelivered)
		time.Sleep(chat.RetryMax)
		bob.Accepts(carol)
		carol.Sees(hello, chat.StateDelivered)
	}))
}

func TestARequestInAnothersNameIsToldApart(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, s *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Befriend(bob)
		impostor := s.Started("ALICE", chattest.NewMemStore())
		impostor.Adds(bob)
		r := bob.Asked(1)[0]
		if r.Name != "ALICE" || r.SameName != "Alice" || r.Claims != "" {
			t.Errorf("Bob is asked %+v, and not warned", r)
		}
		if _, err := bob.AcceptRequest(t.Context(), r.Account, "alice"); chat.CodeOf(err) != chat.CodeIdentity {
			t.Errorf("accepted under a name that is taken: %v", err)
		}
		if c := bob.Accepts(impostor); c.Name != "ALICE-2" {
			t.Errorf("the second Alice is called %q", c.Name)
		}
		bob.Sees(bob.Say(alice, "nothing is in doubt"), chat.StateDelivered)
		impostor.Stop()
	}))
}

func TestWhoJoinsWithOurInviteIsAContactAtOnce(t *testing.T) {
	synctest.Test(t, inTown("A", func(t *testing.T, s *chattest.Scene, people []*chattest.Person) {
		alice := people[0]
		link, err := alice.Invite(t.Context(), chat.InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		invite, err := chat.ParseInvite(link.Link)
		if err != nil {
			t.Fatal(err)
		}
		bob := s.Person("Bob", chattest.NewMemStore())
		bob.Start(&invite)
		bob.Sees(bob.Say(alice, "I am in"), chat.StateDelivered)
		if requests, _ := alice.Requests(t.Context()); len(requests) != 0 {
			t.Errorf("Alice is asked %+v", requests)
		}
		if _, err := alice.ResetContactLink(t.Context()); err != nil {
			t.Fatal(err)
		}
		carol := s.Person("Carol", chattest.NewMemStore())
		carol.Start(&invite) // an invite from before the links were renewed
		carol.Say(alice, "me too")
		time.Sleep(aMoment)
		if contacts, _ := alice.Contacts(t.Context()); len(contacts) != 1 || contacts[0].Name != "Bob" {
			t.Errorf("Alice's contacts are %+v", contacts)
		}
		bob.Stop()
		carol.Stop()
	}))
}

func TestQuestionsAboutNobody(t *testing.T) {
	s := chattest.NewScene(t, 2)
	bob := s.Person("Bob", chattest.NewMemStore())
	nobody := chat.AccountID{1}
	_, err1 := bob.AcceptRequest(t.Context(), nobody, "")
	err2 := bob.RejectRequest(t.Context(), nobody)
	_, err3 := bob.Block(t.Context(), nobody)
	err4 := bob.Unblock(t.Context(), nobody)
	_, err5 := bob.SetTrust(t.Context(), nobody, chat.TrustVerified)
	_, err6 := bob.SafetyNumber(t.Context(), nobody)
	err7 := bob.Introduce(t.Context(), nobody, nobody)
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if chat.CodeOf(err) != chat.CodeTarget {
			t.Errorf("question %d about nobody: %v", i+1, err)
		}
	}
	if _, err := bob.AcceptRequest(t.Context(), nobody, "@bob"); chat.CodeOf(err) != chat.CodeInvalid {
		t.Errorf("a name that cannot be: %v", err)
	}
}

// Who asks is not looked up, nor learned: nothing of ours goes to a stranger.
func TestAStrangerIsNotLookedUp(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Adds(bob)
		bob.Asked(1)
		time.Sleep(time.Minute)
		if ok, err := bob.Pinned(t.Context(), alice.Identity.Account()); ok || err != nil {
			t.Errorf("Bob has looked a stranger up: %v, %v", ok, err)
		}
	}))
}

// Alice has asked Bob, and then comes with an invite of his: the request is over, and what she wrote with it comes in.
func TestAnInviteEndsARequest(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, s *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Adds(bob)
		hello := alice.Say(bob, "hello")
		bob.Asked(1)
		time.Sleep(aMoment)
		if err := alice.SendCard(t.Context(), bob.Identity.Account(), bob.Links.LinkKey().Invite()); err != nil {
			t.Fatal(err)
		}
		alice.Sees(hello, chat.StateDelivered)
		alice.Sees(alice.Say(bob, "again"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "welcome"), chat.StateDelivered)
		if left, err := bob.Requests(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("requests %+v, %v", left, err)
		}
	}))
}

// While Alice waits for Bob's answer her card is sealed anew, on sessions of their own. He answers on one that she has: nothing has to heal.
func TestAnAnswerComesOnASessionThatBothHave(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		alice.Adds(bob)
		bob.Asked(1)
		time.Sleep(time.Hour)
		before, err := alice.SessionStates(t.Context(), bob.Identity.Device())
		if err != nil {
			t.Fatal(err)
		}
		bob.Accepts(alice)
		alice.Sees(alice.Say(bob, "hello"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "welcome"), chat.StateDelivered)
		after, err := alice.SessionStates(t.Context(), bob.Identity.Device())
		if err != nil || len(after) != len(before) || !sameSession(before[0], after[0]) {
			t.Errorf("Alice had %d sessions with Bob, and has %d, %v", len(before), len(after), err)
		}
	}))
}
