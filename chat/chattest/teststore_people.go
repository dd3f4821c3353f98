package chattest

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"time"

	"parley/chat"
)

func testContacts(l ledger) {
	bob := chat.ContactRow{Account: accountOf("Bob"), At: noon(), Cell: []byte("bob")}
	carol := chat.ContactRow{Account: accountOf("Carol"), At: noon(), Cell: []byte("Carol \x00\xff")}
	zoe := chat.ContactRow{Account: accountOf("Zoë"), At: noon(), Cell: []byte("Zoë")}
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
			slices.SortFunc(got, func(a, b chat.ContactRow) int { return slices.Compare(a.Account[:], b.Account[:]) })
			l.same(what, got, want)
			return err
		})
	}
	listed("empty")
	put(zoe, carol, bob)
	l.view(func(tx chat.Tx) error {
		got, ok, err1 := tx.Contact(carol.Account)
		l.same("by account", got, carol)
		_, stranger, err2 := tx.Contact(accountOf("Mallory"))
		stats, err3 := tx.Stats()
		if !ok || stranger || stats.Contacts != 3 {
			l.Errorf("found %v, nobody %v, %d contacts", ok, stranger, stats.Contacts)
		}
		return errors.Join(err1, err2, err3)
	})
	listed("all", bob, carol, zoe)
	bob = chat.ContactRow{Account: bob.Account, Cell: []byte("Xavier"), At: noon().Add(time.Hour)}
	put(bob)
	listed("changed in everything", bob, carol, zoe)
	put(bob)
	listed("put again", bob, carol, zoe)
}

func testRequests(l ledger) {
	bob := chat.RequestRow{Account: accountOf("Bob"), State: chat.RequestPending, At: noon(), Cell: []byte("bob \x00\xff")}
	carol := chat.RequestRow{Account: accountOf("Carol"), State: chat.RequestRejected, At: noon()}
	listed := func(what string, want ...chat.RequestRow) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.Requests()
			slices.SortFunc(got, func(a, b chat.RequestRow) int { return cmp.Compare(a.Account.String(), b.Account.String()) })
			l.same(what, got, want)
			return err
		})
	}
	listed("empty")
	l.update(func(tx chat.Tx) error { return errors.Join(tx.PutRequest(carol), tx.PutRequest(bob)) })
	listed("two", bob, carol)
	l.view(func(tx chat.Tx) error {
		got, ok, err1 := tx.Request(bob.Account)
		l.same("by account", got, bob)
		_, stranger, err2 := tx.Request(accountOf("Mallory"))
		if !ok || stranger {
			l.Errorf("found %v, nobody %v", ok, stranger)
		}
		return errors.Join(err1, err2)
	})
	bob = chat.RequestRow{Account: bob.Account, State: chat.RequestRejected, At: noon().Add(time.Hour)}
	l.update(func(tx chat.Tx) error { return tx.PutRequest(bob) })
	listed("changed in everything", bob, carol)
	l.update(func(tx chat.Tx) error { return tx.DeleteRequest(bob.Account) })
	l.update(func(tx chat.Tx) error { return tx.DeleteRequest(bob.Account) })
	listed("one deleted, twice", carol)
	l.refused("a state that is none", func(tx chat.Tx) error { return tx.PutRequest(chat.RequestRow{Account: bob.Account, At: noon()}) })
}

func testHeld(l ledger) {
	row := func(name string, n int) chat.HeldRow {
		return chat.HeldRow{
			Message: messageID(n), Envelope: chat.EnvelopeIDOf([]byte{byte(n)}), Account: accountOf(name), Row: rowOf(n),
			At: noon(), Cell: bytes.Repeat([]byte{byte(n)}, n),
		}
	}
	put := func(rows ...chat.HeldRow) {
		l.Helper()
		l.update(func(tx chat.Tx) error {
			for _, h := range rows {
				if err := tx.PutHeld(h); err != nil {
					return err
				}
			}
			return nil
		})
	}
	held := func(what, name string, want ...chat.HeldRow) {
		l.Helper()
		l.view(func(tx chat.Tx) error {
			got, err := tx.HeldOf(accountOf(name))
			l.same(what, got, want)
			return err
		})
	}
	held("empty", "Bob")
	put(row("Bob", 3), row("Carol", 2), row("Bob", 1))
	held("in the order they came", "Bob", row("Bob", 1), row("Bob", 3))
	l.view(func(tx chat.Tx) error {
		got, ok, err1 := only(tx.Held(chat.EnvelopeIDOf([]byte{2})))
		l.same("by envelope", got, row("Carol", 2))
		_, other, err2 := only(tx.Held(chat.EnvelopeIDOf([]byte{9})))
		if !ok || other {
			l.Errorf("found %v, another %v", ok, other)
		}
		return errors.Join(err1, err2)
	})
	anew := row("Bob", 3)
	anew.Envelope, anew.Cell, anew.Row = chat.EnvelopeIDOf([]byte{7}), []byte("anew"), rowOf(7)
	put(anew)
	held("sealed anew", "Bob", row("Bob", 1), anew)
	l.view(func(tx chat.Tx) error {
		_, ok, err := only(tx.Held(chat.EnvelopeIDOf([]byte{3})))
		l.none("the envelope before", ok, err)
		return nil
	})
	twin := row("Bob", 8)
	twin.Envelope = anew.Envelope
	l.refused("another letter in the same envelope", func(tx chat.Tx) error { return tx.PutHeld(twin) })
	l.update(func(tx chat.Tx) error { return tx.DeleteHeldOf(accountOf("Bob")) })
	l.update(func(tx chat.Tx) error { return tx.DeleteHeldOf(accountOf("Bob")) })
	held("deleted, twice", "Bob")
	held("another's", "Carol", row("Carol", 2))
}
