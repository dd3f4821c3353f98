package vault

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"parley/chat/internal/wire"
)

const (
	cellFormat = 1
	idSize     = 8
	nonceSize  = chacha20poly1305.NonceSizeX
	headSize   = 1 + idSize + nonceSize
	// Overhead is how many bytes a cell has more than its plaintext.
	Overhead = headSize + chacha20poly1305.Overhead
)

// KeyID names a key inside a cell: eight bytes that say nothing else about it.
type KeyID [idSize]byte

// Conversation is whose key seals a cell; the zero value stands for the store itself.
type Conversation [32]byte

func (c Conversation) bytes() []byte {
	if c == (Conversation{}) {
		return nil
	}
	return c[:]
}

// Place is where a cell lies. It opens there and nowhere else.
type Place struct {
	Table, Column string
	Row           []byte
}

func (p Place) bind(c Conversation) []byte {
	b := make([]byte, 0, 96+len(p.Row))
	b = wire.AppendLP(b, []byte(p.Table))
	b = wire.AppendLP(b, []byte(p.Column))
	b = wire.AppendLP(b, p.Row)
	b = wire.AppendLP(b, c.bytes())
	return append(b, cellFormat)
}

// lock is one key of a ring, with what is derived from it.
type lock struct {
	id           KeyID
	conversation Conversation
	key          Secret // as the keystore holds it
	cell         Secret // what its cells are sealed with
}

func newLock(c Conversation, key Secret) (lock, error) {
	cell, err := derive(key, wire.LabelCells, KeySize)
	if err != nil {
		return lock{}, err
	}
	defer clear(cell)
	id, err := derive(key, wire.LabelCellKey, idSize)
	if err != nil {
		return lock{}, err
	}
	l := lock{id: KeyID(id), conversation: c, key: key}
	l.cell, err = NewSecret(cell)
	return l, err
}

func (l lock) wipe() {
	l.key.Wipe()
	l.cell.Wipe()
}

func derive(key Secret, label string, size int) ([]byte, error) {
	if key.b == nil {
		return nil, errNoKey
	}
	return hkdf.Expand(sha256.New, key.Bytes(), label, size)
}

func aeadOf(key Secret) (cipher.AEAD, error) {
	if key.b == nil {
		return nil, errNoKey
	}
	return chacha20poly1305.NewX(key.Bytes())
}

var (
	errNoKey = errors.New("there is no key")
	errCell  = errors.New("it was changed, or does not belong there")
)

// Ring holds the keys of one store: its own, and those of its conversations. A conversation may have several: the newest seals.
type Ring struct {
	store lock
	index Secret
	locks []lock // of conversations, in the order in which they were made
	byID  map[KeyID]lock
	seals map[Conversation]lock
}

// NewRing returns a ring that holds the store's own key alone, which is the ring's from now on.
func NewRing(store Secret) (*Ring, error) {
	own, err := newLock(Conversation{}, store)
	if err != nil {
		return nil, err
	}
	index, err := derive(store, wire.LabelIndex, KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(index)
	r := &Ring{store: own, byID: map[KeyID]lock{own.id: own}, seals: map[Conversation]lock{{}: own}}
	r.index, err = NewSecret(index)
	return r, err
}

// Add takes a key that seals a conversation's cells from now on; older keys of it still open theirs.
func (r *Ring) Add(c Conversation, key Secret) error {
	l, err := newLock(c, key)
	if err != nil {
		return err
	}
	if _, known := r.byID[l.id]; known || c == (Conversation{}) {
		return fmt.Errorf("key %x is there already, or for no conversation", l.id)
	}
	r.locks, r.byID[l.id], r.seals[c] = append(r.locks, l), l, l
	return nil
}

// Has reports whether a conversation has a key that seals.
func (r *Ring) Has(c Conversation) bool {
	_, ok := r.seals[c]
	return ok
}

// Retire makes sure that none of a conversation's keys seals any more, and returns the ids of all that still open.
func (r *Ring) Retire(c Conversation) (ids []KeyID) {
	if c == (Conversation{}) {
		return nil
	}
	delete(r.seals, c)
	for _, l := range r.locks {
		if l.conversation == c {
			ids = append(ids, l.id)
		}
	}
	return ids
}

// Drop takes keys out of the ring and wipes them: their cells never open again. It reports whether it held one of them.
func (r *Ring) Drop(ids []KeyID) (dropped bool) {
	r.locks = slices.DeleteFunc(r.locks, func(l lock) bool {
		if !slices.Contains(ids, l.id) {
			return false
		}
		delete(r.byID, l.id)
		if r.seals[l.conversation].id == l.id {
			delete(r.seals, l.conversation)
		}
		l.wipe()
		dropped = true
		return true
	})
	return dropped
}

// Wipe overwrites every key of the ring, which is of no use afterwards.
func (r *Ring) Wipe() {
	r.index.Wipe()
	r.store.wipe()
	for _, l := range r.locks {
		l.wipe()
	}
	clear(r.byID)
	clear(r.seals)
	r.locks = nil
}

// Seal returns the cell of a plaintext in its place, under a conversation's key; the zero conversation stands for the store. fill
// fills the nonce with randomness.
func (r *Ring) Seal(p Place, c Conversation, plaintext []byte, fill func([]byte)) ([]byte, error) {
	l, ok := r.seals[c]
	if !ok {
		return nil, errNoKey
	}
	aead, err := aeadOf(l.cell)
	if err != nil {
		return nil, err
	}
	cell := make([]byte, headSize, Overhead+len(plaintext))
	cell[0] = cellFormat
	copy(cell[1:], l.id[:])
	nonce := cell[1+idSize : headSize]
	fill(nonce)
	return aead.Seal(cell, nonce, plaintext, p.bind(c)), nil
}

// Open returns what a cell holds, and whose key it was sealed with. The error is the same for whatever is wrong, and shows no bytes.
func (r *Ring) Open(p Place, cell []byte) ([]byte, Conversation, error) {
	if len(cell) < Overhead || cell[0] != cellFormat {
		return nil, Conversation{}, errCell
	}
	l, ok := r.byID[KeyID(cell[1:1+idSize])]
	if !ok {
		return nil, Conversation{}, errCell
	}
	aead, err := aeadOf(l.cell)
	if err != nil {
		return nil, Conversation{}, err
	}
	plaintext, err := aead.Open(nil, cell[1+idSize:headSize], cell[headSize:], p.bind(l.conversation))
	if err != nil {
		return nil, Conversation{}, errCell
	}
	return plaintext, l.conversation, nil
}

// Blind returns what stands for an id in a column that rows are looked up by: alike for the same kind and id, and nothing to who
// does not hold the store's key. It is for ids that nobody can guess, never for texts or names alone.
func (r *Ring) Blind(kind string, id ...[]byte) (index [sha256.Size]byte) {
	h := hmac.New(sha256.New, r.index.Bytes())
	h.Write(wire.AppendLP(nil, []byte(kind)))
	for _, part := range id {
		h.Write(part)
	}
	h.Sum(index[:0])
	return index
}
