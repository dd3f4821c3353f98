package directory

import (
	"container/list"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Validator judges a value of one noun; id is what follows "/<noun>/". It is pure, and accepts nothing but what the owner of id
// made. The higher sequence is the newer value.
type Validator = func(id string, value []byte) (sequence uint64, err error)

// ErrNotFound says that nobody who was asked has a valid record.
var ErrNotFound = errors.New("no record found")

// Shelf holds the records that this node can hand out. It may be used from several goroutines.
type Shelf struct {
	validators map[string]Validator

	mu     sync.Mutex
	own    map[string][]byte
	cached map[string]*list.Element // of *entry
	recent *list.List               // the most recently used entry first
}

type entry struct {
	key   string
	value []byte
}

// NewShelf returns an empty shelf for the nouns that have a validator.
func NewShelf(validators map[string]Validator) *Shelf {
	return &Shelf{
		validators: maps.Clone(validators),
		own:        make(map[string][]byte),
		cached:     make(map[string]*list.Element),
		recent:     list.New(),
	}
}

// Nouns lists the nouns that records may have.
func (s *Shelf) Nouns() []string { return slices.Sorted(maps.Keys(s.validators)) }

// Check returns the sequence number of a valid record.
func (s *Shelf) Check(key string, value []byte) (sequence uint64, err error) {
	noun, id, err := splitKey(key)
	if err != nil {
		return 0, err
	}
	validate, ok := s.validators[noun]
	if !ok {
		return 0, fmt.Errorf("check record: unknown noun %.20q", noun)
	}
	if len(value) == 0 || len(value) > MaxRecord {
		return 0, fmt.Errorf("check %s record: it has %d bytes, not 1 to %d", noun, len(value), MaxRecord)
	}
	sequence, err = validate(id, value)
	if err != nil {
		return 0, fmt.Errorf("check %s record: %w", noun, err)
	}
	return sequence, nil
}

// splitKey takes "/<noun>/<id>" apart.
func splitKey(key string) (noun, id string, err error) {
	noun, id, ok := strings.Cut(strings.TrimPrefix(key, "/"), "/")
	if !ok || key[0] != '/' || noun == "" || id == "" || len(key) > MaxKey {
		return "", "", fmt.Errorf("record key of %d bytes: not /noun/id of at most %d", len(key), MaxKey)
	}
	return noun, id, nil
}

// Publish puts one of our own records on the shelf, where nothing displaces it but a newer one.
func (s *Shelf) Publish(key string, value []byte) error {
	sequence, err := s.Check(key, value)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.own[key]
	if ok && s.sequence(key, old) > sequence {
		return fmt.Errorf("publish %s: a newer one is published already", key)
	}
	if !ok && len(s.own) >= MaxOwnRecords {
		return fmt.Errorf("publish %s: %d records are published already", key, MaxOwnRecords)
	}
	s.own[key] = slices.Clone(value)
	return nil
}

// Own returns one of our own records.
func (s *Shelf) Own(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.own[key]
	return value, ok
}

// Keep remembers a record of somebody else if it is valid and newer than what is there.
func (s *Shelf) Keep(key string, value []byte) error {
	sequence, err := s.Check(key, value)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.cached[key]; ok {
		s.recent.MoveToFront(e)
		if s.sequence(key, e.Value.(*entry).value) < sequence {
			e.Value.(*entry).value = slices.Clone(value)
		}
		return nil
	}
	s.cached[key] = s.recent.PushFront(&entry{key: key, value: slices.Clone(value)})
	if s.recent.Len() > MaxCachedRecords {
		last := s.recent.Back()
		delete(s.cached, last.Value.(*entry).key)
		s.recent.Remove(last)
	}
	return nil
}

// Get returns the newest value that is here.
func (s *Shelf) Get(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, mine := s.own[key]
	e, ok := s.cached[key]
	if !ok {
		return own, mine
	}
	s.recent.MoveToFront(e)
	value := e.Value.(*entry).value
	if mine && s.sequence(key, own) >= s.sequence(key, value) {
		return own, true
	}
	return value, true
}

// sequence returns the sequence of a value that was valid when it was put here.
func (s *Shelf) sequence(key string, value []byte) uint64 {
	sequence, _ := s.Check(key, value)
	return sequence
}
