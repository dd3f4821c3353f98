package setback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"parley/node/member"
	"parley/node/psk"
)

// ErrUnknown says that nobody knows where a device is.
var ErrUnknown = errors.New("no address known")

// Reason says in a few words why a connection failed: the most telling of the failures at its addresses. keyed says that it was to a seed, of a network with
// a key.
func Reason(err error, keyed bool) string {
	var dial *swarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		best := dialReason{}
		for i := range dial.DialErrors {
			best = best.better(addressReason(&dial.DialErrors[i], keyed))
		}
		return best.text
	}
	if answer := member.Answer(err); answer != nil {
		return answer.Error()
	}
	switch {
	case errors.Is(err, ErrUnknown), errors.Is(err, swarm.ErrNoAddresses), errors.Is(err, swarm.ErrNoGoodAddresses):
		return ErrUnknown.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, network.ErrReset):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, member.ErrForeign):
		return "the node there belongs to another network"
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// dialReason is why one address failed, and how much that tells.
type dialReason struct {
	weight int
	text   string
}

func (r dialReason) better(other dialReason) dialReason {
	if other.weight > r.weight {
		return other
	}
	return r
}

// addressReason translates the failure at one address. A node that has another network key, or none, shows itself by a closed
// connection or by a handshake that is noise; that is thought of where it was a seed that should have ours.
func addressReason(e *swarm.TransportError, keyed bool) dialReason {
	text := e.Cause.Error()
	garbled := errors.Is(e.Cause, psk.ErrHungUp) || errors.Is(e.Cause, syscall.ECONNRESET) || errors.Is(e.Cause, io.EOF) ||
		strings.Contains(text, "too large") || strings.Contains(text, "failed to negotiate") || strings.Contains(text, "varint")
	late := errors.Is(e.Cause, context.DeadlineExceeded) || errors.Is(e.Cause, swarm.ErrDialTimeout) || strings.Contains(text, "timeout") ||
		errors.Is(e.Cause, net.ErrClosed) // by us, in the middle of a handshake
	switch {
	case errors.Is(e.Cause, psk.ErrOtherKey):
		return dialReason{5, fmt.Sprintf("the node at %s has another network key", e.Address)}
	case strings.Contains(text, "peer id mismatch"):
		return dialReason{6, fmt.Sprintf("another node answers at %s", e.Address)}
	case late && !errors.Is(e.Cause, psk.ErrHungUp):
		return dialReason{2, "no answer in time"}
	case garbled && keyed:
		return dialReason{4, fmt.Sprintf("the node at %s hung up without a word: it has another network key, or takes nobody in now", e.Address)}
	case garbled:
		return dialReason{4, fmt.Sprintf("the node at %s closed the connection", e.Address)}
	case errors.Is(e.Cause, syscall.ECONNREFUSED):
		return dialReason{3, "connection refused"}
	case errors.Is(e.Cause, syscall.ENETUNREACH), errors.Is(e.Cause, syscall.EHOSTUNREACH):
		return dialReason{2, "the network there cannot be reached from here"}
	}
	line, _, _ := strings.Cut(text, "\n")
	return dialReason{1, line}
}
