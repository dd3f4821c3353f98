package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"

	"parley/node/internal/guard"
	"parley/node/member"
	"parley/node/reach"
)

// eventQueue is how many events may wait for the watcher: a burst of connections on a seed.
const eventQueue = 256

func (n *Node) subscribe() (event.Subscription, error) {
	events, err := n.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerConnectednessChanged),
		new(reach.EvtReached),
		new(member.EvtAdmitted),
	}, eventbus.BufSize(eventQueue))
	if err != nil {
		return nil, fmt.Errorf("watch the host: %w", err)
	}
	return events, nil
}

// watch reacts to what happens at the host until ctx ends.
func (n *Node) watch(ctx context.Context, events event.Subscription, m Messenger) (err error) {
	defer func() { err = errors.Join(err, events.Close()) }()
	for _, p := range n.host.Network().Peers() { // identified and admitted before we subscribed
		n.admitted(p, m)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events.Out():
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				n.identified(e.Peer, []network.Conn{e.Conn}, e.ListenAddrs, m)
				n.ways.Another(e.Conn)
			case member.EvtAdmitted:
				n.admitted(e.Peer, m)
			case event.EvtPeerConnectednessChanged:
				n.connectedness(e.Peer, e.Connectedness)
			case reach.EvtReached:
				n.reached(e.Address)
			}
		}
	}
}

// admitted is identified, where a peer was identified before it was admitted.
func (n *Node) admitted(p peer.ID, m Messenger) {
	if n.version(p) != "" {
		n.identified(p, n.host.Network().ConnsToPeer(p), n.host.Peerstore().Addrs(p), m)
	}
}

// identified greets a peer that has said who it is and is admitted, or shows it the door when it is of another network: not at once, for it may not have
// heard yet of which network we are, and would have to guess why we hang up.
func (n *Node) identified(p peer.ID, conns []network.Conn, listening []ma.Multiaddr, m Messenger) {
	if n.version(p) != n.cfg.Network.version() {
		n.log.Debug("disconnecting a node of another network", zap.Stringer("peer", p))
		if len(conns) > 0 {
			n.guard.Refuse(guard.Foreign, p, conns[0].RemoteMultiaddr())
		}
		time.AfterFunc(ForeignGrace, func() { _ = n.host.Network().ClosePeer(p) })
		return
	}
	if !n.connected(p) { // it will be back here when it is admitted
		return
	}
	n.joined.Store(true)
	n.rebuffs.over() // it has called us with our key
	n.remember(p, conns, workingAddresses(conns, listening))
	if n.isSeed(p) || len(n.peers()) == 1 {
		n.due.all()
	}
	n.absent.over(p)
	n.changed.fire()
	n.keeper.Connected(p)
	m.Connected(p)
}

// workingAddresses lists what a peer says it listens on, after the addresses at which we did reach it. Circuits are found anew each time.
func workingAddresses(conns []network.Conn, listening []ma.Multiaddr) []ma.Multiaddr {
	var addrs []ma.Multiaddr
	for _, c := range conns {
		if c.Stat().Direction == network.DirOutbound {
			addrs = append(addrs, c.RemoteMultiaddr())
		}
	}
	return withoutCircuits(append(addrs, listening...))
}

// withoutCircuits leaves out the circuits that somebody names: by way of seeds we go on our own.
func withoutCircuits(addrs []ma.Multiaddr) []ma.Multiaddr {
	return slices.DeleteFunc(slices.Clone(addrs), reach.IsCircuit)
}

// version returns what a peer called its protocol; empty before it has.
func (n *Node) version(p peer.ID) string {
	v, err := n.host.Peerstore().Get(p, "ProtocolVersion")
	if err != nil {
		return ""
	}
	version, _ := v.(string)
	return version
}

// connectedness notes that a peer came or went. Who loses the last connection publishes everything again on the next.
func (n *Node) connectedness(p peer.ID, c network.Connectedness) {
	if c != network.Connected {
		n.sender.Forget(p)
	} else {
		n.sender.Outgrow(p)
	}
	if len(n.host.Network().Peers()) == 0 {
		n.due.all()
	}
	n.changed.fire()
}

// moved is called when this machine has got other addresses or has slept: whoever waits to try again tries now, and who could not be reached may be
// reachable from here.
func (n *Node) moved() {
	n.absent.clear()
	n.due.all()
	n.elsewhere.fire()
	n.changed.fire()
}

// reached makes a node that a seed could dial serve the DHT, and tells others the address. It stays a server: others rely on what it stores.
func (n *Node) reached(at ma.Multiaddr) {
	n.log.Info("a seed has confirmed that others can dial us", zap.Stringer("address", at))
	n.due.all()
	if n.servesDHT() {
		return
	}
	if err := n.startDHT(true); err != nil {
		n.log.Warn("cannot serve the DHT", zap.Error(err))
		return
	}
	n.changed.fire()
}

// pulse wakes everybody who waits, again and again.
type pulse struct {
	mu   sync.Mutex
	next chan struct{}
}

func newPulse() *pulse { return &pulse{next: make(chan struct{})} }

// wait returns a channel that is closed at the next beat. Take it before looking at what may change.
func (p *pulse) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

func (p *pulse) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.next)
	p.next = make(chan struct{})
}

// pending is a set of keys to which something must be done, out of those that were ever added.
type pending struct {
	mu   sync.Mutex
	keys map[string]bool // true: to be done
}

func newPending() *pending { return &pending{keys: make(map[string]bool)} }

func (p *pending) add(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[key] = true
}

// all marks everything that was ever added.
func (p *pending) all() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.keys {
		p.keys[k] = true
	}
}

// take returns what is to be done, in order, and unmarks it.
func (p *pending) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var todo []string
	for _, k := range slices.Sorted(maps.Keys(p.keys)) {
		if p.keys[k] {
			todo = append(todo, k)
			p.keys[k] = false
		}
	}
	return todo
}
