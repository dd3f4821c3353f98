package psk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/pnet"
	manet "github.com/multiformats/go-multiaddr/net"
)

// ErrOtherKey says that the other side of a connection has none of our keys: it is of another network, or of ours with a key of another time. ErrHungUp says
// that it has ended the connection without a word: so does who has another key, and so do routers that let nobody through and nodes that are full.
var (
	ErrOtherKey = errors.New("it has another network key")
	ErrHungUp   = errors.New("it hung up without a word")
)

var errHeld = errors.New("write before the caller has shown its key: too much")

// fits says which of the keys a caller may have, by the first bytes that came of it, at most shownSize.
func fits(shown []byte, keys []Key) (left []Key) {
	if len(shown) >= len(greeting) && string(shown[:len(greeting)]) == greeting {
		return nil // in clear
	}
	for _, key := range keys {
		if strings.HasPrefix(greeting, decrypt(key, shown)) {
			left = append(left, key)
		}
	}
	return left
}

// decrypt returns what is behind the nonce, as far as it came.
func decrypt(key Key, shown []byte) string {
	if len(shown) <= nonceSize {
		return ""
	}
	c, err := pnet.NewProtectedConn(key[:], replay{head: bytes.NewReader(shown)})
	if err != nil {
		return err.Error() // a key has the right length
	}
	clear, _ := io.ReadAll(c) // it ends where shown ends
	return string(clear)
}

// replay is a connection whose first bytes were read already.
type replay struct {
	net.Conn // nil where there is nothing but the first bytes
	head     *bytes.Reader
}

// Read returns the first bytes once more, and then what follows.
func (r replay) Read(b []byte) (int, error) {
	if r.head.Len() > 0 || r.Conn == nil {
		return r.head.Read(b)
	}
	return r.Conn.Read(b)
}

// statOf returns what is known of a connection under one of ours: what carries it says so.
func statOf(c manet.Conn) (s network.ConnStats) {
	if known, ok := c.(network.ConnStat); ok {
		return known.Stat()
	}
	return s
}

// incoming is a connection of which the other side speaks first. What we write waits until it has shown its key.
type incoming struct {
	manet.Conn
	ring *Ring
	show sync.Once

	mu   sync.Mutex
	open net.Conn // under the key; nil before it is known
	held []byte   // what waits
	err  error    // why it never will be
}

// Read returns what the other side says, once it has shown its key.
func (c *incoming) Read(b []byte) (int, error) {
	c.show.Do(c.await)
	open, err := c.state()
	if err != nil {
		return 0, err
	}
	return open.Read(b)
}

// Stat implements network.ConnStat.
func (c *incoming) Stat() network.ConnStats { return statOf(c.Conn) }

// Write returns at once where the key is not known yet.
func (c *incoming) Write(b []byte) (int, error) {
	open, err := c.hold(b)
	if open == nil || err != nil {
		return len(b), err
	}
	return open.Write(b)
}

func (c *incoming) state() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.err
}

// hold keeps bytes for later, unless there is a connection to write them to.
func (c *incoming) hold(b []byte) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil || c.err != nil {
		return c.open, c.err
	}
	if len(c.held)+len(b) > maxHeld {
		return nil, errHeld
	}
	c.held = append(c.held, b...)
	return nil, nil
}

// await reads until the caller has shown its key, and writes what has waited. Where it shows none, the connection ends.
func (c *incoming) await() {
	shown, key, err := c.peek()
	var open net.Conn
	if err == nil {
		open, err = pnet.NewProtectedConn(key[:], replay{c.Conn, bytes.NewReader(shown)})
	}
	if err != nil {
		_ = c.Conn.Close() // the caller is told by that alone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && len(c.held) > 0 {
		_, err = open.Write(c.held) // a few bytes, which the kernel takes
	}
	if err != nil {
		c.err, c.held = err, nil
		return
	}
	c.open, c.held = open, nil
}

// peek reads what shows a key.
func (c *incoming) peek() (shown []byte, key Key, err error) {
	if err := c.SetReadDeadline(time.Now().Add(ShowTimeout)); err != nil {
		return nil, key, err
	}
	keys, buf, n := c.ring.good(), make([]byte, shownSize), 0
	for n < shownSize {
		k, err := c.Conn.Read(buf[n:])
		n += k
		if keys = fits(buf[:n], keys); len(keys) == 0 {
			c.ring.count(c)
			return nil, key, ErrOtherKey
		}
		if err != nil && n < shownSize {
			if n != 0 && n != nonceSize || timeout(err) { // somebody may have changed his mind before he said anything
				c.ring.count(c)
			}
			return nil, key, fmt.Errorf("wait for a network key: %w", err)
		}
	}
	return buf, keys[0], c.SetReadDeadline(time.Time{})
}

// spokenTo reports whether the other side of a connection speaks first, and returns the connection with what it has said.
func spokenTo(c manet.Conn) (manet.Conn, bool) {
	first := make([]byte, 1)
	if c.SetReadDeadline(time.Now().Add(SilentTogether)) != nil {
		return c, true // it is over, and whoever reads is told
	}
	n, err := c.Read(first)
	if n == 0 && timeout(err) {
		return c, c.SetReadDeadline(time.Time{}) != nil
	}
	_ = c.SetReadDeadline(time.Time{}) // the same
	return &begun{c, bytes.NewReader(first[:n])}, true
}

// begun is a connection of which something was read already.
type begun struct {
	manet.Conn
	head *bytes.Reader
}

// Read returns what was read already, and then what follows.
func (c *begun) Read(b []byte) (int, error) { return replay{c.Conn, c.head}.Read(b) }

// Stat implements network.ConnStat.
func (c *begun) Stat() network.ConnStats { return statOf(c.Conn) }

// outgoing is a connection on which we speak first, below the key: it notes whether there was an answer.
type outgoing struct {
	manet.Conn
	mu     sync.Mutex
	head   []byte // the first bytes that came
	hungUp bool   // the other side has ended it
}

// Read looks at the first bytes: a node without a key says the greeting in clear, and has nothing more to say to us.
func (c *outgoing) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = append(c.head, b[:min(n, len(greeting)-len(c.head))]...)
	c.ended(err)
	if string(c.head) == greeting {
		_ = c.Conn.Close()
		return 0, ErrOtherKey
	}
	return n, err
}

// Write writes, and looks who ends it.
func (c *outgoing) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended(err)
	return n, err
}

// ended notes that the other side has hung up: not that time was up, nor that we did. The caller holds mu.
func (c *outgoing) ended(err error) {
	c.hungUp = c.hungUp || err != nil && !timeout(err) && !errors.Is(err, net.ErrClosed)
}

// refusal returns what a connection that came to nothing says of the other side's keys: one that has another key says nothing
// at all, and one that has none says it. It is nil where it says nothing of them.
func (c *outgoing) refusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case string(c.head) == greeting:
		return ErrOtherKey
	case len(c.head) == 0 && c.hungUp:
		return ErrHungUp
	}
	return nil
}

// Stat implements network.ConnStat.
func (c *outgoing) Stat() network.ConnStats { return statOf(c.Conn) }

// protected is an outgoing connection under its key.
type protected struct {
	*outgoing
	open net.Conn
}

func protect(raw *outgoing, key Key) (*protected, error) {
	open, err := pnet.NewProtectedConn(key[:], raw)
	return &protected{raw, open}, err
}

// Read returns what the other side says.
func (c *protected) Read(b []byte) (int, error) { return c.open.Read(b) }

// Write writes under the key.
func (c *protected) Write(b []byte) (int, error) { return c.open.Write(b) }
