package chattest

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

func testOutbox(l ledger) {
	whole := envelopeFor("bob's phone", 2)
	whole.Cell = bytes.Repeat([]byte{0, 1, 254, 255}, chat.MaxEnvelope/4)
	receipts := envelopeFor("bob's phone", 1)
	receipts.Message = chat.RowID{}
	bare := chat.OutboxRow{Device: "b", Row: rowOf(1)}
	l.queue(whole, receipts, bare, envelopeFor("bob's phone 2", 1), envelopeFor("bob's phone", 3))

	l.same("in the order of rows", l.outbox("bob's phone", 10),
		[]chat.OutboxRow{receipts, whole, envelopeFor("bob's phone", 3)})
	l.same("the first", rowsOf(l.outbox("bob's phone", 1), outboxRow), numbers(1))
	l.same("all zero", l.outbox("b", 10), []chat.OutboxRow{bare})
	l.same("another device, whose id is the beginning of one", len(l.outbox("bob's phon", 10)), 0)
	l.same("no room", len(l.outbox("bob's phone", 0)), 0)

	l.refused("same row", func(tx chat.Tx) error { return tx.InsertOutbox(envelopeFor("bob's phone", 3)) })
	l.refused("no device", func(tx chat.Tx) error { return tx.InsertOutbox(envelopeFor("", 4)) })
}

func testOutboxDelete(l ledger) {
	const n = 3*chat.FlightSize/2 + 1
	var all []chat.OutboxRow
	for i := range n {
		all = append(all, envelopeFor("bob", i+1))
	}
	l.queue(all...)
	l.queue(envelopeFor("carol", 1))
	remove := func(device peer.ID, rows ...chat.RowID) {
		l.Helper()
		l.update(func(tx chat.Tx) error { return tx.DeleteOutbox(device, rows) })
	}
	remove("bob")
	remove("dave", rowOf(1))
	l.same("nothing was named", len(l.outbox("bob", n)), n)
	remove("bob", rowOf(2), rowOf(4), rowOf(4), rowOf(n+1))
	l.same("two are gone, one never was", rowsOf(l.outbox("bob", 3), outboxRow), numbers(1, 3, 5))
	remove("bob", rowOf(2), rowOf(4))
	remove("bob", rowsOf(all, outboxRow)...)
	l.same("all are gone", len(l.outbox("bob", n)), 0)
	l.same("another device keeps its row", len(l.outbox("carol", n)), 1)
}

func testOutboxDevices(l ledger) {
	devices := func(what string, want ...peer.ID) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.OutboxDevices()
			slices.Sort(got)
			l.same(what, got, want)
			return err
		})
	}
	devices("empty")
	l.queue(envelopeFor("carol", 1), envelopeFor("bob", 2), envelopeFor("bob", 3), envelopeFor("bob 2", 4))
	devices("each once", "bob", "bob 2", "carol")
	l.update(func(tx chat.Tx) error { return tx.DeleteOutbox("bob", numbers(2)) })
	devices("one row is left", "bob", "bob 2", "carol")
	l.update(func(tx chat.Tx) error { return tx.DeleteOutbox("bob", numbers(3)) })
	devices("none is left", "bob 2", "carol")
}

func testUnaddressed(l ledger) {
	bob, carol := accountOf("Bob"), accountOf("Carol")
	waits := func(what string, accounts []chat.AccountID, account chat.AccountID, limit int, want []chat.RowID) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			waiting, err := tx.WaitingAccounts()
			l.same("waiting accounts, "+what, waiting, accounts)
			if err != nil {
				return err
			}
			rows, err := tx.Unaddressed(account, limit)
			l.same("unaddressed, "+what, rows, want)
			return err
		})
	}
	waits("empty", nil, bob, 10, nil)
	l.update(func(tx chat.Tx) error {
		for _, n := range []int{3, 1, 2} {
			if err := tx.AddUnaddressed(bob, rowOf(n)); err != nil {
				return err
			}
		}
		return tx.AddUnaddressed(carol, rowOf(1))
	})
	l.update(func(tx chat.Tx) error { return tx.AddUnaddressed(bob, rowOf(1)) }) // once is enough
	waits("oldest first", []chat.AccountID{bob, carol}, bob, 10, numbers(1, 2, 3))
	waits("one of three", []chat.AccountID{bob, carol}, bob, 1, numbers(1))
	l.update(func(tx chat.Tx) error { return tx.DeleteUnaddressed(bob, rowOf(2)) })
	l.update(func(tx chat.Tx) error { return tx.DeleteUnaddressed(bob, rowOf(2)) })
	waits("one deleted, twice", []chat.AccountID{bob, carol}, bob, 10, numbers(1, 3))
	waits("another account", []chat.AccountID{bob, carol}, carol, 10, numbers(1))
	l.update(func(tx chat.Tx) error { return tx.DeleteUnaddressed(carol, rowOf(1)) })
	waits("nobody else waits", []chat.AccountID{bob}, carol, 10, nil)
}

