package e2e

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger is kept outside the nodes about one direction of a conversation, whose author says one thing after the other: what was
// tried to be sent, what the author's node has accepted, what the reader was shown, and what the author was told has arrived.
// What nodes forget when they are killed, the ledger knows.
type ledger struct {
	mu        sync.Mutex
	scattered bool                         // texts come by mailboxes too, in any order; histories have theirs
	attempted []string                     // ids, in the order of their first attempts
	texts     map[string][sha256.Size]byte // by id
	accepted  map[string]bool
	shown     []sighting // in the order of their coming
	ticked    map[string]bool
	posted    map[string]bool // the author was told that others keep it for the reader
	found     map[string]bool // the author was told that it has arrived, and the reader's node had it when it was asked after that
	begun     map[string]time.Time
	took      []time.Duration // from the first attempt to the tick, in the order of ticks
}

// sighting is a message that a reader was shown.
type sighting struct {
	id   string
	text [sha256.Size]byte
}

func newLedger() *ledger {
	return &ledger{
		texts: map[string][sha256.Size]byte{}, accepted: map[string]bool{}, ticked: map[string]bool{}, posted: map[string]bool{},
		found: map[string]bool{}, begun: map[string]time.Time{},
	}
}

// idOf returns the id of a text: its first word.
func idOf(text string) string {
	id, _, _ := strings.Cut(text, " ")
	return id
}

// attempt notes a text before it is given to a node.
func (l *ledger) attempt(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := idOf(text)
	if _, again := l.texts[id]; !again {
		l.attempted = append(l.attempted, id)
		l.texts[id], l.begun[id] = sha256.Sum256([]byte(text)), time.Now()
	}
}

// accept notes that the author's node has promised to deliver a text.
func (l *ledger) accept(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[idOf(text)] = true
}

// show notes that the reader was shown a text.
func (l *ledger) show(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = append(l.shown, sighting{idOf(text), sha256.Sum256([]byte(text))})
}

// tick notes that the author was told that a text has arrived.
func (l *ledger) tick(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := idOf(text)
	if begun, ours := l.begun[id]; ours && !l.ticked[id] {
		l.took = append(l.took, time.Since(begun))
	}
	l.ticked[id] = true
}

// post notes that the author was told that others keep a text for the reader.
func (l *ledger) post(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posted[idOf(text)] = true
}

// toFind returns the ids of texts of which the author was told that they have arrived, and which nobody has found yet.
func (l *ledger) toFind() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.ticked {
		if !l.found[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// find notes that the reader's node has texts.
func (l *ledger) find(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.found[id] = true
	}
}

func (l *ledger) attemptedCount() int {
	return l.count(func() int { return len(l.attempted) })
}

func (l *ledger) acceptedCount() int { return l.count(func() int { return len(l.accepted) }) }
func (l *ledger) shownCount() int    { return l.count(func() int { return len(l.shown) }) }
func (l *ledger) tickedCount() int   { return l.count(func() int { return len(l.ticked) }) }
func (l *ledger) postedCount() int   { return l.count(func() int { return len(l.posted) }) }
func (l *ledger) foundCount() int    { return l.count(func() int { return len(l.found) }) }

// times returns how long texts took from the first attempt to the tick, in the order of their ticks, behind the first few.
func (l *ledger) times(behind int) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.took[min(behind, len(l.took)):])
}

func (l *ledger) count(n func() int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return n()
}

