package directory

import (
	"context"
	"fmt"
	"time"

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
	statusFound = 1
)

// Server answers questions from a shelf.
type Server struct {
	shelf   *Shelf
	pace    *pace.Pace
	buffers *frame.Pool
	timeout time.Duration
}

// NewServer returns a server of what is on the shelf. Serve makes it listen.
func NewServer(shelf *Shelf) *Server {
	return &Server{
		shelf:   shelf,
		pace:    pace.New(RequestsPerSecond, RequestBurst),
		buffers: frame.NewPool(MaxKey + 2),
		timeout: ServeTimeout,
	}
}

// Serve answers streams that come in at h until the host closes: each within ServeTimeout, none waits for anything but its peer.
func (s *Server) Serve(h host.Host) { h.SetStreamHandler(Protocol, s.handle) }

// Stop takes no more questions at h.
func (s *Server) Stop(h host.Host) { h.RemoveStreamHandler(Protocol) }

func (s *Server) handle(stream network.Stream) {
	answering := ask.Answering{Service: Service, Pace: s.pace, Timeout: s.timeout}
	answering.Answer(stream, func() error { return s.answer(stream) })
}

// answer reads one key and writes what the shelf has.
func (s *Server) answer(stream network.Stream) error {
	in := frame.NewReader(stream, stream.Scope(), s.buffers, MaxKey)
	defer in.Close()
	key, err := in.Next(s.timeout, s.timeout)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	defer in.Release(key)
	if _, _, err := splitKey(string(key)); err != nil {
		return frame.Malformed(err)
	}
	answer := []byte{statusNone}
	if value, ok := s.shelf.Get(string(key)); ok {
		answer = append([]byte{statusFound}, value...)
	}
	if _, err := stream.Write(frame.Append(nil, answer)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// Ask asks one peer that h is connected to for a record. What it returns is not validated yet.
func Ask(ctx context.Context, h host.Host, p peer.ID, key string) ([]byte, error) {
	status, value, err := ask.Peer(ctx, h, p, ask.Question{
		Protocol: Protocol, Timeout: AskTimeout, Most: MaxRecord,
		Put: func(stream network.Stream) error { return writeKey(stream, key) },
	})
	switch {
	case err != nil:
		return nil, err
	case status == statusFound && len(value) > 0:
		return value, nil
	case status == statusNone && len(value) == 0:
		return nil, ErrNotFound
	}
	return nil, fmt.Errorf("read answer: status %d with %d bytes", status, len(value))
}

func writeKey(stream network.Stream, key string) error {
	if err := stream.SetWriteDeadline(time.Now().Add(AskTimeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	_, err := stream.Write(frame.Append(nil, []byte(key)))
	return err
}
