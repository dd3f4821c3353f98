package direct

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
)

// Open opens a stream to a device that speaks Protocol.
type Open func(ctx context.Context, device peer.ID) (network.Stream, error)

// Sender delivers envelopes. It keeps one stream per device.
type Sender struct {
	open Open
	acks *frame.Pool

	mu    sync.Mutex
	links map[peer.ID]*link
}

// NewSender returns a sender that opens its streams with open.
func NewSender(open Open) *Sender {
	return &Sender{open: open, acks: frame.NewPool(Batch*TagSize + 2), links: make(map[peer.ID]*link)}
}

// Deliver hands envelopes to a device in their order and returns one tag for each that the device has acknowledged, always a
// prefix; the error says why the rest was not. Calls for one device are served one after another, each pipelined behind the one
// before. When ctx ends the stream is reset: a call that is cut short leaves nothing half done, and cuts short its neighbours.
func (s *Sender) Deliver(ctx context.Context, device peer.ID, envelopes [][]byte) ([][]byte, error) {
	for i, e := range envelopes {
		if len(e) == 0 || len(e) > MaxEnvelope {
			return nil, fmt.Errorf("deliver envelope %d of %d: it has %d bytes, not 1 to %d", i+1, len(envelopes), len(e), MaxEnvelope)
		}
	}
	l := s.link(device)
	defer s.leave(l)
	tags := make([][]byte, 0, len(envelopes))
	for len(tags) < len(envelopes) {
		rest := envelopes[len(tags):]
		got, err := l.flight(ctx, rest[:min(len(rest), Window)])
		tags = append(tags, got...)
		if err != nil {
			return tags, fmt.Errorf("deliver %d envelopes: %w", len(rest)-len(got), err)
		}
	}
	return tags, nil
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
func (l *link) flight(ctx context.Context, envelopes [][]byte) ([][]byte, error) {
	tags, fresh, err := l.attempt(ctx, envelopes)
	if err != nil && !fresh && len(tags) == 0 && ctx.Err() == nil {
		tags, _, err = l.attempt(ctx, envelopes)
	}
	return tags, err
}

func (l *link) attempt(ctx context.Context, envelopes [][]byte) (tags [][]byte, fresh bool, err error) {
	if err := lock(ctx, l.writing); err != nil {
		return nil, true, err
	}
	o, fresh, err := l.stream(ctx)
	if err != nil {
		<-l.writing
		return nil, true, err
	}
	defer context.AfterFunc(ctx, o.reset)()
	tags, err = l.exchange(ctx, o, envelopes)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return tags, fresh, err
}

// exchange writes envelopes and reads their tags. It is entered with writing held and returns with neither; a stream that failed
// is dropped before its next reader has its turn, who would take the acknowledgements of others for its own.
func (l *link) exchange(ctx context.Context, o *outgoing, envelopes [][]byte) ([][]byte, error) {
	err := o.write(envelopes)
	if err == nil {
		err = lock(ctx, l.reading)
	}
	if err != nil {
		l.drop(o)
		<-l.writing
		return nil, err
	}
	<-l.writing
	tags, err := o.read(len(envelopes))
	if err != nil {
		l.drop(o)
	}
	<-l.reading
	return tags, err
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

// stream returns the open stream, or a fresh one.
func (l *link) stream(ctx context.Context) (o *outgoing, fresh bool, err error) {
	l.mu.Lock()
	o = l.open
	l.mu.Unlock()
	if o != nil && !o.stream.Conn().IsClosed() {
		return o, false, nil
	}
	s, err := l.sender.open(ctx, l.device)
	if err != nil {
		return nil, true, err
	}
	o = &outgoing{stream: s, acks: frame.NewReader(s, s.Scope(), l.sender.acks, Batch*TagSize)}
	l.mu.Lock()
	l.open = o
	l.mu.Unlock()
	return o, true, nil
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

// outgoing is one stream to a device: written by the call that holds writing, read by the one that holds reading.
type outgoing struct {
	stream network.Stream
	failed atomic.Bool
	acks   *frame.Reader
	left   []byte // tags that were read and belong to later envelopes
}

func (o *outgoing) reset() { _ = o.stream.Reset() }

// write sends envelopes through a buffer that is flushed when it is full, and at the end.
func (o *outgoing) write(envelopes [][]byte) error {
	size := 0
	for _, e := range envelopes {
		size += len(e) + 3
	}
	buf := make([]byte, 0, min(size, WriteBuffer))
	for _, e := range envelopes {
		if len(buf) > 0 && len(buf)+len(e)+3 > WriteBuffer {
			if err := o.flush(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		buf = frame.Append(buf, e)
	}
	return o.flush(buf)
}

func (o *outgoing) flush(buf []byte) error {
	if err := o.stream.SetWriteDeadline(time.Now().Add(WriteTimeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := o.stream.Write(buf); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// read returns the next n tags, or those before an error.
func (o *outgoing) read(n int) ([][]byte, error) {
	tags := make([][]byte, 0, n)
	for len(tags) < n {
		if len(o.left) == 0 || o.failed.Load() {
			if err := o.next(); err != nil {
				return tags, err
			}
		}
		tags = append(tags, o.left[:TagSize:TagSize])
		o.left = o.left[TagSize:]
	}
	return tags, nil
}

func (o *outgoing) next() error {
	if o.failed.Load() {
		return errors.New("read acknowledgement: the stream failed under an earlier call")
	}
	tags, err := o.acks.Next(AckTimeout, WholeFrame)
	if err != nil {
		return fmt.Errorf("read acknowledgement: %w", err)
	}
	o.acks.Release(tags)
	if len(tags)%TagSize != 0 {
		return fmt.Errorf("read acknowledgement: %d bytes are no whole number of tags", len(tags))
	}
	o.left = tags
	return nil
}
