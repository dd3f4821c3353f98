package chat_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// TestAnAbsentPeerCausesNoStorm lives through a day in which Bob is away and Alice writes now and then.
func TestAnAbsentPeerCausesNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		first := alice.Say(bob, "first")
		alice.Sees(first, chat.StateDelivered)
		bob.Stop()

		for range 24 {
			alice.Say(bob, "are you there?")
			time.Sleep(time.Hour)
		}
		// One row more each hour, all of them in each attempt: at most one attempt each RetryMax/2, and a few quick ones an hour.
		attempts := s.Net.Attempts()
		if limit := 24 * (int(time.Hour/(chat.RetryMax/2)) + 12); attempts > limit {
			t.Errorf("%d attempts in a day to reach an absent device, at most %d expected", attempts, limit)
		}
		if attempts < 24 {
			t.Errorf("only %d attempts in a day", attempts)
		}

		bob.Start(nil)
		if got := bob.Hears(alice, 25); len(got) != 25 {
			t.Errorf("Bob heard %d messages", len(got))
		}
		alice.Stop()
		bob.Stop()
	})
}

// TestARetryNeedsNobodyToSayThatThePeerIsBack has Bob come back without a word from the network.
func TestARetryNeedsNobodyToSayThatThePeerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 2)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "first"), chat.StateDelivered)
		s.Net.SetFaults(chattest.Faults{Lose: 1})
		m := alice.Say(bob, "second")
		time.Sleep(3 * time.Hour)
		s.Net.SetFaults(chattest.Faults{})
		back := time.Now()
		alice.Sees(m, chat.StateDelivered)
		if waited := time.Since(back); waited > chat.RetryMax+2*chat.RetryFirst {
			t.Errorf("the retry came after %v, want at most %v", waited, chat.RetryMax)
		}
		alice.Stop()
		bob.Stop()
	})
}

// TestAnAccountThatNobodyKnowsIsLookedForPatiently adds somebody who appears two days later.
func TestAnAccountThatNobodyKnowsIsLookedForPatiently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 3)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		m := alice.Say(bob, "one day")
		time.Sleep(48 * time.Hour)
		if limit := 48*60*2 + 20; s.Net.Lookups() > limit {
			t.Errorf("%d look-ups in two days, at most %d expected", s.Net.Lookups(), limit)
		}
		bob.Start(nil)
		alice.Sees(m, chat.StateDelivered)
		alice.Stop()
		bob.Stop()
	})
}

// TestAWrongAcknowledgementIsAnAttemptLikeAnother has Bob's device answer with junk.
func TestAWrongAcknowledgementIsAnAttemptLikeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 4)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "first"), chat.StateDelivered)
		s.Net.SetFaults(chattest.Faults{BadTag: 1})
		before := s.Net.Attempts()
		m := alice.Say(bob, "second")
		time.Sleep(time.Hour)
		if n, limit := s.Net.Attempts()-before, int(time.Hour/(chat.RetryConnected/2))+12; n > limit {
			t.Errorf("%d attempts in an hour, at most %d expected", n, limit)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := alice.Wait(ctx, m.ID, chat.StateSent); got.State != chat.StateQueued || chat.CodeOf(err) != chat.CodeNotReached {
			t.Errorf("a message without proof is %s, %v", got.State, err)
		}
		s.Net.SetFaults(chattest.Faults{})
		alice.Sees(m, chat.StateDelivered)
		if got := bob.Texts(alice); len(got) != 2 {
			t.Errorf("Bob's history = %q", got)
		}
		alice.Stop()
		bob.Stop()
	})
}

// TestNoStormToSomebodyWhoDoesNotAcceptUs has Bob's device take everything and accept nothing for a day, and then accept all.
func TestNoStormToSomebodyWhoDoesNotAcceptUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 9)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "first"), chat.StateDelivered)
		synctest.Wait() // until Bob has nothing left to say either
		s.Net.SetFaults(chattest.Faults{Refuse: 1})
		before := s.Net.Attempts()
		m := alice.Say(bob, "second")
		time.Sleep(24 * time.Hour)
		if n, limit := s.Net.Attempts()-before, int(24*time.Hour/(chat.RetryMax/2))+12; n < 24 || n > limit {
			t.Errorf("%d attempts in a day, at most %d expected, though Bob is connected", n, limit)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		got, err := alice.Wait(ctx, m.ID, chat.StateSent)
		if got.State != chat.StateQueued || got.Reason != "the recipient's device has not accepted it yet" || chat.CodeOf(err) != chat.CodeNotReached {
			t.Errorf("the message is %s because %q, %v", got.State, got.Reason, err)
		}
		s.Net.SetFaults(chattest.Faults{})
		asked := time.Now()
		bob.Say(alice, "now I know you")
		alice.Sees(m, chat.StateDelivered)
		if waited := time.Since(asked); waited > chat.RetryNew+chat.RetryFirst {
			t.Errorf("Alice tried again %v after Bob wrote", waited)
		}
		alice.Stop()
		bob.Stop()
	})
}

