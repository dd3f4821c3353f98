package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	cells "parley/chat/internal/vault"
)

// What is stored is sealed between the messenger and its store: update and look hand out a Tx that seals on the way in and opens on
// the way out (rows.go), so that everything else here works with plain rows, and the store sees none. Keys live in a keystore that is
// never in the store; it is read once, and replaced where a conversation begins or is forgotten.

// Secret is a key of 32 bytes that never prints, whatever the verb, encoder or logger. Copies share its bytes; Wipe ends them all.
type Secret = cells.Secret

// NewSecret returns a random key.
func NewSecret() Secret { return cells.MadeSecret(mustRandom) }

// ParseSecret returns the key with these 32 bytes, which it copies.
func ParseSecret(b []byte) (Secret, error) { return cells.NewSecret(b) }

// Keys is where the keys of what is stored are kept: beside the store and never in it, so that a copy of the store says nothing.
type Keys interface {
	// KEK returns the key that the keystore is sealed with.
	KEK() Secret
	// Keystore returns the keystore as it was replaced last, or as NewKeystore made it.
	Keystore() ([]byte, error)
	// ReplaceKeystore puts a keystore in the place of the one before. When it returns nil the new one survives a power loss, and
	// the old one is nowhere any more.
	ReplaceKeystore([]byte) error
}

// NewKeystore returns the keystore of a store that holds nothing yet.
func NewKeystore(kek Secret) ([]byte, error) {
	ring, err := cells.NewRing(cells.MadeSecret(mustRandom))
	if err != nil {
		return nil, fmt.Errorf("new keystore: %w", err)
	}
	defer ring.Wipe()
	file, err := ring.Marshal(kek, mustRandom)
	if err != nil {
		return nil, fmt.Errorf("new keystore: %w", err)
	}
	return file, nil
}

// vaultTx is what vault.go and rows.go touch themselves.
type vaultTx interface {
	// LastEvent returns the highest sequence number given to an event so far; 0 before the first.
	LastEvent() (uint64, error)
}

// safe holds the ring of keys that everything stored is sealed with. It never prints.
type safe struct {
	keys Keys
	self AccountID

	mu   sync.RWMutex
	ring *cells.Ring // nil before the first use

	damage trouble // the first damage that was met, for people to see
}

var errNoKeys = errors.New("there are no keys to the store")

// open reads the keystore, once.
func (s *safe) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ring != nil:
		return nil
	case s.keys == nil:
		return errNoKeys
	}
	file, err := s.keys.Keystore()
	if err != nil {
		return err
	}
	if s.ring, err = cells.Parse(s.keys.KEK(), file); err != nil {
		return &Error{Code: CodeConfig, Detail: "the keystore does not open: " + err.Error() + "; restore it from a backup"}
	}
	return nil
}

// keyed makes sure that a conversation has a key. A new one is durable before anything sealed with it can be.
func (s *safe) keyed(c ConversationID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring.Has(cells.Conversation(c)) {
		return nil
	}
	if err := s.ring.Add(cells.Conversation(c), cells.MadeSecret(mustRandom)); err != nil {
		return err
	}
	if err := s.replace(); err != nil {
		s.ring.Drop(s.ring.Retire(cells.Conversation(c)))
		return err
	}
	return nil
}

// replace writes the keystore as the ring is now. The caller holds the lock.
func (s *safe) replace() error {
	file, err := s.ring.Marshal(s.keys.KEK(), mustRandom)
	if err == nil {
		err = s.keys.ReplaceKeystore(file)
	}
	if err != nil {
		return fmt.Errorf("replace the keystore: %w", err)
	}
	return nil
}

// retire makes a conversation that comes back begin with a new key, and returns the ids of the keys that it had.
func (s *safe) retire(c ConversationID) []cells.KeyID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.Retire(cells.Conversation(c))
}

// drop destroys keys, here and in the keystore.
func (s *safe) drop(ids []cells.KeyID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ring.Drop(ids) {
		return nil
	}
	return s.replace()
}

// has reports whether something can be sealed for a conversation alone.
func (s *safe) has(c ConversationID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ring.Has(cells.Conversation(c))
}

// direct returns whose key what concerns an account is sealed with: our conversation's with it where that has one, else the store's.
func (s *safe) direct(a AccountID) ConversationID {
	if c := DirectConversation(s.self, a); s.has(c) {
		return c
	}
	return ConversationID{}
}

func (s *safe) blind(kind string, id ...[]byte) [32]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ring.Blind(kind, id...)
}

func (s *safe) seal(p cells.Place, c ConversationID, plaintext []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	cell, err := s.ring.Seal(p, cells.Conversation(c), plaintext, mustRandom)
	if err != nil {
		return nil, fmt.Errorf("seal %s row %x: %w", p.Table, p.Row, err)
	}
	return cell, nil
}

// errDamaged is in the chain of every error about a cell that does not open or holds what does not belong there.
var errDamaged = errors.New("it was changed, or does not belong there")

