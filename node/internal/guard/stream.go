package guard

import "github.com/libp2p/go-libp2p/core/network"

// Stream returns a stream that somebody has opened to us, and counts how it is reset.
func (g *Guard) Stream(s network.Stream) network.Stream { return &watched{s, g} }

type watched struct {
	network.Stream
	guard *Guard
}

// ResetWithError resets the stream, and counts why. What a limit of the resource manager has refused is counted there.
func (w *watched) ResetWithError(code network.StreamErrorCode) error {
	switch code {
	case network.StreamRateLimited:
		w.guard.Count(RateLimited)
	case network.StreamGarbageCollected:
		w.guard.Count(Slow)
	case network.StreamGated:
		w.guard.Count(NoOpenDoor)
	case network.StreamProtocolViolation:
		defer w.guard.offend(w.Conn())
	}
	return w.Stream.ResetWithError(code)
}
