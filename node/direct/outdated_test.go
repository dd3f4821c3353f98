package direct

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/direct/directtest"
)

// changing is Alice's boxes while she hears of new keys of Bob's: key counts them, and before is called before each envelope is sealed.
type changing struct {
	*directtest.Boxes
	key    atomic.Int64
	before func()
}

type keyChanged struct{}

func (keyChanged) Error() string  { return "Bob has another key" }
func (keyChanged) Outdated() bool { return true }

func (c *changing) SealStream(device peer.ID) ([]byte, func([]byte) ([]byte, error), error) {
	key := c.key.Load()
	header, seal, err := c.Boxes.SealStream(device)
	return header, func(envelope []byte) ([]byte, error) {
		if c.before(); c.key.Load() != key {
			return nil, fmt.Errorf("seal: %w", keyChanged{})
		}
		return seal(envelope)
	}, err
}

// withChanges makes Alice hear of a new key before each envelope whose number, from 1, is among those that are given. (An envelope that has
// to be sealed again counts again.)
func (s *scene) withChanges(at ...int) *changing {
	c, sealed := &changing{Boxes: directtest.NewBoxes(s.alice.ID())}, 0
	c.before = func() {
		if sealed++; slices.Contains(at, sealed) {
			c.key.Add(1)
		}
	}
	s.sender.boxes = c
	return c
}

// openStreams counts the streams that Alice has to Bob.
func (s *scene) openStreams() (open int) {
	for _, c := range s.alice.Network().ConnsToPeer(s.bob.ID()) {
		for _, stream := range c.GetStreams() {
			if stream.Protocol() == Protocol {
				open++
			}
		}
	}
	return open
}

// TestANewKeyOnTheWay lets Alice hear of Bob's new key at every place of a delivery, long envelopes and short ones: what she has sealed counts,
// the rest goes over another stream, and everything arrives once, in order.
func TestANewKeyOnTheWay(t *testing.T) {
	for at := 2; at <= 9; at++ { // before the first there is no stream yet whose key could change
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			s := newScene(t)
			s.inbox.refuses = func(e []byte) bool { return e[0] == 'r' }
			s.withChanges(at)
			all := letters(4)
			for i := range 4 {
				all = append(all, []byte(fmt.Sprint("refused", i)), []byte(strings.Repeat("x", WriteBuffer-i)))
			}
			s.mustDeliver(all...)
			s.mustDeliver([]byte("last"))
			want := slices.DeleteFunc(texts(append(all, []byte("last"))), func(e string) bool { return e[0] == 'r' })
			if got := s.inbox.all(); !slices.Equal(got, want) {
				t.Errorf("Bob has %d envelopes of %d, or in another order", len(got), len(want))
			}
			if s.opened != 2 || s.openStreams() > 1 {
				t.Errorf("%d streams were opened, %d are open", s.opened, s.openStreams())
			}
		})
	}
}

// TestANewKeyBetweenDeliveries begins a new stream with the first envelope after the change, and leaves the old one closed.
func TestANewKeyBetweenDeliveries(t *testing.T) {
	s := newScene(t)
	c := s.withChanges()
	for i := range 5 {
		s.mustDeliver([]byte(fmt.Sprint(i)))
		c.key.Add(1)
	}
	if got := s.inbox.all(); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) || s.opened != 5 || s.openStreams() > 1 {
		t.Errorf("Bob has %q over %d streams, of which %d are open", got, s.opened, s.openStreams())
	}
}

// TestNewKeysWhileManyDeliver has ten calls at once, and a new key now and then: no call's envelopes get between those of another.
func TestNewKeysWhileManyDeliver(t *testing.T) {
	for seed := range uint64(10) {
		s, rng := newScene(t), rand.New(rand.NewPCG(seed, 0))
		var at []int
		for next := 2; next < 400; next += 2 + rng.IntN(20) { // a key that changes as soon as it is used is another story
			at = append(at, next)
		}
		s.withChanges(at...)
		var calls sync.WaitGroup
		for call := range 10 {
			calls.Go(func() {
				var all [][]byte
				for i := range 30 {
					all = append(all, []byte(fmt.Sprintf("%d/%02d", call, i)))
				}
				s.mustDeliver(all...)
			})
		}
		calls.Wait()
		got := s.inbox.all()
		if len(got) != 300 {
			t.Fatalf("seed %d: Bob has %d envelopes", seed, len(got))
		}
		for i, text := range got {
			if call, n, _ := strings.Cut(text, "/"); n != fmt.Sprintf("%02d", i%30) || call != got[i-i%30][:1] {
				t.Fatalf("seed %d: at %d Bob has %q, after %q", seed, i, text, got[max(0, i-1)])
			}
		}
	}
}

// TestAKeyThatAlwaysChanges ends with an error, instead of with a stream for ever.
func TestAKeyThatAlwaysChanges(t *testing.T) {
	s := newScene(t)
	c := s.withChanges()
	c.before = func() { c.key.Add(1) }
	if n, err := s.deliver(t.Context(), []byte("hello")); n != 0 || !errors.Is(err, errOutdated) {
		t.Errorf("%d delivered, %v", n, err)
	}
	if s.opened > 2 {
		t.Errorf("%d streams were opened", s.opened)
	}
	c.before = func() {}
	s.mustDeliver([]byte("at last"))
}
