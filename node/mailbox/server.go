package mailbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"go.uber.org/zap"

	"parley/node/internal/frame"
	"parley/node/internal/inbound"
	"parley/node/internal/pace"
)

// Hosting is what a host of mailboxes needs.
type Hosting struct {
	Store  Store
	Limits Limits // whole, as Fill returns them
	Shared bool   // other hosts use the same store
	Logger *zap.Logger
	// Refused is told of each deposit that was refused, and must not wait; nil: nobody is.
	Refused func(Verdict)
}

// Server is a host: it takes deposits and hands them to their owners.
type Server struct {
	hosting  Hosting
	self     peer.ID
	conns    connmgr.ConnManager
	patience patience
	buffers  *frame.Pool

	deposits, bytes, refusals, opens, fetches *pace.Pace

	refused *memory // lanes that were refused lately
	current *openings
	streams *inbound.Streams

	mu    sync.Mutex
	feeds map[peer.ID]*feed
}

// patience is how long a host waits for what.
type patience struct{ first, idle, frame, box, write, ack, poll time.Duration }

// NewServer returns the host of mailboxes that h is. Serve makes it listen, and Run drops what is too old.
func NewServer(h host.Host, hosting Hosting) *Server {
	if hosting.Refused == nil {
		hosting.Refused = func(Verdict) {}
	}
	return &Server{
		hosting: hosting,
		self:    h.ID(),
		conns:   h.ConnManager(),
		patience: patience{
			first: FirstFrame, idle: DepositIdle, frame: WholeFrame, box: WholeBox, write: WriteTimeout, ack: AckTimeout, poll: SharedPoll,
		},
		buffers:  frame.NewPool(ReadBuffer),
		deposits: pace.New(DepositsPerSecond, DepositBurst),
		bytes:    pace.New(BytesPerSecond, ByteBurst),
		refusals: pace.New(RefusalsPerSecond, RefusalBurst),
		opens:    pace.New(OpensPerSecond, OpenBurst),
		fetches:  pace.New(FetchesPerSecond, FetchBurst),
		refused:  newMemory(),
		current:  newOpenings(),
		streams:  inbound.New(Service),
		feeds:    make(map[peer.ID]*feed),
	}
}

// handlers lists what a host answers, and how often it lets one peer begin.
func (s *Server) handlers() map[protocol.ID]network.StreamHandler {
	mayDeposit := func(from peer.ID) bool { return !s.refusals.Spent(from) }
	return map[protocol.ID]network.StreamHandler{
		ProtocolDeposit: s.answer(mayDeposit, s.takeDeposits),
		ProtocolOpen:    s.answer(s.opens.Allow, s.takeLanes),
		ProtocolFetch:   s.answer(s.fetches.Allow, s.feedOwner),
	}
}

// Serve answers streams that come in at h, until Stop.
func (s *Server) Serve(h host.Host) {
	for id, handle := range s.handlers() {
		h.SetStreamHandler(id, handle)
	}
}

// Stop ends the host at h: streams that wait end at once, and what the store is asked may take no longer than grace. It returns when no
// handler runs.
func (s *Server) Stop(h host.Host, grace time.Duration) {
	s.streams.Stop(h, grace, slices.Collect(maps.Keys(s.handlers()))...)
}

// Run drops boxes and mailboxes that are too old, now and again until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(ExpireEvery)
	defer tick.Stop()
	for {
		s.expire(ctx, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) expire(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, ExpireTimeout)
	defer cancel()
	dropped, err := s.hosting.Store.Expire(ctx, now.Add(-s.hosting.Limits.Life), now.Add(-EmptyLife))
	switch {
	case err != nil && ctx.Err() == nil:
		s.hosting.Logger.Warn("cannot drop old boxes", zap.Error(err))
	case dropped > 0:
		s.hosting.Logger.Info("dropped boxes that nobody has fetched in time", zap.Int("boxes", dropped))
	}
}

// answer makes a handler of what is done on a stream of somebody who may begin one.
func (s *Server) answer(may func(peer.ID) bool, do func(*incoming) error) network.StreamHandler {
	return s.streams.Handler(may, func(stream network.Stream) error {
		in := &incoming{
			Stream: stream, from: stream.Conn().RemotePeer(), frames: frame.NewReader(stream, stream.Scope(), s.buffers, 1),
		}
		defer in.frames.Close()
		return do(in)
	})
}

// incoming is one stream of a peer.
type incoming struct {
	network.Stream
	from   peer.ID
	frames *frame.Reader
}

// next reads a frame of at most limit bytes; the caller releases it.
func (in *incoming) next(limit int, idle, whole time.Duration) ([]byte, error) {
	in.frames.Limit(limit)
	return in.frames.Next(idle, whole)
}

// put writes a frame within a time.
func put(stream network.Stream, payload []byte, within time.Duration) error {
	if err := stream.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	_, err := stream.Write(frame.Append(make([]byte, 0, len(payload)+frameRoom), payload))
	return err
}

// frameRoom is how many bytes the length of a frame takes at most here.
const frameRoom = 3
