package node

import (
	"context"
	"errors"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"parley/node/member"
)

// connect returns nil when a member of this network answers as p, and has admitted us. It adds to what the host knows about p's addresses.
func (n *Node) connect(ctx context.Context, p peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	if !n.mayCall(p.ID) {
		return member.NoMember
	}
	clearBackoff(n.host, p.ID)
	if err := n.host.Connect(ctx, p); err != nil {
		n.rebuffed(p.ID, err)
		return err
	}
	n.rebuffs.over()
	if err := n.identify(ctx, p.ID); err != nil {
		return err
	}
	return n.gate.Await(ctx, p.ID)
}

// errSilent says that a node answered, and did not say which network it is of.
var errSilent = errors.New("it did not say who it is")

// identify waits until a connected peer has said of which network it is, and hangs up if that is another one. (The host's Connect
// does not wait where a connection was there already.)
func (n *Node) identify(ctx context.Context, p peer.ID) error {
	if ids := n.gate.IDService(); ids != nil {
		for _, c := range n.host.Network().ConnsToPeer(p) {
			select {
			case <-ids.IdentifyWait(c):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	switch n.version(p) {
	case n.cfg.Network.version():
		return nil
	case "":
		return errSilent
	}
	_ = n.host.Network().ClosePeer(p)
	return member.ErrForeign
}

// clearBackoff forgets the host's own back-off, which is longer than ours and knows nothing of what we wait for.
func clearBackoff(h host.Host, p peer.ID) {
	if s, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(p)
	}
}

// dials is the attempts under way.
type dials struct {
	mu    sync.Mutex
	calls map[peer.ID]*dial
}

type dial struct {
	done chan struct{}
	err  error
	off  bool // its caller had enough of it: the error says nothing about the device
}

func newDials() *dials { return &dials{calls: make(map[peer.ID]*dial)} }

// share runs attempt, unless one for the same device is under way: then it waits for its outcome. Where that one was only called off, or its
// caller's own time was over, the next in line makes its own.
func (d *dials) share(ctx context.Context, device peer.ID, attempt func() error) error {
	for {
		call, first := d.join(device)
		if first {
			call.err = attempt()
			call.off = ctx.Err() != nil
			d.leave(device, call)
			return call.err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-call.done:
		}
		if call.err == nil || !call.off || ctx.Err() != nil {
			return call.err
		}
	}
}

// join returns the attempt that is under way, or begins one.
func (d *dials) join(device peer.ID) (call *dial, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if call, ok := d.calls[device]; ok {
		return call, false
	}
	call = &dial{done: make(chan struct{})}
	d.calls[device] = call
	return call, true
}

func (d *dials) leave(device peer.ID, call *dial) {
	d.mu.Lock()
	delete(d.calls, device)
	d.mu.Unlock()
	close(call.done)
}
