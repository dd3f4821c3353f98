package prekey

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/ask"
	"parley/node/internal/frame"
	"parley/node/internal/pace"
)

// The first byte of an answer.
const (
	statusNone  = 0
	statusGiven = 1
)

// ErrNone says that the device has no keys left to give.
var ErrNone = errors.New("the device has no one-time keys left")

// Give gives keys away, for good; nil when none are left.
type Give func(ctx context.Context) ([]byte, error)

// Server answers who asks.
type Server struct {
	give      Give
	answering ask.Answering
}

// NewServer returns a server of what give gives. Serve makes it listen.
func NewServer(give Give) *Server {
	return &Server{give: give, answering: ask.Answering{Service: Service, Pace: pace.New(KeysPerSecond, KeyBurst), Timeout: Timeout}}
}

// Serve answers streams that come in at h until Stop, each within Timeout.
func (s *Server) Serve(h host.Host) { h.SetStreamHandler(Protocol, s.handle) }

// Stop takes no more questions at h.
func (s *Server) Stop(h host.Host) { h.RemoveStreamHandler(Protocol) }

func (s *Server) handle(stream network.Stream) {
	s.answering.Answer(stream, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), Timeout)
		defer cancel()
		return s.answer(ctx, stream)
	})
}

func (s *Server) answer(ctx context.Context, stream network.Stream) error {
	keys, err := s.give(ctx)
	if err != nil {
		return fmt.Errorf("give keys: %w", err)
	}
	answer := []byte{statusNone}
	if keys != nil {
		answer = append([]byte{statusGiven}, keys...)
	}
	_, err = stream.Write(frame.Append(nil, answer))
	return err
}

// Ask asks a device that h is connected to. What it returns is not verified yet.
func Ask(ctx context.Context, h host.Host, device peer.ID) ([]byte, error) {
	status, keys, err := ask.Peer(ctx, h, device, ask.Question{
		Protocol: Protocol, Timeout: Timeout, Most: MaxKeys, Put: network.Stream.CloseWrite,
	})
	switch {
	case err != nil:
		return nil, err
	case status == statusGiven && len(keys) > 0:
		return keys, nil
	case status == statusNone && len(keys) == 0:
		return nil, ErrNone
	}
	return nil, fmt.Errorf("read answer: status %d with %d bytes", status, len(keys))
}
