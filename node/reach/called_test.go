package reach

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	ma "github.com/multiformats/go-multiaddr"
)

// switchboard is a host whose direct dials nobody answers, and that has a circuit where somebody has called.
type switchboard struct {
	Host
	mu     sync.Mutex
	called bool
}

func (s *switchboard) IDService() identify.IDService { return nil }

// Connect implements host.Host.
func (s *switchboard) Connect(ctx context.Context, _ peer.AddrInfo) error {
	s.mu.Lock()
	limited, _ := network.GetAllowLimitedConn(ctx)
	there := s.called && limited
	s.mu.Unlock()
	if there {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// call is a connection that came, or was made, at an address.
type call struct {
	network.Conn
	from      peer.ID
	at        string
	direction network.Direction
}

func (c call) RemotePeer() peer.ID           { return c.from }
func (c call) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast(c.at) }
func (c call) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: c.direction}}
}

const byRelay = "/ip4/5.5.5.5/tcp/4101/p2p/12D3KooWRxzcNXHryBdhMSMeDWds7HvvS9Jkf2TV2VVM2DykqBfK/p2p-circuit"

// Bob dials Alice, and nobody answers. When she calls by way of a relay his dial ends at once, and the circuit will do; nothing else ends it.
func TestADialEndsWhenThePeerCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bob := &switchboard{}
		u := &uncrossed{Host: bob, dials: map[peer.ID]map[*context.CancelFunc]struct{}{}}
		dial := func(p peer.ID) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return u.Connect(ctx, peer.AddrInfo{ID: p})
		}
		outcome := make(chan error, 2)
		begin := time.Now()
		for range 2 { // of two parts of the node
			go func() { outcome <- dial("alice") }()
		}
		synctest.Wait()
		for _, other := range []call{
			{from: "carol", at: byRelay, direction: network.DirInbound},
			{from: "alice", at: byRelay, direction: network.DirOutbound},
			{from: "alice", at: "/ip4/5.5.5.5/tcp/4101", direction: network.DirInbound}, // both are through, perhaps, and each would end the other's
		} {
			u.connected(nil, other)
		}
		synctest.Wait()
		if len(outcome) > 0 {
			t.Fatal("a dial ended for no reason")
		}
		bob.mu.Lock()
		bob.called = true
		bob.mu.Unlock()
		u.connected(nil, call{from: "alice", at: byRelay, direction: network.DirInbound})
		for range 2 {
			if err := <-outcome; err != nil {
				t.Errorf("Alice has called, and Bob is told %v", err)
			}
		}
		if time.Since(begin) > 0 {
			t.Errorf("it took %v", time.Since(begin))
		}
		if err := dial("dave"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody calls: %v", err)
		}
		if len(u.dials) > 0 {
			t.Errorf("%d dials are expected to end", len(u.dials))
		}
	})
}
