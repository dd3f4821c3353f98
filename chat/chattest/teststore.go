package chattest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// TestStore checks that a store does what chat.Store and chat.Tx promise. open returns an empty store, which it closes when the
// test that it was given ends; it is called once for every promise.
func TestStore(t *testing.T, open func(t *testing.T) chat.Store) {
	for _, promise := range promises() {
		t.Run(promise.name, func(t *testing.T) { promise.check(ledger{t, open(t)}) })
	}
}

type promise struct {
	name  string
	check func(ledger)
}

func promises() []promise {
	return []promise{
		{"Message", testMessage},
		{"MessageStrangeText", testMessageStrangeText},
		{"MessageUnique", testMessageUnique},
		{"MessageState", testMessageState},
		{"Messages", testMessages},
		{"Unread", testUnread},
		{"LastMessage", testLastMessage},
		{"Stats", testStats},
		{"Conversation", testConversation},
		{"Outbox", testOutbox},
		{"OutboxDelete", testOutboxDelete},
		{"OutboxDevices", testOutboxDevices},
		{"Unaddressed", testUnaddressed},
		{"Seen", testSeen},
		{"Events", testEvents},
		{"Contacts", testContacts},
		{"Requests", testRequests},
		{"Held", testHeld},
		{"Records", testRecords},
		{"Sessions", testSessions},
		{"Secrets", testSecrets},
		{"DeleteConversation", testDeleteConversation},
		{"KeepsCellsAlone", testKeepsCellsAlone},
		{"UpdateAllOrNothing", testUpdateAllOrNothing},
		{"UpdateSwallowedError", testUpdateSwallowedError},
		{"UpdatePanic", testUpdatePanic},
		{"EndedContext", testEndedContext},
		{"ViewDoesNotWrite", testViewDoesNotWrite},
		{"SlicesBelongToTheCaller", testSlicesBelongToTheCaller},
		{"ConcurrentUpdates", testConcurrentUpdates},
		{"ConcurrentRefusals", testConcurrentRefusals},
		{"ConcurrentViews", testConcurrentViews},
	}
}

// ledger is a store under test. Its methods fail the test where an error is not expected.
type ledger struct {
	*testing.T
	store chat.Store
}

func (l ledger) update(fn func(tx chat.Tx) error) {
	l.Helper()
	if err := l.store.Update(context.Background(), fn); err != nil {
		l.Fatalf("update: %v", err)
	}
}

func (l ledger) view(fn func(tx chat.Tx) error) {
	l.Helper()
	if err := l.store.View(context.Background(), fn); err != nil {
		l.Fatalf("view: %v", err)
	}
}

// refused expects that an update fails.
func (l ledger) refused(what string, fn func(tx chat.Tx) error) {
	l.Helper()
	if err := l.store.Update(context.Background(), fn); err == nil {
		l.Errorf("%s: want an error", what)
	}
}

func (l ledger) insert(messages ...chat.MessageRow) {
	l.Helper()
	l.update(func(tx chat.Tx) error {
		for _, m := range messages {
			if err := tx.InsertMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l ledger) queue(rows ...chat.OutboxRow) {
	l.Helper()
	l.update(func(tx chat.Tx) error {
		for _, o := range rows {
			if err := tx.InsertOutbox(o); err != nil {
				return err
			}
		}
		return nil
	})
}

// only returns the one row that was asked for, if it is there.
func only[T any](rows []T, err error) (row T, ok bool, _ error) {
	if err != nil || len(rows) == 0 {
		return row, false, err
	}
	return rows[0], true, nil
}

// message returns what is kept under a row id.
func (l ledger) message(row chat.RowID) (m chat.MessageRow, ok bool) {
	l.Helper()
	l.view(func(tx chat.Tx) (err error) {
		m, ok, err = only(tx.MessagesAt(row))
		return err
	})
	return m, ok
}

// outbox returns what is queued for a device.
func (l ledger) outbox(device peer.ID, limit int) []chat.OutboxRow {
	l.Helper()
	return l.outboxAfter(device, chat.RowID{}, limit)
}

// outboxAfter returns what is queued for a device behind a row.
func (l ledger) outboxAfter(device peer.ID, after chat.RowID, limit int) (rows []chat.OutboxRow) {
	l.Helper()
	l.view(func(tx chat.Tx) (err error) {
		rows, err = tx.OutboxOf(device, after, limit)
		return err
	})
	return rows
}

// same compares what is kept with what was written; nil and empty are the same.
func (l ledger) same(what string, got, want any) {
	l.Helper()
	long := func(a, b []byte) bool { return len(a)+len(b) > 0 } // quicker than byte by byte
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.FilterValues(long, cmp.Comparer(bytes.Equal))); diff != "" {
		l.Errorf("%s (- want, + got):\n%s", what, diff)
	}
}

// none expects that nothing is found.
func (l ledger) none(what string, ok bool, err error) {
	l.Helper()
	if ok || err != nil {
		l.Errorf("%s: found %v, error %v; want neither", what, ok, err)
	}
}

// The people and things of the tests. Everything is made of a number, and grows with it.

func noon() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 123_456_000, time.UTC) }

func rowOf(n int) (row chat.RowID) {
	binary.BigEndian.PutUint64(row[:], uint64(n))
	return row
}

func messageID(n int) (id chat.MessageID) {
	copy(id[:], "message")
	binary.BigEndian.PutUint64(id[24:], uint64(n))
	return id
}

func accountOf(name string) (a chat.AccountID) {
	copy(a[:], name)
	return a
}

func talk(name string) chat.ConversationID {
	return chat.DirectConversation(accountOf("Alice"), accountOf(name))
}

// textTo returns the n-th message, queued by Alice for somebody.
func textTo(name string, n int) chat.MessageRow {
	return chat.MessageRow{
		Row: rowOf(n), ID: messageID(n), Conversation: talk(name), Kind: chat.KindText, State: chat.StateQueued,
		At: noon().Add(time.Duration(n) * time.Second), Event: uint64(n), Cell: []byte("hello"),
	}
}

// textFrom returns the n-th message, received by Alice from somebody.
func textFrom(name string, n int) chat.MessageRow {
	m := textTo(name, n)
	m.State = chat.StateReceived
	return m
}

// envelopeFor returns the n-th envelope, for a device.
func envelopeFor(device peer.ID, n int) chat.OutboxRow {
	return chat.OutboxRow{
		Row: rowOf(n), Device: device, Account: accountOf("Bob"), Message: rowOf(n),
		ID: chat.EnvelopeIDOf(binary.BigEndian.AppendUint64(nil, uint64(n))), Cell: []byte("sealed"),
	}
}

func rowsOf[T any](all []T, row func(T) chat.RowID) (rows []chat.RowID) {
	for _, one := range all {
		rows = append(rows, row(one))
	}
	return rows
}

func messageRow(m chat.MessageRow) chat.RowID { return m.Row }
func outboxRow(o chat.OutboxRow) chat.RowID   { return o.Row }

// numbers returns the row ids of numbers.
func numbers(ns ...int) (rows []chat.RowID) {
	for _, n := range ns {
		rows = append(rows, rowOf(n))
	}
	return rows
}

var errOnPurpose = errors.New("on purpose")
