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
	"golang.org/x/sync/errgroup"
)

// keepReserved keeps a reservation at each seed that is connected, until ctx ends. (libp2p's AutoRelay looks for relays among strangers,
// waits for minutes and wakes up every second. Our relays are known.)
func (r *Reach) keepReserved(ctx context.Context) error {
	events, err := r.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(EventQueue))
	if err != nil {
		return fmt.Errorf("watch seeds: %w", err)
	}
	defer func() { _ = events.Close() }() // it only ends the subscription
	seeds, ctx := errgroup.WithContext(ctx)
	again := map[peer.ID]chan struct{}{}
	for _, seed := range r.cfg.Seeds {
		token := make(chan struct{}, 1)
		again[seed.ID] = token
		seeds.Go(func() error { return r.keepReservedAt(ctx, seed.ID, token) })
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case e := <-events.Out(): // who does not take them in time holds up the host
			if e, ok := e.(event.EvtPeerIdentificationCompleted); ok && again[e.Peer] != nil {
				nudge(again[e.Peer])
			}
		}
	}
	return seeds.Wait()
}

// keepReservedAt keeps a reservation at one seed. again says that there is a new connection: what was reserved on the last is gone.
func (r *Reach) keepReservedAt(ctx context.Context, seed peer.ID, again <-chan struct{}) error {
	for ctx.Err() == nil {
		var due <-chan time.Time
		if r.connectedAt(seed) != nil {
			due = time.After(time.Until(r.reserve(ctx, seed)))
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-due:
		}
	}
	return nil
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
	return time.Now().Add(max(time.Until(reservation.Expiration)/2, ReserveAgain))
}
