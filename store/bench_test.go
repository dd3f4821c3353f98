package store

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/chat"
	"parley/store/storetest"
)

// benchMessage returns the n-th message, sealed from 256 bytes, with an id that grows with time and another that does not.
func benchMessage(n uint64) chat.MessageRow {
	var m chat.MessageRow
	binary.BigEndian.PutUint64(m.Row[:], n)
	m.ID = chat.MessageID(chat.EnvelopeIDOf(m.Row[:]))
	m.Kind, m.State, m.At, m.Cell = chat.KindText, chat.StateReceived, time.Unix(0, 0), make([]byte, 400)
	return m
}

// BenchmarkUpdate measures durable updates of one message each: with one producer the latency of a commit, with more what
// sharing commits gains. Look at rows/s against the rows/s of one producer on the same engine in the same run.
func BenchmarkUpdate(b *testing.B) {
	for _, on := range engines() {
		for _, producers := range []int{1, 8, 32, 256} {
			b.Run(fmt.Sprintf("%s/producers=%d", on.engine, producers), func(b *testing.B) {
				benchUpdates(b, open(b, on.fresh(b)), producers)
			})
		}
	}
}

func benchUpdates(b *testing.B, db *DB, producers int) {
	var next atomic.Uint64
	var commits atomic.Int64
	db.committer.engine = counting{db.engine, &commits}
	b.ResetTimer()
	var all sync.WaitGroup
	for range producers {
		all.Go(func() {
			for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
				err := db.Update(b.Context(), func(tx chat.Tx) error { return tx.InsertMessage(benchMessage(n)) })
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(b.N)/float64(commits.Load()), "rows/commit")
}

// BenchmarkBatch measures what the engine can do at best: a thousand messages in one update.
func BenchmarkBatch(b *testing.B) {
	const size = 1000
	for _, on := range engines() {
		b.Run(on.engine, func(b *testing.B) {
			db := open(b, on.fresh(b))
			b.ResetTimer()
			for i := range b.N {
				err := db.Update(b.Context(), func(tx chat.Tx) error {
					for n := range size {
						if err := tx.InsertMessage(benchMessage(uint64(i*size + n + 1))); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkOpen measures a start on a database that exists.
func BenchmarkOpen(b *testing.B) {
	for _, on := range engines() {
		b.Run(on.engine, func(b *testing.B) {
			url := on.fresh(b)
			b.ResetTimer()
			for range b.N {
				db, err := Open(b.Context(), url, Options{})
				if err != nil {
					b.Fatal(err)
				}
				db.Close()
			}
		})
	}
}

// BenchmarkOpenNew measures the first start: the tables are made.
func BenchmarkOpenNew(b *testing.B) {
	for range b.N {
		db, err := Open(b.Context(), storetest.SQLite(b), Options{})
		if err != nil {
			b.Fatal(err)
		}
		db.Close()
	}
}

// BenchmarkPage measures the last 50 messages of a conversation of many.
func BenchmarkPage(b *testing.B) {
	db := open(b, storetest.SQLite(b))
	for batch := range 20 {
		err := db.Update(b.Context(), func(tx chat.Tx) error {
			for n := range 1000 {
				m := benchMessage(uint64(batch*1000 + n + 1))
				m.Conversation[0] = byte(n)
				if err := tx.InsertMessage(m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		err := db.View(b.Context(), func(tx chat.Tx) error {
			page, err := tx.Messages(chat.ConversationID{7}, chat.KindText, chat.RowID{}, 50)
			if len(page) != 50 {
				b.Fatalf("%d messages", len(page))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// onEngine makes fresh databases that are as durable as in use.
type onEngine struct {
	engine string
	fresh  func(testing.TB) string
}

func engines() []onEngine {
	return []onEngine{{"sqlite", storetest.SQLite}, {"postgres", durablePostgres}}
}

// durablePostgres returns a fresh database whose commits are synced, as a server in use does it.
func durablePostgres(t testing.TB) string {
	return storetest.StartServer(t, "fsync=on", "full_page_writes=on").Database(t)
}

// counting counts commits.
type counting struct {
	engine
	commits *atomic.Int64
}

func (c counting) committed() {
	c.commits.Add(1)
	c.engine.committed()
}
