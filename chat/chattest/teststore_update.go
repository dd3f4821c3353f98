package chattest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"parley/chat"
)

// writeEverywhere writes one row of every kind.
func writeEverywhere(tx chat.Tx) error {
	_, err := tx.AppendEvent(chat.Event{Type: chat.EventMessageQueued, At: noon()})
	return errors.Join(err,
		tx.InsertMessage(textTo("Bob", 1)),
		tx.PutConversation(chat.ConversationRow{ID: talk("Bob"), At: noon()}),
		tx.InsertOutbox(envelopeFor("bob", 1)),
		tx.AddUnaddressed(chat.WaitingRow{Account: accountOf("Bob"), Message: rowOf(1)}),
		tx.InsertSeen(chat.SeenRow{ID: chat.EnvelopeIDOf(nil), At: noon()}),
		tx.PutContact(chat.ContactRow{Account: accountOf("Bob"), At: noon()}),
		tx.PutRequest(chat.RequestRow{Account: accountOf("Carol"), State: chat.RequestPending, At: noon()}),
		tx.PutHeld(chat.HeldRow{Message: messageID(1), Account: accountOf("Carol"), Device: "phone", At: noon()}),
		tx.PutRecord(chat.RecordRow{Key: "/account/x", At: noon()}),
		tx.SetMessageState(chat.MessageRow{Row: rowOf(1), State: chat.StateSent}),
	)
}

// empty expects that nothing of writeEverywhere is there.
func (l ledger) empty(after string) {
	l.Helper()
	l.view(func(tx chat.Tx) error {
		_, message, err1 := only(tx.MessagesAt(rowOf(1)))
		_, conversation, err2 := tx.Conversation(talk("Bob"))
		outbox, err3 := tx.OutboxOf("bob", chat.RowID{}, 1)
		waiting, err4 := tx.WaitingAccounts()
		_, seen, err5 := only(tx.Seen(chat.EnvelopeIDOf(nil)))
		contacts, err6 := tx.Contacts()
		_, record, err7 := tx.Record("/account/x")
		stats, err8 := tx.Stats()
		requests, err9 := tx.Requests()
		held, err10 := tx.HeldOf(accountOf("Carol"))
		if message || conversation || seen || record || len(outbox)+len(waiting)+len(contacts)+len(requests)+len(held) > 0 || stats.LastEvent > 0 {
			l.Errorf("%s: message %v, conversation %v, outbox %d, waiting %d, seen %v, contacts %d, record %v, stats %+v, requests %d, held %d",
				after, message, conversation, len(outbox), len(waiting), seen, len(contacts), record, stats, len(requests), len(held))
		}
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10)
	})
}

func testUpdateAllOrNothing(l ledger) {
	err := l.store.Update(context.Background(), func(tx chat.Tx) error {
		if err := writeEverywhere(tx); err != nil {
			return err
		}
		return fmt.Errorf("changed our mind: %w", errOnPurpose)
	})
	if !errors.Is(err, errOnPurpose) {
		l.Errorf("update returned %v, want what the function returned", err)
	}
	l.empty("after an error")
	l.update(writeEverywhere)
	m, ok := l.message(rowOf(1))
	if !ok || m.State != chat.StateSent {
		l.Errorf("after a retry: %v, %v", ok, m.State)
	}
}

// PostgreSQL would refuse everything after an error, so no store may let a function pass over one.
func testUpdateSwallowedError(l ledger) {
	l.insert(textTo("Bob", 7))
	l.refused("a swallowed error", func(tx chat.Tx) error {
		tx.InsertMessage(textTo("Bob", 7))
		writeEverywhere(tx)
		return nil
	})
	l.empty("after a swallowed error")
}

func testUpdatePanic(l ledger) {
	func() {
		defer func() {
			if recover() == nil {
				l.Error("the panic did not reach the caller")
			}
		}()
		l.store.Update(context.Background(), func(tx chat.Tx) error {
			writeEverywhere(tx)
			panic(errOnPurpose)
		})
	}()
	l.empty("after a panic")
	l.update(writeEverywhere)
}

func testEndedContext(l ledger) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	never := func(chat.Tx) error {
		l.Error("ran although nobody waits any more")
		return nil
	}
	if err := l.store.Update(ctx, never); !errors.Is(err, context.Canceled) {
		l.Errorf("update returned %v", err)
	}
	if err := l.store.View(ctx, never); !errors.Is(err, context.Canceled) {
		l.Errorf("view returned %v", err)
	}
}

func testViewDoesNotWrite(l ledger) {
	err := l.store.View(context.Background(), writeEverywhere)
	if err == nil {
		l.Error("a view wrote without an error")
	}
	l.empty("after a view that writes")
	if err := l.store.View(context.Background(), func(chat.Tx) error { return errOnPurpose }); !errors.Is(err, errOnPurpose) {
		l.Errorf("view returned %v, want what the function returned", err)
	}
}

