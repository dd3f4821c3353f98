package chat_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/chattest"
	"parley/node/nodetest"
	"parley/store"
	"parley/store/storetest"
)

// What is measured here is measured in one process, between two real nodes on loopback with real stores, sessions and sealed rows; beside
// each figure stands what it cannot be faster than, from the same run.

const (
	benchText    = 256 // bytes of one text
	benchSenders = 256 // sends at once
	benchPour    = 4096
	rawRounds    = 100
)

// benchEngines returns, for each engine, what makes databases that survive the loss of power: those of one benchmark on one server.
func benchEngines() map[string]func(testing.TB) func(testing.TB) string {
	return map[string]func(testing.TB) func(testing.TB) string{
		"sqlite": func(testing.TB) func(testing.TB) string { return storetest.SQLite },
		"postgres": func(t testing.TB) func(testing.TB) string {
			return storetest.StartServer(t, "fsync=on", "full_page_writes=on").Database
		},
	}
}

// benchEnd is somebody with a node and a store.
type benchEnd struct {
	*chat.Messenger
	device *clocked
	store  chat.Store
}

// clocked notes when the last flight had all its acknowledgements: the other side has it durably then, and so have we.
type clocked struct {
	*nodetest.Device
	acked atomic.Int64 // nanoseconds since 1970
}

// Deliver implements chat.Transport.
func (c *clocked) Deliver(ctx context.Context, device peer.ID, mailboxes []chat.Mailbox, envelopes []chat.Outgoing) ([]chat.Handed, error) {
	handed, err := c.Device.Deliver(ctx, device, mailboxes, envelopes)
	c.acked.Store(time.Now().UnixNano())
	return handed, err
}

