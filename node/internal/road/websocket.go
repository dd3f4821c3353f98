package road

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	manet "github.com/multiformats/go-multiaddr/net"
)

// NewWebSocket returns libp2p's transport over WebSocket: for those whose router lets nothing but the web pass, and for seeds that share a port with
// a web server. It listens without TLS, which is the web server's work, and dials with and without, by way of the proxy that HTTPS_PROXY or
// HTTP_PROXY names. Its packets are as large as the system makes them: where a web server stands in between, those on the road are not ours.
func NewWebSocket(u transport.Upgrader, resources network.ResourceManager) (*websocket.WebsocketTransport, error) {
	t, err := websocket.New(persistent{u}, resources, nil, websocket.WithHandshakeTimeout(HandshakeTimeout),
		websocket.WithHTTPHandler(http.HandlerFunc(nothingHere)), websocket.WithHTTPServerConfig(bound))
	if err != nil {
		return nil, fmt.Errorf("make WebSocket transport: %w", err)
	}
	return t, nil
}

// bound lets a request be as long as one for a WebSocket is, and nothing else come: libp2p would take a megabyte, and HTTP/2.
func bound(s *http.Server) {
	s.MaxHeaderBytes, s.ReadHeaderTimeout = MaxHeader, HandshakeTimeout
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
}

// nothingHere answers whoever asks for a page, and hangs up.
func nothingHere(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	http.NotFound(w, r)
}

// persistent has the system repeat what was lost as on other connections of ours.
type persistent struct{ transport.Upgrader }

// GateMaListener implements transport.Upgrader.
func (p persistent) GateMaListener(l manet.Listener) transport.GatedMaListener {
	return persisting{p.Upgrader.GateMaListener(l)}
}

// Upgrade implements transport.Upgrader, for connections that were dialled.
func (p persistent) Upgrade(
	ctx context.Context, t transport.Transport, c manet.Conn, dir network.Direction, device peer.ID, scope network.ConnManagementScope,
) (transport.CapableConn, error) {
	prepare(c)
	upgraded, err := p.Upgrader.Upgrade(ctx, t, &line{Conn: c}, dir, device, scope)
	if err != nil {
		return nil, err
	}
	return known{upgraded}, nil
}

// UpgradeGatedMaListener implements transport.Upgrader.
func (p persistent) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	return knowing{p.Upgrader.UpgradeGatedMaListener(t, counted{l})}
}

// counted counts what comes on connections that come in.
type counted struct{ transport.GatedMaListener }

// Accept returns the next connection.
func (l counted) Accept() (manet.Conn, network.ConnManagementScope, error) {
	c, scope, err := l.GatedMaListener.Accept()
	if err != nil {
		return nil, nil, err
	}
	return &line{Conn: c}, scope, nil
}

type knowing struct{ transport.Listener }

// Accept returns the next connection.
func (l knowing) Accept() (transport.CapableConn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return known{c}, nil
}

// known is a connection that is asked for its line: libp2p's WebSocket transport hands on nothing else of what is known of it.
type known struct{ transport.CapableConn }

// As implements network.As.
func (c known) As(target any) bool {
	if l, ok := target.(**line); ok {
		if s, says := c.CapableConn.(network.ConnStat); says {
			*l = lineOf(s)
		}
		return *l != nil
	}
	return c.CapableConn.As(target)
}

type persisting struct{ transport.GatedMaListener }

// Accept returns the next connection.
func (p persisting) Accept() (manet.Conn, network.ConnManagementScope, error) {
	c, scope, err := p.GatedMaListener.Accept()
	if err == nil {
		prepare(c)
	}
	return c, scope, err
}

// prepare sets the options of the socket that is under a connection, as far as it is not too late for them.
func prepare(c net.Conn) {
	if s := socket(c); s != nil {
		_ = narrow("", "", s) // it may have ended already
	}
}

// socket returns what is under a connection, or under a WebSocket, or TLS, on it; nil where that cannot be told.
func socket(c net.Conn) syscall.RawConn {
	for {
		switch under := c.(type) {
		case interface{ NetConn() net.Conn }:
			c = under.NetConn()
		case syscall.Conn:
			raw, _ := under.SyscallConn()
			return raw
		default:
			return nil
		}
	}
}
