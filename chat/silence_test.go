package chat_test

import (
	"errors"
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
