package api_test

import (
	"context"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api"
)

// noop is a node that keeps nothing: what is measured is the way there and back.
type noop struct{ api.Backend }

func (noop) Send(_ context.Context, d chat.Draft) (chat.Message, error) {
	return chat.Message{
		ID: chat.MessageID{1}, Conversation: d.Conversation, Author: chat.AccountID{1}, Mine: true, Text: d.Text,
		State: chat.StateQueued, ClientID: d.ClientID, At: time.Now(), Seq: 1,
	}, nil
}

func BenchmarkSend(b *testing.B) {
	c := serve(b, noop{}).dial()
	d := chat.Draft{Conversation: chat.DirectConversation(chat.AccountID{1}, chat.AccountID{2}), Text: "see you at eleven"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Send(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSendParallel(b *testing.B) {
	c := serve(b, noop{}).dial()
	d := chat.Draft{Conversation: chat.DirectConversation(chat.AccountID{1}, chat.AccountID{2}), Text: "see you at eleven"}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Send(b.Context(), d); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkFollow(b *testing.B) {
	w := newTown(b)
	for range 1000 {
		w.says(b, "see you at eleven")
	}
	c := serve(b, w.bob).dial()
	for b.Loop() {
		n := 0
		err := c.Follow(b.Context(), 1, func(chat.Entry) error {
			if n++; n == 1000 {
				return errEnough
			}
			return nil
		})
		if n != 1000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
