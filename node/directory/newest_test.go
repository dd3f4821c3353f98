package directory

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const key = "/note/bob"

// after is a source that finds a value after a while.
func after(d time.Duration, owner bool, values ...[]byte) Source {
	return Source{Owner: owner, Ask: func(ctx context.Context, found func([]byte)) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		for _, v := range values {
			found(v)
		}
	}}
}

// search runs a search in a bubble and returns what it found and how long it took.
func search(t *testing.T, s *Shelf, limit time.Duration, sources ...Source) (value []byte, took time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	value, err = s.Newest(ctx, key, sources)
	return value, time.Since(start), err
}

// TestNewest plays answers that come at different times from different places.
func TestNewest(t *testing.T) {
	old, current, forged := note("bob", 1, "old"), note("bob", 2, "new"), note("mallory", 9, "")
	never := after(time.Hour, false)
	for name, c := range map[string]struct {
		sources []Source
		value   []byte
		took    time.Duration
	}{
		"the owner answers, nobody else": {[]Source{after(time.Millisecond, true, current), never}, current, time.Millisecond + SettleHint},
		"the owner answers, all answer":  {[]Source{after(time.Millisecond, true, current), after(2*time.Millisecond, false)}, current, 2 * time.Millisecond},
		"a newer one a moment later":     {[]Source{after(time.Millisecond, true, old), after(10*time.Millisecond, false, current), never}, current, time.Millisecond + SettleHint},
		"others only":                    {[]Source{after(time.Millisecond, false, current), never}, current, time.Millisecond + SettleOther},
		"others, then the owner":         {[]Source{after(0, false, old), after(100*time.Millisecond, true, current), never}, current, 100*time.Millisecond + SettleHint},
		"enough agree":                   {[]Source{after(1, false, current), after(2, false, current), after(3, false, current), never}, current, 3},
		"a liar is no answer":            {[]Source{after(1, true, forged), after(time.Second, false, current)}, current, time.Second},
		"one source, better and better":  {[]Source{after(5, false, forged, old, current)}, current, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				value, took, err := search(t, NewShelf(validators()), time.Minute, c.sources...)
				if err != nil || !bytes.Equal(value, c.value) || took != c.took {
					t.Errorf("got %q, %v after %s; want %q after %s", value, err, took, c.value, c.took)
				}
			})
		})
	}
}

// TestNewestNothing tells "nobody has it" from "nobody has answered yet".
func TestNewestNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShelf(validators())
		if _, _, err := search(t, s, time.Minute, after(1, false), after(2, true)); !errors.Is(err, ErrNotFound) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody has it: %v", err)
		}
		if _, took, err := search(t, s, time.Minute, after(time.Hour, false)); !errors.Is(err, context.DeadlineExceeded) || took != time.Minute {
			t.Errorf("nobody answers: %v after %s", err, took)
		}
		if _, _, err := search(t, s, time.Minute); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody is asked: %v", err)
		}
	})
}

// TestNewestRemembers returns what was seen before when nobody answers, and never goes back behind it.
func TestNewestRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShelf(validators())
		current := note("bob", 5, "")
		if _, _, err := search(t, s, time.Minute, after(1, true, current)); err != nil {
			t.Fatal(err)
		}
		for name, source := range map[string]Source{
			"nobody answers": after(time.Hour, true), "an old copy": after(1, true, note("bob", 4, "")), "a forgery": after(1, true, note("eve", 9, "")),
		} {
			if value, _, err := search(t, s, time.Minute, source); err != nil || !bytes.Equal(value, current) {
				t.Errorf("%s: %q, %v", name, value, err)
			}
		}
	})
}

// TestNewestOvertaken keeps a newer record while a search has only found an older one: the search does not hand the older one out.
func TestNewestOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, older, newer := NewShelf(validators()), note("bob", 4, ""), note("bob", 5, "")
		overtaking := Source{Ask: func(_ context.Context, found func([]byte)) {
			found(older)
			if err := s.Keep(key, newer); err != nil {
				t.Error(err)
			}
		}}
		if value, _, err := search(t, s, time.Minute, overtaking); err != nil || !bytes.Equal(value, newer) {
			t.Errorf("got %q, %v", value, err)
		}
	})
}

// TestNewestOutvoted has all twenty nearest servers serve the record before the last one, a thousand times: who has seen the last one never
// goes back, and who has not takes what there is.
func TestNewestOutvoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older, newer := note("bob", 4, ""), note("bob", 5, "")
		var stale []Source
		for i := range 20 {
			stale = append(stale, after(time.Duration(i), i == 0, older))
		}
		s := NewShelf(validators())
		if err := s.Keep(key, newer); err != nil {
			t.Fatal(err)
		}
		for try := range 1000 {
			if value, _, err := search(t, s, time.Minute, stale...); err != nil || !bytes.Equal(value, newer) {
				t.Fatalf("try %d: %q, %v", try, value, err)
			}
		}
		if value, _, err := search(t, NewShelf(validators()), time.Minute, stale...); err != nil || !bytes.Equal(value, older) {
			t.Errorf("a newcomer has %q, %v", value, err)
		}
	})
}
