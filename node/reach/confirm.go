package reach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/zap"

	"parley/node/internal/pace"
)

// The way to a confirmed address: we have public addresses, our own or as a seed sees us → we ask a seed to dial one (AutoNAT v2) → it dials with
// another key, and says on that connection the number that we gave it → the address is good, and others are told. Nothing is asked while all
// answers are younger than ConfirmEvery.

// EvtReached is on the host's event bus when a seed has found an address of ours good of which none had said so before.
type EvtReached struct{ Address ma.Multiaddr }

// Confirmed is what seeds have found out about our addresses.
type Confirmed struct {
	mu sync.Mutex
	of map[string]*answers
}

// answers are those about one address.
type answers struct {
	addr ma.Multiaddr
	good map[peer.ID]bool
	at   map[peer.ID]time.Time
}

// NewConfirmed returns one that knows nothing yet.
func NewConfirmed() *Confirmed { return &Confirmed{of: make(map[string]*answers)} }

// Addresses lists what seeds have dialled, in the order of the addresses' texts.
func (c *Confirmed) Addresses() (good []ma.Multiaddr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.of {
		if a.count(true) > 0 {
			good = append(good, a.addr)
		}
	}
	slices.SortFunc(good, ma.Multiaddr.Compare)
	return good
}

// Seeds returns how many seeds have got through at an address that most have got through at, and how many have tried at all.
func (c *Confirmed) Seeds() (through, tried int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[peer.ID]bool)
	for _, a := range c.of {
		through = max(through, a.count(true))
		for seed := range a.good {
			all[seed] = true
		}
	}
	return through, len(all)
}

func (a *answers) count(good bool) (n int) {
	for _, g := range a.good {
		if g == good {
			n++
		}
	}
	return n
}

// note takes a seed's answer, and reports whether it is the first that an address is good.
func (c *Confirmed) note(a ma.Multiaddr, seed peer.ID, good bool, now time.Time) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of[a.String()]
	if of == nil {
		of = &answers{addr: a, good: make(map[peer.ID]bool), at: make(map[peer.ID]time.Time)}
		c.of[a.String()] = of
	}
	first = good && of.count(true) == 0
	of.good[seed], of.at[seed] = good, now
	return first
}

// keep forgets addresses that are ours no more.
func (c *Confirmed) keep(ours []ma.Multiaddr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, a := range c.of {
		if !slices.ContainsFunc(ours, a.addr.Equal) {
			delete(c.of, key)
		}
	}
}

// again has a seed asked again, which is connected anew: we may be somewhere else. What it has said stands until then.
func (c *Confirmed) again(seed peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.of {
		delete(a.at, seed)
	}
}

// due returns the addresses about which some of these seeds have not answered lately, those with the fewest answers first, and when the next answer is
// too old where all are there.
func (c *Confirmed) due(ours []ma.Multiaddr, seeds []peer.ID, now time.Time) (ask []ma.Multiaddr, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = now.Add(ConfirmEvery)
	lately := make(map[string]int)
	for _, a := range ours {
		of, missing := c.of[a.String()], false
		for _, seed := range seeds {
			if of == nil || now.Sub(of.at[seed]) >= ConfirmEvery {
				missing = true
				continue
			}
			lately[a.String()]++
			if old := of.at[seed].Add(ConfirmEvery); old.Before(next) {
				next = old
			}
		}
		if missing {
			ask = append(ask, a)
		}
	}
	slices.SortStableFunc(ask, func(a, b ma.Multiaddr) int { return lately[a.String()] - lately[b.String()] })
	return ask, next
}

// asker is the host of somebody who asks seeds, and nobody else, whether they can dial him. It is used by one goroutine at a time.
type asker struct {
	host.Host
	seeds []peer.ID
	asked peer.ID // the last
}

// errNoSeed says that somebody offers to dial us whose word counts nothing.
var errNoSeed = errors.New("only seeds are asked")

// NewStream notes who is asked.
func (a *asker) NewStream(ctx context.Context, p peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	a.asked = p
	if !slices.Contains(a.seeds, p) {
		return nil, errNoSeed
	}
	return a.Host.NewStream(network.WithNoDial(ctx, "ask who is connected"), p, protocols...)
}

// Close does nothing: the host is another's to close.
func (a *asker) Close() error { return nil }

