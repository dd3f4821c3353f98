package reach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/zap"
)

// The way from a circuit to a punched connection: somebody calls us over a seed → libp2p's hole puncher tries at once → we try again, soon
// where one side did not know its address yet, later where the routers said no → the circuit stays until it ends by itself.

// keepPunching punches where a circuit is all there is, until ctx ends.
func (r *Reach) keepPunching(ctx context.Context) error {
	ids := r.host.IDService()
	if ids == nil {
		<-ctx.Done()
		return nil
	}
	events, err := r.host.EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged)}, eventbus.BufSize(EventQueue))
	if err != nil {
		return fmt.Errorf("watch circuits: %w", err)
	}
	defer func() { _ = events.Close() }() // it only ends the subscription
	service, err := holepunch.NewService(r.host, ids, r.addresses, holepunch.WithTracer(r.punches), holepunch.WithAddrFilter(wary{r}),
		holepunch.DirectDialTimeout(PunchTimeout))
	if err != nil {
		return fmt.Errorf("start hole punching: %w", err)
	}
	var attempts sync.WaitGroup
	defer attempts.Wait()
	defer func() {
		r.closeCircuits() // an attempt waits for the other side for up to a minute
		_ = service.Close()
	}()
	for {
		next := r.punchDue(service, &attempts)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case e := <-events.Out():
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				r.seen.note(e.Peer, e.Conn, e.ObservedAddr, r.seedIDs())
			case event.EvtPeerConnectednessChanged:
				if e.Connectedness != network.Connected {
					r.seen.forget(e.Peer)
					r.punches.forget(e.Peer)
				}
			}
		case <-timer.C:
		case <-r.punches.ended:
		}
		timer.Stop()
	}
}

// punchDue begins the attempts that are due, and returns when to look again.
func (r *Reach) punchDue(service *holepunch.Service, attempts *sync.WaitGroup) time.Duration {
	if !slices.Contains(r.host.Mux().Protocols(), holepunch.Protocol) { // before that, libp2p waits for an address of ours, and for nothing else
		return PunchSoon
	}
	calling := r.calledByCircuit()
	r.punches.keep(calling)
	for _, device := range calling {
		if !r.punches.begin(device, time.Now()) {
			continue
		}
		attempts.Go(func() {
			err := service.DirectConnect(device)
			r.punches.end(device, time.Now(), err)
			r.log.Debug("punched", zap.Stringer("device", device), zap.Error(err))
		})
	}
	return r.punches.next(time.Now())
}

// calledByCircuit lists the devices that have called us over a relay and that we cannot reach otherwise. It is for the one that was called
// to punch.
func (r *Reach) calledByCircuit() (devices []peer.ID) {
	for _, device := range r.host.Network().Peers() {
		called, direct := false, false
		for _, c := range r.host.Network().ConnsToPeer(device) {
			if c.Stat().Limited || IsCircuit(c.RemoteMultiaddr()) {
				called = called || c.Stat().Direction == network.DirInbound
			} else {
				direct = true
			}
		}
		if called && !direct && r.member(device) {
			devices = append(devices, device)
		}
	}
	return devices
}

// addresses returns where a router may let others through to us: our own public addresses, and those under which peers see us.
func (r *Reach) addresses() []ma.Multiaddr {
	own := slices.DeleteFunc(slices.Clone(r.host.Addrs()), notPunched)
	return ma.Unique(append(own, r.seen.addresses(r.member)...))
}

// notPunched reports whether an address is none to punch to: no router is in between, or nobody dials from the port at which he listens.
func notPunched(a ma.Multiaddr) bool { return IsCircuit(a) || IsWebSocket(a) || !manet.IsPublicAddr(a) }

// closeCircuits hangs up on everybody who is connected by a relay.
func (r *Reach) closeCircuits() {
	for _, c := range r.host.Network().Conns() {
		if IsCircuit(c.RemoteMultiaddr()) {
			_ = c.Close()
		}
	}
}

// wary lets a member have a few public addresses of its own dialled, and nobody whatever it likes: else nodes could be sent against others.
type wary struct{ *Reach }

// FilterLocal implements holepunch.AddrFilter.
func (w wary) FilterLocal(_ peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr { return addrs }

// FilterRemote implements holepunch.AddrFilter.
func (w wary) FilterRemote(from peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	if !w.member(from) || !w.asked.Allow(from) {
		return nil
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), notPunched)
	return addrs[:min(len(addrs), MaxPunchAddresses)]
}

