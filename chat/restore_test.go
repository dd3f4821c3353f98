package chat_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// A store that fails after so many writes, as in a power loss.
type failing struct {
	chat.Store
	left int
}

func (f *failing) Update(ctx context.Context, fn func(chat.Tx) error) error {
	if f.left--; f.left < 0 {
		return errors.New("power loss")
	}
	return f.Store.Update(ctx, fn)
}

// Bob's database was restored, and the power fails before his node has begun anew: the next start knows it still, wherever that was.
func TestPowerLossAfterARestore(t *testing.T) {
	for writes := range 4 {
		synctest.Test(t, func(t *testing.T) {
			s, alice, bob := friends(t)
			old := chattest.Copy(bob.Store)
			before, err := bob.SessionStates(t.Context(), alice.Identity.Device())
			if err != nil || len(before) == 0 {
				t.Fatal(len(before), err)
			}
			time.Sleep(2 * time.Second)
			bob.Sees(bob.Say(alice, "x"), chat.StateDelivered)
			time.Sleep(2 * time.Second)
			bob.Stop()
			port := s.Net.Port(bob.Identity.Device())
			m := chat.New(chat.Config{
				Identity: bob.Identity, Name: "Bob", Network: s.Network, Links: bob.Links, Store: &failing{old, writes}, Keys: bob.Keys,
				Instance: bob.Keys, Transport: port, Directory: port,
			})
			if err := m.Resume(t.Context()); err == nil {
				t.Fatalf("it resumes with %d writes", writes)
			}
			bob.Store = old
			bob.Start(nil)
			status, err := bob.Status(t.Context())
			if err != nil || !status.Restored {
				t.Errorf("restored: %v, %v", status.Restored, err)
			}
			after, err := bob.SessionStates(t.Context(), alice.Identity.Device())
			if err != nil || slices.ContainsFunc(after, func(a []byte) bool {
				return slices.ContainsFunc(before, func(b []byte) bool { return sameSession(a, b) })
			}) {
				t.Errorf("after %d writes an old session is in use, %v", writes, err)
			}
		})
	}
}

func sameSession(a, b []byte) bool { return string(a[2:18]) == string(b[2:18]) }

// Bob restores the same backup twice: both times everybody finds the keys that he has now.
func TestTheSameBackupTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t)
		old := chattest.Copy(bob.Store)
		time.Sleep(2 * time.Second)
		bob.Sees(bob.Say(alice, "x"), chat.StateDelivered)
		time.Sleep(2 * time.Second)
		for range 2 {
			bob.Stop()
			bob.Store = chattest.Copy(old)
			bob.Start(nil)
			time.Sleep(time.Minute)
			bob.Sees(bob.Say(alice, "anew"), chat.StateDelivered)
			alice.Sees(alice.Say(bob, "welcome back"), chat.StateDelivered)
		}
	})
}

// Alice lost her phone while something was on its way to it, and has another: what was for her reaches that one.
func TestWhatWasForARevokedDeviceGoesToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		bob.Sees(bob.Say(alice, "hi"), chat.StateDelivered)
		alice.Stop()
		one, two := bob.Say(alice, "one"), bob.Say(alice, "two")
		time.Sleep(time.Minute)
		phone := s.Person("Alice", chattest.NewMemStore())
		phone.Identity = alice.Identity.Link("phone")
		phone.Identity.Revoke(alice.Identity.Device())
		phone.Start(nil)
		phone.Adds(bob)
		phone.Say(bob, "from the new phone")
		bob.Sees(one, chat.StateDelivered)
		bob.Sees(two, chat.StateDelivered)
		if texts := phone.Texts(bob); !slices.Equal(texts, []string{"one", "two", "from the new phone"}) {
			t.Errorf("the phone shows %q", texts)
		}
	})
}

// What Bob's database has forgotten with a restore, he does not answer again: a first flight begins one session, also then.
func TestAFirstFlightIsNotAnsweredAgainAfterARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t)
		old := chattest.Copy(bob.Store)
		if err := alice.Change(t.Context(), func(tx chat.Tx) error {
			all, err := tx.Sessions(bob.Identity.Device())
			for _, row := range all {
				err = errors.Join(err, tx.DeleteSession(row.ID))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		first, err := alice.Forge(t.Context(), bob.Identity.Account(), bob.Identity.Device(), chat.Forged{Type: chat.BodyHeal})
		if err != nil || !chat.IsFirst(first) {
			t.Fatal(len(first), err)
		}
		if tags, err := bob.Receive(t.Context(), alice.Identity.Device(), [][]byte{first}); err != nil || zeros(tags[0]) {
			t.Fatalf("before: %x, %v", tags, err)
		}
		bob.Say(alice, "something that the old database lacks")
		time.Sleep(2 * time.Second)
		bob.Stop()
		bob.Store = old
		bob.Start(nil)
		if tags, err := bob.Receive(t.Context(), alice.Identity.Device(), [][]byte{first}); err != nil || !zeros(tags[0]) {
			t.Errorf("after a restore: %x, %v", tags, err)
		}
		bob.Stop()
		bob.Start(nil)
		if tags, err := bob.Receive(t.Context(), alice.Identity.Device(), [][]byte{first}); err != nil || !zeros(tags[0]) {
			t.Errorf("at the start after that: %x, %v", tags, err)
		}
	})
}

// Bob's database goes back to before a long talk, over a network that is bad: whatever is said from then on arrives, once, and Bob is told.
func TestWhatIsSaidAfterARestoreArrives(t *testing.T) {
	seeds := []uint64{71, 179} // these were difficult once
	for seed := range uint64(times(8, 98)) {
		seeds = append(seeds, seed+1)
	}
	for _, seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			s := chattest.NewScene(t, seed)
			alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
			alice.Befriend(bob)
			alice.Sees(alice.Say(bob, "hi"), chat.StateDelivered)
			bob.Sees(bob.Say(alice, "hi"), chat.StateDelivered)
			old := chattest.Copy(bob.Store)
			s.Net.SetFaults(chattest.Faults{Lose: .2, NoAck: .2, Partly: .2, Twice: .2, Mangle: .1})
			talk(alice, bob, "before", 50)
			time.Sleep(2 * time.Second) // some of it is still on its way
			bob.Stop()
			bob.Store = old
			bob.Start(nil)
			if status, err := bob.Status(t.Context()); err != nil || !status.Restored {
				t.Errorf("seed %d: restored %v, %v", seed, status.Restored, err)
			}
			last := talk(alice, bob, "after", 20)
			alice.Sees(last[0], chat.StateDelivered)
			bob.Sees(last[1], chat.StateDelivered)
			for _, side := range [][]string{alice.Texts(bob), bob.Texts(alice)} {
				later := slices.DeleteFunc(side, func(text string) bool { return !strings.HasPrefix(text, "after") })
				slices.Sort(later)
				if n := len(later); n != 40 || len(slices.Compact(later)) != 40 {
					t.Errorf("seed %d: of 40 later texts %d are shown: %q", seed, n, later)
				}
			}
		})
	}
}

// talk lets two people say something by turns, n times each, and returns the last that each said.
func talk(alice, bob *chattest.Person, what string, n int) (last [2]chat.Message) {
	for i := range n {
		last[0] = alice.Say(bob, fmt.Sprintf("%s, Alice %02d", what, i))
		last[1] = bob.Say(alice, fmt.Sprintf("%s, Bob %02d", what, i))
	}
	return last
}
