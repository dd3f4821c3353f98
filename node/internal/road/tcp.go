// Package road opens sockets whose packets pass on every road, also on those that are narrow and do not say so: see [MaxPacket].
//
// The kernel finds out by itself where routers answer, and libp2p leaves it to the kernel. Where they do not, the handshake succeeds, whose
// packets are small, and the first long text stops a TCP connection for good; QUIC does not get as far.
package road

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// TCP is libp2p's transport over TCP with sockets of ours. It dials from the port that it listens on, which punching holes lives by.
type TCP struct {
	*tcp.TcpTransport
	upgrader transport.Upgrader
	doors    *doors
}

var _ transport.DialUpdater = (*TCP)(nil)

// NewTCP returns a transport that listens nowhere yet. libp2p calls it, with what it has made.
func NewTCP(upgrader transport.Upgrader, resources network.ResourceManager) (*TCP, error) {
	d := &doors{open: map[*door]bool{}}
	t, err := tcp.NewTCPTransport(counting{upgrader}, resources, nil, tcp.WithDialerForAddr(func(ma.Multiaddr) (tcp.ContextDialer, error) { return d, nil }))
	if err != nil {
		return nil, fmt.Errorf("make TCP transport: %w", err)
	}
	return &TCP{TcpTransport: t, upgrader: upgrader, doors: d}, nil
}

// Dial connects to a peer.
func (t *TCP) Dial(ctx context.Context, addr ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	return t.DialWithUpdates(ctx, addr, p, nil)
}

// DialWithUpdates is Dial, and says how far it has come.
func (t *TCP) DialWithUpdates(ctx context.Context, addr ma.Multiaddr, p peer.ID, updates chan<- transport.DialUpdate) (transport.CapableConn, error) {
	c, err := t.TcpTransport.DialWithUpdates(ctx, addr, p, updates)
	Rest(ctx, err)
	return c, err
}

// Rest waits for RestTogether behind a dial that has failed, where both sides dial at the same moment and libp2p has told this one to listen, which is the one
// that has begun.
func Rest(ctx context.Context, err error) {
	if together, answers, _ := network.GetSimultaneousConnect(ctx); err == nil || !together || answers {
		return
	}
	rest := time.NewTimer(RestTogether)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
}

// Listen listens at an address. Others may listen at it, too.
func (t *TCP) Listen(at ma.Multiaddr) (transport.Listener, error) {
	d, err := t.listen(at)
	if err != nil {
		return nil, err
	}
	return t.upgrader.UpgradeGatedMaListener(t, resetting{t.upgrader.GateMaListener(d)}), nil
}

func (t *TCP) listen(at ma.Multiaddr) (*door, error) {
	kind, address, err := manet.DialArgs(at)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", at, err)
	}
	config := net.ListenConfig{Control: share, KeepAlive: KeepAlive}
	config.SetMultipathTCP(false) // nobody dials with it, and it does not pass all options on
	l, err := config.Listen(context.Background(), kind, address)
	if err != nil {
		return nil, err
	}
	wrapped, err := manet.WrapNetListener(l)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return t.doors.add(kind, wrapped), nil
}

// resetting makes connections that end without a wait, so the next one may have the same ports at once, and counts what comes on them.
type resetting struct{ transport.GatedMaListener }

// Accept returns the next connection.
func (r resetting) Accept() (manet.Conn, network.ConnManagementScope, error) {
	c, scope, err := r.GatedMaListener.Accept()
	if err != nil {
		return nil, nil, err
	}
	if l, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		_ = l.SetLinger(0) // it may have ended already
	}
	return &line{Conn: c}, scope, nil
}

// doors are the addresses that we listen at, and dial from.
type doors struct {
	mu   sync.Mutex
	open map[*door]bool
}

// door is one of them, until it is closed.
type door struct {
	manet.Listener
	of   *doors
	kind string // tcp4 or tcp6
	at   *net.TCPAddr
}

func (d *doors) add(kind string, l manet.Listener) *door {
	at, _ := l.Addr().(*net.TCPAddr)
	added := &door{l, d, kind, at}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[added] = true
	return added
}

// Close ends listening, and dialling from here.
func (d *door) Close() error {
	d.of.mu.Lock()
	delete(d.of.open, d)
	d.of.mu.Unlock()
	return d.Listener.Close()
}

// DialContext dials from the port that we listen on, and where that is not to be had from any. Where both sides dial at the same moment, to get
// through their routers, it dials DialsTogether times, unless ctx ends: a router that answers what comes too early with a reset has not
// decided anything.
func (d *doors) DialContext(ctx context.Context, kind, address string) (net.Conn, error) {
	together, _, _ := network.GetSimultaneousConnect(ctx)
	for dials := 1; ; dials++ {
		c, err := d.dial(ctx, kind, address)
		if !together || dials == DialsTogether || !errors.Is(err, syscall.ECONNREFUSED) {
			return c, err
		}
		again := time.NewTimer(AgainTogether)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, err
		}
	}
}

func (d *doors) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	if from := d.from(ctx, kind, address); from != nil {
		dialer := net.Dialer{LocalAddr: from, Control: share}
		c, err := dialer.DialContext(ctx, kind, address)
		if err == nil || ctx.Err() != nil || !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return c, err
		}
	}
	dialer := net.Dialer{Control: narrow}
	return dialer.DialContext(ctx, kind, address)
}

// from returns where to dial an address from: the very address that the system would take, if we listen there; else one that stands for all.
func (d *doors) from(ctx context.Context, kind, address string) *net.TCPAddr {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all, one *net.TCPAddr
	var own net.IP
	for door := range d.open {
		switch {
		case door.at == nil || door.kind != kind:
		case door.at.IP.IsUnspecified():
			all = door.at
		default:
			if own == nil {
				own = ownAddress(ctx, address)
			}
			if own.Equal(door.at.IP) {
				one = door.at
			}
		}
	}
	if one != nil {
		return one
	}
	return all
}

// ownAddress returns which of our addresses the system would dial another one from. Nothing is sent to find out.
func ownAddress(ctx context.Context, address string) net.IP {
	c, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return net.IP{}
	}
	defer func() { _ = c.Close() }()
	at, _ := c.LocalAddr().(*net.UDPAddr)
	if at == nil {
		return net.IP{}
	}
	return at.IP
}
