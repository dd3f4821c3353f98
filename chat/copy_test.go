package chat_test

import (
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

// silenced reports whether somebody's status says that there is a second copy.
func silenced(t *testing.T, p *chattest.Person) bool {
	t.Helper()
	status, err := p.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(status.Trouble, "--only-copy")
}

// copies are Alice's home and its copy, with Bob whom both know.
type copies struct {
	t     *testing.T
	sleep func(time.Duration)
	s     *chattest.Scene
	rng   *rand.Rand
	bob   *chattest.Person
	both  [2]*chattest.Person
	said  [2][]string
}

func copiedHome(t *testing.T, sleep func(time.Duration), seed uint64) *copies {
	c := &copies{t: t, sleep: sleep, s: chattest.NewScene(t, seed), rng: rand.New(rand.NewPCG(seed, 0))}
	alice := c.s.Started("Alice", chattest.NewMemStore())
	c.bob = c.s.Started("Bob", chattest.NewMemStore())
	alice.Befriend(c.bob)
	alice.Sees(alice.Say(c.bob, "one"), chat.StateDelivered)
	c.bob.Sees(c.bob.Say(alice, "two"), chat.StateDelivered)
	c.wait(24 * time.Hour)
	c.both = [2]*chattest.Person{alice, alice.Copied()}
	return c
}

// wait lets some time pass, at most so much.
func (c *copies) wait(most time.Duration) { c.sleep(time.Duration(c.rng.Int64N(int64(most)))) }

// say lets one of the two say something to Bob.
func (c *copies) say(i int) chat.Message {
	text := fmt.Sprintf("%d from copy %d", len(c.said[i]), i)
	c.said[i] = append(c.said[i], text)
	return c.both[i].Say(c.bob, text)
}

// meet starts the copy, with whatever may happen before both have had time to find each other.
func (c *copies) meet() {
	if c.rng.IntN(2) == 0 {
		c.s.Net.SetFaults(chattest.Faults{Lose: .1, NoAck: .1, Partly: .1, Twice: .1})
	}
	for range c.rng.IntN(3) {
		c.both[1].Dies()
	}
	c.both[1].Start(nil)
	for range c.rng.IntN(4) {
		switch i := c.rng.IntN(2); c.rng.IntN(4) {
		case 0:
			c.both[i].Stop()
			for range c.rng.IntN(2) {
				c.both[i].Dies()
			}
			c.both[i].Start(nil)
		case 1:
			c.bob.Say(c.both[0], "who is there?")
		default:
			c.say(i)
		}
		c.wait(10 * time.Minute)
	}
	c.sleep(3*chat.TendEvery + chat.CopyFirst)
	c.s.Net.SetFaults(chattest.Faults{})
}

// record is what the directory has of Alice's device.
func (c *copies) record() string {
	return string(c.s.Net.Record("/device/" + c.both[0].Identity.Device().String()))
}

// Alice's home is copied to another machine, and both go on. Whatever they do, both find the other, say so, and send nothing more; also after
// restarts. Once people have stopped one for good, and said so to the other, everything that this one has ever said is there once, in its order.
func TestTwoCopiesOfADeviceBothSaySo(t *testing.T) {
	for seed := range uint64(times(6, 100)) {
		synctest.Test(t, func(t *testing.T) {
			c := copiedHome(t, time.Sleep, seed)
			c.meet()
			shown := c.quiet(seed)
			left := c.rng.IntN(2)
			gone := c.both[1-left]
			c.both[0].Stop()
			c.both[1].Stop()
			c.both[left].OnlyCopy = true
			c.both[left].Start(nil)
			c.both[left].Sees(c.say(left), chat.StateDelivered)
			texts := c.bob.Texts(c.both[left])
			if heard := textsOf(texts, left); !slices.Equal(heard, c.said[left]) {
				t.Errorf("seed %d: of what the copy that is left has said Bob has %q, not %q", seed, heard, c.said[left])
			}
			if heard := textsOf(texts, 1-left); len(heard) != shown[1-left] {
				t.Errorf("seed %d: of what the other had said Bob has %q, %d were there before", seed, heard, shown[1-left])
			}
			// The copy that was stopped for good comes back: it is silent, and nobody is disturbed.
			gone.Start(nil)
			time.Sleep(3 * chat.TendEvery)
			if !silenced(t, gone) || silenced(t, c.both[left]) {
				t.Errorf("seed %d: the copy that came back is silent: %v, the other one: %v", seed, silenced(t, gone), silenced(t, c.both[left]))
			}
		})
	}
}

// quiet sees both copies silent, whatever comes, and returns how much of what each has said Bob has heard.
func (c *copies) quiet(seed uint64) (shown [2]int) {
	c.t.Helper()
	record, texts := c.record(), c.bob.Texts(c.both[0])
	waiting := [2]chat.Message{c.say(0), c.say(1)}
	for round := range 2 {
		c.sleep(3 * time.Hour)
		synctest.Wait()
		for i, p := range c.both {
			if m := p.Sees(waiting[i], chat.StateQueued); m.State != chat.StateQueued || !silenced(c.t, p) {
				c.t.Fatalf("seed %d, round %d: copy %d says so: %v, and its message is %s", seed, round, i, silenced(c.t, p), m.State)
			}
			if again, err := p.OneTime(c.t.Context()); again != nil || err != nil {
				c.t.Errorf("seed %d: copy %d gives one-time pairs away, %v", seed, i, err)
			}
			p.Stop()
			p.Start(nil)
		}
	}
	if now := c.record(); now != record {
		c.t.Errorf("seed %d: the two go on publishing records", seed)
	}
	if now := c.bob.Texts(c.both[0]); !slices.Equal(now, texts) {
		c.t.Errorf("seed %d: a copy has sent something: %q", seed, now[len(texts):])
	}
	for i := range shown {
		shown[i] = len(textsOf(texts, i))
	}
	return shown
}

// textsOf picks what one copy has said.
func textsOf(texts []string, i int) (of []string) {
	for _, text := range texts {
		if strings.HasSuffix(text, fmt.Sprint("copy ", i)) {
			of = append(of, text)
		}
	}
	return of
}

// Alice's device is the only one. It is restarted, and killed before or after it has published its record; an old record of it comes back from
// the directory; it makes new keys, or its database is restored twice: it never takes itself for two, and goes on sending.
func TestOneDeviceIsNeverTakenForTwo(t *testing.T) {
	for seed := range uint64(times(6, 100)) {
		synctest.Test(t, func(t *testing.T) {
			s, rng := chattest.NewScene(t, seed), rand.New(rand.NewPCG(seed, 1))
			alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
			alice.Befriend(bob)
			alice.Sees(alice.Say(bob, "hello"), chat.StateDelivered)
			key := "/device/" + alice.Identity.Device().String()
			records, backup := [][]byte{s.Net.Record(key)}, chattest.Copy(alice.Store)
			for range 12 {
				records = append(records, s.Net.Record(key))
				time.Sleep(time.Duration(rng.Int64N(int64(10 * time.Minute))))
				switch rng.IntN(5) {
				case 0:
					s.Net.SetRecord(key, records[rng.IntN(len(records))])
				case 1:
					if err := alice.Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
					bob.Sees(bob.Say(alice, "what is new?"), chat.StateDelivered) // so that he learns of the new keys
					alice.Sees(alice.Say(bob, "my keys"), chat.StateDelivered)
				case 2:
					alice.Stop()
					alice.Store = chattest.Copy(backup)
					alice.Start(nil)
				default:
					alice.Stop()
					for range rng.IntN(4) {
						alice.Dies()
					}
					alice.Start(nil)
				}
				time.Sleep(2 * chat.CopyFirst)
				if alice.LookForCopy(t.Context()) {
					t.Fatalf("seed %d: a device alone takes itself for two", seed)
				}
			}
			alice.Sees(alice.Say(bob, "still here"), chat.StateDelivered)
			bob.Sees(bob.Say(alice, "I see"), chat.StateDelivered)
		})
	}
}

// Two copies start at the same time from the same state: their records have two numbers, so that one of them finds the other.
func TestTwoCopiesThatStartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, _ := friends(t)
		alice.Stop()
		key, seen := "/device/"+alice.Identity.Device().String(), map[uint64]bool{}
		for range 20 {
			s.Net.SetRecord(key, nil)
			second := alice.Copied()
			second.Start(nil)
			synctest.Wait()
			number, err := chat.Validators()["device"](alice.Identity.Device().String(), s.Net.Record(key))
			if err != nil || seen[number] {
				t.Fatalf("number %d again, %v", number, err)
			}
			seen[number] = true
			second.Stop()
		}
	})
}

// Alice starts her node thirty times in a day. It has the same keys each time, so that nobody looks its record up because of that.
func TestAStartCostsContactsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		talk := func() {
			for range 2 { // there and back, so that both sides begin chains
				alice.Sees(alice.Say(bob, "ping"), chat.StateDelivered)
				bob.Sees(bob.Say(alice, "pong"), chat.StateDelivered)
			}
			synctest.Wait()
		}
		talk()
		lookups := func() int {
			before := s.Net.Lookups()
			talk()
			return s.Net.Lookups() - before
		}
		before := s.Net.Record("/device/" + alice.Identity.Device().String())
		for range 30 {
			alice.Stop()
			alice.Start(nil)
			if n := lookups(); n != 0 {
				t.Fatalf("%d look-ups after a start", n)
			}
		}
		if now := s.Net.Record("/device/" + alice.Identity.Device().String()); string(now) == string(before) {
			t.Error("a start makes no new version of the record")
		}
		if err := alice.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		known := s.Net.Lookups()
		talk()
		time.Sleep(chat.LookupRetryMax) // Bob may have looked for her in vain just now
		if s.Net.Lookups() == known {
			t.Error("nobody looks new keys up")
		}
	})
}
