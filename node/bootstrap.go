package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// errForeign says that a node answered, and that it is of another network.
var errForeign = errors.New("it belongs to another network")

// Probe connects to a network's seeds, with a host that does not listen and a key made for it, and returns nil as soon as one has
// answered. The error says in one line why none did.
func Probe(ctx context.Context, network Network) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("probe network: %w", err)
	}
	cfg := Config{Key: key, Network: network}
	if err := cfg.check(); err != nil {
		return fmt.Errorf("probe network: %w", err)
	}
	h, err := newHost(cfg, nil, nil)
	if err != nil {
		return err
	}
	n := assemble(cfg, h, nil)
	defer func() { _ = n.Close() }() // it listens nowhere and keeps nothing
	if len(n.seeds) == 0 {
		return errors.New("the network has no seeds")
	}
	if err := n.firstSeed(ctx); err != nil {
		return &failure{text: "no seed answers: " + reason(err, cfg.Network.PSK != nil), cause: err}
	}
	return nil
}

// firstSeed returns nil once a seed has answered, or the first of their errors.
func (n *Node) firstSeed(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts := make([]func() error, len(n.seeds))
	for i, seed := range n.seeds {
		attempts[i] = func() error { return n.connect(ctx, seed) }
	}
	return race(cancel, attempts...)
}

// race runs attempts at the same time. The first that succeeds cancels the others; when none does, the first error that is not
// errUnknown is returned.
func race(cancel func(), attempts ...func() error) error {
	outcomes := make(chan error, len(attempts))
	for _, attempt := range attempts {
		go func() { outcomes <- attempt() }()
	}
	won, failed := false, error(nil)
	for range attempts {
		err := <-outcomes
		switch {
		case err == nil:
			won = true
			cancel()
		case failed == nil || errors.Is(failed, errUnknown):
			failed = err
		}
	}
	if won {
		return nil
	}
	return failed
}

// keepSeed keeps a connection to one seed while fewer than SeedConnections are up, for ever.
func (n *Node) keepSeed(ctx context.Context, seed peer.AddrInfo) error {
	delay := backoff{}
	for ctx.Err() == nil {
		change := n.changed.wait()
		if up := n.connected(seed.ID); up || n.SeedsConnected() >= SeedConnections {
			if up {
				delay = backoff{}
			}
			pause(ctx, change, 0)
			continue
		}
		err := n.connect(ctx, seed)
		wait := delay.next()
		if err != nil && ctx.Err() == nil {
			n.trouble.note(reason(err, n.cfg.Network.PSK != nil), time.Now().Add(wait))
			n.log.Debug("no answer from a seed", zap.Stringer("seed", seed.ID), zap.Error(err), zap.Duration("retry", wait))
		}
		pause(ctx, nil, wait)
	}
	return nil
}

// keepRemembered greets the remembered peers once, and again while no seed and hardly anybody else is connected: so nodes that
// know each other find each other without seeds.
func (n *Node) keepRemembered(ctx context.Context, known []peer.AddrInfo) error {
	delay := backoff{}
	for ctx.Err() == nil {
		n.greet(ctx, known)
		for ctx.Err() == nil {
			change := n.changed.wait()
			if n.SeedsConnected() == 0 && len(n.host.Network().Peers()) < FewPeers {
				break
			}
			delay = backoff{}
			pause(ctx, change, 0)
		}
		pause(ctx, nil, delay.next())
	}
	return nil
}

// greet dials those of the known peers that are not connected, a few at a time.
func (n *Node) greet(ctx context.Context, known []peer.AddrInfo) {
	var dialling errgroup.Group
	dialling.SetLimit(GreetWorkers)
	for _, p := range known[:min(len(known), GreetPeers)] {
		if ctx.Err() != nil {
			break
		}
		if p.ID == n.ID() || n.connected(p.ID) {
			continue
		}
		dialling.Go(func() error {
			if err := n.connect(ctx, p); err != nil {
				n.log.Debug("no answer from a remembered peer", zap.Stringer("peer", p.ID), zap.Error(err))
			}
			return nil
		})
	}
	_ = dialling.Wait() // the workers return no error
}

// connect returns nil when a node of this network answers as p. It adds to what the host knows about p's addresses.
func (n *Node) connect(ctx context.Context, p peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	clearBackoff(n.host, p.ID)
	if err := n.host.Connect(ctx, p); err != nil {
		return err
	}
	if n.foreign(p.ID) {
		_ = n.host.Network().ClosePeer(p.ID)
		return errForeign
	}
	return nil
}

// clearBackoff forgets the host's own back-off, which is longer than ours and knows nothing of what we wait for.
func clearBackoff(h host.Host, p peer.ID) {
	if s, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(p)
	}
}

// recall loads the remembered peers.
func (n *Node) recall(ctx context.Context) []peer.AddrInfo {
	if n.cfg.Peers == nil {
		return nil
	}
	known, err := n.cfg.Peers.Load(ctx)
	if err != nil {
		n.log.Warn("cannot load remembered peers", zap.Error(err))
		return nil
	}
	for _, p := range known {
		n.host.Peerstore().AddAddrs(p.ID, firstOf(p.Addrs), RememberFor)
	}
	return known
}

// remember notes addresses of a peer, to be kept across restarts.
func (n *Node) remember(p peer.ID, addrs []ma.Multiaddr) {
	n.host.Peerstore().AddAddrs(p, firstOf(addrs), RememberFor)
	n.dirty.add(string(p))
}

func firstOf(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs[:min(len(addrs), MaxPeerAddresses)] }

// keepSaved saves what has changed, every few seconds and at the end.
func (n *Node) keepSaved(ctx context.Context) error {
	if n.cfg.Peers == nil {
		return nil
	}
	tick := time.NewTicker(SaveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.save(ctx)
		case <-ctx.Done():
			n.save(context.WithoutCancel(ctx))
			return nil
		}
	}
}

func (n *Node) save(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, SaveTimeout)
	defer cancel()
	changed := n.dirty.empty()
	var infos []peer.AddrInfo
	for _, id := range changed {
		info := n.host.Peerstore().PeerInfo(peer.ID(id))
		info.Addrs = firstOf(info.Addrs)
		if len(info.Addrs) > 0 {
			infos = append(infos, info)
		}
	}
	if len(infos) == 0 {
		return
	}
	if err := n.cfg.Peers.Save(ctx, infos, time.Now()); err != nil {
		n.log.Debug("cannot save remembered peers", zap.Error(err))
		for _, id := range changed {
			n.dirty.add(id)
		}
	}
}

// backoff counts attempts.
type backoff struct{ attempts int }

// next returns how long to wait after one more attempt: twice as long each time, the upper half of it by chance.
func (b *backoff) next() time.Duration {
	d := min(RetryFirst<<min(b.attempts, 16), RetryMax)
	b.attempts++
	return d/2 + rand.N(d/2)
}

// pause waits until change fires or d has passed (zero: for ever), or ctx ends.
func pause(ctx context.Context, change <-chan struct{}, d time.Duration) {
	var timeout <-chan time.Time
	if d > 0 {
		timeout = time.After(d)
	}
	select {
	case <-change:
	case <-timeout:
	case <-ctx.Done():
	}
}
