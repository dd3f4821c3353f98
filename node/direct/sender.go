package direct

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
)

// Open opens a stream to a device that speaks Protocol.
type Open func(ctx context.Context, device peer.ID) (network.Stream, error)

// Boxes seals the streams to devices, and opens those that were sealed to us. Each function that it returns takes the envelopes or
// records of one stream, in their order, and is used by one goroutine at a time.
type Boxes interface {
	// SealStream begins a stream: the header goes first, and then what seal makes of each envelope. Where the device is known to have
	// another key by now, seal fails with an error that has a method Outdated() bool which returns true: from this envelope on, another
	// stream is to be begun.
	SealStream(device peer.ID) (header []byte, seal func(envelope []byte) ([]byte, error), err error)
	// OpenStream reads the header of a stream. An error of it, or of open, means that nothing on the stream is of any use.
	OpenStream(from peer.ID, header []byte) (open func(record []byte) ([]byte, error), err error)
}

// Outgoing is one envelope with the acknowledgement tag that proves that its device has opened and kept it; the tag is not all zeros.
// (It is an alias of an unnamed struct, so that others can name the type without importing this package.)
type Outgoing = struct {
	Packet []byte
	Tag    [TagSize]byte
}

// ErrNoBox is in the chain of what Deliver returns when nothing can be sealed to a device: its key is not known.
var ErrNoBox = errors.New("seal to the device")

// Sender delivers envelopes. It keeps one stream per device.
type Sender struct {
	open    Open
	boxes   Boxes
	acks    *frame.Pool
	renewal renewal

	mu    sync.Mutex
	links map[peer.ID]*link
}

// renewal is when a stream is replaced by another.
type renewal struct {
	after   time.Duration
	records int
}

// NewSender returns a sender that opens its streams with open and seals them with boxes.
func NewSender(open Open, boxes Boxes) *Sender {
	return &Sender{
		open: open, boxes: boxes, acks: frame.NewPool(maxAck + frameRoom),
		renewal: renewal{after: StreamAge, records: StreamRecords}, links: make(map[peer.ID]*link),
	}
}

// Deliver hands envelopes to a device in their order. It says of each that the device has taken whether the device has proven that it
// accepted it; these are always the first, and the error says why not all. Calls for one device are served one after another, each
// pipelined behind the one before. When ctx ends the stream is reset: a call that is cut short leaves nothing half done, and cuts short
// its neighbours.
func (s *Sender) Deliver(ctx context.Context, device peer.ID, envelopes []Outgoing) (accepted []bool, err error) {
	return s.DeliverWatched(ctx, device, envelopes, func() {})
}

// DeliverWatched is Deliver for who has other ways to the device: acked is called for each envelope that the device has acknowledged. It must not wait
// for anything.
func (s *Sender) DeliverWatched(ctx context.Context, device peer.ID, envelopes []Outgoing, acked func()) (accepted []bool, err error) {
	for i, e := range envelopes {
		if len(e.Packet) == 0 || len(e.Packet) > MaxEnvelope {
			return nil, fmt.Errorf("deliver envelope %d of %d: it has %d bytes, not 1 to %d", i+1, len(envelopes), len(e.Packet), MaxEnvelope)
		}
		if e.Tag == [TagSize]byte{} {
			return nil, fmt.Errorf("deliver envelope %d of %d: it has no tag", i+1, len(envelopes))
		}
	}
	l := s.link(device)
	defer s.leave(l)
	accepted = make([]bool, 0, len(envelopes))
	for len(accepted) < len(envelopes) {
		rest := envelopes[len(accepted):]
		got, err := l.flight(ctx, rest[:min(len(rest), Window)], acked)
		accepted = append(accepted, got...)
		if err != nil {
			return accepted, fmt.Errorf("deliver %d envelopes: %w", len(rest)-len(got), err)
		}
	}
	return accepted, nil
}

func (s *Sender) link(device peer.ID) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.links[device]
	if !ok {
		l = &link{sender: s, device: device, writing: make(chan struct{}, 1), reading: make(chan struct{}, 1)}
		s.links[device] = l
	}
	l.users++
	return l
}

func (s *Sender) leave(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
}

// Forget drops the stream to a device whose last connection is gone.
func (s *Sender) Forget(device peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.links[device]; ok && l.users == 0 && l.dead() {
		delete(s.links, device)
	}
}

// Outgrow lets a stream that goes by way of a relay end with what is written on it: there is a better connection to the device now.
func (s *Sender) Outgrow(device peer.ID) {
	s.mu.Lock()
	l, ok := s.links[device]
	s.mu.Unlock()
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != nil && l.open.stream.Conn().Stat().Limited {
		l.open.left.Store(true)
	}
}

