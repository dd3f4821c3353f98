package chat_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"parley/chat"
	"parley/chat/chattest"
)

// Mallory, a contact, lists Bob's device as her own. Bob's device does not say so: nothing that is for her goes there, where it could
// only be in Bob's way.
func TestAContactWhoListsAnothersDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		mallory := s.Person("Mallory", chattest.NewMemStore())
		mallory.Identity.Claim(bob.Identity)
		mallory.Start(nil)
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "hi"), chat.StateDelivered)
		alice.Befriend(mallory)
		var last chat.Message
		for i := range 130 {
			last = alice.Say(mallory, fmt.Sprint(i))
		}
		alice.Sees(last, chat.StateDelivered)
		alice.Sees(alice.Say(bob, "important"), chat.StateDelivered)
		err := alice.Look(t.Context(), func(tx chat.Tx) error {
			left, err := tx.OutboxOf(bob.Identity.Device(), chat.RowID{}, 200)
			if len(left) > 0 {
				t.Errorf("%d rows are on their way to Bob's device for Mallory", len(left))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Mallory certifies Bob's device, and hands over first flights in its name: they begin nothing, and Bob's sessions stay.
func TestAContactCannotCrowdAnothersSessionsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		mallory := s.Started("Mallory", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Befriend(mallory)
		alice.Sees(alice.Say(bob, "hi"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "hi"), chat.StateDelivered)
		before, err := alice.SessionStates(t.Context(), bob.Identity.Device())
		if err != nil {
			t.Fatal(err)
		}
		packets := forgedFlights(t, s, mallory.Identity.On(bob.Identity), alice, chat.MaxSessions+2)
		s.Net.Plug(bob.Identity.Device(), bob.Messenger)
		tags, err := alice.Receive(t.Context(), mallory.Identity.Device(), packets)
		if err != nil || slices.ContainsFunc(tags, func(tag []byte) bool { return !zeros(tag) }) {
			t.Errorf("they are accepted: %x, %v", tags, err)
		}
		after, err := alice.SessionStates(t.Context(), bob.Identity.Device())
		if err != nil || len(after) != len(before) || !sameSession(after[0], before[0]) {
			t.Errorf("Bob had %d sessions and has %d, %v", len(before), len(after), err)
		}
	})
}

// forgedFlights makes first flights to somebody, each of a session of its own.
func forgedFlights(t *testing.T, s *chattest.Scene, identity *chat.Identity, to *chattest.Person, n int) (packets [][]byte) {
	t.Helper()
	thief := s.Person("Mallory", chattest.NewMemStore())
	thief.Identity = identity
	thief.Start(nil)
	thief.Adds(to)
	synctest.Wait()
	for range n {
		if err := thief.Change(t.Context(), func(tx chat.Tx) error {
			all, err := tx.Sessions(to.Identity.Device())
			for _, row := range all {
				if err := tx.DeleteSession(row.ID); err != nil {
					return err
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		p, err := thief.Forge(t.Context(), to.Identity.Account(), to.Identity.Device(), chat.Forged{Type: chat.BodyHeal})
		if err != nil || !chat.IsFirst(p) {
			t.Fatal(len(p), err)
		}
		packets = append(packets, p)
	}
	return packets
}
