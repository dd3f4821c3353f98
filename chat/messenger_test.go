package chat_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

func twoPeople(t *testing.T, seed uint64) (s *chattest.Scene, alice, bob *chattest.Person) {
	t.Helper()
	s = chattest.NewScene(t, seed)
	alice, bob = s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
	return s, alice, bob
}

func TestAliceWritesAndBobAnswers(t *testing.T) {
	_, alice, bob := twoPeople(t, 1)
	alice.Befriend(bob)

	hello := alice.Say(bob, "hello Bob")
	if hello.State != chat.StateQueued || !hello.Mine || hello.ID.IsZero() || hello.Seq == 0 {
		t.Errorf("queued message = %+v, want it queued, mine, with an id and a sequence number", hello)
	}
	if got := bob.Hears(alice, 1); got[0] != "hello Bob" {
		t.Fatalf("Bob hears %q", got)
	}
	alice.Sees(hello, chat.StateDelivered)

	answer := bob.Say(alice, "hello Alice\nhow are you?")
	if got := alice.Hears(bob, 1); got[0] != answer.Text {
		t.Fatalf("Alice hears %q", got)
	}
	bob.Sees(answer, chat.StateDelivered)

	want := []string{"hello Bob", "hello Alice\nhow are you?"}
	for _, who := range []*chattest.Person{alice, bob} {
		other := alice
		if who == alice {
			other = bob
		}
		if got := who.Texts(other); !slices.Equal(got, want) {
			t.Errorf("%s's history = %q, want %q", who.Name, got, want)
		}
	}
}

func TestAMessageIsReadOnlyWhenItWasShown(t *testing.T) {
	_, alice, bob := twoPeople(t, 2)
	alice.Befriend(bob)
	m := alice.Say(bob, "are you there?")
	alice.Sees(m, chat.StateDelivered)

	unread, err := bob.Unread(t.Context(), chat.ConversationID{}, 10)
	if err != nil || len(unread) != 1 || unread[0].State != chat.StateReceived || unread[0].ID != m.ID {
		t.Fatalf("Bob's unread = %+v, %v: want the one message, under the id that Alice knows", unread, err)
	}
	if err := bob.MarkRead(t.Context(), []chat.MessageID{unread[0].ID}); err != nil {
		t.Fatal(err)
	}
	alice.Sees(m, chat.StateRead)
	if unread, _ = bob.Unread(t.Context(), alice.With(bob), 10); len(unread) != 0 {
		t.Errorf("Bob's unread after reading = %+v", unread)
	}
	if err := bob.MarkRead(t.Context(), []chat.MessageID{m.ID, {1}}); err != nil {
		t.Errorf("marking again, and marking what is not there: %v", err)
	}
}

func TestCrossingAddsBecomeOneContact(t *testing.T) {
	s := chattest.NewScene(t, 4)
	alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	alice.Adds(bob)
	bob.Adds(alice)
	toBob, toAlice := alice.Say(bob, "from Alice"), bob.Say(alice, "from Bob")
	alice.Start(nil)
	bob.Start(nil)
	alice.Sees(toBob, chat.StateDelivered)
	bob.Sees(toAlice, chat.StateDelivered)
	for _, who := range []*chattest.Person{alice, bob} {
		if contacts, _ := who.Contacts(t.Context()); len(contacts) != 1 {
			t.Errorf("%s's contacts = %+v, want one", who.Name, contacts)
		}
	}
	again := alice.Adds(bob).Conversation
	if contacts, _ := alice.Contacts(t.Context()); len(contacts) != 1 || contacts[0].Conversation != again {
		t.Errorf("adding Bob again made %+v", contacts)
	}
}

