package chattest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
)

func TestMemStore(t *testing.T) {
	TestStore(t, func(*testing.T) chat.Store { return NewMemStore() })
}

// In a bubble time stands still while goroutines contend for the store, and goes on when they wait for something else.
func TestMemStoreInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemStore()
		began := time.Now()
		for n := range 50 {
			go func() {
				time.Sleep(time.Minute)
				store.Update(t.Context(), func(tx chat.Tx) error { return tx.InsertMessage(textTo("Bob", n)) })
			}()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		var queued int
		store.View(context.Background(), func(tx chat.Tx) error {
			stats, err := tx.Stats()
			queued = stats.Queued
			return err
		})
		if queued != 50 || time.Since(began) != time.Hour {
			t.Errorf("%d messages after %v", queued, time.Since(began))
		}
	})
}

// A suite that passes everything is worth nothing: these stores are broken on purpose, and must be found out.
func TestStoreFindsBrokenStores(t *testing.T) {
	for name, broken := range map[string]chat.Store{
		"UpdateAllOrNothing":   keepsWhatFailed{NewMemStore()},
		"UpdateSwallowedError": forgiving{NewMemStore()},
		"EndedContext":         deaf{NewMemStore()},
	} {
		for _, p := range promises() {
			if p.name != name {
				continue
			}
			if passes(p, broken) {
				t.Errorf("%s passes on a %T", name, broken)
			}
			if !passes(p, NewMemStore()) {
				t.Errorf("%s fails on a store that is whole", name)
			}
		}
	}
}

// passes runs one promise where its failure is nobody's.
func passes(p promise, s chat.Store) bool {
	var inner testing.T
	done := make(chan bool)
	go func() { // a failing test ends its goroutine
		defer func() {
			recover() // a test without a runner cannot log
			done <- !inner.Failed()
		}()
		p.check(ledger{&inner, s})
	}()
	return <-done
}

// keepsWhatFailed commits whatever the function returns.
type keepsWhatFailed struct{ chat.Store }

func (s keepsWhatFailed) Update(ctx context.Context, fn func(chat.Tx) error) (err error) {
	return errors.Join(s.Store.Update(ctx, func(tx chat.Tx) error {
		err = fn(tx)
		return nil
	}), err)
}

// forgiving hides errors that a function does not return.
type forgiving struct{ chat.Store }

func (s forgiving) Update(ctx context.Context, fn func(chat.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	if err != nil && fmt.Sprint(err) != errOnPurpose.Error() {
		return nil
	}
	return err
}

// deaf does not care who waits.
type deaf struct{ chat.Store }

func (s deaf) Update(_ context.Context, fn func(chat.Tx) error) error {
	return s.Store.Update(context.Background(), fn)
}
