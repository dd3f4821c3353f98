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

// Alice's clock is wrong by days, a year or decades. She and Bob talk as ever, and both see what they said in the order in which they said
// it; her clock moves nobody else's by more than five minutes.
func TestAWrongClockKeepsNobodyFromTalking(t *testing.T) {
	const day = 24 * time.Hour
	for _, skew := range []time.Duration{-day, day, -365 * day, 365 * day, 3652 * day, -time.Hour, time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := chattest.NewScene(t, 51)
				hostsOf(s, 2)
				alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
				alice.Skew = skew
				alice.Start(nil)
				alice.Befriend(bob)
				var want []string
				for n := range 6 {
					from, to := alice, bob
					if n%3 == 2 {
						from, to = bob, alice
					}
					want = append(want, fmt.Sprint(n))
					from.Sees(from.Say(to, want[n]), chat.StateDelivered)
					time.Sleep(time.Second)
				}
				bob.Stop()
				want = append(want, "while you were away")
				alice.Sees(alice.Say(bob, want[6]), chat.StateSent)
				bob.Start(nil)
				bob.Hears(alice, 5)
				for _, p := range [][2]*chattest.Person{{alice, bob}, {bob, alice}} {
					if texts := p[0].Texts(p[1]); !slices.Equal(texts, want) {
						t.Errorf("%s sees %q", p[0].Name, texts)
					}
				}
				if ahead := bob.Clock() - uint64(time.Now().UnixMilli())<<16; int64(ahead)>>16 > chat.ClockTolerance.Milliseconds() {
					t.Errorf("bob's clock was moved by %d ms", int64(ahead)>>16)
				}
			})
		})
	}
}

// Two of Bob's hosts have a message each; the one that is missing shows as a gap, until it comes, and then stands where it belongs.
func TestAGapShowsUntilItIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 52)
		host := hostsOf(s, 1)[0]
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		time.Sleep(time.Minute)
		bob.Stop()
		host.SetFaults(chattest.HostFaults{Withhold: 1})
		alice.Sees(alice.Say(bob, "two"), chat.StateSent)
		alice.Sees(alice.Say(bob, "three"), chat.StateSent)
		host.SetFaults(chattest.HostFaults{})
		alice.Sees(alice.Say(bob, "four"), chat.StateSent)
		alice.Stop()

		bob.Start(nil)
		bob.Hears(alice, 2)
		wantGaps(t, bob, alice, map[string]uint64{"one": 0, "four": 2}, "one", "four")
		host.Relent()
		s.Net.Fetch(bob.Identity.Device())
		wantGaps(t, bob, alice, map[string]uint64{"four": 0}, "one", "two", "three", "four")
	})
}

// wantGaps compares what one sees of another, and how much of it is missing before some texts.
func wantGaps(t *testing.T, of, from *chattest.Person, gaps map[string]uint64, want ...string) {
	t.Helper()
	page, err := of.History(t.Context(), of.With(from), chat.MessageID{}, chat.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range page {
		texts = append(texts, m.Text)
		if missing, ok := gaps[m.Text]; ok && m.Missing != missing {
			t.Errorf("%d are missing before %q, want %d", m.Missing, m.Text, missing)
		}
	}
	if !slices.Equal(texts, want) {
		t.Errorf("%s sees %q, want %q", of.Name, texts, want)
	}
}

// Alice's database went back, so that her device uses a number again, at a time that was before, too. Each of her texts has a place all the
// same, one behind the other.
func TestANumberThatIsUsedAgainHasAPlaceOfItsOwn(t *testing.T) {
	s := chattest.NewScene(t, 53)
	alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
	alice.Befriend(bob)
	alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
	rows, err := bob.TakesPlaces(t.Context(), bob.With(alice), 5)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows[1:] {
		if slices.Compare(rows[i][:], rows[i+1][:]) >= 0 {
			t.Errorf("%x stands before %x", rows[i+1], rows[i])
		}
	}
}
