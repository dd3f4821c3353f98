package wire

import (
	"crypto/sha256"
	"sync"
)

// memoSize bounds a Memo: a few KiB each, for more devices than anybody writes to in a day.
const memoSize = 4096

// Memo remembers what a parser has proven of bytes, so that signatures in the same bytes are not verified for every message again.
// It keys by the hash of all the bytes, and remembers no failures. What it returns is shared: do not change it.
type Memo[T any] struct {
	parse func([]byte) (T, error)

	mu    sync.Mutex
	known map[[sha256.Size]byte]T
}

// NewMemo returns an empty memo of a parser.
func NewMemo[T any](parse func([]byte) (T, error)) *Memo[T] {
	return &Memo[T]{parse: parse, known: map[[sha256.Size]byte]T{}}
}

// Parse is the parser, or its memory.
func (m *Memo[T]) Parse(b []byte) (T, error) {
	key := sha256.Sum256(b)
	m.mu.Lock()
	v, ok := m.known[key]
	m.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := m.parse(b)
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= memoSize {
		clear(m.known) // what is in use comes back with the next message
	}
	m.known[key] = v
	return v, nil
}