func TestMessagesWaitForADeviceThatNobodyHasSeenYet(t *testing.T) {
	s := chattest.NewScene(t, 5)
	alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	alice.Befriend(bob)
	var said []string
	for i := range 300 {
		said = append(said, fmt.Sprint(i))
		alice.Say(bob, said[i])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	last := alice.Say(bob, "last")
	m, err := alice.Wait(ctx, last.ID, chat.StateSent)
	if chat.CodeOf(err) != chat.CodeNotReached || m.State != chat.StateQueued || !strings.Contains(err.Error(), "not been found") {
		t.Fatalf("waiting for somebody unknown: %v, %v", m.State, err)
	}
	if status, _ := alice.Status(t.Context()); status.Queued != 301 || status.OldestQueue.IsZero() {
		t.Errorf("status = %d queued, oldest %v; want 301", status.Queued, status.OldestQueue)
	}
	alice.Stop() // what waits outlives a restart
	alice.Start(nil)
	bob.Start(nil)
	if got := bob.Hears(alice, 301); !slices.Equal(got[:300], said) || got[300] != "last" {
		t.Errorf("Bob heard %d messages, out of order", len(got))
	}
	alice.Sees(last, chat.StateDelivered)
}

func TestQueuedMessagesSurviveRestartsAndAbsence(t *testing.T) {
	_, alice, bob := twoPeople(t, 6)
	alice.Befriend(bob)
	alice.Sees(alice.Say(bob, "0"), chat.StateDelivered)
	bob.Stop()
	one := alice.Say(bob, "1")
	alice.Stop()
	two, err := alice.Send(t.Context(), chat.Draft{Conversation: alice.With(bob), Text: "2"})
	if err != nil {
		t.Fatal(err) // a messenger that does not run queues all the same
	}
	alice.Start(nil)
	bob.Start(nil)
	alice.Sees(one, chat.StateDelivered)
	alice.Sees(two, chat.StateDelivered)
	if got := bob.Texts(alice); !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("Bob's history = %q", got)
	}
}

func TestBurstsInBothDirectionsUnderFaultsAreShownOnceAndInOrder(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s, alice, bob := twoPeople(t, seed)
			s.Net.SetFaults(chattest.Faults{Lose: .2, NoAck: .2, Partly: .2, Twice: .2, Mangle: .1})
			alice.Befriend(bob)
			const n = 150
			var talkers sync.WaitGroup
			for _, pair := range [][2]*chattest.Person{{alice, bob}, {bob, alice}} {
				talkers.Go(func() {
					for i := range n {
						pair[0].Say(pair[1], fmt.Sprint(i))
					}
				})
			}
			talkers.Wait()
			s.Net.SetFaults(chattest.Faults{})
			s.Net.Plug(alice.Identity.Device(), alice.Messenger) // "connected again" ends every back-off
			for _, pair := range [][2]*chattest.Person{{alice, bob}, {bob, alice}} {
				last := pair[0].Say(pair[1], "end")
				pair[0].Sees(last, chat.StateDelivered)
				got := pair[1].Hears(pair[0], n+1)
				for i := range n {
					if got[i] != fmt.Sprint(i) {
						t.Fatalf("%s heard %q as message %d", pair[1].Name, got[i], i)
					}
				}
				if all := pair[1].Hears(pair[0], n+1); len(all) != n+1 {
					t.Errorf("%s heard %d messages, want %d", pair[1].Name, len(all), n+1)
				}
			}
			checkNothingIsLeft(t, alice, bob)
		})
	}
}

// checkNothingIsLeft waits until no outbox holds a row: everything was acknowledged.
func checkNothingIsLeft(t *testing.T, people ...*chattest.Person) {
	t.Helper()
	for _, p := range people {
		status, err := p.Status(t.Context())
		if err != nil || status.Queued != 0 {
			t.Errorf("%s has %d messages queued at the end, %v", p.Name, status.Queued, err)
		}
	}
}

func TestAClientIDMakesSendingIdempotent(t *testing.T) {
	_, alice, bob := twoPeople(t, 7)
	to := alice.Befriend(bob)
	draft := chat.Draft{Conversation: to, Text: "once", ClientID: "01K"}
	ids := make([]chat.MessageID, 50)
	var senders sync.WaitGroup
	for i := range ids {
		senders.Go(func() {
			m, err := alice.Send(context.Background(), draft)
			if err != nil {
				t.Error(err)
			}
			ids[i] = m.ID
		})
	}
	senders.Wait()
	if distinct := slices.Compact(sorted(ids)); len(distinct) != 1 {
		t.Errorf("50 sends with one id made %d messages", len(distinct))
	}
	draft.Text = "another"
	if _, err := alice.Send(t.Context(), draft); chat.CodeOf(err) != chat.CodeIDReused {
		t.Errorf("another text under the same id: %v, want %s", err, chat.CodeIDReused)
	}
	if got := bob.Hears(alice, 1); !slices.Equal(got, []string{"once"}) {
		t.Errorf("Bob hears %q", got)
	}
}

