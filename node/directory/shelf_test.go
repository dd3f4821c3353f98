package directory

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// validators accept "sequence:id:text": a forged record names another id than its key.
func validators() map[string]Validator {
	return map[string]Validator{"note": func(id string, value []byte) (uint64, error) {
		var sequence uint64
		head, rest, ok := strings.Cut(string(value), ":")
		owner, _, _ := strings.Cut(rest, ":")
		if _, err := fmt.Sscan(head, &sequence); err != nil || !ok {
			return 0, errors.New("damaged")
		}
		if owner != id {
			return 0, errors.New("forged")
		}
		return sequence, nil
	}}
}

func note(id string, sequence int, text string) []byte {
	return fmt.Appendf(nil, "%d:%s:%s", sequence, id, text)
}

// TestCheck accepts what a validator accepts, under a key and of a size that are allowed.
func TestCheck(t *testing.T) {
	s := NewShelf(validators())
	if sequence, err := s.Check("/note/alice", note("alice", 7, "hello")); err != nil || sequence != 7 {
		t.Errorf("a good record: %d, %v", sequence, err)
	}
	if _, err := s.Check("/note/alice", note("alice", 1, strings.Repeat("x", MaxRecord-8))); err != nil {
		t.Errorf("the largest record: %v", err)
	}
	for name, bad := range map[string]struct {
		key   string
		value []byte
	}{
		"forged":       {"/note/alice", note("mallory", 7, "hello")},
		"damaged":      {"/note/alice", []byte("seven")},
		"empty":        {"/note/alice", nil},
		"oversized":    {"/note/alice", note("alice", 1, strings.Repeat("x", MaxRecord))},
		"unknown noun": {"/pk/alice", note("alice", 1, "x")},
		"no key":       {"", note("alice", 1, "x")},
		"no slash":     {"note/alice", note("alice", 1, "x")},
		"no id":        {"/note/", note("", 1, "x")},
		"no noun":      {"//alice", note("alice", 1, "x")},
		"long key":     {"/note/" + strings.Repeat("a", MaxKey), note(strings.Repeat("a", MaxKey), 1, "x")},
	} {
		if _, err := s.Check(bad.key, bad.value); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestPublish keeps our own records, the newer ones only, and not without end.
func TestPublish(t *testing.T) {
	s := NewShelf(validators())
	mustPublish := func(key string, value []byte) {
		t.Helper()
		if err := s.Publish(key, value); err != nil {
			t.Fatal(err)
		}
	}
	mustPublish("/note/alice", note("alice", 2, "two"))
	mustPublish("/note/alice", note("alice", 3, "three"))
	if err := s.Publish("/note/alice", note("alice", 1, "one")); err == nil {
		t.Error("an older record replaced a newer one")
	}
	if err := s.Publish("/note/alice", note("bob", 9, "nine")); err == nil {
		t.Error("an invalid record was published")
	}
	if value, ok := s.Own("/note/alice"); !ok || !bytes.Equal(value, note("alice", 3, "three")) {
		t.Errorf("own: %q", value)
	}
	for i := 1; i < MaxOwnRecords; i++ {
		id := fmt.Sprint("device", i)
		mustPublish("/note/"+id, note(id, 1, ""))
	}
	if err := s.Publish("/note/more", note("more", 1, "")); err == nil {
		t.Error("there is no end to own records")
	}
}

// TestKeep keeps the newest of others, and forgets the least recently used when there are too many.
func TestKeep(t *testing.T) {
	s := NewShelf(validators())
	keep := func(id string, sequence int) {
		t.Helper()
		if err := s.Keep("/note/"+id, note(id, sequence, "")); err != nil {
			t.Fatal(err)
		}
	}
	keep("bob", 2)
	keep("bob", 1)
	keep("bob", 2)
	if value, _ := s.Get("/note/bob"); !bytes.Equal(value, note("bob", 2, "")) {
		t.Errorf("bob's record went back to %q", value)
	}
	if err := s.Keep("/note/bob", note("mallory", 9, "")); err == nil {
		t.Error("a forged record was kept")
	}
	for i := range MaxCachedRecords - 1 {
		keep(fmt.Sprint("stranger", i), 1)
	}
	s.Get("/note/bob") // bob is in use
	keep("newcomer", 1)
	if _, ok := s.Get("/note/bob"); !ok {
		t.Error("a record in use was forgotten")
	}
	if _, ok := s.Get("/note/stranger0"); ok {
		t.Error("the oldest stranger was not forgotten")
	}
	if s.recent.Len() != MaxCachedRecords || len(s.cached) != MaxCachedRecords {
		t.Errorf("%d and %d records", s.recent.Len(), len(s.cached))
	}
}

// TestGetNewest serves the newer of our own record and what another device of ours has published meanwhile.
func TestGetNewest(t *testing.T) {
	s := NewShelf(validators())
	if _, ok := s.Get("/note/alice"); ok {
		t.Error("something from nothing")
	}
	for _, step := range []struct {
		put      func(string, []byte) error
		sequence int
		want     int
	}{{s.Publish, 2, 2}, {s.Keep, 1, 2}, {s.Keep, 3, 3}, {s.Publish, 4, 4}} {
		if err := step.put("/note/alice", note("alice", step.sequence, "")); err != nil {
			t.Fatal(err)
		}
		if value, ok := s.Get("/note/alice"); !ok || !bytes.Equal(value, note("alice", step.want, "")) {
			t.Errorf("after %d: %q", step.sequence, value)
		}
	}
}

// TestOwnCopy shows that callers keep no hand in what is on the shelf.
func TestOwnCopy(t *testing.T) {
	s := NewShelf(validators())
	value := note("alice", 1, "hello")
	if err := errors.Join(s.Publish("/note/alice", value), s.Keep("/note/alice", value)); err != nil {
		t.Fatal(err)
	}
	value[0] = 'X'
	if got, _ := s.Get("/note/alice"); !bytes.Equal(got, note("alice", 1, "hello")) {
		t.Errorf("the shelf has %q", got)
	}
}
