package node_test

import (
	"context"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"

	"parley/node"
	"parley/node/direct/directtest"
	"parley/node/nodetest"
)

// The letter that the benchmarks send, in bytes.
const benchLetter = 256

// rawStream opens a stream to a host that echoes, with nothing of ours on it: what Deliver is measured against.
func rawStream(b *testing.B, handler network.StreamHandler) network.Stream {
	b.Helper()
	hosts := make([]host.Host, 2)
	for i := range hosts {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Security(noise.ID, noise.New),
			libp2p.DisableRelay(), libp2p.DisableMetrics())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = h.Close() })
		hosts[i] = h
	}
	hosts[1].SetStreamHandler("/raw", handler)
	if err := hosts[0].Connect(b.Context(), peer.AddrInfo{ID: hosts[1].ID(), Addrs: hosts[1].Addrs()}); err != nil {
		b.Fatal(err)
	}
	s, err := hosts[0].NewStream(b.Context(), hosts[1].ID(), "/raw")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Reset() })
	return s
}

// BenchmarkRawRoundTrip is one small message and its echo on a bare libp2p stream.
func BenchmarkRawRoundTrip(b *testing.B) {
	s := rawStream(b, func(s network.Stream) { _, _ = io.Copy(s, s) })
	buf := make([]byte, benchLetter)
	for b.Loop() {
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRawBulk is bytes one way on a bare libp2p stream.
func BenchmarkRawBulk(b *testing.B) {
	s := rawStream(b, func(s network.Stream) { _, _ = io.Copy(io.Discard, s) })
	buf := make([]byte, 128<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// taker acknowledges everything and keeps nothing. All letters have one tag.
type taker struct {
	*directtest.Boxes
	tag [16]byte
}

func (t taker) Receive(_ context.Context, _ peer.ID, envelopes [][]byte) ([][]byte, error) {
	tags := make([][]byte, len(envelopes))
	for i := range tags {
		tags[i] = t.tag[:]
	}
	return tags, nil
}

func (taker) OneTime(context.Context) ([]byte, error)          { return nil, nil }
func (taker) Collect(context.Context, peer.ID, [][]byte) error { return nil }
func (taker) Connected(peer.ID)                                {}
func (taker) LetIn([32]byte)                                   {}

// benchDeliver delivers flights of n letters of size bytes.
func benchDeliver(b *testing.B, n, size int, mailboxes ...node.Mailbox) {
	world := nodetest.NewWorld(b, nodetest.Private)
	alice, bob := world.Device("alice").Start(), world.Device("bob")
	tag := [16]byte{1}
	bob.Messenger = taker{bob.Inbox.Boxes, tag}
	bob.Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	letters := make([]node.Outgoing, n)
	for i := range letters {
		letters[i] = node.Outgoing{Packet: make([]byte, size), Tag: tag}
	}
	if _, err := alice.Deliver(b.Context(), bob.ID(), mailboxes, letters); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(n * size))
	for b.Loop() {
		if _, err := alice.Deliver(b.Context(), bob.ID(), mailboxes, letters); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "envelopes/s")
}

// BenchmarkDeliver is one letter at a time, each waited for.
func BenchmarkDeliver(b *testing.B) { benchDeliver(b, 1, benchLetter) }

// BenchmarkDeliverSure is one letter to a device that is there, and has a mailbox.
func BenchmarkDeliverSure(b *testing.B) { benchDeliver(b, 1, benchLetter, node.Mailbox{Host: "host"}) }

// BenchmarkDeliverFlight is what a messenger with a full outbox does.
func BenchmarkDeliverFlight(b *testing.B) { benchDeliver(b, 256, benchLetter) }

// BenchmarkDeliverBulk is the largest letters there are.
func BenchmarkDeliverBulk(b *testing.B) { benchDeliver(b, 16, 128<<10) }