// keepConfirmed asks seeds whether they can dial us, until ctx ends, and dials others for who asks us, where we are a seed.
func (r *Reach) keepConfirmed(ctx context.Context) (err error) {
	events, err := r.host.EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtLocalAddressesUpdated)}, eventbus.BufSize(EventQueue))
	if err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	reached, err := r.host.EventBus().Emitter(new(EvtReached))
	if err != nil {
		return errors.Join(fmt.Errorf("watch addresses: %w", err), events.Close())
	}
	ask := &asker{Host: r.host, seeds: r.seedIDs()}
	service, err := r.startReachService(ask)
	if err != nil {
		return errors.Join(err, events.Close(), reached.Close())
	}
	changed := make(chan struct{}, 1)
	var draining sync.WaitGroup
	draining.Go(func() { // to ask takes long, and who does not take events in time holds up the host
		for e := range events.Out() {
			if r.news(e) {
				nudge(changed)
			}
		}
	})
	defer func() {
		service.Close()
		err = errors.Join(err, events.Close(), reached.Close())
		draining.Wait()
	}()
	pause := pace.Backoff{First: ConfirmSoon, Most: ConfirmEvery}
	timer := time.NewTimer(ConfirmSoon)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			pause.Reset()
			timer.Reset(pause.Next())
		case <-timer.C:
			next, idle := r.confirm(ctx, service, ask, reached)
			if idle {
				pause.Reset()
			}
			timer.Reset(max(time.Until(next), pause.Next()))
		}
	}
}

// news reports whether an event may change what seeds find: one is there again, or our addresses are others.
func (r *Reach) news(e any) bool {
	who, ok := e.(event.EvtPeerIdentificationCompleted)
	if !ok {
		return true
	}
	if !slices.Contains(r.seedIDs(), who.Peer) || IsCircuit(who.Conn.RemoteMultiaddr()) {
		return false
	}
	r.cfg.Confirmed.again(who.Peer)
	return true
}

// confirm asks each connected seed that has not answered lately, and returns when to look again; idle where nothing was to be asked.
func (r *Reach) confirm(ctx context.Context, service *autonatv2.AutoNAT, ask *asker, reached event.Emitter) (next time.Time, idle bool) {
	ours, seeds := r.candidates(), r.connectedSeeds()
	r.cfg.Confirmed.keep(ours)
	due, next := r.cfg.Confirmed.due(ours, seeds, time.Now())
	if len(due) == 0 {
		return next, true
	}
	for range MaxAsks {
		requests := make([]autonatv2.Request, 0, len(due))
		for _, a := range due {
			requests = append(requests, autonatv2.Request{Addr: a, SendDialData: true})
		}
		result, err := service.GetReachability(ctx, requests)
		switch {
		case errors.Is(err, autonatv2.ErrNoPeers): // all were asked a moment ago, or none has said yet that it may be asked
			return time.Now(), false
		case err != nil:
			r.log.Debug("a seed has not said whether we can be dialled", zap.Stringer("seed", ask.asked), zap.Error(err))
		case !result.AllAddrsRefused && result.Reachability != network.ReachabilityUnknown:
			good := result.Reachability == network.ReachabilityPublic
			r.log.Info("a seed has tried to dial us", zap.Stringer("seed", ask.asked), zap.Stringer("address", result.Addr), zap.Bool("through", good))
			if r.cfg.Confirmed.note(result.Addr, ask.asked, good, time.Now()) {
				_ = reached.Emit(EvtReached{result.Addr}) // nobody listens once the host is closed
			}
		}
		if due, next = r.cfg.Confirmed.due(ours, seeds, time.Now()); len(due) == 0 {
			return next, true
		}
	}
	return time.Now(), false
}

// candidates are the addresses at which others may be able to dial us: public ones of our own, and those that seeds see.
func (r *Reach) candidates() []ma.Multiaddr {
	seed := func(p peer.ID) bool { return slices.Contains(r.seedIDs(), p) && r.member(p) }
	all := append(slices.Clone(r.host.Addrs()), r.seen.addresses(seed)...)
	all = slices.DeleteFunc(all, func(a ma.Multiaddr) bool { return IsCircuit(a) || !r.anywhere && !manet.IsPublicAddr(a) })
	all = ma.Unique(all)
	return all[:min(len(all), MaxCandidates)]
}

func (r *Reach) seedIDs() (ids []peer.ID) {
	for _, s := range r.cfg.Seeds {
		ids = append(ids, s.ID)
	}
	return ids
}

// connectedSeeds lists the seeds that may be asked now.
func (r *Reach) connectedSeeds() []peer.ID {
	return slices.DeleteFunc(r.seedIDs(), func(p peer.ID) bool { return r.connectedAt(p) == nil || !r.member(p) })
}
