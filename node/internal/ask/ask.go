// Package ask is both sides of one question: it is put to a connected peer on a stream of its own, and the one frame that answers it is a status
// byte and what comes with it. Nothing in an answer is verified here.
package ask

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"parley/node/internal/frame"
	"parley/node/internal/pace"
)

// answerBuffer is what a reader of one answer begins with, in bytes; it grows with the answer.
const answerBuffer = 512

// Question is what is asked, and within which bounds.
type Question struct {
	Protocol protocol.ID
	Timeout  time.Duration              // from the first byte to the last of the answer
	Most     int                        // bytes of an answer behind its status
	Put      func(network.Stream) error // writes the question
}

// Peer asks one peer, and does not dial for it. An error means that there was no whole answer in time.
func Peer(ctx context.Context, h host.Host, p peer.ID, q Question) (status byte, body []byte, err error) {
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(network.WithNoDial(ctx, "ask a connected peer"), "by any way"), q.Timeout)
	defer cancel()
	stream, err := h.NewStream(ctx, p, q.Protocol)
	if err != nil {
		return 0, nil, fmt.Errorf("open %s stream: %w", q.Protocol, err)
	}
	defer context.AfterFunc(ctx, func() { _ = stream.Reset() })()
	answer, err := q.on(stream)
	if err != nil {
		_ = stream.Reset()
		return 0, nil, err
	}
	_ = stream.Close()
	return answer[0], answer[1:], nil
}

// Answering is how the other side answers: as which service, how often each peer, and within which time.
type Answering struct {
	Service string
	Pace    *pace.Pace
	Timeout time.Duration // from the stream's beginning to the last byte of the answer
}

// Answer lets answer read a question from a stream and write what there is to say, and closes the stream; where it may not, or that fails, the
// stream is reset.
func (a Answering) Answer(stream network.Stream, answer func() error) {
	if err := stream.SetDeadline(time.Now().Add(a.Timeout)); err != nil {
		_ = stream.Reset()
		return
	}
	if err := stream.Scope().SetService(a.Service); err != nil {
		_ = stream.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	if !a.Pace.Allow(stream.Conn().RemotePeer()) {
		_ = stream.ResetWithError(network.StreamRateLimited)
		return
	}
	if err := answer(); err != nil {
		_ = stream.ResetWithError(frame.ResetCode(err))
		return
	}
	_ = stream.Close()
}

// on asks on a stream. An answer has at least its status: no frame is empty.
func (q Question) on(stream network.Stream) ([]byte, error) {
	if err := q.Put(stream); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	in := frame.NewReader(stream, stream.Scope(), frame.NewPool(answerBuffer), q.Most+1)
	defer in.Close()
	answer, err := in.Next(q.Timeout, q.Timeout)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	defer in.Release(answer)
	return bytes.Clone(answer), nil
}
