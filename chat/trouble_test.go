package chat_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"parley/chat"
	"parley/chat/chattest"
)

// troubled is a store to which something happens before each of its writes.
type troubled struct {
	chat.Store
	before atomic.Pointer[func() error]
}

func (s *troubled) Update(ctx context.Context, fn func(chat.Tx) error) error {
	if before := s.before.Load(); before != nil {
		if err := (*before)(); err != nil {
			return err
		}
	}
	return s.Store.Update(ctx, fn)
}

// One of the sends that share a transaction panics, and its caller goes on after that: the others learn that theirs are not sent, and
// whoever sends later can.
func TestAPanicInASendHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		store := &troubled{Store: chattest.NewMemStore()}
		alice, bob := s.Started("Alice", store), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "0"), chat.StateDelivered)
		alice.Stop() // what she sends waits, and nobody else writes
		synctest.Wait()
		gate, writes := make(chan struct{}), 0
		before := func() error {
			switch writes++; writes {
			case 1:
				<-gate
			case 2:
				panic("the store breaks")
			}
			return nil
		}
		store.before.Store(&before)
		var errs [5]error
		send := func(n int) {
			defer func() {
				if what := recover(); what != nil {
					errs[n] = fmt.Errorf("panic: %v", what)
				}
			}()
			_, errs[n] = alice.Send(t.Context(), chat.Draft{Conversation: alice.With(bob), Text: fmt.Sprint(n)})
		}
		for n := 1; n < len(errs); n++ {
			go send(n)
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		for n, err := range errs {
			if failed := n >= 2; (err != nil) != failed {
				t.Errorf("send %d: %v", n, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := alice.Send(ctx, chat.Draft{Conversation: alice.With(bob), Text: "5"}); err != nil {
			t.Error(err)
		}
		if texts := alice.Texts(bob); !slices.Equal(texts, []string{"0", "1", "5"}) {
			t.Errorf("alice has %q", texts)
		}
	})
}

// Alice's disk is full for a while. What is written to see whether it still is says of her account record what is so.
func TestTheEndOfTroubleIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		store := &troubled{Store: chattest.NewMemStore()}
		alice := s.Person("Alice", store)
		alice.Identity.Link("phone") // so that it is not her first record
		alice.Start(nil)
		synctest.Wait()
		full := func() error { return errors.New("the disk is full") }
		store.before.Store(&full)
		if err := alice.Rotate(t.Context()); err == nil {
			t.Fatal("it writes")
		}
		time.Sleep(2 * chat.RetryMax)
		store.before.Store(nil)
		time.Sleep(2 * chat.RetryFirst)
		if status, err := alice.Status(t.Context()); err != nil || status.Trouble != "" {
			t.Errorf("trouble: %q, %v", status.Trouble, err)
		}
		key := chat.RecordKeys(alice.Identity.Account(), alice.Identity.Device())[0]
		valid := chat.Validators()["account"]
		if err := alice.Look(t.Context(), func(tx chat.Tx) error {
			row, _, err1 := tx.Record(key)
			sequence, err2 := valid(key[len("/account/"):], row.Value)
			if row.Sequence != sequence || sequence < 2 {
				t.Errorf("kept as number %d, and is %d", row.Sequence, sequence)
			}
			return errors.Join(err1, err2)
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// A disk that is full for a night leaves two lines in the log, not one a second.
func TestAFullDiskIsLoggedOnceAndItsEndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		s := chattest.NewScene(t, 1)
		s.Log = zap.New(core)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		for night := range 2 {
			alice.Keys.Break(errors.New("no space left on device"))
			for range 100 {
				alice.Say(bob, "are you there?")
				time.Sleep(time.Minute)
			}
			alice.Keys.Break(nil)
			time.Sleep(time.Minute)
			for what, n := range map[string]int{"is behind": night + 1, "is up to date again": night + 1} {
				if logged := logs.FilterMessageSnippet(what).Len(); logged != n {
					t.Errorf("after %d nights the log says %d times that the note %s", night+1, logged, what)
				}
			}
		}
		alice.Stop()
	})
}
