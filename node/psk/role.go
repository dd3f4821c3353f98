package psk

import (
	"context"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// withRole returns the context of a dial in which, where both sides dial at the same moment, the one with the lower id listens. libp2p lets the side that begins
// an attempt listen, but in the last of three, in which it makes both sides begin to speak, for the sake of libraries before 0.41: there nothing comes
// of a connection on which they have met, and their routers remember that it has failed.
func withRole(ctx context.Context, self, p peer.ID) context.Context {
	together, _, why := network.GetSimultaneousConnect(ctx)
	if !together {
		return ctx
	}
	if self > p {
		return network.WithSimultaneousConnect(ctx, true, why)
	}
	return network.WithSimultaneousConnect(listening{ctx, network.WithSimultaneousConnect(context.Background(), true, why)}, false, why)
}

// listening is a context without the word that this side is to speak, which goes before the one that it is to listen.
type listening struct {
	context.Context
	speaks context.Context // has nothing but that word
}

// Value implements context.Context.
func (l listening) Value(key any) any {
	if l.speaks.Value(key) != nil {
		return nil
	}
	return l.Context.Value(key)
}
