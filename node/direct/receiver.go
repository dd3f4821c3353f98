package direct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
	"parley/node/internal/pace"
)

// Receive takes envelopes from a device, in their order, and returns a tag of TagSize bytes for each once all are kept for good.
// An error means that they must be offered again.
type Receive func(ctx context.Context, from peer.ID, envelopes [][]byte) (tags [][]byte, err error)

// Receiver serves the streams of senders.
type Receiver struct {
	receive   Receive
	buffers   *frame.Pool
	streams   *pace.Pace
	envelopes *pace.Pace
	patience  patience

	ctx    context.Context // ends what handlers do
	cancel context.CancelFunc

	mu      sync.Mutex
	open    map[network.Stream]struct{}
	stopped bool
	running sync.WaitGroup
}

// patience is how long a receiver waits for what.
type patience struct{ first, whole, write time.Duration }

// NewReceiver returns a receiver that hands envelopes to receive. Serve makes it listen.
func NewReceiver(receive Receive) *Receiver {
	ctx, cancel := context.WithCancel(context.Background())
	return &Receiver{
		receive:   receive,
		buffers:   frame.NewPool(ReadBuffer),
		streams:   pace.New(StreamsPerSecond, StreamBurst),
		envelopes: pace.New(EnvelopesPerSecond, EnvelopeBurst),
		patience:  patience{first: FirstFrame, whole: WholeFrame, write: WriteTimeout},
		ctx:       ctx,
		cancel:    cancel,
		open:      make(map[network.Stream]struct{}),
	}
}

// Serve answers streams that come in at h, until Stop.
func (r *Receiver) Serve(h host.Host) { h.SetStreamHandler(Protocol, r.handle) }

// Stop ends the receiver at h: streams that wait end at once, a batch that the messenger has is still acknowledged if that takes
// no longer than grace. It returns when no handler runs.
func (r *Receiver) Stop(h host.Host, grace time.Duration) {
	h.RemoveStreamHandler(Protocol)
	r.mu.Lock()
	r.stopped = true
	for s := range r.open {
		_ = s.CloseRead()
	}
	r.mu.Unlock()
	defer time.AfterFunc(grace, r.abort).Stop()
	r.running.Wait()
	r.cancel()
}

// abort ends the handlers that outlived their grace.
func (r *Receiver) abort() {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.open {
		_ = s.Reset()
	}
}

// handle serves one stream, from the first look at who it is to its end.
func (r *Receiver) handle(s network.Stream) {
	from := s.Conn().RemotePeer()
	if err := s.Scope().SetService(Service); err != nil {
		_ = s.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	if !r.streams.Allow(from) {
		_ = s.ResetWithError(network.StreamRateLimited)
		return
	}
	if !r.enter(s) {
		_ = s.ResetWithError(network.StreamShutdown)
		return
	}
	defer r.leave(s)
	if err := r.serve(s, from); err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// enter counts a stream in, unless the receiver has stopped.
func (r *Receiver) enter(s network.Stream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	r.open[s] = struct{}{}
	r.running.Add(1)
	return true
}

func (r *Receiver) stopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

func (r *Receiver) leave(s network.Stream) {
	r.mu.Lock()
	delete(r.open, s)
	r.mu.Unlock()
	r.running.Done()
}

// serve takes batch after batch. A sender that has sent a first frame may be silent as long as its connection lives.
func (r *Receiver) serve(s network.Stream, from peer.ID) error {
	in := frame.NewReader(s, s.Scope(), r.buffers, MaxEnvelope)
	defer in.Close()
	for idle := r.patience.first; ; idle = 0 {
		batch, err := r.batch(in, idle)
		if errors.Is(err, io.EOF) || err != nil && r.stopping() {
			return nil // a reset would overtake the last acknowledgement
		}
		if err != nil {
			return err
		}
		err = r.take(s, from, batch)
		for _, e := range batch {
			in.Release(e)
		}
		if err != nil {
			return err
		}
	}
}

// batch waits for one envelope and adds those that are there already.
func (r *Receiver) batch(in *frame.Reader, idle time.Duration) (batch [][]byte, err error) {
	for size := 0; len(batch) == 0 || len(batch) < Batch && size < BatchBytes && in.Ready(); {
		e, err := in.Next(idle, r.patience.whole)
		if err != nil {
			for _, e := range batch {
				in.Release(e)
			}
			return nil, err
		}
		batch = append(batch, e)
		size += len(e)
	}
	return batch, nil
}

// take hands a batch to the messenger and acknowledges it.
func (r *Receiver) take(s network.Stream, from peer.ID, batch [][]byte) error {
	if err := r.envelopes.Wait(r.ctx, from, len(batch)); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	tags, err := r.receive(r.ctx, from, batch)
	if err != nil {
		return fmt.Errorf("receive %d envelopes: %w", len(batch), err)
	}
	if len(tags) != len(batch) {
		return fmt.Errorf("receive %d envelopes: got %d tags", len(batch), len(tags))
	}
	ack := make([]byte, 0, len(tags)*TagSize)
	for _, t := range tags {
		if len(t) != TagSize {
			return fmt.Errorf("receive %d envelopes: got a tag of %d bytes", len(batch), len(t))
		}
		ack = append(ack, t...)
	}
	if err := s.SetWriteDeadline(time.Now().Add(r.patience.write)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	_, err = s.Write(frame.Append(nil, ack))
	return err
}
