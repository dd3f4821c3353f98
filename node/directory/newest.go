package directory

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// Source is one place to ask.
type Source struct {
	// Owner says that this is a device that the record is expected to come from: its answer ends the search soon.
	Owner bool
	// Ask calls found for each value it finds, none of them validated, and returns when it has no more or ctx ends.
	Ask func(ctx context.Context, found func(value []byte))
}

// found is one value that a source came up with.
type found struct {
	value []byte
	owner bool
}

// Newest asks all sources at once and returns the newest valid value, which it also keeps on the shelf. It returns when all have
// answered, when Agreement of them say the same, or SettleHint or SettleOther after the first valid answer; with what it has
// when ctx ends. ErrNotFound says that nobody has one.
func (s *Shelf) Newest(ctx context.Context, key string, sources []Source) ([]byte, error) {
	asking, cancel := context.WithCancel(ctx)
	answers, finished := askAll(asking, sources)
	defer finished()
	defer cancel()

	best := newest{shelf: s, key: key}
	if value, ok := s.Get(key); ok {
		best.offer(found{value: value})
	}
	var settled <-chan time.Time
	for waiting := true; waiting && best.agreed < Agreement; {
		select {
		case f, ok := <-answers:
			if !ok {
				waiting = false
			} else if best.offer(f) && (settled == nil || f.owner) {
				settled = time.After(settleTime(f))
			}
		case <-settled:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	return best.result(ctx)
}

func settleTime(f found) time.Duration {
	if f.owner {
		return SettleHint
	}
	return SettleOther
}

// askAll starts all sources. finished waits until the last has returned; the channel is closed by then.
func askAll(ctx context.Context, sources []Source) (<-chan found, func()) {
	answers := make(chan found)
	var running sync.WaitGroup
	for _, source := range sources {
		running.Go(func() {
			source.Ask(ctx, func(value []byte) {
				select {
				case answers <- found{value: value, owner: source.Owner}:
				case <-ctx.Done():
				}
			})
		})
	}
	closed := make(chan struct{})
	go func() {
		running.Wait()
		close(answers)
		close(closed)
	}()
	return answers, func() { <-closed }
}

// newest is the best answer so far, and how many agree on it.
type newest struct {
	shelf    *Shelf
	key      string
	value    []byte
	sequence uint64
	agreed   int
}

// offer judges an answer and reports whether it was valid.
func (n *newest) offer(f found) bool {
	sequence, err := n.shelf.Check(n.key, f.value)
	if err != nil {
		return false
	}
	switch {
	case n.value == nil || sequence > n.sequence:
		n.value, n.sequence, n.agreed = f.value, sequence, 1
	case bytes.Equal(n.value, f.value):
		n.agreed++
	}
	return true
}

func (n *newest) result(ctx context.Context) ([]byte, error) {
	if n.value == nil {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w in time: %w", ErrNotFound, err)
		}
		return nil, ErrNotFound
	}
	if err := n.shelf.Keep(n.key, n.value); err != nil {
		return nil, err
	}
	if value, ok := n.shelf.Get(n.key); ok { // another search may have found a newer one meanwhile
		return value, nil
	}
	return n.value, nil
}