// problems returns what must not be, once everything has come to rest: a promise that was not kept, something shown twice, out of
// its order or altered, something that nobody said, and a tick for what was never shown.
func (l *ledger) problems() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	times, places := map[string]int{}, map[string]int{}
	for i, id := range l.attempted {
		places[id] = i
	}
	last := -1
	for _, s := range l.shown {
		times[s.id]++
		at, attempted := places[s.id]
		switch {
		case !attempted:
			found = append(found, fmt.Sprintf("%s was shown but never attempted", s.id))
		case l.texts[s.id] != s.text:
			found = append(found, fmt.Sprintf("%s was altered", s.id))
		case times[s.id] > 1:
			found = append(found, fmt.Sprintf("%s was shown %d times", s.id, times[s.id]))
		case at < last && !l.scattered:
			found = append(found, fmt.Sprintf("%s was shown out of order, after %s", s.id, l.attempted[last]))
		}
		last = max(last, at)
	}
	for _, id := range l.attempted {
		if l.accepted[id] && times[id] == 0 {
			found = append(found, fmt.Sprintf("%s was accepted and lost", id))
		}
		if l.ticked[id] && times[id] == 0 {
			found = append(found, fmt.Sprintf("%s was ticked but never shown", id))
		}
	}
	return found
}

// check fails the test for what the ledger knows to be wrong.
func (l *ledger) check(t testing.TB) {
	t.Helper()
	found := l.problems()
	for _, problem := range found[:min(len(found), 10)] {
		t.Error(problem)
	}
	if len(found) > 10 {
		t.Errorf("and %d more", len(found)-10)
	}
}

// A tick that is true is found at the reader's node while both talk; one that is ahead of it is not.
func TestATickAheadOfTheReaderIsFound(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	alice.ok("send", "bob", "a1 said", "--wait", "delivered")
	lacks, err := bob.end("Alice").lacks(t.Context(), []string{"a1", "a2"})
	if err != nil || !slices.Equal(lacks, []string{"a2"}) {
		t.Errorf("Bob lacks %q, %v", lacks, err)
	}
}

// The checker has to find what it is there to find.
func TestLedgerFindsEveryFault(t *testing.T) {
	faults := map[string]struct {
		play func(l *ledger)
		want string // empty: no fault
	}{
		"all is well": {func(*ledger) {}, ""},
		"an attempt that was not accepted may be lost": {func(l *ledger) { l.attempt("a4 late") }, ""},
		"an attempt that was not accepted may arrive":  {func(l *ledger) { l.attempt("a4 late"); l.show("a4 late") }, ""},
		"a second attempt is the same message":         {func(l *ledger) { l.attempt("a1 one"); l.accept("a1 one") }, ""},
		"lost":                                         {func(l *ledger) { l.attempt("a4 gone"); l.accept("a4 gone") }, "a4 was accepted and lost"},
		"twice":                                        {func(l *ledger) { l.show("a3 three") }, "a3 was shown 2 times"},
		"much later twice":                             {func(l *ledger) { l.show("a1 one") }, "a1 was shown 2 times"},
		"never attempted":                              {func(l *ledger) { l.show("a9 nobody") }, "a9 was shown but never attempted"},
		"a tick too early":                             {func(l *ledger) { l.attempt("a4 x"); l.tick("a4 x") }, "a4 was ticked but never shown"},
		"altered on its way":                           {func(l *ledger) { l.attempt("a4 yes"); l.show("a4 no") }, "a4 was altered"},
		"out of order": {func(l *ledger) {
			for _, text := range []string{"a4 four", "a5 five"} {
				l.attempt(text)
				l.accept(text)
			}
			l.show("a5 five")
			l.show("a4 four")
		}, "a4 was shown out of order, after a5"},
		"scattered out of order": {func(l *ledger) {
			l.scattered = true
			l.attempt("a4 x")
			l.attempt("a5 x")
			l.show("a5 x")
			l.show("a4 x")
		}, ""},
		"scattered twice": {func(l *ledger) { l.scattered = true; l.show("a1 one") }, "a1 was shown 2 times"},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			for _, text := range []string{"a1 one", "a2 two", "a3 three"} {
				l.attempt(text)
				l.accept(text)
				l.show(text)
				l.tick(text)
			}
			fault.play(l)
			var want []string
			if fault.want != "" {
				want = []string{fault.want}
			}
			if got := l.problems(); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}
