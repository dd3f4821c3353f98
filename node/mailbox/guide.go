package mailbox

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/ask"
	"parley/node/internal/frame"
	"parley/node/internal/pace"
)

// Guide answers who hosts mailboxes, as far as a node knows.
type Guide struct {
	know      func() []peer.AddrInfo
	answering ask.Answering
}

// NewGuide returns a guide to the hosts that know lists. Serve makes it listen.
func NewGuide(know func() []peer.AddrInfo) *Guide {
	answering := ask.Answering{Service: Service, Pace: pace.New(QuestionsPerSecond, QuestionBurst), Timeout: AnswerTimeout}
	return &Guide{know: know, answering: answering}
}

// Serve answers streams that come in at h until Stop, each within AnswerTimeout.
func (g *Guide) Serve(h host.Host) { h.SetStreamHandler(ProtocolHosts, g.handle) }

// Stop takes no more questions at h.
func (g *Guide) Stop(h host.Host) { h.RemoveStreamHandler(ProtocolHosts) }

func (g *Guide) handle(stream network.Stream) {
	g.answering.Answer(stream, func() error {
		_, err := stream.Write(frame.Append(nil, marshalHosts(g.know())))
		return err
	})
}

// Hosts asks a peer that h is connected to which hosts it knows. What it returns is a hint: nobody has checked it.
func Hosts(ctx context.Context, h host.Host, at peer.ID) ([]peer.AddrInfo, error) {
	n, rest, err := ask.Peer(ctx, h, at, ask.Question{
		Protocol: ProtocolHosts, Timeout: AnswerTimeout, Most: maxAnswer - 1, Put: network.Stream.CloseWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("ask for mailbox hosts: %w", err)
	}
	hosts, err := parseHosts(append([]byte{n}, rest...))
	if err != nil {
		return nil, fmt.Errorf("ask for mailbox hosts: %w", err)
	}
	return hosts, nil
}
