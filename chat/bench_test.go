package chat_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/chat"
	"parley/chat/chattest"
	"parley/store"
	"parley/store/storetest"
)

// BenchmarkSend measures what a send costs its caller, to one device that is away: seal, one transaction, commit.
func BenchmarkSend(b *testing.B) {
	for _, on := range []struct {
		name string
		open func() chat.Store
	}{
		{"memory", chattest.NewMemStore},
		{"sqlite", func() chat.Store {
			db, err := store.Open(b.Context(), storetest.SQLite(b), store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			return db
		}},
	} {
		b.Run(on.name, func(b *testing.B) {
			s := chattest.NewScene(b, 1)
			alice, bob := s.Started("Alice", on.open()), s.Started("Bob", chattest.NewMemStore())
			alice.Befriend(bob)
			alice.Sees(alice.Say(bob, "hello"), chat.StateDelivered)
			alice.Stop()
			bob.Stop()
			text, n := strings.Repeat("x", 200), 0
			for b.Loop() {
				n++
				if _, err := alice.Send(b.Context(), chat.Draft{Conversation: alice.With(bob), Text: text, ClientID: fmt.Sprint(n)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHistory measures a page of 50 messages.
func BenchmarkHistory(b *testing.B) {
	s := chattest.NewScene(b, 2)
	alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	alice.Befriend(bob)
	for n := range 200 {
		alice.Say(bob, fmt.Sprint("message ", n))
	}
	for b.Loop() {
		if page, err := alice.History(b.Context(), alice.With(bob), chat.MessageID{}, 50); err != nil || len(page) != 50 {
			b.Fatal(len(page), err)
		}
	}
}
