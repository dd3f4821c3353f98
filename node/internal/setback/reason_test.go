package setback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"parley/node/member"
	"parley/node/psk"
)

// TestReason turns what libraries say into a few words for people: the most telling of several failures, on one line.
func TestReason(t *testing.T) {
	dial := func(causes ...error) error {
		e := &swarm.DialError{Peer: "p", Cause: errors.New("all dials failed")}
		for _, c := range causes {
			e.DialErrors = append(e.DialErrors, swarm.TransportError{Address: ma.StringCast("/ip4/10.0.0.1/tcp/4101"), Cause: c})
		}
		return fmt.Errorf("failed to dial: %w", e)
	}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for want, err := range map[string]error{
		"no address known":   fmt.Errorf("dial: %w", swarm.ErrNoAddresses),
		"no answer in time":  fmt.Errorf("dial: %w", context.DeadlineExceeded),
		"no answer in time ": dial(fmt.Errorf("failed to negotiate security protocol: %w", net.ErrClosed)),
		" no answer in time": dial(fmt.Errorf("failed to negotiate security protocol: %w", context.DeadlineExceeded)),
		"interrupted":        context.Canceled,
		"connection refused": dial(context.DeadlineExceeded, refused, errors.New("odd")),
		"something":          errors.New("something\nwith details"),
		"some thing":         dial(errors.New("some thing\nwith details")),

		"the node there belongs to another network":                                                                     member.ErrForeign,
		"the network there cannot be reached from here":                                                                 dial(syscall.EHOSTUNREACH),
		"the node at /ip4/10.0.0.1/tcp/4101 has another network key":                                                    dial(refused, syscall.ECONNRESET, psk.ErrOtherKey),
		"the node at /ip4/10.0.0.1/tcp/4101 hung up without a word: it has another network key, or takes nobody in now": dial(refused, syscall.ECONNRESET),
		"another node answers at /ip4/10.0.0.1/tcp/4101":                                                                dial(io.EOF, errors.New("peer id mismatch: expected a\nbut got b")),
	} {
		if got := Reason(err, true); got != strings.TrimSpace(want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	for _, cause := range []error{io.EOF, psk.ErrHungUp} {
		if got := Reason(dial(cause), false); got != "the node at /ip4/10.0.0.1/tcp/4101 closed the connection" {
			t.Errorf("without a network key, or of no seed: %q", got)
		}
	}
}
