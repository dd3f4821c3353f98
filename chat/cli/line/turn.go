package line

import "sync"

// turn lets the library that edits the line, and those who print above it, touch the line by turns: the library guards its line
// while it draws, but not while it works on a key.
//
// The library's turn begins when a key is handed to it and ends when it asks for the next one, or returns the line.
type turn struct {
	token chan struct{} // in it: whose turn it is
	over  chan struct{} // closed when there are no turns any more

	mu      sync.Mutex
	library bool // it is the library's
}

func newTurn() *turn { return &turn{token: make(chan struct{}, 1), over: make(chan struct{})} }

// begin begins the library's turn.
func (t *turn) begin() {
	select {
	case t.token <- struct{}{}:
	case <-t.over:
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.library = true
}

// end ends the library's turn, if it has one.
func (t *turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.library {
		t.library = false
		<-t.token
	}
}

// between calls do while it is not the library's turn.
func (t *turn) between(do func()) {
	select {
	case t.token <- struct{}{}:
		defer func() { <-t.token }()
	case <-t.over:
	}
	do()
}
