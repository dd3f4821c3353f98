package chat_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// hostsOf puts mailbox hosts on line.
func hostsOf(s *chattest.Scene, n int) (hosts []*chattest.MailHost) {
	for range n {
		identity, err := chat.NewIdentity("a host")
		if err != nil {
			s.T.Fatal(err)
		}
		hosts = append(hosts, s.Net.AddHost(identity.Device()))
	}
	return hosts
}

// Alice and Bob are never on line together. Each message is held for the other meanwhile, says so, and is acknowledged the same way back.
func TestPeopleNeedNeverBeOnLineTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 41)
		hosts := hostsOf(s, 3)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		time.Sleep(time.Minute)

		bob.Stop()
		two := alice.Sees(alice.Say(bob, "two"), chat.StateSent)
		if ways := alice.Sees(two, chat.StateSent).Ways; len(ways) != 1 || len(ways[0].Holders) != 3 || ways[0].Route != chat.RouteMailbox {
			t.Errorf("how it went: %+v", ways)
		}
		alice.Stop()

		bob.Start(nil)
		if texts := bob.Hears(alice, 2); !slices.Equal(texts, []string{"one", "two"}) {
			t.Errorf("bob hears %q", texts)
		}
		three := bob.Say(alice, "three")
		bob.Sees(three, chat.StateSent)
		time.Sleep(time.Minute)
		bob.Stop()

		alice.Start(nil)
		alice.Sees(two, chat.StateDelivered)
		if texts := alice.Hears(bob, 1); !slices.Equal(texts, []string{"three"}) {
			t.Errorf("alice hears %q", texts)
		}
		time.Sleep(time.Minute)
		for _, h := range hosts {
			t.Log("kept", h.Kept())
		}
	})
}
