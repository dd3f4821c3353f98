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
	for after, want := range map[int][]chat.RowID{1: numbers(2, 3), 2: numbers(3), 3: nil, 99: nil} {
		l.same("behind a row", rowsOf(l.outboxAfter("bob's phone", rowOf(after), 10), outboxRow), want)
	}
	l.same("one behind a row", rowsOf(l.outboxAfter("bob's phone", rowOf(1), 1), outboxRow), numbers(2))

	held := envelopeFor("bob's phone", 3)
	for _, held.HoldersCell = range [][]byte{[]byte("two hosts"), []byte("three hosts")} {
		l.update(func(tx chat.Tx) error {
			gone := tx.SetOutboxHolders(chat.OutboxRow{Device: "bob's phone", Row: rowOf(9), HoldersCell: []byte("x")})
			return errors.Join(gone, tx.SetOutboxHolders(chat.OutboxRow{Device: held.Device, Row: held.Row, HoldersCell: held.HoldersCell}))
		})
		l.same("held", l.outboxAfter("bob's phone", rowOf(2), 10), []chat.OutboxRow{held})
	}

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
	wait := func(account chat.AccountID, device peer.ID, n int) chat.WaitingRow {
		return chat.WaitingRow{Account: account, Device: device, Message: rowOf(n)}
	}
	accounts := func(what string, want ...chat.AccountID) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			waiting, err := tx.WaitingAccounts()
			var got []chat.AccountID
			for _, w := range waiting {
				got = append(got, w.Account)
				l.same("a device", len(w.Device), 0)
				l.same("no message", w.Message.IsZero(), false)
			}
			slices.SortFunc(got, func(a, b chat.AccountID) int { return bytes.Compare(a[:], b[:]) })
			l.same(what, got, want)
			return err
		})
	}
	waits := func(what string, account chat.AccountID, want bool) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.Waits(account)
			l.same(what, got, want)
			return err
		})
	}
	messages := func(what string, account chat.AccountID, device peer.ID, limit int, want ...int) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			rows, err := tx.Unaddressed(account, device, limit)
			l.same(what, rows, numbers(want...))
			return err
		})
	}
	accounts("nobody")
	waits("nobody's", bob, false)
	l.update(func(tx chat.Tx) error {
		return errors.Join(
			tx.AddUnaddressed(wait(bob, "", 3)), tx.AddUnaddressed(wait(bob, "", 1)), tx.AddUnaddressed(wait(bob, "", 2)),
			tx.AddUnaddressed(wait(bob, "phone", 1)), tx.AddUnaddressed(wait(carol, "", 1)),
		)
	})
	l.update(func(tx chat.Tx) error { return tx.AddUnaddressed(wait(bob, "", 1)) }) // once is enough
	accounts("two", bob, carol)
	waits("two devices", bob, true)
	messages("in order", bob, "", 10, 1, 2, 3)
	messages("the first", bob, "", 2, 1, 2)
	messages("for the phone", bob, "phone", 10, 1)
	l.update(func(tx chat.Tx) error { return tx.DeleteUnaddressed(wait(bob, "", 2)) })
	l.update(func(tx chat.Tx) error { return tx.DeleteUnaddressed(wait(bob, "", 2)) })
	messages("one less", bob, "", 10, 1, 3)
	messages("the phone's stays", bob, "phone", 10, 1)
	l.update(func(tx chat.Tx) error { return tx.DeleteUnaddressed(wait(carol, "", 1)) })
	accounts("one", bob)
	messages("none", carol, "", 10)
	waits("not any more", carol, false)
}

func testSeen(l ledger) {
	envelope := chat.EnvelopeIDOf([]byte("sealed"))
	garbage := chat.EnvelopeIDOf([]byte("garbage"))
	l.update(func(tx chat.Tx) error {
		if _, ok, err := only(tx.Seen(envelope)); ok || err != nil {
			l.Errorf("seen before it came: %v, %v", ok, err)
		}
		if err := tx.InsertSeen(chat.SeenRow{ID: envelope, At: noon(), Cell: []byte{1, 2, 3}}); err != nil {
			return err
		}
		return tx.InsertSeen(chat.SeenRow{ID: garbage, At: noon()})
	})
	l.view(func(tx chat.Tx) error {
		row, ok, err := only(tx.Seen(envelope))
		l.same("what was taken", row, chat.SeenRow{ID: envelope, At: noon(), Cell: []byte{1, 2, 3}})
		if !ok || err != nil {
			l.Errorf("envelope: %v, %v", ok, err)
		}
		row, ok, err = only(tx.Seen(garbage))
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
