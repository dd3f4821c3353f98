package chattest

import (
	"bytes"
	"strings"
	"time"

	"parley/chat"
)

func testMessage(l ledger) {
	whole := textTo("Bob", 1)
	whole.Trace, whole.ClientID, whole.Event = "Bob is away", "01HX", 1<<40
	whole.Cell = bytes.Repeat([]byte{0, 255}, chat.MaxText/2)
	bare := chat.MessageRow{Row: rowOf(2), State: chat.StateReceived}
	l.insert(whole, bare)

	l.view(func(tx chat.Tx) error {
		got, ok, err := only(tx.MessagesAt(whole.Row))
		if !ok || err != nil {
			l.Errorf("by row: %v, %v", ok, err)
		}
		l.same("by row", got, whole)
		if got, ok, err = tx.MessageByID(whole.ID); !ok || err != nil {
			l.Errorf("by id: %v, %v", ok, err)
		}
		l.same("by id", got, whole)
		if got, ok, err = tx.MessageByClientID(whole.Conversation, "01HX"); !ok || err != nil {
			l.Errorf("by client id: %v, %v", ok, err)
		}
		l.same("by client id", got, whole)
		got, _, err = only(tx.MessagesAt(bare.Row))
		l.same("all zero", got, bare)
		return err
	})
	l.view(func(tx chat.Tx) error {
		_, ok, err := only(tx.MessagesAt(rowOf(3)))
		l.none("another row", ok, err)
		_, ok, err = tx.MessageByID(messageID(3))
		l.none("another id", ok, err)
		_, ok, err = tx.MessageByClientID(whole.Conversation, "01HY")
		l.none("another client id", ok, err)
		_, ok, err = tx.MessageByClientID(talk("Carol"), "01HX")
		l.none("another conversation", ok, err)
		_, ok, err = tx.MessageByClientID(bare.Conversation, "")
		l.none("no client id", ok, err)
		return nil
	})
}

// What people and other nodes write is no reason to lose a message: errors may hold bytes that are no text.
func testMessageStrangeText(l ledger) {
	m := textTo("Bob", 1)
	m.Trace = "\x00 \xff\xfe ' \" ; DROP TABLE message; --"
	m.ClientID = strings.Repeat("\u202e\x00", chat.MaxClientID/4)
	m.At = time.Date(1969, 1, 1, 0, 0, 0, 1_000, time.UTC)
	l.insert(m)
	got, _ := l.message(m.Row)
	l.same("strange text", got, m)

	l.update(func(tx chat.Tx) error {
		return tx.SetMessageState(chat.MessageRow{Row: m.Row, State: chat.StateFailed, Trace: "\x00\xff"})
	})
	got, _ = l.message(m.Row)
	l.same("strange reason", got.Trace, "\x00\xff")
}

func testMessageUnique(l ledger) {
	first := textTo("Bob", 1)
	first.ClientID = "one"
	l.insert(first)

	twin := textTo("Bob", 2)
	twin.Row = first.Row
	l.refused("same row", func(tx chat.Tx) error { return tx.InsertMessage(twin) })
	twin = textTo("Bob", 2)
	twin.ID = first.ID
	l.refused("same id", func(tx chat.Tx) error { return tx.InsertMessage(twin) })
	twin = textTo("Bob", 2)
	twin.ClientID = "one"
	l.refused("same client id", func(tx chat.Tx) error { return tx.InsertMessage(twin) })
	if _, ok := l.message(rowOf(2)); ok {
		l.Error("a twin was kept")
	}

	elsewhere := textTo("Carol", 3)
	elsewhere.ClientID = "one"
	l.insert(elsewhere, textTo("Bob", 4), textTo("Bob", 5)) // the last two have no client id, and may
}

func testMessageState(l ledger) {
	l.insert(textTo("Bob", 1), textTo("Bob", 2))
	all := []chat.State{
		chat.StateQueued, chat.StateSent, chat.StateDelivered, chat.StateRead, chat.StateFailed, chat.StateReceived,
	}
	for _, s := range all {
		l.update(func(tx chat.Tx) error {
			return tx.SetMessageState(chat.MessageRow{Row: rowOf(1), State: s, Trace: "because " + string(s)})
		})
		got, _ := l.message(rowOf(1))
		want := textTo("Bob", 1)
		want.State, want.Trace = s, "because "+string(s)
		l.same("after a change", got, want)
	}
	other, _ := l.message(rowOf(2))
	l.same("another message", other, textTo("Bob", 2))

	l.refused("unknown state", func(tx chat.Tx) error { return tx.SetMessageState(chat.MessageRow{Row: rowOf(1), State: "lost"}) })
	l.refused("unknown message", func(tx chat.Tx) error {
		return tx.SetMessageState(chat.MessageRow{Row: rowOf(9), State: chat.StateSent})
	})
	odd := textTo("Bob", 3)
	odd.State = ""
	l.refused("message without a state", func(tx chat.Tx) error { return tx.InsertMessage(odd) })
}

