package chat_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
	"parley/chat/internal/wire"
)

// friends are Alice and Bob, each other's contacts, who have talked.
func friends(t *testing.T) (s *chattest.Scene, alice, bob *chattest.Person) {
	t.Helper()
	s = chattest.NewScene(t, 1)
	alice, bob = s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
	alice.Befriend(bob)
	alice.Sees(alice.Say(bob, "hello"), chat.StateDelivered)
	bob.Sees(bob.Say(alice, "hello Alice"), chat.StateDelivered)
	return s, alice, bob
}

// zeros reports whether an acknowledgement says that nothing was taken.
func zeros(tag []byte) bool { return bytes.Equal(tag, make([]byte, 16)) }

// TestWhatNobodyWroteIsDropped gives Bob what an attacker with all the network's keys, and keys of their own, can make.
func TestWhatNobodyWroteIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		mallory, carol := s.Started("Mallory", chattest.NewMemStore()), s.Started("Carol", chattest.NewMemStore())
		mallory.Befriend(bob)
		mallory.Sees(mallory.Say(bob, "hi"), chat.StateDelivered)
		alice.Befriend(carol)
		alice.Sees(alice.Say(carol, "hi"), chat.StateDelivered)
		forge := func(p, to *chattest.Person, f chat.Forged) []byte {
			packet, err := p.Forge(t.Context(), to.Identity.Account(), to.Identity.Device(), f)
			if err != nil || packet == nil {
				t.Fatalf("%s cannot forge: %v", p.Name, err)
			}
			return packet
		}
		text := func(f chat.Forged) chat.Forged {
			f.Type, f.Kind = chat.BodyContent, chat.KindText
			return f
		}
		honest := forge(alice, bob, text(chat.Forged{Payload: "honest"}))
		before := len(bob.Texts(alice)) + len(bob.Texts(mallory))
		for name, envelope := range map[string][]byte{
			"nothing":                   {},
			"noise":                     bytes.Repeat([]byte{7}, 3000),
			"a packet that is cut":      honest[:len(honest)-1],
			"for Carol":                 forge(alice, carol, text(chat.Forged{Payload: "for Carol"})),
			"into Alice's conversation": forge(mallory, bob, text(chat.Forged{To: bob.With(alice), Payload: "pay Mallory"})),
			"an empty text":             forge(alice, bob, text(chat.Forged{})),
			"a text that is none":       forge(alice, bob, text(chat.Forged{Payload: "\xff"})),
			"a text too long":           forge(alice, bob, text(chat.Forged{Payload: strings.Repeat("x", chat.MaxText+1)})),
			"a receipt for nothing":     forge(alice, bob, chat.Forged{Type: chat.BodyContent, Kind: chat.KindReceipt, Payload: "\x00\x00"}),
			"a card that is none":       forge(alice, bob, chat.Forged{Type: chat.BodyContent, Kind: chat.KindCard, Payload: "card"}),
		} {
			tags, err := bob.Receive(t.Context(), mallory.Identity.Device(), [][]byte{envelope})
			if err != nil || len(tags) != 1 || !zeros(tags[0]) {
				t.Errorf("%s: tag %x, %v; want it dropped with a tag of zeros", name, tags, err)
			}
		}
		if after := len(bob.Texts(alice)) + len(bob.Texts(mallory)); after != before {
			t.Errorf("Bob shows %d messages more", after-before)
		}
		if tags, err := bob.Receive(t.Context(), alice.Identity.Device(), [][]byte{honest}); err != nil || zeros(tags[0]) {
			t.Errorf("Alice's honest packet is not taken: %x, %v", tags, err)
		}
	})
}

// TestACertificateAloneMakesNobody lets Mallory show Alice's certificate with her own keys: the session that comes of it is nobody's.
func TestACertificateAloneMakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		mallory := s.Person("Mallory", chattest.NewMemStore())
		mallory.Identity = mallory.Identity.Pretend(alice.Identity)
		mallory.Start(nil)
		mallory.Adds(bob)
		m := mallory.Say(bob, "it is me, Alice")
		synctest.Wait()
		if got := mallory.Sees(m, chat.StateQueued); got.State != chat.StateQueued {
			t.Errorf("Mallory's message is %s", got.State)
		}
		if texts := bob.Texts(alice); slices.Contains(texts, "it is me, Alice") {
			t.Errorf("Bob takes Mallory for Alice: %q", texts)
		}
	})
}

