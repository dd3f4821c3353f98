// Package inbound is the book of the streams that others have opened to one service of a node: who may begin one, which are open, and how all
// of them end.
package inbound

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"parley/node/internal/frame"
)

// EchoTimeout is how long a peer may take to say that it has heard what was said to it last: a round trip over a slow line. A connection
// that broke unnoticed delays the end by as much.
const EchoTimeout = time.Second

// Streams holds the open streams of one service.
type Streams struct {
	service string
	ctx     context.Context // ends what handlers do
	cancel  context.CancelFunc

	mu      sync.Mutex
	open    map[network.Stream]struct{}
	stopped bool
	running sync.WaitGroup
}

// New returns the empty book of a service, as which the resource manager accounts the streams.
func New(service string) *Streams {
	ctx, cancel := context.WithCancel(context.Background())
	return &Streams{service: service, ctx: ctx, cancel: cancel, open: make(map[network.Stream]struct{})}
}

// Context ends when handlers must not go on.
func (s *Streams) Context() context.Context { return s.ctx }

// Handler makes a handler of what is done on a stream of somebody who may begin one. The stream is reset where that fails, and closed where
// it is done, which io.EOF says as well.
func (s *Streams) Handler(may func(peer.ID) bool, do func(network.Stream) error) network.StreamHandler {
	return func(stream network.Stream) {
		if err := stream.Scope().SetService(s.service); err != nil {
			_ = stream.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		if !may(stream.Conn().RemotePeer()) {
			_ = stream.ResetWithError(network.StreamRateLimited)
			return
		}
		if !s.enter(stream) {
			_ = stream.ResetWithError(network.StreamShutdown)
			return
		}
		defer s.leave(stream)
		if err := do(stream); err != nil && !errors.Is(err, io.EOF) && !s.stopping() { // a reset would overtake what was said last
			_ = stream.ResetWithError(frame.ResetCode(err))
			return
		}
		_ = stream.Close()
	}
}

// Stop ends the service at h: streams that wait end at once, and what a handler has begun it finishes if that takes no longer than grace. It
// returns when no handler runs, and the peers have heard what was said to them last.
func (s *Streams) Stop(h host.Host, grace time.Duration, protocols ...protocol.ID) {
	for _, id := range protocols {
		h.RemoveStreamHandler(id)
	}
	s.mu.Lock()
	s.stopped = true
	heard := make(map[peer.ID]struct{})
	for stream := range s.open {
		heard[stream.Conn().RemotePeer()] = struct{}{}
		_ = stream.CloseRead()
	}
	s.mu.Unlock()
	defer time.AfterFunc(grace, s.abort).Stop()
	s.running.Wait()
	echo(s.ctx, h, heard)
	s.cancel()
}

// echo returns when peers have taken what was written to them, or are not worth waiting for. Nothing else says it: a write only queues, the
// end of a connection drops what is queued here, and there what came without the end of its stream. The answer to a ping that is written
// behind it comes after it has arrived.
func echo(ctx context.Context, h host.Host, peers map[peer.ID]struct{}) {
	ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "it is said already"), EchoTimeout)
	defer cancel()
	var waiting sync.WaitGroup
	for p := range peers {
		waiting.Go(func() { <-ping.Ping(ctx, h, p) })
	}
	waiting.Wait()
}

// abort ends the handlers that outlived their grace.
func (s *Streams) abort() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.open {
		_ = stream.Reset()
	}
}

// enter counts a stream in, unless the service has stopped.
func (s *Streams) enter(stream network.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.open[stream] = struct{}{}
	s.running.Add(1)
	return true
}

func (s *Streams) leave(stream network.Stream) {
	s.mu.Lock()
	delete(s.open, stream)
	s.mu.Unlock()
	s.running.Done()
}

func (s *Streams) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}
