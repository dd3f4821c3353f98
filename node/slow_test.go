package node_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node"
	"parley/node/nodetest"
)

// TestJoinOverASlowLine lets Alice in over a line on which the connection is there within DialTimeout, and the exchange behind it is not over.
func TestJoinOverASlowLine(t *testing.T) {
	t.Parallel()
	const roundTrip = 1200 * time.Millisecond
	world := nodetest.NewWorld(t, nodetest.Private)
	seed := world.Seed("seed").Start()
	_, at, err := manet.DialArgs(seed.Info().Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	alice := world.Device("alice")
	alice.Config.Network.Seeds = []peer.AddrInfo{{ID: seed.ID(), Addrs: []ma.Multiaddr{newSlowLine(t, roundTrip/2, at)}}}
	if err := node.Join(nodetest.Context(t), alice.Config); err != nil {
		t.Error(err)
	}
}

// newSlowLine returns an address that leads to another one, with a delay in both directions.
func newSlowLine(t *testing.T, delay time.Duration, to string) ma.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp4", to)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _, _ = near.Close(), far.Close() })
			carrying.Go(func() { carry(far, near, delay) })
			carrying.Go(func() { carry(near, far, delay) })
		}
	})
	t.Cleanup(carrying.Wait)
	t.Cleanup(func() { _ = l.Close() })
	at, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// carry writes to one connection what it reads from another, a while later, until either ends.
func carry(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1000)
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if err != nil {
				return
			}
			pieces <- piece{b[:n], time.Now().Add(delay)}
		}
	}()
	for p := range pieces {
		<-time.After(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			break
		}
	}
	_ = to.Close()
	for range pieces { // the reader ends with its connection
	}
}