// TestALostSessionHeals takes Bob's store back to before he met Alice's current session: what she sends arrives all the same.
func TestALostSessionHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t)
		old := chattest.Copy(bob.Store)
		for i := range 50 {
			alice.Sees(alice.Say(bob, fmt.Sprint("a", i)), chat.StateDelivered)
			bob.Sees(bob.Say(alice, fmt.Sprint("b", i)), chat.StateDelivered)
		}
		bob.Stop()
		bob.Store = old
		bob.Start(nil)
		for i := range 10 {
			alice.Say(bob, fmt.Sprint("later ", i))
			bob.Say(alice, fmt.Sprint("later ", i))
		}
		last := alice.Say(bob, "last")
		alice.Sees(last, chat.StateDelivered)
		alice.Sees(alice.Say(bob, "and on"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "and on"), chat.StateDelivered)
		want := []string{"hello"}
		for i := range 10 {
			want = append(want, fmt.Sprint("later ", i))
		}
		want = append(want, "last", "and on")
		if got := bob.Hears(alice, len(want)); !slices.Equal(got, want) {
			t.Errorf("Bob hears %q", got)
		}
		heard := alice.Hears(bob, 1+50+10+1)
		if got := heard[51:]; !slices.Equal(got, append(want[1:11:11], "and on")) {
			t.Errorf("Alice hears %q", got)
		}
	})
}

// TestAfterARestoreNothingOldIsUsed is what a device does that knows its store went back in time.
func TestAfterARestoreNothingOldIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		old := chattest.Copy(bob.Store)
		before, err := bob.SessionStates(t.Context(), alice.Identity.Device())
		if err != nil || len(before) == 0 {
			t.Fatal(err)
		}
		bob.Sees(bob.Say(alice, "x"), chat.StateDelivered)
		bob.Stop()
		bob.Store = old
		bob.Start(nil)
		if err := bob.StartAnew(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent := len(s.Net.Envelopes())
		bob.Sees(bob.Say(alice, "anew"), chat.StateDelivered)
		alice.Sees(alice.Say(bob, "welcome back"), chat.StateDelivered)
		for _, e := range s.Net.Envelopes()[sent:] {
			for _, state := range before {
				if bytes.Contains(e[:min(len(e), 20)], state[2:18]) {
					t.Error("an old session was used after a restore")
				}
			}
		}
		if got := alice.Hears(bob, 3); got[2] != "anew" {
			t.Errorf("Alice hears %q", got)
		}
	})
}

// TestKeysComeAndGo makes generation after generation, with a message on its way to the oldest that is kept.
func TestKeysComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		carol := s.Started("Carol", chattest.NewMemStore())
		synctest.Wait()
		link, err := bob.ContactLink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		bob.Stop()
		for _, p := range []*chattest.Person{alice, carol} {
			if _, err := p.AddContact(t.Context(), link.Link, ""); err != nil {
				t.Fatal(err)
			}
		}
		early := alice.Say(bob, "for your first keys")
		synctest.Wait()
		bob.Start(nil)
		for range chat.MaxGenerations - 1 {
			if err := bob.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		bob.Asked(2)
		bob.Accepts(alice)
		alice.Sees(early, chat.StateDelivered)
		bob.Stop()
		late := carol.Say(bob, "for keys that are gone")
		bob.Start(nil)
		for range chat.MaxGenerations + 1 {
			if err := bob.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		bob.Accepts(carol)
		carol.Sees(late, chat.StateDelivered)
	})
}

// TestAFirstFlightCountsOnce replays it, also after a restart and after the keys that it names were changed.
func TestAFirstFlightCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		first := firstFlights(t, s, alice, bob)
		if len(first) == 0 { // Bob was quicker
			alice, bob = bob, alice
			if first = firstFlights(t, s, alice, bob); len(first) == 0 {
				t.Fatal("no first flight was seen")
			}
		}
		begun, err := bob.SessionStates(t.Context(), alice.Identity.Device())
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			for range times(100, 334) {
				for _, e := range first {
					if _, err := bob.Receive(t.Context(), alice.Identity.Device(), [][]byte{e}); err != nil {
						t.Fatal(err)
					}
				}
			}
			if states, err := bob.SessionStates(t.Context(), alice.Identity.Device()); err != nil || len(states) != len(begun) {
				t.Errorf("round %d: %d sessions, before %d, %v", round, len(states), len(begun), err)
			}
			if texts := bob.Texts(alice); !slices.Equal(texts, []string{"hello", "hello Alice"}) {
				t.Errorf("round %d: Bob shows %q", round, texts)
			}
			bob.Stop()
			bob.Start(nil)
			if err := bob.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// firstFlights returns the first flights of one that the other has taken.
func firstFlights(t *testing.T, s *chattest.Scene, of, at *chattest.Person) (taken [][]byte) {
	t.Helper()
	for _, e := range s.Net.Envelopes() {
		if !chat.IsFirst(e) {
			continue
		}
		if tags, err := at.Receive(t.Context(), of.Identity.Device(), [][]byte{e}); err == nil && !zeros(tags[0]) {
			taken = append(taken, e)
		}
	}
	return taken
}

// TestWhoOnlyReadsSendsASteps lets Alice talk and Bob listen: her chains move on all the same.
func TestWhoOnlyReadsSendsSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t)
		before, _ := alice.SessionStates(t.Context(), bob.Identity.Device())
		for i := range 350 {
			alice.Say(bob, fmt.Sprint(i))
		}
		bob.Hears(alice, 351)
		alice.Sees(alice.Say(bob, "done"), chat.StateDelivered)
		synctest.Wait()
		after, err := alice.SessionStates(t.Context(), bob.Identity.Device())
		if err != nil {
			t.Fatal(err)
		}
		moved := 0
		for _, state := range after {
			if !slices.ContainsFunc(before, func(b []byte) bool { return bytes.Equal(b[50:82], state[50:82]) }) { // the root
				moved++
			}
		}
		if moved == 0 {
			t.Error("the root did not move")
		}
	})
}

