package chattest

import (
	"bytes"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

func sessionWith(device peer.ID, n int) chat.SessionRow {
	row := rowOf(n)
	return chat.SessionRow{ID: chat.SessionID(row), Device: device, At: noon(), Cell: []byte{0, 1, byte(n), 255}}
}

func testSessions(l ledger) {
	load := func(what string, id chat.SessionID, want chat.SessionRow, there bool) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, ok, err := tx.Session(id)
			l.same(what, ok, there)
			l.same(what, got, want)
			return err
		})
	}
	with := func(what string, device peer.ID, want ...chat.SessionRow) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.Sessions(device)
			slices.SortFunc(got, func(a, b chat.SessionRow) int { return bytes.Compare(a.ID[:], b.ID[:]) })
			l.same(what, got, want)
			return err
		})
	}
	put := func(rows ...chat.SessionRow) {
		l.Helper()
		l.update(func(tx chat.Tx) error {
			for _, row := range rows {
				if err := tx.PutSession(row); err != nil {
					return err
				}
			}
			return nil
		})
	}
	load("none", chat.SessionID{1}, chat.SessionRow{}, false)
	with("nobody", "bob")
	one, two, other := sessionWith("bob", 1), sessionWith("bob", 2), sessionWith("bob 2", 3)
	other.Cell = bytes.Repeat([]byte{7}, 100_000)
	put(one, two, other)
	load("one", one.ID, one, true)
	load("a large one", other.ID, other, true)
	with("two with a device", "bob", one, two)
	with("one with a device whose id begins alike", "bob 2", other)
	one.Cell, one.At = []byte("moved on"), noon().Add(time.Hour)
	put(one)
	with("the newest state", "bob", one, two)
	remove := func(tx chat.Tx) error { return tx.DeleteSession(one.ID) }
	l.update(remove)
	l.update(remove)
	with("one is gone", "bob", two)
}

func testSecrets(l ledger) {
	list := func(what string, kind chat.SecretKind, limit int, want ...chat.SecretRow) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.Secrets(kind, limit)
			slices.SortFunc(got, func(a, b chat.SecretRow) int { return bytes.Compare(a.Key, b.Key) })
			l.same(what, got, want)
			return err
		})
	}
	row := func(kind chat.SecretKind, key, value string) chat.SecretRow {
		return chat.SecretRow{Kind: kind, Key: []byte(key), Cell: []byte(value)}
	}
	put := func(rows ...chat.SecretRow) {
		l.Helper()
		l.update(func(tx chat.Tx) error {
			for _, r := range rows {
				if err := tx.PutSecret(r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	a, b, c := row(chat.SecretGeneration, "\x00\x01", "a\x00\xff"), row(chat.SecretGeneration, "\x00\x02", "b"), row(chat.SecretGiven, "\x00\x01", "c")
	list("none", chat.SecretGeneration, 10)
	put(b, c, a)
	list("two of a kind", chat.SecretGeneration, 10, a, b)
	list("another kind", chat.SecretGiven, 10, c)
	l.view(func(tx chat.Tx) error {
		few, err := tx.Secrets(chat.SecretGeneration, 1)
		l.same("no more than asked for", len(few), 1)
		if err != nil {
			return err
		}
		one, ok, err := tx.Secret(chat.SecretGeneration, b.Key)
		l.same("one", one, b)
		l.same("it is there", ok, true)
		if err != nil {
			return err
		}
		_, ok, err = tx.Secret(chat.SecretGeneration, []byte("\x00"))
		l.same("the beginning of a key is none", ok, false)
		return err
	})
	b.Cell = []byte("again")
	put(b)
	remove := func(tx chat.Tx) error { return tx.DeleteSecret(chat.SecretGeneration, a.Key) }
	l.update(remove)
	l.update(remove)
	list("one was replaced, one is gone", chat.SecretGeneration, 10, b)
	list("another kind keeps its own", chat.SecretGiven, 10, c)
}
