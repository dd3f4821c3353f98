package road

import (
	"context"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

// Moved returns a number that changes when something has come from the other side of a connection: bytes, or where the system says so (Linux, QUIC),
// that it has got bytes of ours. What we write, once or again, changes nothing. It stays 0 where nothing is known, as of circuits.
func Moved(c network.Conn) uint64 {
	var q *quic.Conn
	if c.As(&q) {
		return q.ConnectionStats().PacketsReceived
	}
	if l := lineOf(c); l != nil || c.As(&l) {
		return l.read.Load() + acked(l.Conn)
	}
	return 0
}

// lineOf returns what is known of a connection by what its transport says; nil where that is nothing.
func lineOf(c network.ConnStat) *line {
	l, _ := c.Stat().Extra[lineKey{}].(*line)
	return l
}

// line is a connection over TCP or WebSocket that counts what comes. It is known by what libp2p hands on of a connection, up to where it is used.
type line struct {
	manet.Conn
	read atomic.Uint64 // bytes
}

type lineKey struct{}

// Read counts bytes.
func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.read.Add(uint64(max(n, 0)))
	return n, err
}

// Stat implements network.ConnStat. Who wraps the connection has to hand it on.
func (l *line) Stat() (s network.ConnStats) {
	s.Extra = map[any]any{lineKey{}: l}
	return s
}

// counting counts what comes on connections that were dialled; those that come in are counted where they are accepted.
type counting struct{ transport.Upgrader }

// Upgrade implements transport.Upgrader.
func (u counting) Upgrade(
	ctx context.Context, t transport.Transport, raw manet.Conn, dir network.Direction, p peer.ID, scope network.ConnManagementScope,
) (transport.CapableConn, error) {
	return u.Upgrader.Upgrade(ctx, t, &line{Conn: raw}, dir, p, scope)
}
