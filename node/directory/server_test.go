package directory

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
	"parley/node/internal/pace"
)

// pair is Alice who asks, and Bob who has a shelf, on two connected hosts.
func pair(t *testing.T) (alice, bob host.Host, server *Server) {
	t.Helper()
	hosts := make([]host.Host, 2)
	for i := range hosts {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		hosts[i] = h
	}
	alice, bob = hosts[0], hosts[1]
	server = NewServer(NewShelf(validators()))
	server.Serve(bob)
	if err := alice.Connect(t.Context(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	return alice, bob, server
}

// TestAsk gets what is on the shelf, and is told when it is not there.
func TestAsk(t *testing.T) {
	alice, bob, server := pair(t)
	if _, err := Ask(t.Context(), alice, bob.ID(), key); !errors.Is(err, ErrNotFound) {
		t.Errorf("from an empty shelf: %v", err)
	}
	own, other := note("bob", 1, strings.Repeat("x", MaxRecord-6)), note("carol", 3, "")
	if err := errors.Join(server.shelf.Publish(key, own), server.shelf.Keep("/note/carol", other)); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string][]byte{key: own, "/note/carol": other} {
		if value, err := Ask(t.Context(), alice, bob.ID(), k); err != nil || !bytes.Equal(value, want) {
			t.Errorf("%s: %d bytes, %v", k, len(value), err)
		}
	}
	server.Stop(bob)
	if _, err := Ask(t.Context(), alice, bob.ID(), key); err == nil {
		t.Error("an answer after the end")
	}
}

// TestAskStranger fails at once where there is no connection.
func TestAskStranger(t *testing.T) {
	alice, bob, _ := pair(t)
	if err := alice.Network().ClosePeer(bob.ID()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := Ask(t.Context(), alice, bob.ID(), key); err == nil || time.Since(start) > AskTimeout/2 {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

// TestHostileQuestions sends what no honest asker writes: the stream is reset in time and Bob goes on answering.
func TestHostileQuestions(t *testing.T) {
	alice, bob, server := pair(t)
	server.timeout = 50 * time.Millisecond
	for name, wire := range map[string][]byte{
		"4 GiB declared": {0xff, 0xff, 0xff, 0xff, 0x0f},
		"a long key":     frame.Append(nil, bytes.Repeat([]byte("/"), MaxKey+1)),
		"no key":         {0},
		"not a key":      frame.Append(nil, []byte("note")),
		"half a key":     {5, '/', 'n'},
		"half a length":  {0x80},
	} {
		stream, err := alice.NewStream(t.Context(), bob.ID(), Protocol)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(wire); err != nil {
			t.Fatal(err)
		}
		if err := stream.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(stream); !errors.Is(err, network.ErrReset) || len(answer) > 0 {
			t.Errorf("%s: answered %q, %v", name, answer, err)
		}
	}
	server.timeout = ServeTimeout
	if _, err := Ask(t.Context(), alice, bob.ID(), key); !errors.Is(err, ErrNotFound) {
		t.Errorf("an honest question: %v", err)
	}
}

// TestQuestionFlood refuses those who ask too fast, each for himself.
func TestQuestionFlood(t *testing.T) {
	alice, bob, server := pair(t)
	server.pace = pace.New(0, RequestBurst) // nothing is given back while a busy machine takes its time
	refused := 0
	for range RequestBurst + 50 {
		if _, err := Ask(t.Context(), alice, bob.ID(), key); !errors.Is(err, ErrNotFound) {
			refused++
		}
	}
	if refused != 50 {
		t.Errorf("%d of %d questions were refused", refused, RequestBurst+50)
	}
}

// TestHostileAnswers gives Alice rubbish: none of it comes back as a record.
func TestHostileAnswers(t *testing.T) {
	alice, bob, server := pair(t)
	server.Stop(bob)
	for name, wire := range map[string][]byte{
		"found, and nothing":  frame.Append(nil, []byte{statusFound}),
		"none, and something": frame.Append(nil, []byte{statusNone, 1}),
		"an unknown status":   frame.Append(nil, []byte{2, 1}),
		"a huge record":       frame.Append(nil, append([]byte{statusFound}, make([]byte, MaxRecord+1)...)),
		"half a frame":        {5, 1},
		"nothing":             nil,
	} {
		bob.SetStreamHandler(Protocol, func(s network.Stream) {
			_, _ = s.Write(wire)
			_ = s.Close()
		})
		if value, err := Ask(t.Context(), alice, bob.ID(), key); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %q, %v", name, value, err)
		}
	}
}
