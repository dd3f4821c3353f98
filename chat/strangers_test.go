package chat_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// A crowd of strangers asks Bob, and few devices bring it all: no more is opened than he can bear, nothing is lost by that, and what his
// contact Alice brings is opened at once.
func TestACrowdOfStrangersIsOpenedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "hi"), chat.StateDelivered)
		synctest.Wait()
		s.Net.Unplug(bob.Identity.Device())
		const crowd = chat.AllFirstFlights + 8
		var firsts [][]byte
		for n := range crowd {
			before := len(s.Net.Envelopes())
			p := s.Started(fmt.Sprint("Stranger ", n), chattest.NewMemStore())
			p.Adds(bob)
			synctest.Wait()
			p.Stop()
			tried := s.Net.Envelopes()[before:]
			firsts = append(firsts, tried[slices.IndexFunc(tried, chat.IsFirst)])
		}
		brings := func(from *chattest.Person, want int, when string) {
			t.Helper()
			tags, err := bob.Receive(t.Context(), from.Identity.Device(), firsts)
			if err != nil || len(tags) != len(firsts) {
				t.Fatal(len(tags), err)
			}
			if asked, err := bob.Requests(t.Context()); err != nil || len(asked) != want {
				t.Errorf("%s: %d of %d ask, want %d, %v", when, len(asked), crowd, want, err)
			}
		}
		one, two, three := s.Person("One", chattest.NewMemStore()), s.Person("Two", chattest.NewMemStore()), s.Person("Three", chattest.NewMemStore())
		time.Sleep(time.Second) // Alice was a stranger once
		brings(one, chat.FirstFlightBurst, "at first")
		brings(one, chat.FirstFlightBurst, "at once again")
		brings(two, chat.AllFirstFlights, "from another")
		brings(three, chat.AllFirstFlights, "from a third, when what is for all is spent")
		time.Sleep(time.Second)
		brings(one, chat.AllFirstFlights+chat.FirstFlights, "a second later")
		brings(alice, crowd, "from a contact")
	})
}

// However many devices come, what is remembered of them is bounded.
func TestTheBudgetOfACrowdIsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if most := chat.SpendOf(100_000, func() { time.Sleep(time.Millisecond) }); most > 10*chat.AllFirstFlights {
			t.Errorf("%d devices are remembered", most)
		}
	})
}
