package chat_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

const year = 365 * 24 * time.Hour

// withClock is Bob alone on a network whose wall clocks somebody sets: ahead is how far they are ahead of the time that passes.
func withClock(t *testing.T) (s *chattest.Scene, ahead *atomic.Int64) {
	s, ahead = chattest.NewScene(t, 1), &atomic.Int64{}
	s.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return s, ahead
}

// secretsOf counts the secrets of a kind that somebody keeps.
func secretsOf(t *testing.T, p *chattest.Person, kind chat.SecretKind) (n int) {
	t.Helper()
	err := p.Look(t.Context(), func(tx chat.Tx) error {
		rows, err := tx.Secrets(kind, 2*chat.MaxHandshakes)
		n = len(rows)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The wall clock goes back and forth by years while Bob's node runs: it makes its next keys after seven days of its own, and not before.
func TestAWallClockThatJumpsInARunMakesNoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ahead := withClock(t)
		bob := s.Started("Bob", chattest.NewMemStore())
		rng := rand.New(rand.NewPCG(1, 1))
		for passed := time.Duration(0); passed < chat.GenerationLife-time.Hour; passed += time.Hour {
			ahead.Store(rng.Int64N(int64(40*year)) - int64(20*year))
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := secretsOf(t, bob, chat.SecretGeneration); n != 1 {
				t.Fatalf("after %v there are %d generations", passed+time.Hour, n)
			}
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := secretsOf(t, bob, chat.SecretGeneration); n != 2 {
			t.Errorf("after seven days there are %d generations", n)
		}
	})
}

// Between two runs Bob has nothing but the wall clock. However it has jumped, a start makes one generation at most, and one that went back
// makes none.
func TestAWallClockThatJumpsBetweenRunsMakesOneGenerationAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ahead := withClock(t)
		bob := s.Started("Bob", chattest.NewMemStore())
		want := 1
		for _, jump := range []struct {
			by    time.Duration
			makes int
		}{{10 * year, 1}, {-20 * year, 0}, {chat.GenerationLife - 12*time.Hour, 0}, {20 * year, 1}, {-year, 0}} {
			time.Sleep(time.Minute)
			bob.Stop()
			ahead.Add(int64(jump.by))
			bob.Start(nil)
			time.Sleep(3 * time.Hour / 2)
			synctest.Wait()
			want += jump.makes
			if n := secretsOf(t, bob, chat.SecretGeneration); n != want {
				t.Errorf("after a jump by %v there are %d generations, want %d", jump.by, n, want)
			}
		}
	})
}

// Bob's node runs for five hours a day, and often it is killed: what it had lived counts, to the hour.
func TestTimeOfShortRunsAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ahead := withClock(t)
		bob := s.Started("Bob", chattest.NewMemStore())
		const run = 5 * time.Hour
		for lived := time.Duration(0); lived < 2*chat.GenerationLife; lived += run {
			time.Sleep(run - time.Minute)
			killed := chattest.Copy(bob.Store)
			time.Sleep(time.Minute)
			bob.Stop()
			if lived%2 == 0 {
				bob.Store = killed
			}
			ahead.Add(-int64(year)) // so that nothing but what was noted counts
			bob.Start(nil)
			synctest.Wait()
			least := (lived + run) * 4 / 5 // a run that was killed loses up to an hour
			if n := secretsOf(t, bob, chat.SecretGeneration); n > 1+int((lived+run)/chat.GenerationLife) || n < 1+int(least/chat.GenerationLife) {
				t.Fatalf("after %v there are %d generations", lived+run, n)
			}
		}
	})
}

// Bob is away for sixty days, and his clock is ten years ahead when he comes back: what was sealed to his newest keys when he left opens,
// with a one-time pair of his or without.
func TestSixtyDaysAwayAndAClockTenYearsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ahead := withClock(t)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		for range chat.MaxGenerations { // he has as many as he keeps
			if err := bob.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "hello"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "hello"), chat.StateDelivered)
		time.Sleep(time.Minute)
		var first [][]byte
		for _, with := range []bool{true, false} {
			first = append(first, firstFlight(t, alice, bob, with))
		}
		header, _, err := alice.SealStream(bob.Identity.Device())
		if err != nil {
			t.Fatal(err)
		}
		alice.Stop()
		bob.Stop()
		time.Sleep(60 * 24 * time.Hour)
		ahead.Store(int64(10 * year))
		bob.Start(nil)
		time.Sleep(2 * time.Hour) // a tending or two
		if n := secretsOf(t, bob, chat.SecretGeneration); n != chat.MaxGenerations {
			t.Fatalf("Bob keeps %d generations", n)
		}
		if _, err := bob.OpenStream(alice.Identity.Device(), header); err != nil {
			t.Error(err)
		}
		for i, packet := range first {
			if tags, err := bob.Receive(t.Context(), alice.Identity.Device(), [][]byte{packet}); err != nil || zeros(tags[0]) {
				t.Errorf("first flight %d does not open: %x, %v", i, tags, err)
			}
		}
	})
}

// firstFlight makes a packet that begins a new session between two friends, with a one-time pair of the receiver's or without. It is not on
// its way.
func firstFlight(t *testing.T, from, to *chattest.Person, oneTime bool) []byte {
	t.Helper()
	device := to.Identity.Device()
	err := from.Change(t.Context(), func(tx chat.Tx) error {
		all, err := tx.Sessions(device)
		for _, row := range all {
			if err == nil {
				err = tx.DeleteSession(row.ID)
			}
		}
		return err
	})
	if err == nil && oneTime {
		err = giveOneTime(t, from, to)
	}
	if err != nil {
		t.Fatal(err)
	}
	packet, err := from.Forge(t.Context(), to.Identity.Account(), device, chat.Forged{Type: chat.BodyHeal})
	if err != nil || !chat.IsFirst(packet) {
		t.Fatal("no first flight", err)
	}
	return packet
}

// giveOneTime hands a pair of to's to from, for its next session with it.
func giveOneTime(t *testing.T, from, to *chattest.Person) error {
	pair, err := to.OneTime(t.Context())
	if err != nil || pair == nil {
		t.Fatal("no one-time pair", err)
	}
	return from.Change(t.Context(), func(tx chat.Tx) error {
		return tx.PutSecret(chat.SecretRow{Kind: chat.SecretBundle, Key: []byte(to.Identity.Device()), Value: pair})
	})
}