func testMessages(l ledger) {
	receipt := textTo("Bob", 4)
	receipt.Kind = chat.KindReceipt
	l.insert(textTo("Bob", 3), textTo("Bob", 1), textTo("Carol", 2), receipt, textTo("Bob", 5))

	pages := []struct {
		what   string
		with   string
		kind   chat.Kind
		before chat.RowID
		limit  int
		want   []chat.RowID
	}{
		{"newest first", "Bob", chat.KindText, chat.RowID{}, 10, numbers(5, 3, 1)},
		{"first page", "Bob", chat.KindText, chat.RowID{}, 2, numbers(5, 3)},
		{"next page", "Bob", chat.KindText, rowOf(3), 2, numbers(1)},
		{"before the first", "Bob", chat.KindText, rowOf(1), 2, nil},
		{"before a row that is elsewhere", "Bob", chat.KindText, rowOf(4), 10, numbers(3, 1)},
		{"another kind", "Bob", chat.KindReceipt, chat.RowID{}, 10, numbers(4)},
		{"another conversation", "Carol", chat.KindText, chat.RowID{}, 10, numbers(2)},
		{"nobody", "Dave", chat.KindText, chat.RowID{}, 10, nil},
		{"no room", "Bob", chat.KindText, chat.RowID{}, 0, nil},
	}
	l.view(func(tx chat.Tx) error {
		for _, p := range pages {
			got, err := tx.Messages(talk(p.with), p.kind, p.before, p.limit)
			if err != nil {
				return err
			}
			l.same(p.what, rowsOf(got, messageRow), p.want)
		}
		return nil
	})
}

func testUnread(l ledger) {
	receipt := textFrom("Bob", 4)
	receipt.Kind = chat.KindReceipt
	l.insert(textFrom("Bob", 3), textFrom("Bob", 1), textFrom("Carol", 2), receipt, textTo("Bob", 5), textFrom("Bob", 6))
	l.update(func(tx chat.Tx) error {
		return tx.SetMessageState(chat.MessageRow{Row: rowOf(1), State: chat.StateRead})
	})

	bob, dave := talk("Bob"), talk("Dave")
	for _, c := range []struct {
		what  string
		in    *chat.ConversationID
		limit int
		want  []chat.RowID
	}{
		{"of all", nil, 10, numbers(2, 3, 6)},
		{"of all, the oldest", nil, 1, numbers(2)},
		{"of one", &bob, 10, numbers(3, 6)},
		{"of one, the oldest", &bob, 1, numbers(3)},
		{"of nobody", &dave, 10, nil},
		{"no room", nil, 0, nil},
	} {
		l.view(func(tx chat.Tx) error {
			got, err := tx.Unread(c.in, c.limit)
			l.same("unread "+c.what, rowsOf(got, messageRow), c.want)
			return err
		})
	}
}

func testLastMessage(l ledger) {
	l.view(func(tx chat.Tx) error {
		_, ok, err := tx.LastMessage()
		l.none("before the first", ok, err)
		return nil
	})
	receipt := textTo("Carol", 7)
	receipt.Kind = chat.KindReceipt
	l.insert(textTo("Bob", 3), receipt, textTo("Bob", 5))
	l.view(func(tx chat.Tx) error {
		got, _, err := tx.LastMessage()
		l.same("last message", got, receipt)
		return err
	})
}

func testStats(l ledger) {
	stats := func(what string, wantCount int, wantOldest time.Time) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.Stats()
			if got.Queued != wantCount || !got.Oldest.Equal(wantOldest) || got.Oldest.IsZero() != wantOldest.IsZero() {
				l.Errorf("%s: %d since %v, want %d since %v", what, got.Queued, got.Oldest, wantCount, wantOldest)
			}
			return err
		})
	}
	stats("empty", 0, time.Time{})
	receipt := textTo("Bob", 1)
	receipt.Kind = chat.KindReceipt
	late := textTo("Bob", 3)
	late.At = noon().Add(-time.Hour) // a clock that went back
	l.insert(receipt, textTo("Bob", 2), late, textFrom("Carol", 4))
	stats("two", 2, late.At)
	l.update(func(tx chat.Tx) error {
		return tx.SetMessageState(chat.MessageRow{Row: rowOf(3), State: chat.StateSent})
	})
	stats("one", 1, textTo("Bob", 2).At)
	l.update(func(tx chat.Tx) error {
		return tx.SetMessageState(chat.MessageRow{Row: rowOf(2), State: chat.StateFailed})
	})
	stats("none", 0, time.Time{})
}

func testConversation(l ledger) {
	l.view(func(tx chat.Tx) error {
		_, ok, err := tx.Conversation(talk("Bob"))
		l.none("before the first message", ok, err)
		return nil
	})
	began := chat.ConversationRow{ID: talk("Bob"), At: noon()}
	went := chat.ConversationRow{ID: talk("Bob"), At: noon().Add(time.Microsecond), Cell: bytes.Repeat([]byte{0, 255}, 500)}
	other := chat.ConversationRow{ID: talk("Carol"), At: noon(), Cell: []byte("Carol")}
	for _, want := range []chat.ConversationRow{began, other, went, began} {
		l.update(func(tx chat.Tx) error { return tx.PutConversation(want) })
		l.view(func(tx chat.Tx) error {
			got, _, err := tx.Conversation(want.ID)
			l.same("conversation", got, want)
			return err
		})
	}
	l.view(func(tx chat.Tx) error {
		got, _, err := tx.Conversation(other.ID)
		l.same("another conversation", got, other)
		return err
	})
}
