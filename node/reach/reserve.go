package reach

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"go.uber.org/zap"
)

// keepReserved keeps a reservation at each seed that is connected, until ctx ends. (libp2p's AutoRelay looks for relays among strangers,
// waits for minutes and wakes up every second. Our relays are known.)
func (r *Reach) keepReserved(ctx context.Context) error {
	events, err := r.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(EventQueue))
	if err != nil {
		return fmt.Errorf("watch seeds: %w", err)
	}
	defer func() { _ = events.Close() }() // it only ends the subscription
	due := map[peer.ID]time.Time{}        // when a seed is to be asked; of those that are connected
	for {
		wait := r.reserveDue(ctx, due)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case e := <-events.Out():
			if e, ok := e.(event.EvtPeerIdentificationCompleted); ok { // a new connection: what was reserved on the last is gone
				delete(due, e.Peer)
			}
		case <-timer.C:
		}
		timer.Stop()
	}
}

// reserveDue asks the seeds that are due, and returns when to do so again.
func (r *Reach) reserveDue(ctx context.Context, due map[peer.ID]time.Time) time.Duration {
	wait := time.Hour
	for _, seed := range r.cfg.Seeds {
		if r.connectedAt(seed.ID) == nil {
			delete(due, seed.ID)
			continue
		}
		if time.Now().After(due[seed.ID]) {
			due[seed.ID] = r.reserve(ctx, seed.ID)
		}
		wait = min(wait, time.Until(due[seed.ID]))
	}
	return max(wait, 0)
}

// reserve asks one seed, and returns when to ask it again.
func (r *Reach) reserve(ctx context.Context, seed peer.ID) time.Time {
	ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "reserve where we are connected"), ReserveTimeout)
	defer cancel()
	reservation, err := client.Reserve(ctx, r.host, peer.AddrInfo{ID: seed})
	if err != nil {
		r.log.Debug("no circuit by way of a seed", zap.Stringer("seed", seed), zap.Error(err))
		return time.Now().Add(ReserveAgain)
	}
	return time.Now().Add(time.Until(reservation.Expiration) / 2)
}
