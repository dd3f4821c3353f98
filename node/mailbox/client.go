package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/sync/errgroup"

	"parley/node/internal/ask"
	"parley/node/internal/frame"
)

// Refusal is the error of who was refused by a host: any verdict but Stored.
type Refusal struct{ Verdict Verdict }

// Error says in a few words what the host has said.
func (r *Refusal) Error() string {
	switch r.Verdict {
	case LaneFull:
		return "its mailbox takes no more from us until it is emptied"
	case MailboxFull:
		return "its mailbox is full"
	case HostFull:
		return "its mailbox host is full"
	}
	return "its mailbox is closed to us"
}

// Leave makes n deposits at a host that h is connected to, one after the other without waiting for the verdicts, and returns how many
// were stored: always the first. The error says why not all; it is a *Refusal where the host has said so. parcel makes the i-th.
func Leave(ctx context.Context, h host.Host, at Mailbox, owner peer.ID, n int, parcel func(i int) (Box, error)) (stored int, err error) {
	stream, err := openStream(ctx, h, at.Host, ProtocolDeposit)
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = stream.Reset() })()
	var writing errgroup.Group
	unsealed := error(nil)
	writing.Go(func() error {
		for i := range n {
			b, err := parcel(i)
			if err != nil {
				unsealed = err
				return stream.Reset()
			}
			// Where writing fails, reading says why: the host may have refused.
			if err := put(stream, marshalHead(head{capability: at.Cap, id: b.ID, owner: owner}), WriteTimeout); err != nil {
				return nil
			}
			if err := put(stream, b.Box, WholeBox); err != nil {
				return nil
			}
		}
		return nil
	})
	stored, err = verdicts(stream, n)
	if err != nil {
		_ = stream.Reset()
	}
	_ = writing.Wait() // it returns what Reset does
	if unsealed != nil {
		return stored, unsealed
	}
	if err != nil {
		return stored, firstOf(ctx, err)
	}
	return stored, stream.Close()
}

// firstOf prefers the end of a context to what it has caused.
func firstOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// openStream opens a stream on a connection that exists.
func openStream(ctx context.Context, h host.Host, at peer.ID, id protocol.ID) (network.Stream, error) {
	stream, err := h.NewStream(network.WithAllowLimitedConn(network.WithNoDial(ctx, "ask a connected host"), "by any way"), at, id)
	if err != nil {
		return nil, fmt.Errorf("open %s stream: %w", id, err)
	}
	return stream, nil
}

// verdicts reads up to n, until one refuses.
func verdicts(stream network.Stream, n int) (stored int, err error) {
	in := frame.NewReader(stream, stream.Scope(), frame.NewPool(answerBuffer), 1)
	defer in.Close()
	for stored < n {
		raw, err := in.Next(WholeBox+VerdictTimeout, WriteTimeout)
		if err != nil {
			return stored, fmt.Errorf("read verdict: %w", err)
		}
		in.Release(raw)
		v, err := parseVerdict(raw[0])
		if err != nil {
			return stored, err
		}
		if v != Stored {
			return stored, &Refusal{v}
		}
		stored++
	}
	return stored, nil
}

// answerBuffer is what a reader of small answers begins with, in bytes.
const answerBuffer = 64

// Open says at a host that h is connected to who may deposit for h, and returns what the host promises. No lanes close the mailbox there.
// A *Refusal says that the host has no room for it.
func Open(ctx context.Context, h host.Host, at peer.ID, lanes []Lane) (Policy, error) {
	if len(lanes) > MaxLanes {
		return Policy{}, fmt.Errorf("open a mailbox: %d lanes, at most %d are possible", len(lanes), MaxLanes)
	}
	first, rest, err := ask.Peer(ctx, h, at, ask.Question{
		Protocol: ProtocolOpen, Timeout: OpenTimeout, Most: policySize - 1,
		Put: func(s network.Stream) error { return put(s, marshalLanes(lanes), WholeFrame) },
	})
	if err != nil {
		return Policy{}, fmt.Errorf("open a mailbox: %w", err)
	}
	v, p, err := parsePolicy(append([]byte{first}, rest...))
	if err != nil {
		return Policy{}, fmt.Errorf("open a mailbox: %w", err)
	}
	if v != Stored {
		return p, &Refusal{v}
	}
	return p, nil
}

// ErrOtherLanes says that a host does not know the lanes that were named when a fetch began: open the mailbox first.
var ErrOtherLanes = errors.New("the host knows other lanes, or none")