// link is the way to one device. A call holds writing while it writes, takes reading before it lets go of writing, and so reads
// its acknowledgements in its turn while the next call writes.
type link struct {
	sender  *Sender
	device  peer.ID
	users   int // calls under way; guarded by the sender's mu
	writing chan struct{}
	reading chan struct{}

	mu   sync.Mutex
	open *outgoing // nil when there is no stream
}

// flight delivers at most Window envelopes. A stream that was open already may have died unnoticed: one that fails before it
// acknowledged anything gets one successor.
func (l *link) flight(ctx context.Context, envelopes []Outgoing, acked func()) ([]bool, error) {
	accepted, fresh, err := l.attempt(ctx, envelopes, acked)
	if err != nil && !fresh && len(accepted) == 0 && ctx.Err() == nil {
		accepted, _, err = l.attempt(ctx, envelopes, acked)
	}
	return accepted, err
}

// attempt delivers envelopes over the stream that there is, or a fresh one. Where that one's key is outdated on the way, the rest goes
// over its successor: nobody writes in between, and nothing before all is acknowledged that the first one carried, so that the order stays.
func (l *link) attempt(ctx context.Context, envelopes []Outgoing, acked func()) (accepted []bool, fresh bool, err error) {
	if err := lock(ctx, l.writing); err != nil {
		return nil, true, err
	}
	for more := true; more; {
		var o *outgoing
		if o, fresh, err = l.stream(ctx, len(envelopes)-len(accepted)); err != nil {
			<-l.writing
			return accepted, true, err
		}
		var got []bool
		got, more, err = l.exchange(ctx, o, envelopes[len(accepted):], acked)
		accepted = append(accepted, got...)
		if more && fresh && len(got) == 0 {
			<-l.writing
			return accepted, true, errOutdated
		}
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return accepted, fresh, err
}

// errOutdated says that a key changed as soon as a stream was sealed to it.
var errOutdated = errors.New("the device's key changes")

// exchange writes envelopes and reads what became of them. It is entered with writing held and returns with neither, or, where more have to
// be written on another stream, with writing; a stream that failed is dropped before its next reader has its turn, who would take the
// acknowledgements of others for its own.
func (l *link) exchange(ctx context.Context, o *outgoing, envelopes []Outgoing, acked func()) (accepted []bool, more bool, err error) {
	defer context.AfterFunc(ctx, o.reset)()
	sent, err := o.write(envelopes)
	if err == nil {
		err = lock(ctx, l.reading)
	}
	if err != nil {
		l.drop(o)
		<-l.writing
		return nil, false, err
	}
	if more = sent < len(envelopes); !more {
		<-l.writing
	}
	if accepted, err = o.read(sent, acked); err != nil {
		l.drop(o)
	}
	<-l.reading
	if more && err != nil {
		more = false
		<-l.writing
	}
	return accepted, more, err
}

// lock takes a semaphore of one, unless ctx ends first.
func lock(ctx context.Context, c chan struct{}) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stream returns the open stream, or a fresh one where there is none that lasts for n envelopes.
func (l *link) stream(ctx context.Context, n int) (o *outgoing, fresh bool, err error) {
	l.mu.Lock()
	o = l.open
	l.mu.Unlock()
	if o != nil && !o.stream.Conn().IsClosed() {
		if o.lasts(n, l.sender.renewal) {
			return o, false, nil
		}
		if err := l.retire(ctx, o); err != nil {
			return nil, true, err
		}
	}
	header, seal, err := l.sender.boxes.SealStream(l.device)
	if err != nil {
		return nil, true, fmt.Errorf("%w: %w", ErrNoBox, err)
	}
	s, err := l.sender.open(ctx, l.device)
	if err != nil {
		return nil, true, err
	}
	o = &outgoing{
		stream: s, header: header, seal: seal, since: time.Now(),
		acks: frame.NewReader(s, s.Scope(), l.sender.acks, maxAck),
	}
	l.mu.Lock()
	l.open = o
	l.mu.Unlock()
	return o, true, nil
}

// retire closes a stream that has done its time, once all is read that was written on it. It is called with writing held.
func (l *link) retire(ctx context.Context, o *outgoing) error {
	if err := lock(ctx, l.reading); err != nil {
		return err
	}
	_ = o.stream.Close()
	<-l.reading
	return nil
}

// drop resets a stream that failed, and forgets it.
func (l *link) drop(o *outgoing) {
	o.failed.Store(true)
	o.reset()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == o {
		l.open = nil
	}
}

// dead reports whether the link holds no stream that works.
func (l *link) dead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open == nil || l.open.stream.Conn().IsClosed()
}
