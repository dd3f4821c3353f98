package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"parley/chat"
)

// What an update has written it reads back at any time, though the database gets it late and in few statements; and what is read in
// between splits nothing.
func TestAnUpdateSeesWhatItWrote(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		const rows = 3*rowsBatch + 5
		db := open(t, url)
		err := db.Update(bg(), func(tx chat.Tx) error {
			for n := range rows {
				if err := writeSome(tx, n); err != nil {
					return err
				}
				if n%97 != 0 {
					continue
				}
				if err := readBack(tx, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(bg(), func(tx chat.Tx) error { return readBack(tx, rows-1) })
		if err != nil {
			t.Error(err)
		}
	})
}

// writeSome writes a message that has arrived already, as it is with an outbox row that is gone by then, and an event for each step.
func writeSome(tx chat.Tx, n int) error {
	m := benchMessage(uint64(n))
	o := chat.OutboxRow{Row: m.Row, Device: "bob", Message: m.Row, ID: chat.EnvelopeID(m.ID)}
	for _, err := range []error{
		tx.InsertMessage(m),
		tx.InsertOutbox(o),
		tx.InsertSeen(chat.SeenRow{ID: o.ID}),
		tx.PutSession(chat.SessionRow{ID: chat.SessionID{1}, Device: "bob", Cell: fmt.Append(nil, n)}),
		tx.SetMessageState(chat.MessageRow{Row: m.Row, State: chat.StateDelivered}),
	} {
		if err != nil {
			return err
		}
	}
	seq, err := tx.AppendEvent(chat.Event{Type: chat.EventMessageState})
	if err != nil || seq != uint64(n+1) {
		return fmt.Errorf("event %d has the number %d: %w", n+1, seq, err)
	}
	if n%2 == 0 {
		return tx.DeleteOutbox("bob", []chat.RowID{m.Row})
	}
	return nil
}

func readBack(tx chat.Tx, n int) error {
	m := benchMessage(uint64(n))
	rows, err := tx.MessagesAt(m.Row)
	if err != nil || len(rows) != 1 || rows[0].State != chat.StateDelivered {
		return fmt.Errorf("message %d: %v: %w", n, rows, err)
	}
	session, _, err := tx.Session(chat.SessionID{1})
	if err != nil || string(session.Cell) != fmt.Sprint(n) {
		return fmt.Errorf("session %s, not %d: %w", session.Cell, n, err)
	}
	if seen, err := tx.Seen(chat.EnvelopeID(m.ID), chat.EnvelopeID{9}); err != nil || len(seen) != 1 {
		return fmt.Errorf("seen %d: %w", len(seen), err)
	}
	if last, err := tx.LastEvent(); err != nil || last != uint64(n+1) {
		return fmt.Errorf("last event %d, not %d: %w", last, n+1, err)
	}
	queued, err := tx.OutboxOf("bob", chat.RowID{}, n+1)
	if i := slices.IndexFunc(queued, func(o chat.OutboxRow) bool { return o.Row == m.Row }); err != nil || (i >= 0) != (n%2 == 1) || len(queued) != (n+1)/2 {
		return fmt.Errorf("%d queued after message %d: %w", len(queued), n, err)
	}
	return nil
}

// A row that is refused late undoes its own update, and nothing of who shares the commit.
func TestARowThatIsRefusedLate(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		g := hold(t, db)
		for n := range 6 {
			twice := func(tx chat.Tx) error { return errors.Join(inserts(n)(tx), inserts(n)(tx)) }
			if n%2 == 1 {
				g.join(bg(), twice, anError)
			} else {
				g.join(bg(), inserts(n), noError)
			}
		}
		g.release()
		for n := range 6 {
			if has(t, db, n) != (n%2 == 0) {
				t.Errorf("message %d is there: %v", n, has(t, db, n))
			}
		}
	})
}