func testSlicesBelongToTheCaller(l ledger) {
	m, o := textTo("Bob", 1), envelopeFor("bob", 1)
	c := chat.ConversationRow{ID: talk("Bob"), Cell: []byte("sealed"), At: noon()}
	l.update(func(tx chat.Tx) error {
		return errors.Join(tx.InsertMessage(m), tx.InsertOutbox(o), tx.PutConversation(c))
	})
	m.Cell[0], o.Cell[0], c.Cell[0] = '!', '!', '!'
	for range 2 {
		l.view(func(tx chat.Tx) error {
			m, _, err1 := only(tx.MessagesAt(rowOf(1)))
			rows, err2 := tx.OutboxOf("bob", chat.RowID{}, 1)
			c, _, err3 := tx.Conversation(talk("Bob"))
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			l.same("message", m.Cell, textTo("Bob", 1).Cell)
			l.same("envelope", rows[0].Cell, envelopeFor("bob", 1).Cell)
			l.same("conversation", c.Cell, []byte("sealed"))
			m.Cell[0], rows[0].Cell[0], c.Cell[0] = '?', '?', '?'
			return nil
		})
	}
}

const (
	writers          = 32
	updatesPerWriter = 25
)

// together runs fn in many goroutines, each with the numbers that are its own.
func together(fn func(n int)) {
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range updatesPerWriter {
				fn(1 + w*updatesPerWriter + i)
			}
		})
	}
	all.Wait()
}

// announce writes a message and its event.
func announce(tx chat.Tx, n int) (uint64, error) {
	if err := tx.InsertMessage(textTo("Bob", n)); err != nil {
		return 0, err
	}
	return tx.AppendEvent(chat.Event{Type: chat.EventMessageQueued, Cell: fmt.Append(nil, n), At: noon()})
}

// Nobody's update is lost, and a follower that reads all the while sees every event once, in order.
func testConcurrentUpdates(l ledger) {
	var mu sync.Mutex
	given := map[uint64]int{}
	var follower sync.WaitGroup
	follower.Go(func() { l.follow(writers * updatesPerWriter) })
	together(func(n int) {
		var seq uint64
		err := l.store.Update(context.Background(), func(tx chat.Tx) (err error) {
			seq, err = announce(tx, n)
			return err
		})
		if err != nil {
			l.Errorf("update %d: %v", n, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if other, twice := given[seq]; twice {
			l.Errorf("updates %d and %d were both given %d", n, other, seq)
		}
		given[seq] = n
	})
	follower.Wait()
	l.view(func(tx chat.Tx) error {
		for seq, n := range given {
			events, err := tx.Events(seq-1, 1)
			if err != nil {
				return err
			}
			l.same("the event that was announced", events[0].Cell, fmt.Append(nil, n))
		}
		return nil
	})
}

// follow reads events until it has seen the last, as a client does.
func (l ledger) follow(last uint64) {
	for after := uint64(0); after < last && !l.Failed(); {
		err := l.store.View(context.Background(), func(tx chat.Tx) error {
			events, err := tx.Events(after, 7)
			for _, e := range events {
				if e.Seq != after+1 {
					return fmt.Errorf("event %d shows after event %d", e.Seq, after)
				}
				after = e.Seq
			}
			return err
		})
		if err != nil {
			l.Error(err)
			return
		}
	}
}

// Updates that fail hurt no neighbour, whoever shares a commit with them.
func testConcurrentRefusals(l ledger) {
	together(func(n int) {
		err := l.store.Update(context.Background(), func(tx chat.Tx) error {
			if _, err := announce(tx, n); err != nil {
				return err
			}
			switch n % 5 {
			case 0:
				return errOnPurpose
			case 1:
				return tx.InsertMessage(textTo("Bob", n)) // there already
			}
			return nil
		})
		if (err != nil) != (n%5 < 2) {
			l.Errorf("update %d: %v", n, err)
		}
	})
	const good = writers * updatesPerWriter * 3 / 5
	l.view(func(tx chat.Tx) error {
		stats, err := tx.Stats()
		l.same("events", stats.LastEvent, uint64(good))
		l.same("messages", stats.Queued, good)
		return err
	})
}

// What is written together is seen together, at any time.
func testConcurrentViews(l ledger) {
	together(func(n int) {
		if n%2 == 0 {
			err := l.store.Update(context.Background(), func(tx chat.Tx) error {
				_, err := announce(tx, n)
				return err
			})
			if err != nil {
				l.Errorf("update %d: %v", n, err)
			}
			return
		}
		err := l.store.View(context.Background(), func(tx chat.Tx) error {
			stats, err := tx.Stats()
			if uint64(stats.Queued) != stats.LastEvent {
				return fmt.Errorf("%d messages and %d events", stats.Queued, stats.LastEvent)
			}
			return err
		})
		if err != nil {
			l.Errorf("view: %v", err)
		}
	})
}