// sorted returns ids as text, in order.
func sorted(ids []chat.MessageID) []string {
	var s []string
	for _, id := range ids {
		s = append(s, id.String())
	}
	slices.Sort(s)
	return s
}

func TestDraftsThatAreNoMessages(t *testing.T) {
	s := chattest.NewScene(t, 8)
	alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	to := alice.Befriend(bob)
	for _, test := range []struct {
		name string
		d    chat.Draft
		want chat.Code
	}{
		{"empty", chat.Draft{Conversation: to, Text: " \n\t"}, chat.CodeInvalid},
		{"too long", chat.Draft{Conversation: to, Text: strings.Repeat("x", chat.MaxText+1)}, chat.CodeLimit},
		{"not UTF-8", chat.Draft{Conversation: to, Text: "\xff"}, chat.CodeInvalid},
		{"a NUL", chat.Draft{Conversation: to, Text: "a\x00b"}, chat.CodeInvalid},
		{"a long id", chat.Draft{Conversation: to, Text: "x", ClientID: strings.Repeat("x", chat.MaxClientID+1)}, chat.CodeInvalid},
		{"to nobody", chat.Draft{Text: "x"}, chat.CodeTarget},
	} {
		if _, err := alice.Send(t.Context(), test.d); chat.CodeOf(err) != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	if _, err := alice.Send(t.Context(), chat.Draft{Conversation: to, Text: strings.Repeat("é", chat.MaxText/2)}); err != nil {
		t.Errorf("the longest text: %v", err)
	}
}

func TestTheLongestTextArrives(t *testing.T) {
	_, alice, bob := twoPeople(t, 9)
	alice.Befriend(bob)
	long := strings.Repeat("日本 ", chat.MaxText/7)
	alice.Sees(alice.Say(bob, long), chat.StateDelivered)
	if got := bob.Texts(alice); len(got) != 1 || got[0] != long {
		t.Errorf("the longest text did not arrive as it was")
	}
}

func TestAnInviteMakesInviterAndJoinerContacts(t *testing.T) {
	s := chattest.NewScene(t, 10)
	alice := s.Started("Alice", chattest.NewMemStore())
	link, err := alice.Invite(t.Context(), chat.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	invite, err := chat.ParseInvite("Hi Bob, join us: " + link.Link + " See you!")
	if err != nil {
		t.Fatal(err)
	}
	if string(invite.Network.PSK) != string(s.Network.PSK) || invite.Network.Name != "home" || invite.Network.ID != s.Network.ID {
		t.Errorf("the invite leads to %v, not to %v", invite.Network, s.Network)
	}
	bob := s.Person("Bob", chattest.NewMemStore())
	if contacts := unstarted(t, bob, &invite); len(contacts) != 1 || contacts[0].Name != "Alice" || contacts[0].Account != alice.Identity.Account() {
		t.Errorf("before he starts, Bob's contacts = %+v", contacts)
	}
	bob.Start(&invite)
	m := bob.Say(alice, "I am in")
	bob.Sees(m, chat.StateDelivered)
	bob.Stop()
	bob.Start(&invite) // the same invite at the next start changes nothing
	alice.Sees(alice.Say(bob, "welcome"), chat.StateDelivered)
	if contacts, _ := bob.Contacts(t.Context()); len(contacts) != 1 || contacts[0].Name != "Alice" {
		t.Errorf("Bob's contacts = %+v", contacts)
	}
}

// unstarted returns the contacts of somebody who is not running, as a program that only reads sees them.
func unstarted(t *testing.T, p *chattest.Person, join *chat.Invite) []chat.Contact {
	t.Helper()
	reader := chat.New(chat.Config{Identity: p.Identity, Join: join, Store: p.Store, Keys: p.Keys})
	contacts, err := reader.Contacts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return contacts
}

func TestLinksThatCannotBeAdded(t *testing.T) {
	s := chattest.NewScene(t, 11)
	alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	foreign := chattest.NewScene(t, 12).Person("Carol", chattest.NewMemStore())
	own, _ := alice.ContactLink(t.Context())
	carols, _ := foreign.ContactLink(t.Context())
	bobs, _ := bob.ContactLink(t.Context())
	daves, _ := s.Person("Dave", chattest.NewMemStore()).ContactLink(t.Context())
	if _, err := alice.AddContact(t.Context(), daves.Link, "bob"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, link, as string
		want           chat.Code
	}{
		{"nonsense", "hello", "", chat.CodeInvalid},
		{"damaged", bobs.Link[:len(bobs.Link)-1], "", chat.CodeInvalid},
		{"our own", own.Link, "", chat.CodeRefused},
		{"of another network", carols.Link, "", chat.CodeRefused},
		{"a name that is taken", bobs.Link, "BOB", chat.CodeIdentity},
		{"a name that escapes", bobs.Link, "\x1b[2Jbob", chat.CodeInvalid},
	} {
		_, err := alice.AddContact(t.Context(), test.link, test.as)
		if chat.CodeOf(err) != test.want || strings.ContainsAny(fmt.Sprint(err), "\n\x1b") {
			t.Errorf("%s: %v, want one line with %s", test.name, err, test.want)
		}
	}
}

func TestFollowTellsEverythingOnceAndGoesOn(t *testing.T) {
	_, alice, bob := twoPeople(t, 13)
	alice.Befriend(bob)
	first := alice.Say(bob, "first")
	alice.Sees(first, chat.StateDelivered)

	ctx, cancel := context.WithCancel(t.Context())
	var last uint64
	var types []chat.EventType
	err := alice.Follow(ctx, 0, func(e chat.Entry) error {
		if e.Seq != last+1 {
			t.Errorf("event %d follows %d", e.Seq, last)
		}
		last = e.Seq
		types = append(types, e.Type)
		if e.Type == chat.EventMessageState && e.State == chat.StateDelivered && e.Message.Text == "first" {
			alice.Say(bob, "second") // happens while we follow
		}
		if e.Message != nil && e.Message.Text == "second" {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Follow ended with %v", err)
	}
	want := []chat.EventType{chat.EventContactAdded, chat.EventMessageQueued, chat.EventMessageState, chat.EventMessageQueued}
	if !slices.Equal(types[:4], want) {
		t.Errorf("events = %v, want %v", types, want)
	}
}

func TestAClockThatGoesBackKeepsTheOrder(t *testing.T) {
	s := chattest.NewScene(t, 14)
	var mu sync.Mutex
	began, now := time.Now(), time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	s.Clock = func() time.Time { // it runs: a rest that never ends would be waited for
		mu.Lock()
		defer mu.Unlock()
		return now.Add(time.Since(began))
	}
	alice := s.Person("Alice", chattest.NewMemStore())
	bob := s.Person("Bob", chattest.NewMemStore())
	alice.Befriend(bob)
	alice.Say(bob, "in 2036")
	mu.Lock()
	now = now.AddDate(-10, 0, 0)
	mu.Unlock()
	bob.Start(nil) // first, because a search that fails would rest for ever by a clock that stands still
	alice.Start(nil)
	last := alice.Say(bob, "in 2026")
	alice.Sees(last, chat.StateDelivered)
	if got := bob.Texts(alice); !slices.Equal(got, []string{"in 2036", "in 2026"}) {
		t.Errorf("Bob's history = %q", got)
	}
	if got := alice.Texts(bob); !slices.Equal(got, []string{"in 2036", "in 2026"}) {
		t.Errorf("Alice's history = %q", got)
	}
}

// Bob has joined with Alice's invite and then removed her: she stays removed, however often he starts. A new invite of hers is another
// matter.
func TestARemovedInviterDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
		invited := func() *chat.Invite {
			link, err := alice.Invite(t.Context(), chat.InviteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			invite, err := chat.ParseInvite(link.Link)
			if err != nil {
				t.Fatal(err)
			}
			return &invite
		}
		contacts := func() int {
			all, err := bob.Contacts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		first := invited()
		bob.Start(first)
		bob.Sees(bob.Say(alice, "hi"), chat.StateDelivered)
		if err := bob.RemoveContact(t.Context(), alice.Identity.Account()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			bob.Stop()
			if all := unstarted(t, bob, first); len(all) != 0 {
				t.Fatalf("removed, and not started: %+v", all)
			}
			bob.Start(first)
			if n := contacts(); n != 0 {
				t.Fatalf("removed, and back: %d contacts", n)
			}
		}
		bob.Stop()
		time.Sleep(time.Hour) // the next one expires later, and so is another
		second := invited()
		before := unstarted(t, bob, second)
		bob.Start(second)
		if n := contacts(); n != 1 || len(before) != 1 {
			t.Errorf("%d contacts with a new invite, %d before that was carried out", n, len(before))
		}
	})
}
