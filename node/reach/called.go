package reach

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Uncrossed returns a host whose dials do not get in the way of punching. A peer that calls us by way of a relay is about to punch, from the port that we may be
// dialling to, to the one that we dial from: our router takes the two dials for one connection, both sides begin to speak on it, and the router
// remembers for ten seconds that it has failed. So a dial ends when the peer calls.
func Uncrossed(h Host) Host {
	u := &uncrossed{Host: h, dials: make(map[peer.ID]map[*context.CancelFunc]struct{})}
	h.Network().Notify(&network.NotifyBundle{ConnectedF: u.connected})
	return u
}

type uncrossed struct {
	Host
	mu    sync.Mutex
	dials map[peer.ID]map[*context.CancelFunc]struct{}
}

// Connect implements host.Host.
func (u *uncrossed) Connect(ctx context.Context, p peer.AddrInfo) error {
	dialling, end := context.WithCancel(ctx)
	defer end()
	defer u.expect(p.ID, end)()
	err := u.Host.Connect(dialling, p)
	if err != nil && dialling.Err() != nil && ctx.Err() == nil {
		return u.Host.Connect(network.WithAllowLimitedConn(ctx, "it has called us"), p) // which is there already
	}
	return err
}

// expect has a dial ended when the peer calls; forget has to be called behind it.
func (u *uncrossed) expect(p peer.ID, end context.CancelFunc) (forget func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dials[p] == nil {
		u.dials[p] = make(map[*context.CancelFunc]struct{})
	}
	u.dials[p][&end] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if delete(u.dials[p], &end); len(u.dials[p]) == 0 {
			delete(u.dials, p)
		}
	}
}

// connected ends the dials to a peer that has called by way of a relay.
func (u *uncrossed) connected(_ network.Network, c network.Conn) {
	if c.Stat().Direction != network.DirInbound || !IsCircuit(c.RemoteMultiaddr()) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for end := range u.dials[c.RemotePeer()] {
		(*end)()
	}
}
