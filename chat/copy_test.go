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

// Alice's home was copied to another machine, and both are at work: the one that falls behind says so and sends nothing, until Alice says
// that the other one is gone. Then nothing is lost, and it is the other one that finds itself a copy.
func TestASecondCopyOfADeviceIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 31)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		elsewhere := alice.Elsewhere(chattest.NewMemStore())

		time.Sleep(2 * chat.TendEvery)
		if status, err := alice.Status(t.Context()); err != nil || status.Trouble != "" {
			t.Fatalf("before the other copy published anything: %q, %v", status.Trouble, err)
		}
		if err := elsewhere.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(chat.TendEvery)
		two := alice.Say(bob, "two")
		time.Sleep(time.Hour)
		synctest.Wait()
		alice.Sees(two, chat.StateQueued)
		status, err := alice.Status(t.Context())
		if err != nil || !strings.Contains(status.Trouble, "--only-copy") || status.Restored {
			t.Fatalf("with the other copy: %+v, %v", status, err)
		}

		alice.Stop()
		alice.OnlyCopy = true
		alice.Start(nil)
		alice.Sees(two, chat.StateDelivered)
		alice.Sees(alice.Say(bob, "three"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "four"), chat.StateDelivered)
		if texts := bob.Texts(alice); !slices.Equal(texts, []string{"one", "two", "three", "four"}) {
			t.Errorf("bob has %q", texts)
		}
		time.Sleep(chat.TendEvery)
		if alice.LookForCopy(t.Context()) || !elsewhere.LookForCopy(t.Context()) {
			t.Error("the copy that took over is the one that stopped, or the other goes on")
		}
	})
}