// errHostile says that a host writes what no honest one does.
var errHostile = errors.New("the host breaks the protocol")

// errCollect says that what a host has handed out was not kept.
var errCollect = errors.New("keep boxes")

// Fetching is one fetch.
type Fetching struct {
	Host  peer.ID
	Lanes []Lane // those that were named when the mailbox was opened
	// Began is called when the host has said that it hands out.
	Began func()
	// Take keeps boxes for good; an error ends the fetch, and they come again.
	Take func(ctx context.Context, boxes [][]byte) error
	// Drained is called when the host has said that it keeps nothing more now.
	Drained func()
	// Pause is called with a number of boxes before they are taken, and waits as long as the host has to be slowed down.
	Pause func(ctx context.Context, boxes int) error
	// Silence is how long the host may say nothing; then the fetch ends, and its error is nil.
	Silence time.Duration
}

// Fetch takes boxes from a host that h is connected to, over one stream, until ctx or the stream ends.
func Fetch(ctx context.Context, h host.Host, f Fetching) error {
	stream, err := openStream(ctx, h, f.Host, ProtocolFetch)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = stream.Reset() })()
	defer func() { _ = stream.Reset() }() // what is not acknowledged comes again
	in := frame.NewReader(stream, stream.Scope(), frame.NewPool(FetchBuffer), 1)
	defer in.Close()
	if err := f.begin(stream, in); err != nil {
		return firstOf(ctx, err)
	}
	f.Began()
	in.Limit(maxHanded)
	for told := false; ; {
		b, err := f.batch(in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err == nil && len(b.boxes) == 0 && told {
			err = fmt.Errorf("%w: it keeps saying that it keeps nothing", errHostile)
		}
		if err == nil {
			err = f.keep(ctx, stream, b)
		}
		if err != nil {
			return firstOf(ctx, err)
		}
		stream.Scope().ReleaseMemory(b.held)
		if told = b.drained; told {
			f.Drained()
		}
	}
}

// begin asks whether the host knows our lanes.
func (f Fetching) begin(stream network.Stream, in *frame.Reader) error {
	hash := hashOf(f.Lanes)
	if err := put(stream, hash[:], WriteTimeout); err != nil {
		return fmt.Errorf("ask for boxes: %w", err)
	}
	raw, err := in.Next(AnswerTimeout, AnswerTimeout)
	if err != nil {
		return fmt.Errorf("read whether the mailbox is open: %w", err)
	}
	in.Release(raw)
	switch raw[0] {
	case statusCurrent:
		return nil
	case byte(Closed):
		return ErrOtherLanes
	}
	return fmt.Errorf("%w: status %d", errHostile, raw[0])
}

// batch is what came together, and how much memory is reserved for it. The end of the stream gives it back where nobody else does.
type batch struct {
	boxes   [][]byte
	ids     []DepositID
	held    int
	drained bool // the host has said that it keeps nothing more
}

// batch waits for a box, or for the word that nothing is kept, and adds the boxes that are there already.
func (f Fetching) batch(in *frame.Reader) (b batch, err error) {
	for len(b.boxes) == 0 || len(b.boxes) < Window && b.held < BatchBytes && in.Ready() {
		raw, err := in.Next(f.Silence, WholeBox)
		if err != nil {
			return b, fmt.Errorf("read box: %w", err)
		}
		b.held += len(raw)
		box, more, err := parseHanded(raw)
		if err != nil {
			return b, fmt.Errorf("%w: %w", errHostile, err)
		}
		if !more {
			b.drained = true
			return b, nil
		}
		b.boxes, b.ids = append(b.boxes, box.Box), append(b.ids, box.ID)
	}
	return b, nil
}

// keep hands boxes on, and acknowledges them.
func (f Fetching) keep(ctx context.Context, stream network.Stream, b batch) error {
	if len(b.boxes) == 0 {
		return nil
	}
	if err := f.Pause(ctx, len(b.boxes)); err != nil {
		return fmt.Errorf("slow the host down: %w", err)
	}
	if err := f.Take(ctx, b.boxes); err != nil {
		return fmt.Errorf("%w: %w", errCollect, err)
	}
	if err := put(stream, marshalAck(b.ids), WriteTimeout); err != nil {
		return fmt.Errorf("acknowledge %d boxes: %w", len(b.boxes), err)
	}
	return nil
}
