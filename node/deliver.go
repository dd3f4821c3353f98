package node

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/direct"
	"parley/node/internal/book"
	"parley/node/internal/setback"
	"parley/node/reach"
)

// Outgoing is one envelope and the acknowledgement tag that proves that its device has opened and kept it. (Outgoing, Handed and Peer are
// aliases of unnamed structs, so that a messenger can name the same types without importing this package.)
type Outgoing = direct.Outgoing

// Handed says how one envelope was handed over.
type Handed = struct {
	Route string
	// Acked says that the device has proven by the tag that it opened and kept the envelope. On a direct or relayed route without it,
	// the device took the envelope and has not accepted it.
	Acked bool
	// Holders are the hosts that store it, on the mailbox route.
	Holders []peer.ID
}

// The routes of an envelope or a connection.
const routeMailbox = "mailbox" // besides those of package reach

// Deliver hands envelopes to a device in their order: over the connection that there is, or over a new one to the addresses that
// are remembered or found in the DHT. Where the device has mailboxes they get the envelopes when it is known to be away, cannot be reached,
// or has acknowledged nothing within DepositAfter and was silent for SilentFor, or nothing more within DepositAtLast. It returns one Handed for each envelope that the device has taken, or that at least one
// of the mailboxes has stored, always a prefix, and an error in one line when that is not all. Before Run serves it waits.
func (n *Node) Deliver(ctx context.Context, device peer.ID, mailboxes []Mailbox, envelopes []Outgoing) ([]Handed, error) {
	select {
	case <-n.serving:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(mailboxes) > 0 && len(envelopes) > 0 {
		return n.deliverOrDeposit(ctx, device, mailboxes, envelopes)
	}
	if err := n.unreachable(n.reach(ctx, device)); err != nil {
		return nil, err
	}
	return n.hand(ctx, device, envelopes, func() {})
}

// unreachable says in one line why a device could not be reached.
func (n *Node) unreachable(err error) error {
	if err == nil {
		return nil
	}
	return &failure{text: "the device is not reachable: " + setback.Reason(err, false), cause: err}
}

// hand hands envelopes to a device that is connected; acked is called for each of them that it has acknowledged. Where that takes long, the
// connection may be dead.
func (n *Node) hand(ctx context.Context, device peer.ID, envelopes []Outgoing, acked func()) ([]Handed, error) {
	watched, end := context.WithCancel(ctx)
	defer end()
	n.heard.WhenSilent(watched, device, DoubtAfter, func() { n.ways.Doubt(device) })
	accepted, err := n.sender.DeliverWatched(ctx, device, envelopes, func() {
		n.heard.Note(device, time.Now())
		acked()
	})
	if err != nil {
		err = &failure{text: "the device has not confirmed: " + n.streamReason(device, err), cause: err}
	}
	handed, route := make([]Handed, len(accepted)), n.route(device)
	for i, acked := range accepted {
		handed[i] = Handed{Route: route, Acked: acked}
	}
	return handed, err
}

// receive gives the messenger what devices bring, and takes it for a sign of life.
func (n *Node) receive(m Messenger) direct.Receive {
	return func(ctx context.Context, from peer.ID, envelopes [][]byte) (tags [][]byte, err error) {
		n.heard.Note(from, time.Now())
		return m.Receive(ctx, from, envelopes)
	}
}

// route says how a device is connected: by the best of its connections.
func (n *Node) route(device peer.ID) string {
	if c := n.best(device); c != nil {
		return n.ways.Route(c)
	}
	return reach.Direct // it is gone again
}

// best returns the connection to a device that streams take: any rather than a circuit. It is nil where there is none.
func (n *Node) best(device peer.ID) (best network.Conn) {
	for _, c := range n.host.Network().ConnsToPeer(device) {
		if best == nil || n.ways.Route(best) == reach.Relayed {
			best = c
		}
	}
	return best
}

// openDirect opens a stream for envelopes on a connection that exists.
func (n *Node) openDirect(ctx context.Context, device peer.ID) (network.Stream, error) {
	ctx = network.WithAllowLimitedConn(ctx, "envelopes go by any way")
	return n.host.NewStream(network.WithNoDial(ctx, "reach has dialled"), device, direct.Protocol)
}

// reach returns once a device is connected, if only by a circuit. Callers that ask for the same device at the same time share one attempt.
func (n *Node) reach(ctx context.Context, device peer.ID) error {
	if n.connected(device) {
		return nil
	}
	return n.dials.share(ctx, device, func() error { return n.find(ctx, device) })
}

// find dials the addresses that are known while it asks the DHT for others, and dials those; and a little later by way of the seeds.
func (n *Node) find(ctx context.Context, device peer.ID) error {
	ctx, cancel := context.WithTimeout(ctx, 2*DialTimeout)
	defer cancel()
	known := peer.AddrInfo{ID: device, Addrs: firstOf(withoutCircuits(book.Union(n.book.Addrs(device), n.host.Peerstore().Addrs(device))))}
	return race(cancel,
		func() error { return n.dialKnown(ctx, known) },
		func() error { return n.dialFound(ctx, known) },
		func() error { return n.dialCircuits(ctx, device) })
}

// callSeeds connects to more seeds than a node stays connected to, where there are more: the device may have its reservations at others. A circuit
// goes through those alone that have admitted us.
func (n *Node) callSeeds(ctx context.Context) {
	var calls sync.WaitGroup
	for _, seed := range n.seeds[:min(len(n.seeds), reach.MaxCircuits)] {
		if len(n.seeds) > SeedConnections && !n.connected(seed.ID) {
			calls.Go(func() { _ = n.connect(ctx, seed) }) // keepSeed says why one does not answer
		}
	}
	calls.Wait()
}

// dialCircuits dials a device by way of the seeds that are connected. A circuit is the last choice.
func (n *Node) dialCircuits(ctx context.Context, device peer.ID) error {
	pause(ctx, nil, reach.CircuitAfter)
	n.callSeeds(ctx)
	through := n.ways.Circuits(device)
	if len(through) == 0 {
		return setback.ErrUnknown
	}
	return n.connect(network.WithAllowLimitedConn(ctx, "a circuit is better than nothing"), peer.AddrInfo{ID: device, Addrs: through})
}

func (n *Node) dialKnown(ctx context.Context, known peer.AddrInfo) error {
	if len(known.Addrs) == 0 {
		return setback.ErrUnknown
	}
	return n.connect(ctx, known)
}

// dialFound dials a device at addresses that were not known before.
func (n *Node) dialFound(ctx context.Context, known peer.AddrInfo) error {
	if len(n.host.Network().Peers()) == 0 {
		return setback.ErrUnknown
	}
	table := n.awaitTable(ctx)
	if table == nil {
		return setback.ErrUnknown
	}
	info, err := table.FindPeer(ctx, known.ID)
	if err != nil {
		return setback.ErrUnknown
	}
	if info.Addrs = withoutCircuits(info.Addrs); len(info.Addrs) == 0 {
		return setback.ErrUnknown
	}
	return n.connect(ctx, info)
}
