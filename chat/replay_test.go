package chat_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/chattest"
)

// recorder notes what Bob is handed, and what he says to it.
type recorder struct {
	*chat.Messenger

	mu     sync.Mutex
	frames [][]byte
	tags   [][]byte
}

func (r *recorder) Receive(ctx context.Context, from peer.ID, envelopes [][]byte) ([][]byte, error) {
	tags, err := r.Messenger.Receive(ctx, from, envelopes)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.frames, r.tags = append(r.frames, envelopes...), append(r.tags, tags...)
	}
	return tags, err
}

// count is how many frames there were so far.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

// A thousand frames between Alice and Bob were recorded. Whoever offers them again, ten times, in whatever order, over restarts, gets of Bob the
// same acknowledgements as the first time, and of Carol none; nobody's store changes by it.
func TestRecordedFramesChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		carol, tape := s.Started("Carol", chattest.NewMemStore()), &recorder{Messenger: bob.Messenger}
		s.Net.Plug(bob.Identity.Device(), tape)
		frames := times(200, 1000)
		for i := 0; tape.count() < frames; i++ {
			alice.Say(bob, fmt.Sprint(i))
			if i%20 == 0 {
				alice.Sees(alice.Say(bob, "answer me"), chat.StateDelivered)
				bob.Sees(bob.Say(alice, fmt.Sprint("answer ", i)), chat.StateDelivered)
			}
		}
		synctest.Wait()
		rng, asked := rand.New(rand.NewPCG(1, 1)), 0
		for round := range 10 {
			before := [2]chat.Store{chattest.Copy(bob.Store), chattest.Copy(carol.Store)}
			order := rng.Perm(len(tape.frames))
			for batch := range slices.Chunk(order, 1+rng.IntN(30)) {
				var again [][]byte
				for _, i := range batch {
					again = append(again, tape.frames[i])
				}
				got, err1 := bob.Receive(t.Context(), alice.Identity.Device(), again)
				foreign, err2 := carol.Receive(t.Context(), alice.Identity.Device(), again)
				if err1 != nil || err2 != nil {
					t.Fatal(err1, err2)
				}
				for n, i := range batch {
					if asked++; !bytes.Equal(got[n], tape.tags[i]) || zeros(got[n]) || !zeros(foreign[n]) {
						t.Fatalf("round %d, frame %d: Bob says %x, before %x; Carol says %x", round, i, got[n], tape.tags[i], foreign[n])
					}
				}
			}
			synctest.Wait()
			for i, p := range []*chattest.Person{bob, carol} {
				if !reflect.DeepEqual(before[i], chattest.Copy(p.Store)) {
					t.Fatalf("round %d: %s's store has changed", round, p.Name)
				}
				p.Stop()
				p.Start(nil)
			}
			synctest.Wait()
		}
		if asked < 10*frames {
			t.Errorf("%d frames were offered again", asked)
		}
	})
}

