package chat_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
		hostsOf(s, 3)
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
	})
}

// Bob is off, Alice writes a thousand messages and goes off too. One of Bob's three hosts is dead by the time he comes, and one withholds
// half of what it has. He misses nothing, sees nothing twice, and in the order that she wrote it.
func TestAThousandMessagesWaitForWhoIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 42)
		hosts := hostsOf(s, 3)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "0"), chat.StateDelivered)
		time.Sleep(time.Minute)
		bob.Stop()

		hosts[1].SetFaults(chattest.HostFaults{Withhold: 0.5})
		var last chat.Message
		want := []string{"0"}
		for n := range 1000 {
			last = alice.Say(bob, fmt.Sprint(n+1))
			want = append(want, fmt.Sprint(n+1))
		}
		alice.Sees(last, chat.StateSent)
		alice.Stop()
		hosts[0].Die()

		begin := time.Now()
		bob.Start(nil)
		bob.Hears(alice, 1001)
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if texts := bob.Texts(alice); !slices.Equal(texts, want) {
			t.Errorf("bob has %d texts: %.300q", len(texts), texts)
		}
		time.Sleep(time.Minute)
		bob.Stop()
		alice.Start(nil)
		alice.Sees(last, chat.StateDelivered)
		for _, m := range wantStates(t, alice, bob) {
			if m != chat.StateDelivered {
				t.Fatalf("one is %s", m)
			}
		}
	})
}

// wantStates returns the states of all that one has written to another.
func wantStates(t *testing.T, from, to *chattest.Person) (states []chat.State) {
	t.Helper()
	all, err := from.Messages(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Mine {
			states = append(states, m.State)
		}
	}
	return states
}

// All of Bob's hosts are gone: nothing is called sent, the reason says what is wrong, and it arrives when both are there.
func TestWithoutAMailboxAMessageStaysQueuedAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 43)
		hosts := hostsOf(s, 2)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		time.Sleep(time.Minute)
		bob.Stop()
		hosts[0].Die()
		hosts[1].Fill()
		two := alice.Say(bob, "two")
		time.Sleep(10 * time.Minute)
		info, err := alice.Info(t.Context(), two.ID)
		if err != nil || info.State != chat.StateQueued || info.Reason == "" || len(info.Waits) != 1 {
			t.Fatalf("it is %+v, %v", info, err)
		}
		if w := info.Waits[0]; w.Device != bob.Identity.Device() || w.Attempts < 5 || w.Next.IsZero() || w.Reason != info.Reason || len(w.Holders) > 0 {
			t.Errorf("it waits for %+v", w)
		}
		if tries := s.Net.Attempts(); tries > 60 {
			t.Errorf("%d attempts in ten minutes", tries)
		}
		bob.Start(nil)
		alice.Sees(two, chat.StateDelivered)
	})
}

// Alice knows Bob's link and nothing else. They become contacts, and talk, without ever being on line together.
func TestStrangersMeetThroughMailboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 44)
		hostsOf(s, 3)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		time.Sleep(time.Minute)
		bob.Stop()
		alice.Adds(bob)
		one := alice.Sees(alice.Say(bob, "do you remember me?"), chat.StateSent)
		alice.Stop()

		bob.Start(nil)
		bob.Asked(1)
		time.Sleep(time.Minute)
		bob.Accepts(alice)
		if texts := bob.Hears(alice, 1); !slices.Equal(texts, []string{"do you remember me?"}) {
			t.Errorf("bob hears %q", texts)
		}
		two := bob.Sees(bob.Say(alice, "of course"), chat.StateSent)
		time.Sleep(time.Minute)
		bob.Stop()

		alice.Start(nil)
		alice.Sees(one, chat.StateDelivered)
		if texts := alice.Hears(bob, 1); !slices.Equal(texts, []string{"of course"}) {
			t.Errorf("alice hears %q", texts)
		}
		time.Sleep(time.Minute)
		alice.Stop()
		bob.Start(nil)
		bob.Sees(two, chat.StateDelivered)
	})
}

