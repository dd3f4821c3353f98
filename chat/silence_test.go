package chat_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// Alice and Bob have been away for so long that neither has a key any more that the other knows. When both are back they talk.
func TestASilenceOfManyWeeksEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t)
		alice.Sees(alice.Say(bob, "before"), chat.StateDelivered)
		for range chat.MaxGenerations + 1 { // many weeks in one
			if err := errors.Join(alice.Rotate(t.Context()), bob.Rotate(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(chat.GenerationLife)
		a, b := alice.Say(bob, "are you there?"), bob.Say(alice, "are you?")
		time.Sleep(time.Minute)
		alice.Sees(a, chat.StateDelivered)
		bob.Sees(b, chat.StateDelivered)
	})
}

// Alice's clock was a year ahead, and steps back while something rests: nothing rests for a year.
func TestTheClockStepsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		var ahead atomic.Int64
		ahead.Store(int64(365 * 24 * time.Hour))
		s.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "hi"), chat.StateDelivered)
		synctest.Wait()
		s.Net.SetFaults(chattest.Faults{Lose: 1})
		m := alice.Say(bob, "x")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		ahead.Store(0)
		s.Net.SetFaults(chattest.Faults{})
		time.Sleep(2 * chat.RetryMax)
		alice.Sees(m, chat.StateDelivered)
	})
}

// Alice's clock was a year ahead while she looked for Bob, and steps back: she goes on looking for him as often as before, although there
// is somebody else whom she looks for.
func TestTheClockStepsBackInASearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		var ahead atomic.Int64
		ahead.Store(int64(365 * 24 * time.Hour))
		s.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		alice, bob, carol := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore()), s.Person("Carol", chattest.NewMemStore())
		alice.Adds(bob)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		ahead.Store(0)
		alice.Adds(carol)
		time.Sleep(chat.LookupRetryMax)
		if err := bob.Resume(t.Context()); err != nil { // Bob publishes his records; nobody tells Alice that he is there
			t.Fatal(err)
		}
		if err := bob.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * chat.LookupRetryMax)
		if found, err := alice.Pinned(t.Context(), bob.Identity.Account()); err != nil || !found {
			t.Errorf("found: %v, %v", found, err)
		}
	})
}

// Alice has certified a phone that nobody finds. Bob, who has something for it, looks for it more and more seldom; what waited reaches it
// once it is there.
func TestADeviceThatNobodyFindsIsLookedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		phone := s.Person("Alice", chattest.NewMemStore())
		phone.Identity = alice.Identity.Link("phone")
		alice.Start(nil)
		alice.Befriend(bob)
		bob.Sees(bob.Say(alice, "hi"), chat.StateDelivered)
		time.Sleep(3 * time.Hour)
		before := s.Net.Lookups()
		time.Sleep(24 * time.Hour)
		searches := int(24*time.Hour/(chat.LookupMissingMax/2)) + 1
		if n := s.Net.Lookups() - before; n > 3*searches+2*24+2 { // and each looks for a copy of itself every hour
			t.Errorf("%d look-ups in a day in which nobody said anything", n)
		}
		phone.Start(nil)
		phone.Adds(bob)
		if texts := phone.Hears(bob, 1); !slices.Equal(texts, []string{"hi"}) {
			t.Errorf("the phone hears %q", texts)
		}
	})
}
