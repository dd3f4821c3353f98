package chat_test

import (
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
