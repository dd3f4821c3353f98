package road

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// webConn is a WebSocket that we have dialled, as a stream of bytes: where messages end means nothing. One may read while another one writes.
type webConn struct {
	*websocket.Conn // its methods that read and write messages are for Read and Write alone
	from, to        ma.Multiaddr
	rest            io.Reader // of the message that is being read; nil between two
	writing         sync.Mutex
}

var _ manet.Conn = (*webConn)(nil)

func newWebConn(c *websocket.Conn, to ma.Multiaddr) *webConn {
	from, err := manet.FromNetAddr(c.LocalAddr())
	if err != nil { // of a proxy that is no socket
		from = ma.StringCast("/ip4/0.0.0.0/tcp/0")
	}
	return &webConn{Conn: c, from: from.AppendComponent(ws()), to: to}
}

func ws() *ma.Component {
	c, _ := ma.NewComponent("ws", "") // it is one of those that libp2p knows
	return c
}

// Read returns what comes, whatever message it is in.
func (c *webConn) Read(b []byte) (int, error) {
	for {
		if c.rest == nil {
			_, next, err := c.NextReader()
			if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseNoStatusReceived) {
				return 0, io.EOF
			}
			if err != nil {
				return 0, err
			}
			c.rest = next
		}
		n, err := c.rest.Read(b)
		if errors.Is(err, io.EOF) {
			c.rest, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write writes a message.
func (c *webConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close says goodbye, if there is room for it, and hangs up.
func (c *webConn) Close() error {
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(GoodbyeTimeout)) // it may be over already
	return c.Conn.Close()
}

// SetDeadline implements net.Conn.
func (c *webConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetWriteDeadline implements net.Conn.
func (c *webConn) SetWriteDeadline(t time.Time) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

// LocalMultiaddr implements manet.Conn.
func (c *webConn) LocalMultiaddr() ma.Multiaddr { return c.from }

// RemoteMultiaddr implements manet.Conn.
func (c *webConn) RemoteMultiaddr() ma.Multiaddr { return c.to }