// Hosts lose, repeat, withhold and forget, connections break and acknowledgements are lost. In the end everything is there once, and every
// tick is true.
func TestLyingHostsAndABadNetworkLoseNothing(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			s := chattest.NewScene(t, 100+seed)
			hosts := hostsOf(s, 3)
			alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
			alice.Befriend(bob)
			alice.Sees(alice.Say(bob, "begin"), chat.StateDelivered)
			time.Sleep(time.Minute)
			for _, h := range hosts {
				h.SetFaults(chattest.HostFaults{Drop: 0.2, Withhold: 0.3, Twice: 0.3, Forget: 0.5})
			}
			s.Net.SetFaults(chattest.Faults{Lose: 0.3, NoAck: 0.5, Partly: 0.2, Twice: 0.2, BadTag: 0.1, Mangle: 0.1})
			want := []string{"begin"}
			for round := range 10 {
				people := []*chattest.Person{alice, bob}
				away := people[round%2]
				away.Stop()
				for n := range 5 {
					text := fmt.Sprintf("%d.%d", round, n)
					if people[(round+1)%2].Say(away, text); away == bob {
						want = append(want, text)
					}
					time.Sleep(time.Second)
				}
				away.Start(nil)
				time.Sleep(10 * time.Second)
			}
			s.Net.SetFaults(chattest.Faults{})
			for _, h := range hosts {
				h.SetFaults(chattest.HostFaults{})
				h.Relent()
			}
			last := alice.Sees(alice.Say(bob, "end"), chat.StateDelivered)
			time.Sleep(20 * time.Minute)
			want = append(want, last.Text)
			texts := alicesTexts(t, bob, alice)
			slices.Sort(texts)
			slices.Sort(want)
			if !slices.Equal(texts, want) {
				t.Errorf("seed %d: bob has %q, want %q", seed, texts, want)
			}
			for _, p := range [][2]*chattest.Person{{alice, bob}, {bob, alice}} {
				for _, state := range wantStates(t, p[0], p[1]) {
					if state != chat.StateDelivered {
						t.Errorf("seed %d: one of %s's is %s", seed, p[0].Name, state)
					}
				}
			}
		})
	}
}

// alicesTexts returns what one has from another.
func alicesTexts(t *testing.T, of, from *chattest.Person) (texts []string) {
	t.Helper()
	all, err := of.Messages(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if !m.Mine {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// A host sees boxes of five sizes, and in none of them who sent it, what it says, or how long that is.
func TestAHostLearnsSizesAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 45)
		host := hostsOf(s, 1)[0]
		alice, bob := s.Started("Alice of the lighthouse", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "here"), chat.StateDelivered)
		time.Sleep(time.Minute)
		bob.Stop()
		for n := range 60 {
			text := strings.Repeat("penguins ", 1+n*n*2)
			alice.Sees(alice.Say(bob, text[:min(len(text), chat.MaxText)]), chat.StateSent)
		}
		account, device := alice.Identity.Account(), alice.Identity.Device()
		secrets := [][]byte{account[:], []byte(device), []byte(device)[6:], []byte("lighthouse"), []byte("penguins")}
		sizes := map[int]bool{}
		for _, box := range host.Seen() {
			sizes[len(box)-1146] = true
			for i, secret := range secrets {
				if bytes.Contains(box, secret) {
					t.Fatalf("a box shows secret %d of its sender", i)
				}
			}
		}
		for _, class := range []int{2, 8, 32, 128, 512} {
			delete(sizes, class<<10)
		}
		if len(host.Seen()) < 60 || len(sizes) > 0 {
			t.Errorf("%d boxes, of other sizes than the five: %v", len(host.Seen()), sizes)
		}
	})
}

// A host hands Bob rubbish without end: boxes of noise, boxes to a key that he had, and boxes that he can open and that hold nothing he can.
// Nothing of it is kept, and what Alice has sent comes out between it.
func TestRubbishInAMailboxChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 47)
		host := hostsOf(s, 1)[0]
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		time.Sleep(time.Minute)
		bob.Stop()
		alice.Sees(alice.Say(bob, "two"), chat.StateSent)
		honest := host.Seen()[len(host.Seen())-1]
		before := lastEvent(t, bob)

		rng := rand.New(rand.NewPCG(47, 1))
		noise := func() []byte {
			box := make([]byte, 1146+2048)
			for i := range box {
				box[i] = byte(rng.Uint32())
			}
			return box
		}
		var boxes [][]byte
		for n := range times(6_000, 100_000) {
			box := noise()
			if n%2 == 0 {
				copy(box, honest[:10]) // to a key that Bob has
			}
			if n%100 == 0 {
				sealed, err := alice.SealDeposit(bob.Identity.Device(), [][]byte{noise()[:500], {1, 2, 3}, {1, 5}})
				if err != nil {
					t.Fatal(err)
				}
				box = sealed
			}
			boxes = append(boxes, box)
		}
		for page := range slices.Chunk(boxes, 64) {
			if err := bob.Collect(t.Context(), host.ID, page); err != nil {
				t.Fatal(err)
			}
		}
		if after := lastEvent(t, bob); after != before {
			t.Errorf("%d events came of it", after-before)
		}
		bob.Start(nil)
		if texts := bob.Hears(alice, 2); !slices.Equal(texts, []string{"one", "two"}) {
			t.Errorf("bob hears %q", texts)
		}
	})
}

// lastEvent returns the number of the last event.
func lastEvent(t *testing.T, p *chattest.Person) uint64 {
	t.Helper()
	status, err := p.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.LastEvent
}
