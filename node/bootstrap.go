package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/node/internal/pace"
	"parley/node/internal/setback"
	"parley/node/member"
)

// Join connects once to a network's seeds, as the device that it is for and without listening, and returns nil as soon as one has admitted it;
// a device that has no certificate yet gets one from who has invited it. The error says in one line why nothing came of it.
func Join(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return fmt.Errorf("join network: %w", err)
	}
	n, err := build(cfg, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }() // it listens nowhere, and what it was given is kept
	if len(n.seeds) == 0 {
		return errors.New("the network has no seeds")
	}
	err = n.firstSeed(ctx)
	for errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && n.callsSeed() { // over a slow line the exchange takes longer than an attempt
		err = n.firstSeed(ctx)
	}
	if err == nil {
		n.takeLeave(ctx)
		if !n.Removed() {
			return nil
		}
		err = member.Revoked // whoever has admitted us had an older list
	}
	if v := member.Verdict(0); errors.As(err, &v) {
		return &failure{text: v.Error(), cause: err}
	}
	return &failure{text: "no seed answers: " + setback.Reason(err, cfg.Network.PSK != nil), cause: err}
}

// callsSeed reports whether there is a connection to a seed, whatever has become of that so far.
func (n *Node) callsSeed() bool {
	return slices.ContainsFunc(n.seeds, func(s peer.AddrInfo) bool { return n.host.Network().Connectedness(s.ID) == network.Connected })
}

// takeLeave waits a moment until those who have admitted us have heard all: what is on its way does not outlive the connection.
func (n *Node) takeLeave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, LeaveTimeout)
	defer cancel()
	for _, p := range n.peers() {
		n.gate.Heard(ctx, p)
	}
}

// firstSeed returns nil once a seed has admitted us, or the first of their errors that tell most.
func (n *Node) firstSeed(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var attempts []func() error
	for _, seed := range n.seeds {
		if n.mayCall(seed.ID) {
			attempts = append(attempts, func() error { return n.connect(ctx, seed) })
		}
	}
	return race(cancel, attempts...)
}

// race runs attempts at the same time. The first that succeeds cancels the others; when none does, the first of the errors that tell most
// is returned.
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
		case failed == nil || setback.Tells(err) > setback.Tells(failed):
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
	delay, since := retries(), time.Time{}
	for ctx.Err() == nil {
		change := n.changed.wait()
		if up := n.connected(seed.ID); up || n.SeedsConnected() >= SeedConnections || !n.mayCall(seed.ID) {
			if up && since.IsZero() {
				since = time.Now()
				n.trouble.Over()
			}
			pause(ctx, change, 0)
			continue
		}
		if !since.IsZero() && time.Since(since) >= Stable { // a full seed that drops us at once is not asked again at once
			delay.Reset()
		}
		since = time.Time{}
		elsewhere := n.elsewhere.wait()
		err := n.connect(ctx, seed)
		wait := delay.Next()
		if err != nil && ctx.Err() == nil {
			n.trouble.Note(seed.ID, err, n.cfg.Network.PSK != nil, time.Now().Add(wait))
			n.log.Debug("no answer from a seed", zap.Stringer("seed", seed.ID), zap.Error(err), zap.Duration("retry", wait))
		}
		if pause(ctx, elsewhere, wait) {
			delay.Reset()
		}
	}
	return nil
}

// keepRemembered greets the remembered peers once, and again while no seed and hardly anybody else is connected: so nodes that
// know each other find each other without seeds.
func (n *Node) keepRemembered(ctx context.Context) error {
	delay := retries()
	for ctx.Err() == nil {
		elsewhere := n.elsewhere.wait()
		n.greet(ctx)
		for ctx.Err() == nil {
			change := n.changed.wait()
			if n.SeedsConnected() == 0 && len(n.peers()) < FewPeers {
				break
			}
			delay.Reset()
			pause(ctx, change, 0)
		}
		if pause(ctx, elsewhere, delay.Next()) {
			delay.Reset()
		}
	}
	return nil
}

// greet dials those of the remembered peers that are not connected, a few at a time.
func (n *Node) greet(ctx context.Context) {
	var dialling errgroup.Group
	dialling.SetLimit(GreetWorkers)
	known := n.book.Recent()
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

// recall loads the remembered peers.
func (n *Node) recall(ctx context.Context) {
	if n.cfg.Peers == nil {
		return
	}
	known, err := n.cfg.Peers.Load(ctx)
	if err != nil {
		n.log.Warn("cannot load remembered peers", zap.Error(err))
	}
	n.book.Load(known)
	for _, p := range known[:min(len(known), BookSize)] {
		n.guard.Remember(p.ID, firstOf(p.Addrs)...)
	}
}

// remember notes where a peer is, to be kept across restarts, unless it is a stranger who came to us: strangers must not take the
// places of those whom we look for.
func (n *Node) remember(p peer.ID, conns []network.Conn, addrs []ma.Multiaddr) {
	ours := n.isContact(p) || n.isSeed(p)
	for _, c := range conns {
		ours = ours || c.Stat().Direction == network.DirOutbound
	}
	if ours {
		n.book.Put(p, addrs)
	}
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
	changed := n.book.Unsaved()
	if len(changed) == 0 {
		return
	}
	if err := n.cfg.Peers.Save(ctx, changed, time.Now()); err != nil {
		n.log.Debug("cannot save remembered peers", zap.Error(err))
		n.book.Again(changed)
	}
}

func retries() pace.Backoff { return pace.Backoff{First: RetryFirst, Most: RetryMax} }

// pause waits until change fires, which it reports, or d has passed (zero: for ever), or ctx ends.
func pause(ctx context.Context, change <-chan struct{}, d time.Duration) (changed bool) {
	var timeout <-chan time.Time
	if d > 0 {
		timeout = time.After(d)
	}
	select {
	case <-change:
		return true
	case <-timeout:
	case <-ctx.Done():
	}
	return false
}
