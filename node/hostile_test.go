package node_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"parley/node/direct"
	"parley/node/directory"
	"parley/node/nodetest"
)

// mallory is a member's host that keeps no rule: she has no limits of her own.
func mallory(t *testing.T, victim *nodetest.Device) host.Host {
	t.Helper()
	device := victim.Neighbour("mallory")
	key, err := crypto.UnmarshalEd25519PrivateKey(device.Config.Key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableMetrics(),
		libp2p.PrivateNetwork(victim.Config.Network.PSK),
		libp2p.ProtocolVersion("parley/"+hex.EncodeToString(victim.Config.Network.ID[:])),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		t.Fatal(err)
	}
	gate := device.Gate(h)
	if err := errors.Join(gate.Connect(nodetest.Context(t), victim.Info()), gate.Await(nodetest.Context(t), victim.ID())); err != nil {
		t.Fatal(err)
	}
	return h
}

// flood opens n streams and writes the same bytes on each, without ever ending one. It returns how many the victim still holds
// after a moment.
func flood(t *testing.T, h host.Host, victim *nodetest.Device, p protocol.ID, n int, wire []byte) (held int) {
	t.Helper()
	var streams []network.Stream
	for range n {
		s, err := h.NewStream(nodetest.Context(t), victim.ID(), p)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = s.Reset() })
		if _, err := s.Write(wire); err == nil {
			streams = append(streams, s)
		}
	}
	var open sync.WaitGroup
	alive := make(chan struct{}, len(streams))
	for _, s := range streams {
		open.Go(func() {
			_ = s.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			if _, err := s.Read(make([]byte, 1)); err != nil && isTimeout(err) {
				alive <- struct{}{}
			}
		})
	}
	open.Wait()
	return len(alive)
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// TestStreamFlood lets Mallory open more than a thousand streams that declare large frames and stay half open. Bob holds few of them and
// little memory, and takes Alice's letters as before.
func TestStreamFlood(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	deliverAll(t, alice, bob, letters(1))
	h := mallory(t, bob)
	before := heap()
	for p, c := range map[protocol.ID]struct {
		wire []byte
		most int
	}{
		direct.Protocol:    {[]byte{0xea, 0x08, 'x'}, direct.PeerStreams}, // a header, begun
		directory.Protocol: {[]byte{0x7f, '/'}, directory.PeerStreams},
	} {
		if held := flood(t, h, bob, p, 40, c.wire); held == 0 || held > c.most {
			t.Errorf("%s: Bob holds %d of Mallory's streams, not 1 to %d", p, held, c.most)
		}
	}
	if held := flood(t, h, bob, direct.Protocol, 1000, []byte{0x80}); held > direct.PeerStreams { // may cost her the connection
		t.Errorf("Bob holds %d of 1,000 streams", held)
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the heap has grown by %d MiB, Mallory's side included", grown>>20)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if handed, err := alice.Deliver(ctx, bob.ID(), nil, nodetest.Letters(letters(200)[1:]...)); err != nil {
		t.Errorf("%d of Alice's letters were taken: %v", len(handed), err)
	}
	if got := bob.Inbox.Envelopes(); !slices.Equal(got, texts(letters(200))) {
		t.Errorf("Bob has %d envelopes", len(got))
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