// punches is what is known of the attempts.
type punches struct {
	ended chan struct{} // holds one token: an attempt has ended

	mu      sync.Mutex
	devices map[peer.ID]*attempt
	through map[peer.ID]bool // who was punched through to
}

type attempt struct {
	underWay bool
	pause    time.Duration
	due      time.Time
}

func newPunches() *punches {
	return &punches{ended: make(chan struct{}, 1), devices: map[peer.ID]*attempt{}, through: map[peer.ID]bool{}}
}

// keep forgets the attempts that nobody needs any more.
func (p *punches) keep(calling []peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for device, a := range p.devices {
		if !a.underWay && !slices.Contains(calling, device) {
			delete(p.devices, device)
		}
	}
}

// begin reports whether an attempt is due, and notes that it is under way.
func (p *punches) begin(device peer.ID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	running := 0
	for _, a := range p.devices {
		if a.underWay {
			running++
		}
	}
	a, ok := p.devices[device]
	if !ok { // libp2p's own first attempt is under way
		a = &attempt{due: now.Add(PunchSoon)}
		p.devices[device] = a
	}
	if a.underWay || running >= MaxPunches || now.Before(a.due) {
		return false
	}
	a.underWay = true
	return true
}

// end notes how an attempt ended, and when the next is due.
func (p *punches) end(device peer.ID, now time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.devices[device]
	a.underWay = false
	first := PunchSoon
	if err != nil && strings.Contains(err.Error(), errAllFailed) {
		first = PunchAgain
	}
	a.pause = min(max(first, 2*a.pause), PunchMax)
	if errors.Is(err, holepunch.ErrHolePunchActive) {
		a.pause = PunchSoon
	}
	a.due = now.Add(a.pause)
	nudge(p.ended)
}

// errAllFailed is what libp2p says when both sides have dialled, and the routers let nothing through.
const errAllFailed = "all retries for hole punch"

// next returns how long it is until something is due.
func (p *punches) next(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait, running := PunchMax, 0
	for _, a := range p.devices {
		if a.underWay {
			running++
		} else {
			wait = min(wait, max(0, a.due.Sub(now)))
		}
	}
	if running >= MaxPunches {
		return PunchMax // the end of one of them comes first
	}
	return wait
}

// Trace implements holepunch.EventTracer: it notes who was punched through to.
func (p *punches) Trace(e *holepunch.Event) {
	if end, ok := e.Evt.(*holepunch.EndHolePunchEvt); ok && end.Success {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.through[e.Remote] = true
	}
}

// forget drops a device whose connection is gone, which may come back by another way.
func (p *punches) forget(device peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.through, device)
}

// made reports whether a connection was made by punching.
func (p *punches) made(c network.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.through[c.RemotePeer()]
}

// sightings are the addresses under which peers see us.
type sightings struct {
	mu sync.Mutex
	of map[peer.ID]ma.Multiaddr
}

func newSightings() *sightings { return &sightings{of: map[peer.ID]ma.Multiaddr{}} }

// note takes what a peer that we have dialled says: the router has made the way through it for us, and keeps it for others. A WebSocket is dialled from a port
// at which nobody listens. Where there are too many, what a seed says takes the place of what somebody else has said: seeds alone are asked whether they can dial
// us there.
func (s *sightings) note(p peer.ID, c network.ConnStat, seen ma.Multiaddr, seeds []peer.ID) {
	if seen == nil || c.Stat().Limited || c.Stat().Direction != network.DirOutbound || IsWebSocket(seen) || !manet.IsPublicAddr(seen) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.of[p]; known || len(s.of) < MaxObservers || slices.Contains(seeds, p) && s.displace(seeds) {
		s.of[p] = seen
	}
}

// displace forgets what one peer has seen that is no seed, and reports whether there was one. The caller holds mu.
func (s *sightings) displace(seeds []peer.ID) bool {
	for p := range s.of {
		if !slices.Contains(seeds, p) {
			delete(s.of, p)
			return true
		}
	}
	return false
}

// addresses returns the different ones that peers whom we trust with that have seen.
func (s *sightings) addresses(trusted func(peer.ID) bool) (all []ma.Multiaddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, a := range s.of {
		if trusted(p) {
			all = append(all, a)
		}
	}
	return ma.Unique(all)
}

// forget drops what a peer has seen that is gone: the way through the router closes.
func (s *sightings) forget(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, p)
}
