package road

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	libp2pws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// WebSocket is libp2p's transport over WebSocket with sockets of ours: for those whose router lets nothing but the web pass, and for seeds that share a
// port with a web server. It listens without TLS, which is the web server's work, and dials with and without.
type WebSocket struct {
	*libp2pws.WebsocketTransport
	upgrader  transport.Upgrader
	resources network.ResourceManager
}

// NewWebSocket returns a transport that listens nowhere yet.
func NewWebSocket(upgrader transport.Upgrader, resources network.ResourceManager) (*WebSocket, error) {
	t, err := libp2pws.New(persistent{upgrader}, resources, nil, libp2pws.WithHandshakeTimeout(HandshakeTimeout),
		libp2pws.WithHTTPHandler(http.HandlerFunc(nothingHere)), libp2pws.WithHTTPServerConfig(bound))
	if err != nil {
		return nil, fmt.Errorf("make WebSocket transport: %w", err)
	}
	return &WebSocket{WebsocketTransport: t, upgrader: upgrader, resources: resources}, nil
}

// Dial connects to a peer, by way of the proxy that HTTPS_PROXY or HTTP_PROXY names, if any. (libp2p's own goes on for minutes after ctx has ended where the
// address has a name, and sets no options.)
func (t *WebSocket) Dial(ctx context.Context, to ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	scope, err := t.resources.OpenConnection(network.DirOutbound, true, to)
	if err != nil {
		return nil, err
	}
	c, err := dialWeb(ctx, to)
	if err != nil {
		scope.Done()
		return nil, err
	}
	upgraded, err := t.upgrader.Upgrade(ctx, t, &line{Conn: c}, network.DirOutbound, p, scope)
	if err != nil {
		scope.Done()
		return nil, err
	}
	return upgraded, nil
}

// dialWeb asks a web server for a WebSocket.
func dialWeb(ctx context.Context, to ma.Multiaddr) (*webConn, error) {
	first, rest := ma.SplitFunc(to, func(c ma.Component) bool { return c.Protocol().Code != ma.P_TCP && !names(c) })
	_, at, err := manet.DialArgs(first)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, err)
	}
	scheme, host := "ws", at
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(rest) > 0 && rest[0].Protocol().Code != ma.P_WS {
		scheme = "wss"
	}
	if name, err := to.ValueForProtocol(ma.P_SNI); err == nil {
		_, port, err := net.SplitHostPort(at)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", to, err)
		}
		host, config.ServerName = net.JoinHostPort(name, port), name
	}
	dialer := websocket.Dialer{
		HandshakeTimeout: HandshakeTimeout, TLSClientConfig: config, Proxy: http.ProxyFromEnvironment,
		NetDialContext: func(ctx context.Context, kind, address string) (net.Conn, error) {
			if address == host { // of which we know where it is
				address = at
			}
			return (&net.Dialer{Control: narrow}).DialContext(ctx, kind, address)
		},
	}
	c, answer, err := dialer.DialContext(ctx, scheme+"://"+host+"/", nil)
	if err != nil {
		if answer != nil {
			err = fmt.Errorf("the web server answers %q", answer.Status)
		}
		return nil, err
	}
	return newWebConn(c, to), nil
}

// names reports whether a part of an address says where a host is.
func names(c ma.Component) bool {
	switch c.Protocol().Code {
	case ma.P_IP4, ma.P_IP6, ma.P_IP6ZONE, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
		return true
	}
	return false
}

// bound lets a request be as long and take as much time as one for a WebSocket, with whatever follows it, and nothing else come: libp2p would take a
// megabyte, and wait for ever for what somebody says that he will send.
func bound(s *http.Server) {
	s.MaxHeaderBytes, s.ReadTimeout, s.WriteTimeout = MaxHeader, HandshakeTimeout, HandshakeTimeout // until it is a WebSocket
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
}

// nothingHere answers whoever asks for a page, and hangs up.
func nothingHere(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	http.NotFound(w, r)
}

// persistent has the system repeat what was lost as on other connections of ours, and counts what comes.
type persistent struct{ transport.Upgrader }

// GateMaListener implements transport.Upgrader.
func (p persistent) GateMaListener(l manet.Listener) transport.GatedMaListener {
	return persisting{p.Upgrader.GateMaListener(l)}
}

// UpgradeGatedMaListener implements transport.Upgrader.
func (p persistent) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	return knowing{p.Upgrader.UpgradeGatedMaListener(t, counted{l})}
}

type persisting struct{ transport.GatedMaListener }

// Accept returns the next connection, which nobody has asked for a WebSocket on yet.
func (p persisting) Accept() (manet.Conn, network.ConnManagementScope, error) {
	c, scope, err := p.GatedMaListener.Accept()
	if err != nil {
		return nil, nil, err
	}
	if s := socket(c); s != nil {
		_ = narrow("", "", s) // it may have ended already
	}
	return c, scope, nil
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
