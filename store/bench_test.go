package store

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/chat"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
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

// BenchmarkDeposit measures what a host does for its answer to a deposit of the smallest class, of many owners: with one depositor the latency, with
// more what sharing commits gains.
func BenchmarkDeposit(b *testing.B) {
	for _, on := range engines() {
		for _, depositors := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/depositors=%d", on.engine, depositors), func(b *testing.B) {
				db := open(b, on.fresh(b))
				benchDeposits(b, depositors, db.Mailbox())
			})
		}
	}
	b.Run("two hosts/depositors=64", func(b *testing.B) {
		url := durablePostgres(b)
		benchDeposits(b, 64, openShared(b, url), openShared(b, url))
	})
}

func benchDeposits(b *testing.B, depositors int, hosts ...*Mailbox) {
	const owners, size = 50, 2<<10 + 1136
	var next, commits atomic.Int64
	q := mailbox.DefaultQuota()
	unlimited := mailbox.Room{Boxes: 1 << 30, Bytes: 1 << 40}
	q.Contact, q.Mailbox, q.Sure, q.Host = unlimited, unlimited, unlimited, mailbox.Room{Boxes: 1 << 40, Bytes: 1 << 50}
	for i, m := range hosts {
		for owner := range owners {
			opens(b, m, mailboxtest.Peer(owner), mailboxtest.Peer(100+i), q)
		}
		m.db.committer.engine = counting{m.db.engine, &commits}
	}
	b.ResetTimer()
	var all sync.WaitGroup
	for w := range depositors {
		all.Go(func() {
			at := w % len(hosts)
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				d := depositOf(mailboxtest.Peer(int(n%owners)), mailboxtest.Peer(100+at), int(n), size)
				if v, err := hosts[at].Deposit(b.Context(), d, q); err != nil || v != mailbox.Stored {
					b.Errorf("verdict %d, %v", v, err)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deposits/s")
	b.ReportMetric(float64(b.N)/float64(commits.Load()), "deposits/commit")
}