func testSeen(l ledger) {
	envelope := chat.EnvelopeIDOf([]byte("sealed"))
	garbage := chat.EnvelopeIDOf([]byte("garbage"))
	l.update(func(tx chat.Tx) error {
		if _, ok, err := tx.Seen(envelope); ok || err != nil {
			l.Errorf("seen before it came: %v, %v", ok, err)
		}
		if err := tx.InsertSeen(chat.SeenRow{ID: envelope, At: noon(), Cell: []byte{1, 2, 3}}); err != nil {
			return err
		}
		return tx.InsertSeen(chat.SeenRow{ID: garbage, At: noon()})
	})
	l.view(func(tx chat.Tx) error {
		row, ok, err := tx.Seen(envelope)
		l.same("what was taken", row, chat.SeenRow{ID: envelope, At: noon(), Cell: []byte{1, 2, 3}})
		if !ok || err != nil {
			l.Errorf("envelope: %v, %v", ok, err)
		}
		row, ok, err = tx.Seen(garbage)
		l.same("garbage", row, chat.SeenRow{ID: garbage, At: noon()})
		if !ok {
			l.Error("garbage was not remembered")
		}
		return err
	})
	l.refused("the same again", func(tx chat.Tx) error { return tx.InsertSeen(chat.SeenRow{ID: envelope, At: noon()}) })
}

func testEvents(l ledger) {
	whole := chat.Event{
		Seq: 99, Type: chat.EventMessageReceived, At: noon(), Conversation: talk("Bob"), State: chat.StateReceived,
		Cell: []byte{0, 255},
	}
	bare := chat.Event{Type: chat.EventContactAdded, At: noon()}
	last := func(want uint64) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			stats, err1 := tx.Stats()
			got, err2 := tx.LastEvent()
			l.same("last event", []uint64{got, stats.LastEvent}, []uint64{want, want})
			return errors.Join(err1, err2)
		})
	}
	last(0)
	for i, e := range []chat.Event{whole, bare, whole, bare, bare} {
		l.update(func(tx chat.Tx) error {
			seq, err := tx.AppendEvent(e)
			l.same("sequence number", seq, uint64(i+1))
			return err
		})
	}
	l.update(func(tx chat.Tx) error { // two in one transaction
		for range 2 {
			if _, err := tx.AppendEvent(bare); err != nil {
				return err
			}
		}
		return nil
	})
	last(7)
	whole.Seq, bare.Seq = 1, 2
	l.view(func(tx chat.Tx) error {
		got, err := tx.Events(0, 2)
		l.same("the first two", got, []chat.Event{whole, bare})
		if err != nil {
			return err
		}
		for after, want := range map[uint64][]uint64{0: {1, 2, 3}, 2: {3, 4, 5}, 5: {6, 7}, 7: nil, 1<<64 - 1: nil} {
			got, err := tx.Events(after, 3)
			if err != nil {
				return err
			}
			l.same("page", seqsOf(got), want)
		}
		got, err = tx.Events(0, 0)
		l.same("no room", len(got), 0)
		return err
	})
}

func seqsOf(events []chat.Event) (seqs []uint64) {
	for e := range slices.Values(events) {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

func testContacts(l ledger) {
	bob := chat.ContactRow{Account: accountOf("Bob"), At: noon(), Cell: []byte("bob")}
	carol := chat.ContactRow{Account: accountOf("Carol"), At: noon(), Cell: []byte("Carol \x00\xff")}
	put := func(contacts ...chat.ContactRow) {
		l.Helper()
		l.update(func(tx chat.Tx) error {
			for _, c := range contacts {
				if err := tx.PutContact(c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	listed := func(what string, want ...chat.ContactRow) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.Contacts()
			slices.SortFunc(got, func(a, b chat.ContactRow) int { return bytes.Compare(a.Account[:], b.Account[:]) })
			l.same(what, got, want)
			return err
		})
	}
	listed("empty")
	put(carol, bob)
	l.view(func(tx chat.Tx) error {
		got, ok, err1 := tx.Contact(carol.Account)
		l.same("by account", got, carol)
		_, stranger, err2 := tx.Contact(accountOf("Mallory"))
		stats, err3 := tx.Stats()
		if !ok || stranger || stats.Contacts != 2 {
			l.Errorf("found %v, a stranger %v, %d contacts", ok, stranger, stats.Contacts)
		}
		return errors.Join(err1, err2, err3)
	})
	listed("all", bob, carol)
	bob.Cell, bob.At = []byte("Xavier"), noon().Add(time.Hour)
	put(bob)
	put(bob)
	listed("changed, and put again", bob, carol)
}

func testRecords(l ledger) {
	l.view(func(tx chat.Tx) error {
		_, ok, err := tx.Record("/account/x")
		l.none("before the first", ok, err)
		return nil
	})
	for _, want := range []chat.RecordRow{
		{Key: "/account/x", Cell: []byte("signed"), At: noon()},
		{Key: "/account/x", Cell: bytes.Repeat([]byte{0}, chat.MaxRecord), At: noon().Add(time.Hour)},
		{Key: "/account/\x00\xff", At: noon()},
	} {
		l.update(func(tx chat.Tx) error { return tx.PutRecord(want) })
		l.view(func(tx chat.Tx) error {
			got, _, err := tx.Record(want.Key)
			l.same("record", got, want)
			return err
		})
	}
}