func (s *safe) unseal(p cells.Place, cell []byte) ([]byte, ConversationID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	plaintext, c, err := s.ring.Open(p, cell)
	if err != nil {
		return nil, ConversationID{}, damaged(p)
	}
	return plaintext, ConversationID(c), nil
}

// damaged names a place whose cell must not be believed, and shows nothing of it.
func damaged(p cells.Place) error {
	return fmt.Errorf("%s of %s row %x does not open: %w", p.Column, p.Table, p.Row, errDamaged)
}

// judge remembers the first damage of a run.
func (s *safe) judge(err error) {
	if !errors.Is(err, errDamaged) {
		return
	}
	s.damage.mu.Lock()
	defer s.damage.mu.Unlock()
	if s.damage.line == "" {
		s.damage.line = "the database is damaged: " + err.Error()
	}
}

// look runs fn against one consistent snapshot of plain rows. It must not write.
func (m *Messenger) look(ctx context.Context, fn func(Tx) error) error {
	if err := m.safe.open(); err != nil {
		return err
	}
	err := m.store.View(ctx, func(tx Tx) error { return m.safe.on(tx).run(fn) })
	m.safe.judge(err)
	return err
}

// update runs one transaction on plain rows, and does what it asks for after the commit.
func (m *Messenger) update(ctx context.Context, fn func(Tx, *aftermath) error) error {
	if err := m.safe.open(); err != nil {
		return err
	}
	var after aftermath
	err := m.store.Update(ctx, func(tx Tx) error {
		after = aftermath{} // fn may run again
		sealed := m.safe.on(tx)
		err := sealed.run(func(tx Tx) error {
			if err := fn(tx, &after); err != nil {
				return err
			}
			return after.lines.keep(tx)
		})
		after.event, after.people, after.pins = sealed.last, sealed.people, sealed.pins
		return err
	})
	m.trouble.judge(ctx, err)
	m.safe.judge(err)
	if err == nil {
		m.instance.reached(after.event)
	}
	m.heed(after)
	return err
}

// forgetTx is what RemoveContact touches.
type forgetTx interface {
	// DeleteConversation deletes a direct conversation with an account: contact, messages, what is queued for the account or waits
	// for its devices. Its events keep their numbers, types, times and states and nothing else. The ids of its messages are kept, as of
	// a time, for Forgotten.
	DeleteConversation(c ConversationID, a AccountID, at time.Time) error
	// Forgotten reports whether a message was in a conversation that was deleted.
	Forgotten(MessageID) (bool, error)
}

// shreddedKey is the record of our own that holds the ids of keys that are to be destroyed, for a run that could not finish it.
const shreddedKey = "/shredded/keys"

// RemoveContact forgets a contact: the conversation is deleted and the key that all of it was sealed with destroyed, so that nothing
// of it can be read any more, not in an old copy of the database either. What comes late of the forgotten messages is not shown again.
// The error is CodeTarget where there is no such contact.
func (m *Messenger) RemoveContact(ctx context.Context, a AccountID) error {
	c := DirectConversation(m.self, a)
	var keys []cells.KeyID
	err := m.update(ctx, func(tx Tx, after *aftermath) (err error) {
		if _, known, err := tx.Contact(a); err != nil || !known {
			return orUnknown(err, a)
		}
		if err := m.endSessions(tx, after, a); err != nil {
			return err
		}
		if err := tx.DeleteConversation(c, a, m.now()); err != nil {
			return err
		}
		if keys, err = m.condemn(tx, c); err != nil {
			return err
		}
		_, err = tx.AppendEvent(Event{Type: EventContactRemoved, At: m.now()})
		return err
	})
	if err == nil {
		err = m.safe.drop(keys)
	}
	return wrap(err, "forget the contact")
}

func orUnknown(err error, a AccountID) error {
	if err != nil {
		return err
	}
	return &Error{Code: CodeTarget, Detail: "no such contact: " + a.Short()}
}

// condemn retires a conversation's keys, and notes that they are to be destroyed once this transaction has committed: in the store, so
// that the next run does it where this one ends in between.
func (m *Messenger) condemn(tx Tx, c ConversationID) ([]cells.KeyID, error) {
	keys := m.safe.retire(c)
	row, _, err := tx.Record(shreddedKey)
	if err != nil {
		return nil, err
	}
	value := row.Value
	if len(value) >= maxShredded*len(cells.KeyID{}) {
		value = nil
	}
	for _, key := range keys {
		value = append(value, key[:]...)
	}
	return keys, tx.PutRecord(RecordRow{Key: shreddedKey, Value: value, At: m.now()})
}

// resumeShredding destroys the keys that an earlier run has condemned, and could not.
func (m *Messenger) resumeShredding(ctx context.Context) error {
	var keys []cells.KeyID
	err := m.look(ctx, func(tx Tx) error {
		keys = nil
		row, _, err := tx.Record(shreddedKey)
		for key := range slices.Chunk(row.Value, len(cells.KeyID{})) {
			if len(key) == len(cells.KeyID{}) {
				keys = append(keys, cells.KeyID(key))
			}
		}
		return err
	})
	if err == nil {
		err = m.safe.drop(keys)
	}
	return wrap(err, "destroy the keys of what was forgotten")
}
