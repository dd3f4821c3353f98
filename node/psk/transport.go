package psk

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node/internal/road"
)

// Transport is the TCP transport of nodes without a key, under the keys of a ring.
type Transport struct {
	*road.TCP
	ring *Ring
	self peer.ID
}

var _ transport.DialUpdater = (*Transport)(nil)

// Transport makes the transport of a host. libp2p calls it, with what it has made.
func (r *Ring) Transport(self peer.ID, u transport.Upgrader, resources network.ResourceManager) (*Transport, error) {
	inner, err := road.NewTCP(&upgrader{u, r}, resources)
	if err != nil {
		return nil, fmt.Errorf("make the transport of a private network: %w", err)
	}
	return &Transport{inner, r, self}, nil
}

// Dial connects to a peer with the key that it has. The error is ErrHungUp where it ends the connection without a word, and ErrOtherKey where it
// says that it has no key.
func (t *Transport) Dial(ctx context.Context, addr ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	return t.DialWithUpdates(ctx, addr, p, nil)
}

// DialWithUpdates is Dial, and says how far it has come.
func (t *Transport) DialWithUpdates(ctx context.Context, addr ma.Multiaddr, p peer.ID, updates chan<- transport.DialUpdate) (transport.CapableConn, error) {
	return t.ring.dial(ctx, p, func(ctx context.Context) (transport.CapableConn, error) {
		c, err := t.TcpTransport.DialWithUpdates(withRole(ctx, t.self, p), addr, p, updates)
		road.Rest(ctx, err)
		return c, err
	})
}

// WebSocket is the WebSocket transport of nodes without a key, under the keys of a ring.
type WebSocket struct {
	*road.WebSocket
	ring *Ring
}

// WebSocket makes the second transport of a host. libp2p calls it, with what it has made.
func (r *Ring) WebSocket(u transport.Upgrader, resources network.ResourceManager) (*WebSocket, error) {
	inner, err := road.NewWebSocket(&upgrader{u, r}, resources)
	if err != nil {
		return nil, fmt.Errorf("make the WebSocket transport of a private network: %w", err)
	}
	return &WebSocket{inner, r}, nil
}

// Dial connects to a peer with the key that it has, as [Transport.Dial] does.
func (t *WebSocket) Dial(ctx context.Context, addr ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	return t.ring.dial(ctx, p, func(ctx context.Context) (transport.CapableConn, error) {
		return t.WebSocket.Dial(ctx, addr, p)
	})
}

// dial dials with one key after the other until the peer answers to one.
func (r *Ring) dial(ctx context.Context, p peer.ID, once func(context.Context) (transport.CapableConn, error)) (c transport.CapableConn, err error) {
	for _, key := range r.toDial(p) {
		c, err = once(context.WithValue(ctx, useKey{}, key))
		if err == nil {
			r.answered(p, key)
			return c, nil
		}
		if !errors.Is(err, ErrHungUp) {
			break
		}
	}
	return nil, err
}

// useKey is under what dial tells Upgrade which key to use: libp2p's transports stand between them and hand on nothing but the context.
type useKey struct{}

// upgrader puts connections under a key before libp2p's own upgrader sees them.
type upgrader struct {
	transport.Upgrader
	ring *Ring
}

// UpgradeListener implements transport.Upgrader.
func (u *upgrader) UpgradeListener(t transport.Transport, l manet.Listener) transport.Listener {
	return u.UpgradeGatedMaListener(t, u.GateMaListener(l))
}

// UpgradeGatedMaListener implements transport.Upgrader.
func (u *upgrader) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	return u.Upgrader.UpgradeGatedMaListener(t, &listener{l, u.ring})
}

// Upgrade implements transport.Upgrader, for connections that were dialled. Of two sides that have dialled each other at once, one is told that
// it was called, and waits for the other's key. Where none comes, its dial was accepted by who listens, and does not know of that: then it speaks first.
func (u *upgrader) Upgrade(
	ctx context.Context, t transport.Transport, raw manet.Conn, dir network.Direction, p peer.ID, scope network.ConnManagementScope,
) (transport.CapableConn, error) {
	if dir == network.DirInbound {
		if called, speaks := spokenTo(raw); speaks {
			return u.Upgrader.Upgrade(ctx, t, &incoming{Conn: called, ring: u.ring}, dir, p, scope)
		}
		dir = network.DirOutbound
	}
	key, told := ctx.Value(useKey{}).(Key)
	if !told {
		key = u.ring.Newest()
	}
	out := &outgoing{Conn: raw}
	c, err := protect(out, key)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	upgraded, err := u.Upgrader.Upgrade(ctx, t, c, dir, p, scope)
	if why := out.refusal(); err != nil && why != nil {
		err = fmt.Errorf("%w (%w)", why, err)
	}
	return upgraded, err
}

func timeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// listener puts what it accepts under a key, without waiting for it.
type listener struct {
	transport.GatedMaListener
	ring *Ring
}

// Accept implements transport.GatedMaListener.
func (l *listener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	raw, scope, err := l.GatedMaListener.Accept()
	if err != nil {
		return nil, nil, err
	}
	return &incoming{Conn: raw, ring: l.ring}, scope, nil
}
