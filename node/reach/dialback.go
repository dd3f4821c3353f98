package reach

import (
	"crypto/rand"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
)

// Dialling is what a seed needs to dial those who ask it whether they can be dialled: the transports of its network, which have the pre-shared key
// where there is one; who says where nobody is dialled; and what the nodes of the network call their protocol, so that nobody takes it for one of another network.
type Dialling struct {
	Transports []libp2p.Option
	Gater      connmgr.ConnectionGater
	Version    string
}

// startReachService makes a seed dial who asks for it, and everybody ask seeds.
func (r *Reach) startReachService(ask *asker) (*autonatv2.AutoNAT, error) {
	dialler := host.Host(ask) // which dials nobody: what it would serve is taken away below
	if r.cfg.Relays {
		h, err := newDialler(r.cfg.Dialling, r.host.Network().ResourceManager())
		if err != nil {
			return nil, err
		}
		dialler = h
	}
	options := []autonatv2.AutoNATOption{autonatv2.WithServerRateLimit(DialBacksPerMinute, PeerDialBacksPerMinute, PaidDialBacksPerMinute, PeerDialBacks)}
	if r.anywhere {
		options = append(options, autonatv2.AllowPrivateAddrs)
	}
	service, err := autonatv2.New(dialler, options...)
	if err == nil {
		err = service.Start(ask)
	}
	if err != nil {
		return nil, fmt.Errorf("start the service that says who can be dialled: %w", err)
	}
	if !r.cfg.Relays {
		r.host.RemoveStreamHandler(autonatv2.DialProtocol)
	}
	return service, nil
}

// newDialler makes the host that dials for others: under a key of its own, since a connection that is there already would prove nothing, with the
// network's key, without listeners, and on the same account as everything else.
func newDialler(d Dialling, resources network.ResourceManager) (host.Host, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key to dial others with: %w", err)
	}
	options := []libp2p.Option{
		libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.Ping(false), libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.UserAgent("parley"), libp2p.ProtocolVersion(d.Version), libp2p.ForceReachabilityPrivate(),
		libp2p.Security(noise.ID, noise.New), libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(lent{resources}), libp2p.SwarmOpts(swarm.WithReadOnlyBlackHoleDetector()),
		libp2p.UDPBlackHoleSuccessCounter(nil), libp2p.IPv6BlackHoleSuccessCounter(nil),
	}
	if d.Gater != nil {
		options = append(options, libp2p.ConnectionGater(d.Gater))
	}
	h, err := libp2p.New(append(options, d.Transports...)...)
	if err != nil {
		return nil, fmt.Errorf("make the host that dials others: %w", err)
	}
	return h, nil
}

// lent is a resource manager that is another's to close.
type lent struct{ network.ResourceManager }

// Close does nothing.
func (lent) Close() error { return nil }
