package reach

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
	"go.uber.org/zap"

	"parley/node/internal/road"
)

// The way from a doubt to a new connection: nobody has answered for a while, or our own address has changed → somebody has to answer at each of
// the connections → those at which nobody does are closed → whoever needs one dials anew.

// Doubt finds out at which of the connections to a device somebody still answers, and closes the others. It returns at once, and does nothing
// where that is being found out already, or Run does not run.
func (r *Reach) Doubt(device peer.ID) {
	r.doubts.begin(device, func(ctx context.Context) {
		var questions sync.WaitGroup
		for _, c := range r.host.Network().ConnsToPeer(device) {
			questions.Go(func() { r.question(ctx, c) })
		}
		questions.Wait()
	})
}

// Another is told of a new connection. Who makes one beside another may have lost that.
func (r *Reach) Another(c network.Conn) {
	if IsCircuit(c.RemoteMultiaddr()) {
		return
	}
	for _, other := range r.host.Network().ConnsToPeer(c.RemotePeer()) {
		if other != c && !IsCircuit(other.RemoteMultiaddr()) {
			r.Doubt(c.RemotePeer())
		}
	}
}

// question closes a connection at which nobody answers in time. Where something moves it is only slow, the question waits its turn behind what
// was to be sent before it, and there is more time.
func (r *Reach) question(ctx context.Context, c network.Conn) {
	asked, end := context.WithTimeout(ctx, DoubtMost)
	answer := make(chan struct{})
	var asking sync.WaitGroup
	defer asking.Wait()
	defer end()
	asking.Go(func() {
		defer close(answer)
		_ = answered(asked, c) // whatever it says
	})
	look := time.NewTicker(DoubtLook)
	defer look.Stop()
	for moved, last := r.moves(c), time.Now(); ; {
		select {
		case <-answer:
			if ctx.Err() != nil || asked.Err() == nil {
				return
			}
		case now := <-look.C:
			if m := r.moves(c); m != moved {
				moved, last = m, now
			}
			if now.Sub(last) < DoubtTimeout {
				continue
			}
		}
		r.log.Debug("nobody answers at a connection", zap.Stringer("device", c.RemotePeer()), zap.Stringer("at", c.RemoteMultiaddr()))
		_ = c.CloseWithError(network.ConnGarbageCollected)
		return
	}
}

// moves returns a number that changes while something comes, or gets there, at a connection. Of a circuit the relay's connection knows: what passes
// there may be about others, which is why a doubt has an end in any case.
func (r *Reach) moves(c network.Conn) (moved uint64) {
	if !IsCircuit(c.RemoteMultiaddr()) {
		return road.Moved(c)
	}
	through, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_P2P)
	if err != nil {
		return 0
	}
	relay, err := peer.Decode(through)
	if err != nil {
		return 0
	}
	for _, leg := range r.host.Network().ConnsToPeer(relay) {
		if !IsCircuit(leg.RemoteMultiaddr()) {
			moved += road.Moved(leg)
		}
	}
	return moved
}

// answered returns once the other side of a connection has answered, if only by refusing, or there will be no answer: the connection or ctx has ended.
func answered(ctx context.Context, c network.Conn) error {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "to hear whether somebody is there"))
	if err != nil {
		return err
	}
	defer func() { _ = s.Reset() }()
	defer context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Now()) })()
	if err := multistream.SelectProtoOrFail(ping.ID, s); err != nil {
		return err
	}
	word := make([]byte, ping.PingSize)
	if _, err := s.Write(word); err != nil {
		return err
	}
	_, err = io.ReadFull(s, word)
	return err
}

// doubts are the devices that are being asked.
type doubts struct {
	mu    sync.Mutex
	ctx   context.Context // nil while Run does not run
	asked map[peer.ID]bool
	work  sync.WaitGroup
}

// serve lets doubts begin, until ctx ends, and then waits for those that have begun.
func (d *doubts) serve(ctx context.Context) error {
	d.mu.Lock()
	d.ctx, d.asked = ctx, map[peer.ID]bool{}
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	d.ctx = nil
	d.mu.Unlock()
	d.work.Wait()
	return nil
}

// begin asks about a device, unless somebody does or too many are asked about.
func (d *doubts) begin(device peer.ID, ask func(context.Context)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil || d.asked[device] || len(d.asked) >= MaxDoubts {
		return
	}
	d.asked[device] = true
	ctx := d.ctx
	d.work.Go(func() {
		ask(ctx)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.asked, device)
	})
}

// elapsed tells a pause that was longer than it should have been: the machine slept, or the process was stopped.
type elapsed struct{ last time.Time }

// slept reports whether more time than a pause of d has passed since it was asked last, by a clock that goes on while a machine sleeps.
func (e *elapsed) slept(now time.Time, d time.Duration) bool {
	past := now.Round(0).Sub(e.last)
	e.last = now.Round(0)
	return past > d+SleepMargin || past < 0
}
