package reach

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"

	"parley/node/internal/road"
)

// newThinLine lies before the address of a host, and carries so many bytes a second there, and everything back.
func newThinLine(t *testing.T, to ma.Multiaddr, rate int) ma.Multiaddr {
	t.Helper()
	l, at, far := before(t, to)
	var carrying sync.WaitGroup
	carrying.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = near.Close() })
		if err := near.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil { // what it cannot carry yet it does not take
			t.Error(err)
		}
		other, err := net.Dial("tcp4", far)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = other.Close() })
		carrying.Go(func() { _, _ = io.Copy(near, other) })
		b := make([]byte, 1<<10)
		for {
			n, err := near.Read(b)
			if err != nil {
				return
			}
			<-time.After(time.Duration(n) * time.Second / time.Duration(rate))
			if _, err := other.Write(b[:n]); err != nil {
				return
			}
		}
	})
	t.Cleanup(carrying.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return at
}

// Alice tells Bob a story that is so long, over a line that is so thin, that her question whether he is there waits behind it for longer than he has to
// answer. The line moves, and she waits.
func TestASlowConnectionIsNotDead(t *testing.T) {
	t.Parallel()
	const rate, story = 16 << 10, 192 << 10 // a second; bytes, and so 12 s
	options := func() []libp2p.Option {
		return []libp2p.Option{libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(road.NewTCP)}
	}
	alice, bob := newTestHost(t, options()), newTestHost(t, options())
	heard := make(chan error, 1)
	bob.SetStreamHandler("/story", func(s network.Stream) {
		_, err := io.ReadFull(s, make([]byte, story))
		heard <- err
	})
	line := newThinLine(t, bob.Addrs()[0], rate)
	if err := alice.Connect(t.Context(), peer.AddrInfo{ID: bob.ID(), Addrs: []ma.Multiaddr{line}}); err != nil {
		t.Fatal(err)
	}
	ways := New(alice.(Host), Config{Open: true}, everybody, func() {}, zap.NewNop())
	s, err := alice.NewStream(t.Context(), bob.ID(), "/story")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, story)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	ways.question(t.Context(), s.Conn())
	if took := time.Since(begin); s.Conn().IsClosed() || took < DoubtTimeout {
		t.Fatalf("after %v the connection is closed: %v", took, s.Conn().IsClosed())
	}
	if err := <-heard; err != nil {
		t.Errorf("Bob has heard no story: %v", err)
	}
}