// benchPair are Alice and Bob, each other's contacts, who have talked.
func benchPair(b *testing.B, database func(testing.TB) string) (alice, bob *benchEnd, with chat.ConversationID) {
	b.Helper()
	world := nodetest.NewWorld(b, nodetest.Private)
	home := chat.Network{Name: "home", ID: world.Network.ID, PSK: world.Network.PSK}
	alice, bob = newBenchEnd(b, world, home, "Alice", database), newBenchEnd(b, world, home, "Bob", database)
	for _, pair := range [][2]*benchEnd{{alice, bob}, {bob, alice}} {
		link, err := pair[1].ContactLink(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c, err := pair[0].AddContact(b.Context(), link.Link, "")
		if err != nil {
			b.Fatal(err)
		}
		with = c.Conversation
	}
	for _, p := range []*benchEnd{alice, bob, alice} {
		benchSay(b, p, with, "hello")
	}
	return alice, bob, with
}

func newBenchEnd(b *testing.B, world *nodetest.World, home chat.Network, name string, database func(testing.TB) string) *benchEnd {
	b.Helper()
	identity, err1 := chat.NewIdentity(name)
	keys, err2 := chattest.NewKeys()
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	e := &benchEnd{device: &clocked{Device: world.Device(name)}, store: benchStore(b, database(b))}
	e.device.Become(identity.DeviceKey())
	e.device.Config.Validators = chat.Validators()
	e.Messenger = chat.New(chat.Config{
		Identity: identity, Name: name, Network: home, Links: &chattest.Links{}, Store: e.store, Keys: keys, Transport: e.device, Directory: e.device,
	})
	if err := e.Resume(b.Context()); err != nil {
		b.Fatal(err)
	}
	e.device.Messenger = e.Messenger
	e.device.Start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	return e
}

func benchStore(b *testing.B, url string) chat.Store {
	b.Helper()
	db, err := store.Open(b.Context(), url, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

func benchSay(b *testing.B, e *benchEnd, with chat.ConversationID, text string) {
	b.Helper()
	m, err := e.Send(b.Context(), chat.Draft{Conversation: with, Text: text})
	if err == nil {
		_, err = e.Wait(b.Context(), m.ID, chat.StateDelivered)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDelivered measures one message at a time, from Send until the other side's acknowledgement is here (which comes after both commits)
// and until that is durable too, beside a round trip on a raw stream between the same nodes and one durable update of each store.
func BenchmarkDelivered(b *testing.B) {
	for engine, databases := range benchEngines() {
		b.Run(engine, func(b *testing.B) {
			database := databases(b)
			alice, _, with := benchPair(b, database)
			trip := median(rawTrips(b))
			commit := median(rawCommits(b, alice.store))
			var acked, took []time.Duration
			for b.Loop() {
				begun := time.Now()
				benchSay(b, alice, with, "hello")
				took = append(took, time.Since(begun))
				acked = append(acked, time.Duration(alice.device.acked.Load()-begun.UnixNano()))
			}
			slices.Sort(acked)
			floor := float64(trip + 2*commit)
			b.ReportMetric(micros(median(acked)), "p50-µs")
			b.ReportMetric(micros(acked[len(acked)*99/100]), "p99-µs")
			b.ReportMetric(micros(median(took)), "ticked-µs")
			b.ReportMetric(micros(trip), "trip-µs")
			b.ReportMetric(micros(commit), "commit-µs")
			b.ReportMetric(float64(median(acked))/floor, "p50/floor")
			b.ReportMetric(float64(acked[len(acked)*99/100])/floor, "p99/floor")
		})
	}
}

// BenchmarkPoured measures messages a second one way, from the first Send until all are acknowledged, with many senders at once,
// beside the rate at which the same store commits the same rows alone, a thousand messages at a time.
func BenchmarkPoured(b *testing.B) {
	for engine, databases := range benchEngines() {
		b.Run(engine, func(b *testing.B) {
			database := databases(b)
			alice, _, with := benchPair(b, database)
			alone := rawRows(b, benchStore(b, database(b)))
			sent := 0
			for b.Loop() {
				last := pour(b, alice, with)
				if _, err := alice.Wait(b.Context(), last, chat.StateDelivered); err != nil {
					b.Fatal(err)
				}
				for waiting := 1; waiting > 0; {
					st, err := alice.Status(b.Context())
					if waiting = st.Queued; err != nil {
						b.Fatal(err)
					}
				}
				sent += benchPour
			}
			rate := float64(sent) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "messages/s")
			b.ReportMetric(alone, "store-alone/s")
			b.ReportMetric(rate/alone, "of-store-alone")
		})
	}
}

// pour sends many messages from many senders, and returns one of the last.
func pour(b *testing.B, e *benchEnd, with chat.ConversationID) (last chat.MessageID) {
	b.Helper()
	text := strings.Repeat("x", benchText)
	next := make(chan struct{}, benchPour)
	for range benchPour {
		next <- struct{}{}
	}
	close(next)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range benchSenders {
		all.Go(func() {
			for range next {
				m, err := e.Send(b.Context(), chat.Draft{Conversation: with, Text: text})
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				last = m.ID
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return last
}

// rawTrips measures round trips of a message's length on an open stream between two bare hosts.
func rawTrips(b *testing.B) (took []time.Duration) {
	b.Helper()
	hosts := make([]host.Host, 2)
	for i := range hosts {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = h.Close() })
		hosts[i] = h
	}
	const echo = "/parley/test/echo/1"
	hosts[1].SetStreamHandler(echo, func(s network.Stream) { _, _ = io.Copy(s, s) })
	if err := hosts[0].Connect(b.Context(), peer.AddrInfo{ID: hosts[1].ID(), Addrs: hosts[1].Addrs()}); err != nil {
		b.Fatal(err)
	}
	s, err := hosts[0].NewStream(b.Context(), hosts[1].ID(), echo)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	buf := make([]byte, benchText)
	for range rawRounds {
		begun := time.Now()
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	return took
}

// rawCommits measures durable updates of one row.
func rawCommits(b *testing.B, s chat.Store) (took []time.Duration) {
	b.Helper()
	for n := range rawRounds {
		row := chat.RecordRow{Key: fmt.Sprint("raw ", n), At: time.Unix(0, 0), Cell: make([]byte, benchText)}
		begun := time.Now()
		if err := s.Update(b.Context(), func(tx chat.Tx) error { return tx.PutRecord(row) }); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	return took
}

// rawRows measures how many messages' rows a second a store commits, a thousand messages at a time: message, outbox row and two events.
func rawRows(b *testing.B, s chat.Store) float64 {
	b.Helper()
	const batch, rounds = 1000, 8
	begun := time.Now()
	for round := range rounds {
		err := s.Update(b.Context(), func(tx chat.Tx) error {
			for n := range batch {
				if err := putMessage(tx, uint64(1+round*batch+n)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return batch * rounds / time.Since(begun).Seconds()
}

func putMessage(tx chat.Tx, n uint64) error {
	var m chat.MessageRow
	binary.BigEndian.PutUint64(m.Row[:], n)
	m.ID = chat.MessageID(chat.EnvelopeIDOf(m.Row[:]))
	m.Kind, m.State, m.At, m.Cell = chat.KindText, chat.StateQueued, time.Unix(0, 0), make([]byte, benchText+300)
	o := chat.OutboxRow{Row: m.Row, Device: "device", Message: m.Row, ID: chat.EnvelopeIDOf(m.ID[:]), Cell: make([]byte, benchText+450)}
	for _, kind := range []chat.EventType{chat.EventMessageQueued, chat.EventMessageState} {
		if _, err := tx.AppendEvent(chat.Event{Type: kind, At: m.At, State: chat.StateQueued, Cell: make([]byte, 110)}); err != nil {
			return err
		}
	}
	return errors.Join(tx.InsertMessage(m), tx.InsertOutbox(o), tx.DeleteOutbox(o.Device, []chat.RowID{o.Row}), tx.SetMessageState(chat.MessageRow{Row: m.Row, State: chat.StateDelivered}))
}

func median(took []time.Duration) time.Duration {
	took = slices.Sorted(slices.Values(took))
	return took[len(took)/2]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
