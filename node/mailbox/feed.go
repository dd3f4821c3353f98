package mailbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"parley/node/internal/frame"
)

// feed is the stream over which an owner gets its boxes.
type feed struct {
	server *Server
	in     *incoming
	woken  chan struct{} // has one when there may be something to do

	mu     sync.Mutex
	flying map[DepositID]int // bytes of what was handed out and is not acknowledged
	bytes  int
	since  time.Time // when the owner last made progress, or something began to fly
}

// feedOwner serves an owner that fetches.
func (s *Server) feedOwner(in *incoming) error {
	raw, err := in.next(sha256.Size, s.patience.first, s.patience.frame)
	if err != nil {
		return fmt.Errorf("read the hash of the lanes: %w", err)
	}
	in.frames.Release(raw)
	if len(raw) != sha256.Size {
		return fmt.Errorf("a hash of %d bytes", len(raw))
	}
	if !s.current.are(in.from, [sha256.Size]byte(raw), time.Now()) {
		return put(in, []byte{byte(Closed)}, s.patience.write)
	}
	if err := put(in, []byte{statusCurrent}, s.patience.write); err != nil {
		return err
	}
	f := &feed{server: s, in: in, woken: make(chan struct{}, 1), flying: make(map[DepositID]int)}
	s.begin(f)
	defer s.end(f)
	return f.run()
}

// tagOwner marks the connections of owners that fetch.
const tagOwner = "mailbox owner"

// begin takes the place of an older stream of the same owner.
func (s *Server) begin(f *feed) {
	s.endFeed(f.in.from)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds[f.in.from] = f
	s.conns.TagPeer(f.in.from, tagOwner, OwnerWorth)
}

func (s *Server) end(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feeds[f.in.from] == f {
		delete(s.feeds, f.in.from)
		s.conns.UntagPeer(f.in.from, tagOwner)
	}
}

// endFeed cuts off the stream of an owner, if there is one.
func (s *Server) endFeed(owner peer.ID) {
	s.mu.Lock()
	f := s.feeds[owner]
	s.mu.Unlock()
	if f != nil {
		_ = f.in.Reset()
	}
}

// wake says that there may be something for an owner.
func (s *Server) wake(owner peer.ID) {
	s.mu.Lock()
	f := s.feeds[owner]
	s.mu.Unlock()
	if f != nil {
		f.wake()
	}
}

func (f *feed) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// run hands out and takes acknowledgements until one of the two ends.
func (f *feed) run() error {
	ctx, cancel := context.WithCancel(f.server.streams.Context())
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = f.in.Reset() })()
	var both errgroup.Group
	both.Go(func() error {
		defer cancel()
		return f.land(ctx)
	})
	both.Go(func() error {
		defer cancel()
		return f.hand(ctx)
	})
	return both.Wait()
}

// hand writes boxes as long as the window is open, and then waits.
func (f *feed) hand(ctx context.Context) error {
	told := false // that nothing is kept, since the last box
	for {
		n, err := f.some(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			told = false
			continue
		}
		waiting := f.left()
		if waiting == 0 && !told {
			if err := put(f.in, []byte{handedNothing}, f.server.patience.write); err != nil {
				return fmt.Errorf("say that nothing is kept: %w", err)
			}
			told = true
		}
		if err := f.await(ctx, waiting); err != nil {
			return err
		}
	}
}

// errIdle says that an owner does not acknowledge.
var errIdle = errors.New("nothing was acknowledged in time")

// await returns when there may be something to hand out again. While boxes are flying, the owner has to make progress.
func (f *feed) await(ctx context.Context, waiting int) error {
	var poll, late <-chan time.Time
	if f.server.hosting.Shared {
		poll = time.After(f.server.patience.poll/2 + rand.N(f.server.patience.poll))
	}
	if waiting > 0 {
		f.mu.Lock()
		late = time.After(time.Until(f.since.Add(f.server.patience.ack)))
		f.mu.Unlock()
	}
	select {
	case <-f.woken:
	case <-poll:
	case <-late:
		return errIdle
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// some leases boxes and writes them, as many as the window has room for. It returns how many.
func (f *feed) some(ctx context.Context) (int, error) {
	skip, boxes, bytes := f.room()
	if boxes == 0 || bytes < MaxBox {
		return 0, nil
	}
	memory := f.in.Scope()
	if err := memory.ReserveMemory(LeaseBytes, network.ReservationPriorityMedium); err != nil {
		return 0, fmt.Errorf("reserve memory for boxes: %w", err)
	}
	defer memory.ReleaseMemory(LeaseBytes)
	asked, cancel := context.WithTimeout(ctx, StoreTimeout)
	defer cancel()
	now := time.Now()
	leased, err := f.server.hosting.Store.Lease(asked, Lease{
		Owner: f.in.from, Host: f.server.self, Skip: skip, Now: now, Until: now.Add(LeaseTime), Boxes: boxes, Bytes: LeaseBytes,
	})
	if err != nil {
		return 0, fmt.Errorf("lease boxes: %w", err)
	}
	for _, b := range leased {
		f.fly(b)
		if err := put(f.in, marshalBox(b), f.server.patience.box); err != nil {
			return 0, fmt.Errorf("hand out a box: %w", err)
		}
	}
	return len(leased), nil
}

// room says what is flying, and how much more may be.
func (f *feed) room() (skip []DepositID, boxes, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.flying)), Window - len(f.flying), WindowBytes - f.bytes
}

func (f *feed) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.flying)
}

func (f *feed) fly(b Box) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.flying) == 0 {
		f.since = time.Now()
	}
	f.flying[b.ID] = len(b.Box)
	f.bytes += len(b.Box)
}

// land deletes what the owner has kept.
func (f *feed) land(ctx context.Context) error {
	for {
		raw, err := f.in.next(maxAck, 0, f.server.patience.frame)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read acknowledgement: %w", err)
		}
		ids, err := parseAck(raw)
		f.in.frames.Release(raw)
		if err != nil {
			return frame.Malformed(err)
		}
		if !f.flies(ids) {
			return errors.New("a box is acknowledged that is not on its way")
		}
		if err := f.delete(ctx, ids); err != nil {
			return err
		}
		f.landed(ids)
		f.server.refused.forget(f.in.from)
		f.wake()
	}
}

func (f *feed) delete(ctx context.Context, ids []DepositID) error {
	ctx, cancel := context.WithTimeout(ctx, StoreTimeout)
	defer cancel()
	if err := f.server.hosting.Store.Delete(ctx, f.in.from, ids); err != nil {
		return fmt.Errorf("delete boxes: %w", err)
	}
	return nil
}

func (f *feed) flies(ids []DepositID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(ids, func(id DepositID) bool { _, ok := f.flying[id]; return !ok })
}

// landed takes ids off what is flying.
func (f *feed) landed(ids []DepositID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.bytes -= f.flying[id]
		delete(f.flying, id)
	}
	f.since = time.Now()
}

// unended marks an end in the middle of a deposit as one.
func unended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
