package chat_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"parley/chat"
	"parley/chat/chattest"
)

// counted is a store that counts how often somebody looks into it.
type counted struct {
	chat.Store
	views atomic.Int64
}

func (c *counted) View(ctx context.Context, fn func(chat.Tx) error) error {
	c.views.Add(1)
	return c.Store.View(ctx, fn)
}

// Alice has a stream open to Bob, and another to Carol, when Bob makes new keys. As soon as she knows, the one to Bob takes nothing more, and
// the next one is sealed to what he has now; the one to Carol goes on. Between such news nobody looks into the store.
func TestAStreamEndsWithItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		store := &counted{Store: chattest.NewMemStore()}
		alice, bob, carol := s.Started("Alice", store), s.Started("Bob", chattest.NewMemStore()), s.Started("Carol", chattest.NewMemStore())
		for _, p := range []*chattest.Person{bob, carol} {
			alice.Befriend(p)
			alice.Sees(alice.Say(p, "hello"), chat.StateDelivered)
		}
		synctest.Wait()
		open := func(to *chattest.Person) (seal func([]byte) ([]byte, error)) {
			header, next, err := alice.SealStream(to.Identity.Device())
			if err != nil {
				t.Fatal(err)
			}
			taken, err := to.OpenStream(alice.Identity.Device(), header)
			if err != nil {
				t.Fatal(err)
			}
			return func(envelope []byte) ([]byte, error) {
				record, err := next(envelope)
				if err != nil {
					return nil, err
				}
				return taken(record)
			}
		}
		toBob, toCarol := open(bob), open(carol)
		looked := store.views.Load()
		for range 100 {
			if b, err := toBob([]byte("x")); err != nil || string(b) != "x" {
				t.Fatal(string(b), err)
			}
		}
		if n := store.views.Load() - looked; n != 0 {
			t.Errorf("%d looks into the store for 100 records", n)
		}
		if err := bob.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		bob.Sees(bob.Say(alice, "I have new keys"), chat.StateDelivered)
		alice.Sees(alice.Say(bob, "so do say it"), chat.StateDelivered)
		bob.Sees(bob.Say(alice, "at the beginning of a chain"), chat.StateDelivered)
		synctest.Wait()
		var end interface{ Outdated() bool }
		for range 2 {
			if _, err := toBob([]byte("x")); !errors.As(err, &end) || !end.Outdated() {
				t.Errorf("a stream to Bob's old key: %v", err)
			}
		}
		toBob, looked = open(bob), store.views.Load()
		for range 100 {
			_, err1 := toBob([]byte("x"))
			_, err2 := toCarol([]byte("x"))
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
		}
		if n := store.views.Load() - looked; n != 1 {
			t.Errorf("%d looks into the store; one for Carol's stream was to be", n)
		}
	})
}
