package chattest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/chat"
)

var (
	errInView   = errors.New("write in a view")
	errNotThere = errors.New("no such row")
)

// NewMemStore returns an empty store that lives in memory. Updates run one after the other and views beside each other, each in
// the goroutine of its caller; an update that fails is undone. No call waits for anything but other callers, so that a bubble of
// testing/synctest is never stuck in it.
func NewMemStore() chat.Store { return &memStore{} }

type memStore struct {
	mu   sync.RWMutex
	rows memRows
}

// memRows is the database: tables, and the indexes that keep something unique. Keys are made in memstore_tx.go.
type memRows struct {
	messages      table[chat.MessageRow]
	messageIDs    table[chat.RowID]
	clientIDs     table[chat.RowID]
	conversations table[chat.ConversationRow]
	outbox        table[chat.OutboxRow]
	unaddressed   table[chat.WaitingRow]
	seen          table[chat.SeenRow]
	events        table[chat.Event]
	contacts      table[chat.ContactRow]
	requests      table[chat.RequestRow]
	held          table[chat.HeldRow]
	records       table[chat.RecordRow]
	sessions      table[chat.SessionRow]
	secrets       table[chat.SecretRow]
	tombstones    table[time.Time]
}

// copy copies every table; rows themselves are never changed in place.
func (r memRows) copy() memRows {
	return memRows{
		r.messages.copy(), r.messageIDs.copy(), r.clientIDs.copy(), r.conversations.copy(), r.outbox.copy(), r.unaddressed.copy(),
		r.seen.copy(), r.events.copy(), r.contacts.copy(), r.requests.copy(), r.held.copy(), r.records.copy(), r.sessions.copy(), r.secrets.copy(),
		r.tombstones.copy(),
	}
}

// Copy returns a store with the rows that one from NewMemStore has now: a backup, or what a thief gets.
func Copy(store chat.Store) chat.Store {
	s, ok := store.(*memStore)
	if !ok {
		panic("copy of a store that is not in memory")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &memStore{rows: s.rows.copy()}
}

// WithoutSeen returns a store with the rows that one from NewMemStore has now, but for what it remembers of the envelopes that it took: a
// mistake, for those who want to see it found.
func WithoutSeen(store chat.Store) chat.Store {
	s := Copy(store).(*memStore)
	s.rows.seen = table[chat.SeenRow]{}
	return s
}

// Update implements chat.Store.
func (s *memStore) Update(ctx context.Context, fn func(chat.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := &memTx{rows: &s.rows, writes: true}
	done := false
	defer func() {
		if !done || err != nil {
			tx.rollBack()
		}
	}()
	err = fn(tx)
	done = true
	if err == nil {
		err = tx.err
	}
	return err
}

// View implements chat.Store.
func (s *memStore) View(ctx context.Context, fn func(chat.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	tx := &memTx{rows: &s.rows}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.err
}

// memTx is one transaction. After its first error it can only fail, as in the databases.
type memTx struct {
	rows   *memRows
	writes bool
	undo   []func()
	err    error
}

// write refuses what must not be written: anything in a view, and anything after an error.
func (t *memTx) write() error {
	if !t.writes {
		return t.fail(errInView)
	}
	return t.err
}

func (t *memTx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

func (t *memTx) rollBack() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
}

// insert adds a row under a key that must be free.
func insert[V any](t *memTx, table *table[V], what, key string, row V) error {
	if err := t.write(); err != nil {
		return err
	}
	if _, taken := table.get(key); taken {
		return t.fail(fmt.Errorf("insert %s: %x is there already", what, key))
	}
	put(t, table, key, row)
	return nil
}

// put sets the row of a key, whether it is there or not.
func put[V any](t *memTx, table *table[V], key string, row V) {
	old, had := table.get(key)
	table.set(key, row)
	t.undo = append(t.undo, func() {
		if had {
			table.set(key, old)
		} else {
			table.remove(key)
		}
	})
}

// drop removes the row of a key, if there is one.
func drop[V any](t *memTx, table *table[V], key string) {
	if old, had := table.get(key); had {
		table.remove(key)
		t.undo = append(t.undo, func() { table.set(key, old) })
	}
}
