package cli

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"parley/chat"
)

// Running is a Node in this process: a messenger, and the parts that run until they are called off. The order in which they stop does not
// matter, but for what Close closes.
type Running struct {
	*chat.Messenger
	Parts  *errgroup.Group
	Over   <-chan struct{}    // closed when the first part has ended
	Cancel context.CancelFunc // calls the parts off
	Close  func() error       // what is left when all have ended; called at each Stop
}

// Ended implements Node.
func (r *Running) Ended() <-chan struct{} { return r.Over }

// Stop implements Node.
func (r *Running) Stop() error {
	r.Cancel()
	return errors.Join(r.Parts.Wait(), r.Close())
}
