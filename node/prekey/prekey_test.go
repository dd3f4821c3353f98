package prekey

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
)

// pair is Alice who asks, and Bob who gives what give says.
func pair(t *testing.T, give Give) (alice, bob host.Host) {
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
	server := NewServer(give)
	server.Serve(bob)
	if err := alice.Connect(t.Context(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	return alice, bob
}

func TestBobGivesWhatHeHas(t *testing.T) {
	stock := [][]byte{[]byte("one"), []byte("two")}
	alice, bob := pair(t, func(context.Context) ([]byte, error) {
		if len(stock) == 0 {
			return nil, nil
		}
		first := stock[0]
		stock = stock[1:]
		return first, nil
	})
	for _, want := range []string{"one", "two"} {
		if got, err := Ask(t.Context(), alice, bob.ID()); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if _, err := Ask(t.Context(), alice, bob.ID()); !errors.Is(err, ErrNone) {
		t.Errorf("from an empty stock: %v", err)
	}
}

func TestNobodyTakesAll(t *testing.T) {
	given := 0
	alice, bob := pair(t, func(context.Context) ([]byte, error) {
		given++
		return []byte("keys"), nil
	})
	for range 50 {
		_, _ = Ask(t.Context(), alice, bob.ID())
	}
	if given != KeyBurst {
		t.Errorf("one peer was given %d, %d are the most", given, KeyBurst)
	}
}

func TestTroubleAtBobIsNoAnswer(t *testing.T) {
	alice, bob := pair(t, func(context.Context) ([]byte, error) { return nil, errors.New("the store is away") })
	if keys, err := Ask(t.Context(), alice, bob.ID()); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("got %q, %v", keys, err)
	}
	if err := alice.Network().ClosePeer(bob.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(t.Context(), alice, bob.ID()); err == nil {
		t.Error("an answer without a connection")
	}
}

func TestHostileAnswers(t *testing.T) {
	alice, bob := pair(t, nil)
	for name, wire := range map[string][]byte{
		"given, and nothing":  frame.Append(nil, []byte{statusGiven}),
		"none, and something": frame.Append(nil, []byte{statusNone, 1}),
		"an unknown status":   frame.Append(nil, []byte{2, 1}),
		"too much":            frame.Append(nil, append([]byte{statusGiven}, bytes.Repeat([]byte{1}, MaxKeys+1)...)),
		"half a frame":        {5, 1},
		"nothing":             nil,
	} {
		bob.SetStreamHandler(Protocol, func(s network.Stream) {
			_, _ = s.Write(wire)
			_ = s.Close()
		})
		if keys, err := Ask(t.Context(), alice, bob.ID()); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("%s: %q, %v", name, keys, err)
		}
	}
}
