package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
)

// shaky is a store whose host may die before anything was done, or after it was done and before anybody was told.
type shaky struct {
	*mailboxtest.Store
	mu    sync.Mutex
	rng   *rand.Rand
	calm  bool
	steps chan struct{} // one for each step that is a good moment to kill somebody
}

var errDied = errors.New("the host has died")

func (s *shaky) fault() (before, after error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calm {
		return nil, nil
	}
	select {
	case s.steps <- struct{}{}:
	default:
	}
	switch s.rng.IntN(12) {
	case 0:
		return errDied, nil
	case 1:
		return nil, errDied
	}
	return nil, nil
}

func (s *shaky) Deposit(ctx context.Context, d mailbox.Deposit, q mailbox.Quota) (mailbox.Verdict, error) {
	before, after := s.fault()
	if before != nil {
		return 0, before
	}
	v, err := s.Store.Deposit(ctx, d, q)
	return v, errors.Join(err, after)
}

func (s *shaky) Lease(ctx context.Context, l mailbox.Lease) ([]mailbox.Box, error) {
	before, after := s.fault()
	if before != nil {
		return nil, before
	}
	boxes, err := s.Store.Lease(ctx, l)
	return boxes, errors.Join(err, after)
}

func (s *shaky) Delete(ctx context.Context, owner peer.ID, ids []mailbox.DepositID) error {
	before, after := s.fault()
	if before != nil {
		return before
	}
	return errors.Join(s.Store.Delete(ctx, owner, ids), after)
}

// TestNothingIsLost kills host, owner and connections at any moment, hundreds of times: whatever Alice was told to be stored Bob gets.
func TestNothingIsLost(t *testing.T) {
	const kills = 500 // of each
	s := newScene(t)
	store := &shaky{Store: s.store, rng: rand.New(rand.NewPCG(4, 2)), steps: make(chan struct{}, 1)}
	s.serve(hosting(store))
	s.opened = s.lanes()
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()

	var stored atomic.Int64
	var working sync.WaitGroup
	var over atomic.Bool
	working.Go(func() { // Alice deposits one after the other, each until it is stored
		for i := 0; !over.Load(); i++ {
			box := fmt.Appendf(nil, "box %d", i)
			for ctx.Err() == nil {
				if n, _ := s.tries(ctx, box); n == 1 {
					stored.Add(1)
					break
				}
			}
		}
	})
	d := newDesk()
	var crash atomic.Pointer[context.CancelFunc] // ends Bob's present fetch
	nobody := func() {}
	crash.Store((*context.CancelFunc)(&nobody))
	working.Go(func() { // Bob fetches, and opens his mailbox when he has to
		for ctx.Err() == nil {
			fetching, stop := context.WithCancel(ctx)
			crash.Store(&stop)
			err := mailbox.Fetch(fetching, s.bob, mailbox.Fetching{
				Host: s.home.ID(), Lanes: s.opened, Began: func() {}, Take: d.take, Drained: d.drain,
				Pause: func(context.Context, int) error { return nil }, Silence: patient,
			})
			if errors.Is(err, mailbox.ErrOtherLanes) {
				_, _ = mailbox.Open(fetching, s.bob, s.home.ID(), s.opened)
			}
			_ = s.bob.Connect(fetching, peer.AddrInfo{ID: s.home.ID(), Addrs: s.home.Addrs()})
			stop()
		}
	})
	for i := range 3 * kills {
		<-store.steps
		switch i % 3 {
		case 0:
			s.dies(store)
		case 1:
			(*crash.Load())()
		case 2:
			_ = s.home.Network().ClosePeer([]peer.ID{s.bob.ID(), s.alice.ID()}[i%2])
		}
	}
	over.Store(true)
	store.mu.Lock()
	store.calm = true
	store.mu.Unlock()
	s.waits("Bob to have everything", func() bool {
		return d.drains() > 0 && len(distinct(d.all())) >= int(stored.Load()) && s.store.Kept(s.bob.ID()).Boxes == 0
	})
	cancel()
	working.Wait()
	got := distinct(d.all())
	for i := range int(stored.Load()) {
		if !slices.Contains(got, fmt.Sprint("box ", i)) {
			t.Errorf("box %d was stored, and is lost", i)
		}
	}
	t.Logf("%d boxes were stored, and taken %d times, with %d hosts, fetches and connections killed each", stored.Load(), len(d.all()), kills)
}

// tries deposits once, on a connection of its own if there is none.
func (s *scene) tries(ctx context.Context, box []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := s.alice.Connect(ctx, peer.AddrInfo{ID: s.home.ID(), Addrs: s.home.Addrs()}); err != nil {
		return 0, err
	}
	at := mailbox.Mailbox{Host: s.home.ID(), Cap: s.capability}
	return mailbox.Leave(ctx, s.alice, at, s.bob.ID(), 1, func(int) (mailbox.Box, error) {
		return mailbox.Box{ID: mailbox.IDOf(s.bob.ID(), [][]byte{box}), Box: box}, nil
	})
}

// dies ends the host without grace, and begins another on what it has stored.
func (s *scene) dies(store mailbox.Store) {
	s.server.Stop(s.home, 0)
	server := mailbox.NewServer(s.home, hosting(store))
	server.Hurry(patient, patient, time.Second)
	server.Serve(s.home)
	s.server = server
}

func distinct(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// TestNobodyGuessesALane has a stranger try a million capabilities at a mailbox that is open for one contact.
func TestNobodyGuessesALane(t *testing.T) {
	store, quota, now := mailboxtest.NewStore(), mailbox.DefaultQuota(), time.Unix(1, 0)
	bob, host := mailboxtest.Peer(1), mailboxtest.Peer(2)
	lanes := []mailbox.Lane{{Key: mailbox.LaneOf(capability(1)), Class: mailbox.ClassContact}}
	if _, err := store.Open(t.Context(), bob, host, lanes, quota, now); err != nil {
		t.Fatal(err)
	}
	rng := rand.NewChaCha8([32]byte{1})
	d := mailbox.Deposit{Owner: bob, Host: host, Box: []byte("box"), At: now}
	for range 1_000_000 {
		_, _ = rng.Read(d.Lane[:]) // never fails
		if v, err := store.Deposit(t.Context(), d, quota); err != nil || v != mailbox.Closed {
			t.Fatalf("lane %x: %d, %v", d.Lane, v, err)
		}
	}
}
