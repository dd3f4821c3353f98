package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Mailbox is a mailbox of a device, as its correspondents know it. (It is an alias of an unnamed struct, so that a messenger can name the
// same type without importing this package.)
type Mailbox = struct {
	Host peer.ID
	Cap  [32]byte // what opens our lane there; zeros: the lane of strangers
}

// Post deposits for devices that are away.
type Post struct {
	Host    host.Host
	Connect func(ctx context.Context, device peer.ID) error
	// Seal makes one box of envelopes for a device.
	Seal func(device peer.ID, envelopes [][]byte) ([]byte, error)
	// Own is the host of mailboxes in this node; nil where there is none.
	Own *Server
	// Patience is how long the other hosts have once one has stored everything.
	Patience time.Duration
}

// outcome is what came of the deposits at one host: the first chunks were stored, and the error says why not all.
type outcome struct {
	host   peer.ID
	stored int
	err    error
}

// Deliver deposits envelopes for a device at all of its mailboxes at the same time, and returns when every host has answered, or has been
// waited for long enough. It says of each envelope which hosts store it: at least one, and always for the first envelopes. The error
// says in one line why it is not all of them.
func (p *Post) Deliver(ctx context.Context, device peer.ID, to []Mailbox, envelopes [][]byte) (holders [][]peer.ID, err error) {
	chunks := split(envelopes)
	boxes := make([]func() (Box, error), len(chunks))
	for i, chunk := range chunks {
		boxes[i] = sync.OnceValues(func() (Box, error) { return p.seal(device, chunk) })
	}
	outcomes := p.race(ctx, device, to[:min(len(to), MaxKept)], boxes)
	for i, chunk := range chunks {
		var hosts []peer.ID
		for _, o := range outcomes {
			if o.stored > i {
				hosts = append(hosts, o.host)
			}
		}
		if hosts == nil {
			return holders, troubles(outcomes)
		}
		holders = append(holders, slices.Repeat([][]peer.ID{hosts}, len(chunk))...)
	}
	return holders, nil
}

// split cuts envelopes into what fits into a box each.
func split(envelopes [][]byte) (chunks [][][]byte) {
	begin, size := 0, ChunkHead
	for i, e := range envelopes {
		if i > begin && (i-begin == Chunk || size+ChunkEach+len(e) > ChunkBytes) {
			chunks = append(chunks, envelopes[begin:i])
			begin, size = i, ChunkHead
		}
		size += ChunkEach + len(e)
	}
	if begin < len(envelopes) {
		chunks = append(chunks, envelopes[begin:])
	}
	return chunks
}

// errNoBox says that nothing can be sealed to a device.
var errNoBox = errors.New("nothing can be sealed to it")

func (p *Post) seal(device peer.ID, chunk [][]byte) (Box, error) {
	box, err := p.Seal(device, chunk)
	if err == nil && (len(box) == 0 || len(box) > MaxBox) {
		err = fmt.Errorf("a box of %d bytes", len(box))
	}
	if err != nil {
		return Box{}, fmt.Errorf("%w: %w", errNoBox, err)
	}
	return Box{ID: IDOf(device, chunk), Box: box}, nil
}

// race deposits everywhere, and calls off those that are still at it when another one has long stored everything.
func (p *Post) race(ctx context.Context, device peer.ID, to []Mailbox, boxes []func() (Box, error)) []outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var depositing sync.WaitGroup
	outcomes := make([]outcome, len(to))
	enough := sync.OnceFunc(func() { time.AfterFunc(p.Patience, cancel) })
	for i, m := range to {
		depositing.Go(func() {
			stored, err := p.at(ctx, m, device, boxes)
			if outcomes[i] = (outcome{m.Host, stored, err}); err == nil {
				enough()
			}
		})
	}
	depositing.Wait()
	return outcomes
}

// at makes all deposits at one host.
func (p *Post) at(ctx context.Context, m Mailbox, device peer.ID, boxes []func() (Box, error)) (stored int, err error) {
	if m.Host == p.Host.ID() {
		return p.atHome(ctx, m, device, boxes)
	}
	if err := p.Connect(ctx, m.Host); err != nil {
		return 0, fmt.Errorf("%w: %w", errAway, err)
	}
	stored, err = Leave(ctx, p.Host, m, device, len(boxes), func(i int) (Box, error) { return boxes[i]() })
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) && refusal.Verdict == Closed && m.Cap != [32]byte{} {
		// The host may not have heard of our lane yet. Strangers have one that is always there.
		more, err := Leave(ctx, p.Host, Mailbox{Host: m.Host}, device, len(boxes)-stored, func(i int) (Box, error) { return boxes[stored+i]() })
		return stored + more, err
	}
	return stored, err
}

// errAway says that a host cannot be reached.
var errAway = errors.New("its mailbox host is not reachable")

// atHome makes them at the host in this node.
func (p *Post) atHome(ctx context.Context, m Mailbox, device peer.ID, boxes []func() (Box, error)) (stored int, err error) {
	if p.Own == nil {
		return 0, &Refusal{Closed}
	}
	for i, seal := range boxes {
		b, err := seal()
		if err != nil {
			return i, err
		}
		v, err := p.Own.keep(ctx, head{capability: m.Cap, id: b.ID, owner: device}, b.Box)
		if err != nil {
			return i, err
		}
		if v != Stored {
			return i, &Refusal{v}
		}
	}
	return len(boxes), nil
}

// troubles says once of each kind of trouble what it is.
func troubles(outcomes []outcome) error {
	var texts []string
	for _, o := range outcomes {
		refusal, text := (*Refusal)(nil), "its mailbox host has not answered"
		switch {
		case o.err == nil:
			continue
		case errors.As(o.err, &refusal):
			text = refusal.Error()
		case errors.Is(o.err, errNoBox):
			text = "its key is not known here"
		case errors.Is(o.err, errAway):
			text = errAway.Error()
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return errors.New(strings.Join(texts, ", "))
}