// TestWhatIsNotAcceptedKeepsItsPlace has Bob's device accept none of more rows than fit a flight, and then everything that comes.
func TestWhatIsNotAcceptedKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 10)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "first"), chat.StateDelivered)
		synctest.Wait()
		s.Net.SetFaults(chattest.Faults{Refuse: 1})
		const n = 2*chat.FlightSize + 1
		for i := range n {
			alice.Say(bob, fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		s.Net.SetFaults(chattest.Faults{})
		alice.Sees(alice.Say(bob, fmt.Sprint(n)), chat.StateDelivered)
		texts := bob.Texts(alice)[1:]
		for i, text := range texts {
			if text != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, text)
			}
		}
		if len(texts) != n+1 {
			t.Errorf("Bob has %d messages of %d", len(texts), n+1)
		}
		alice.Stop()
		bob.Stop()
	})
}

// TestSlowFailuresKeepTheirRests has every attempt take ten seconds before it fails.
func TestSlowFailuresKeepTheirRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 5)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "first"), chat.StateDelivered)
		bob.Stop()
		s.Net.SetFaults(chattest.Faults{Lose: 1, Delay: 10 * time.Second})
		before := s.Net.Attempts()
		alice.Say(bob, "second")
		time.Sleep(time.Hour)
		if n := s.Net.Attempts() - before; n < 10 || n > 32 { // 1, 2, 4 … 256 s, then 150 to 300 s
			t.Errorf("%d attempts in an hour", n)
		}
		alice.Stop()
	})
}

// TestStrangersDoNotHoldUpAFriend has 300 accounts that nobody finds, and one that is there.
func TestStrangersDoNotHoldUpAFriend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 6)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
		for range 300 {
			alice.Adds(s.Person("", chattest.NewMemStore()))
		}
		time.Sleep(time.Hour)
		bob.Start(nil)
		alice.Befriend(bob)
		began := time.Now()
		alice.Sees(alice.Say(bob, "hello"), chat.StateDelivered)
		if waited := time.Since(began); waited > chat.LookupRetryMax {
			t.Errorf("Bob was found after %v", waited)
		}
		alice.Stop()
		bob.Stop()
	})
}

// TestOrderSurvivesAClockThatGoesBackWhileMessagesWait has them addressed long after they were written, and one written after that.
func TestOrderSurvivesAClockThatGoesBackWhileMessagesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 7)
		var back atomic.Int64
		s.Clock = func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		for i := range 5 {
			alice.Say(bob, fmt.Sprint(i))
		}
		time.Sleep(10 * time.Minute)
		s.Net.SetFaults(chattest.Faults{Lose: 1})
		bob.Start(nil) // his records can be found now
		time.Sleep(10 * time.Minute)
		alice.Stop()
		back.Store(int64(time.Hour))
		alice.Start(nil)
		last := alice.Say(bob, "5")
		s.Net.SetFaults(chattest.Faults{})
		alice.Sees(last, chat.StateDelivered)
		if got := bob.Texts(alice); !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5"}) {
			t.Errorf("Bob's history = %q", got)
		}
		alice.Stop()
		bob.Stop()
	})
}

// TestAFullAddressBookRefusesNobodyForGood fills it with people who joined by an invite that went round.
func TestAFullAddressBookRefusesNobodyForGood(t *testing.T) {
	s := chattest.NewScene(t, 8)
	alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
	err := bob.Store.Update(t.Context(), func(tx chat.Tx) error {
		for i := range chat.StrangerContacts {
			c := chat.ContactRow{Account: chat.AccountID{1, byte(i), byte(i >> 8)}}
			if err := tx.PutContact(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	link, err := bob.Invite(t.Context(), chat.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	invite, err := chat.ParseInvite(link.Link)
	if err != nil {
		t.Fatal(err)
	}
	alice.Start(&invite)
	m := alice.Say(bob, "hello")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := alice.Wait(ctx, m.ID, chat.StateDelivered); got.State != chat.StateQueued {
		t.Fatalf("a message to a full address book is %s, %v", got.State, err)
	}
	if status, err := bob.Status(t.Context()); err != nil || status.Trouble != "" {
		t.Errorf("somebody who is refused is no trouble: %q, %v", status.Trouble, err)
	}
	bob.Adds(alice) // the other half of the book is for those whom Bob adds
	alice.Sees(m, chat.StateDelivered)
}
