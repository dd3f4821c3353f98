package inbound_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"parley/node/internal/inbound"
)

const spoken protocol.ID = "/parley/test/1"

// patient is how long a test waits for what should happen at once.
const patient = 30 * time.Second

// scene is Alice, who is connected to Bob, who serves.
type scene struct {
	*testing.T
	alice, bob host.Host
	streams    *inbound.Streams
}

func newScene(t *testing.T, may bool, do func(network.Stream) error, options ...libp2p.Option) *scene {
	t.Helper()
	s := &scene{T: t, alice: newHost(t, options...), bob: newHost(t), streams: inbound.New("parley.test")}
	s.bob.SetStreamHandler(spoken, s.streams.Handler(func(peer.ID) bool { return may }, do))
	if err := s.alice.Connect(t.Context(), peer.AddrInfo{ID: s.bob.ID(), Addrs: s.bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	return s
}

func newHost(t *testing.T, options ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(options, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// asks opens a stream to Bob and says hello.
func (s *scene) asks() network.Stream {
	s.Helper()
	stream, err := s.alice.NewStream(s.Context(), s.bob.ID(), spoken)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = stream.Reset() })
	_ = stream.SetReadDeadline(time.Now().Add(patient)) // this and the next fail where it is refused by now
	_, _ = stream.Write([]byte("hello"))
	return stream
}

// lastWords answers hello when the service ends, which is when nothing more can be read.
func lastWords(entered chan<- struct{}) func(network.Stream) error {
	return func(s network.Stream) error {
		if _, err := io.ReadFull(s, make([]byte, len("hello"))); err != nil {
			return err
		}
		close(entered)
		_, _ = s.Read(make([]byte, 1))
		_, err := s.Write([]byte("goodbye"))
		return err
	}
}

// TestLastWordsAreHeard ends Bob's host as soon as Stop has returned, and lets Alice listen only after that.
func TestLastWordsAreHeard(t *testing.T) {
	entered := make(chan struct{})
	s := newScene(t, true, lastWords(entered))
	gone := make(chan struct{})
	s.alice.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { close(gone) }})
	stream := s.asks()
	<-entered
	s.streams.Stop(s.bob, patient, spoken)
	if err := s.bob.Close(); err != nil {
		t.Fatal(err)
	}
	<-gone
	if said, err := io.ReadAll(stream); err != nil || string(said) != "goodbye" {
		t.Errorf("Alice hears %q, %v", said, err)
	}
}

// TestWhoDoesNotEchoHoldsNobodyUp stops though Alice answers no ping.
func TestWhoDoesNotEchoHoldsNobodyUp(t *testing.T) {
	entered := make(chan struct{})
	s := newScene(t, true, lastWords(entered), libp2p.Ping(false))
	deaf := make(chan struct{})
	defer close(deaf)
	s.alice.SetStreamHandler("/ipfs/ping/1.0.0", func(network.Stream) { <-deaf })
	stream := s.asks()
	<-entered
	s.streams.Stop(s.bob, patient, spoken)
	if said, err := io.ReadAll(stream); err != nil || string(said) != "goodbye" {
		t.Errorf("Alice hears %q, %v", said, err)
	}
}

// TestEnds closes what is done and what its other side has closed, resets what failed and what may not begin, and says why.
func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		may  bool
		err  error
		code network.StreamErrorCode
		fine bool
	}{
		"done":            {may: true, fine: true},
		"the other's end": {may: true, err: io.EOF, fine: true},
		"failed":          {may: true, err: errors.New("never mind")},
		"too often":       {code: network.StreamRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, c.may, func(network.Stream) error { return c.err })
			_, err := io.ReadAll(s.asks())
			reset := (*network.StreamError)(nil)
			if errors.As(err, &reset) == c.fine || !c.fine && reset.ErrorCode != c.code {
				t.Errorf("Alice's stream ends with %v", err)
			}
		})
	}
}

// TestAfterTheEnd serves nothing any more, and ends what outlives its grace.
func TestAfterTheEnd(t *testing.T) {
	entered := make(chan struct{})
	var s *scene
	s = newScene(t, true, func(network.Stream) error {
		close(entered)
		<-s.streams.Context().Done()
		return context.Cause(s.streams.Context())
	})
	stream := s.asks()
	<-entered
	handler := s.streams.Handler(func(peer.ID) bool { return true }, func(network.Stream) error { t.Error("it is served"); return nil })
	s.streams.Stop(s.bob, time.Millisecond, spoken)
	if _, err := io.ReadAll(stream); err == nil {
		t.Error("a stream that was given up ends as if it were done")
	}
	s.bob.SetStreamHandler(spoken, handler)
	late, err := s.alice.NewStream(s.Context(), s.bob.ID(), spoken)
	if err == nil {
		_, err = io.ReadAll(late)
	}
	if err == nil {
		t.Error("a stream after the end is closed as if it were done")
	}
}