// TestBothBeginAtOnce keeps both sessions, and settles on one.
func TestBothBeginAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		s.Net.SetFaults(chattest.Faults{Lose: 1})
		alice.Befriend(bob)
		bob.Befriend(alice)
		a, b := alice.Say(bob, "first"), bob.Say(alice, "first")
		synctest.Wait()
		s.Net.SetFaults(chattest.Faults{})
		alice.Sees(a, chat.StateDelivered)
		bob.Sees(b, chat.StateDelivered)
		alice.Sees(alice.Say(bob, "second"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "second"), chat.StateDelivered)
		if got := alice.Texts(bob); len(got) != 4 {
			t.Errorf("Alice shows %q", got)
		}
	})
}

// Alice waits for an answer of Bob's for two days, and looks his device up again and again: his one-time keys are for others too.
func TestWhoWaitsDoesNotUseUpTheOneTimeKeys(t *testing.T) {
	synctest.Test(t, inTown("AB", func(t *testing.T, _ *chattest.Scene, people []*chattest.Person) {
		alice, bob := people[0], people[1]
		time.Sleep(time.Minute) // the keys are made
		alice.Adds(bob)
		bob.Asked(1)
		time.Sleep(48 * time.Hour)
		count := func(kind chat.SecretKind) (n int) {
			err := bob.Look(t.Context(), func(tx chat.Tx) error {
				rows, err := tx.Secrets(kind, chat.MaxGiven)
				n = len(rows)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if there, given := count(chat.SecretOneTime), count(chat.SecretGiven); there < chat.OneTimePairs-1 || given > 1 {
			t.Errorf("%d pairs lie ready, and %d were given away and not used", there, given)
		}
	}))
}

// TestOneTimeKeysAreGivenAwayOnce takes all that Bob has: the last resort serves whoever comes later.
func TestOneTimeKeysAreGivenAwayOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		bob := s.Started("Bob", chattest.NewMemStore())
		synctest.Wait()
		given := map[string]bool{}
		for {
			signed, err := bob.OneTime(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if signed == nil {
				break
			}
			pair, err := wire.ParseOneTime(signed)
			if err != nil || pair.Device != string(bob.Identity.Device()) || given[string(pair.Exchange)] {
				t.Fatalf("%v, given before: %v", err, given[string(pair.Exchange)])
			}
			given[string(pair.Exchange)] = true
		}
		if len(given) != chat.OneTimePairs {
			t.Errorf("%d pairs were given away", len(given))
		}
		alice := s.Started("Alice", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "hello"), chat.StateDelivered)
	})
}

// TestADeviceThatIsRevokedIsOut gives Alice a second device, and takes it away again.
func TestADeviceThatIsRevokedIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		bob := s.Started("Bob", chattest.NewMemStore())
		alice := s.Person("Alice", chattest.NewMemStore())
		phone := s.Person("Alice", chattest.NewMemStore())
		phone.Identity = alice.Identity.Link("phone")
		alice.Start(nil)
		phone.Start(nil)
		bob.Befriend(alice)
		phone.Befriend(bob)
		bob.Sees(bob.Say(alice, "to both"), chat.StateDelivered)
		for _, device := range []*chattest.Person{alice, phone} {
			if got := device.Hears(bob, 1); got[0] != "to both" {
				t.Errorf("a device of Alice hears %q", got)
			}
		}
		phone.Sees(phone.Say(bob, "from the phone"), chat.StateDelivered)

		stolen := phone.Identity.Device()
		alice.Identity.Revoke(stolen)
		alice.Stop()
		alice.Start(nil) // publishes the new record, and says so at its next chain
		alice.Sees(alice.Say(bob, "my phone is gone"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "oh no"), chat.StateDelivered)
		time.Sleep(time.Minute) // her record may be published behind what she says, and Bob looks once more then
		m := phone.Say(bob, "I am Alice")
		synctest.Wait()
		if texts := bob.Texts(alice); slices.Contains(texts, "I am Alice") {
			t.Errorf("a revoked device is heard: %q", texts)
		}
		if m = phone.Sees(m, chat.StateQueued); m.State != chat.StateQueued {
			t.Errorf("the thief's message is %s", m.State)
		}
		heard := len(phone.Texts(bob))
		bob.Sees(bob.Say(alice, "only for the laptop"), chat.StateDelivered)
		synctest.Wait()
		if len(phone.Texts(bob)) != heard {
			t.Error("a revoked device is written to")
		}
		if states, err := bob.SessionStates(t.Context(), stolen); err != nil || len(states) != 0 {
			t.Errorf("%d sessions with a revoked device are kept, %v", len(states), err)
		}
	})
}