// keyStore returns all rows that hold Bob's keys, as they are in his store.
func keyStore(t *testing.T, bob *chattest.Person, others ...*chattest.Person) (rows []any) {
	t.Helper()
	err := bob.Store.View(t.Context(), func(tx chat.Tx) error {
		for _, kind := range []chat.SecretKind{chat.SecretGeneration, chat.SecretOneTime, chat.SecretGiven, chat.SecretBundle, chat.SecretHandshake} {
			secrets, err := tx.Secrets(kind, chat.MaxHandshakes)
			if err != nil {
				return err
			}
			slices.SortFunc(secrets, func(a, b chat.SecretRow) int { return bytes.Compare(a.Key, b.Key) })
			rows = append(rows, secrets)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range others {
		states, err := bob.SessionStates(t.Context(), p.Identity.Device())
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(states, bytes.Compare)
		rows = append(rows, states)
	}
	return rows
}

// A first flight of Alice's, with a one-time pair, is brought to Bob ten thousand times with something wrong in it. It uses up no key; the
// honest one does.
func TestCorruptedFirstFlightsUseUpNoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		carol := s.Started("Carol", chattest.NewMemStore())
		carol.Befriend(bob)
		carol.Sees(carol.Say(bob, "hello"), chat.StateDelivered)
		first := firstFlight(t, alice, bob, true)
		synctest.Wait()
		s.Net.SetFaults(chattest.Faults{Lose: 1})
		before, rng := keyStore(t, bob, alice), rand.New(rand.NewPCG(1, 1))
		for range times(1000, 10_000) {
			bad := slices.Clone(first)
			switch at := rng.IntN(len(bad)); rng.IntN(8) {
			case 0:
				bad = bad[:at]
			case 1:
				bad = slices.Insert(bad, at, byte(rng.Uint32()))
			case 2:
				bad = slices.Delete(bad, at, at+1)
			default:
				bad[at] ^= 1 << rng.IntN(8)
			}
			if bytes.Equal(bad, first) {
				continue
			}
			// Carol, a contact, brings it: what strangers bring is not even opened beyond a few a second.
			if tags, err := bob.Receive(t.Context(), carol.Identity.Device(), [][]byte{bad}); err != nil || !zeros(tags[0]) {
				t.Fatalf("%x, %v", tags, err)
			}
		}
		synctest.Wait()
		if !reflect.DeepEqual(keyStore(t, bob, alice), before) {
			t.Error("Bob's keys have changed")
		}
		if tags, err := bob.Receive(t.Context(), carol.Identity.Device(), [][]byte{first}); err != nil || zeros(tags[0]) {
			t.Errorf("the honest one does not open: %x, %v", tags, err)
		}
		if reflect.DeepEqual(keyStore(t, bob, alice), before) {
			t.Error("the honest one has used no key")
		}
	})
}

// Bob's device record has a new version, and wherever Alice asks she is given the one before: she keeps what she has, over restarts too.
func TestAStaleRecordRollsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		key := "/device/" + bob.Identity.Device().String()
		stale := s.Net.Record(key)
		if err := bob.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		newest := s.Net.Record(key)
		if err := alice.Resolve(t.Context(), bob.Identity.Account()); err != nil {
			t.Fatal(err)
		}
		bob.Stop()
		s.Net.SetRecord(key, stale)
		for i := range 1000 {
			if i%50 == 49 {
				alice.Stop()
				alice.Start(nil)
			}
			if err := alice.Resolve(t.Context(), bob.Identity.Account()); err != nil {
				t.Fatal(err)
			}
			err := alice.Look(t.Context(), func(tx chat.Tx) error {
				row, _, err := tx.Record(key)
				if !bytes.Equal(row.Value, newest) {
					t.Fatalf("try %d: Alice has gone back", i)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Valid records of Alice and Bob are changed in ten thousand ways: none is taken for anybody's.
func TestMutatedRecordsAreNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, alice, bob := friends(t)
		mallory := s.Started("Mallory", chattest.NewMemStore())
		synctest.Wait()
		valid, rng := chat.Validators(), rand.New(rand.NewPCG(1, 1))
		type place struct{ noun, id string }
		var places []place
		records := map[place][]byte{}
		for _, p := range []*chattest.Person{alice, bob, mallory} {
			for _, key := range chat.RecordKeys(p.Identity.Account(), p.Identity.Device())[:2] {
				noun, id, _ := bytes.Cut([]byte(key[1:]), []byte("/"))
				at := place{string(noun), string(id)}
				places, records[at] = append(places, at), s.Net.Record(key)
				if _, err := valid[at.noun](at.id, records[at]); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range times(2000, 10_000) {
			at := places[rng.IntN(len(places))]
			other := records[places[rng.IntN(len(places))]]
			bad := slices.Clone(records[at])
			switch n := rng.IntN(len(bad)); rng.IntN(6) {
			case 0:
				bad = bad[:n]
			case 1:
				bad = slices.Insert(bad, n, byte(rng.Uint32()))
			case 2: // somebody else's, whole
				bad = other
			case 3: // the signature of another record, or another's name in this one
				copy(bad[n:], other[min(n, len(other)):])
			default:
				bad[n] ^= 1 << rng.IntN(8)
			}
			if bytes.Equal(bad, records[at]) {
				continue
			}
			if sequence, err := valid[at.noun](at.id, bad); err == nil {
				t.Errorf("mutation %d of a record of %s is taken, as number %d", i, at.noun, sequence)
			}
		}
	})
}
