package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node/direct"
	"parley/node/directory"
	"parley/node/internal/road"
	"parley/node/mailbox"
	"parley/node/member"
	"parley/node/prekey"
	"parley/node/psk"
	"parley/node/reach"
)

// newHost makes the libp2p host of a node: TCP with Noise and yamux, QUIC where the network has no pre-shared key, circuits through seeds, and
// nothing else. Without listen addresses it only dials. ring holds the pre-shared key; nil in a network without.
func newHost(cfg Config, listen, announced []ma.Multiaddr, ring *psk.Ring) (host.Host, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	limits, err := resourceManager()
	if err != nil {
		return nil, err
	}
	conns, err := connectionManager(cfg.Seed)
	if err != nil {
		return nil, err
	}
	options := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.UserAgent("parley"),
		libp2p.ProtocolVersion(cfg.Network.version()),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.DisableMetrics(),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.WithDialTimeout(DialTimeout),
		libp2p.SwarmOpts(swarm.WithDialTimeoutLocal(DialTimeoutLocal)),
		libp2p.AddrsFactory(func(addrs []ma.Multiaddr) []ma.Multiaddr { return append(rank(announced, addrs), circuits(addrs)...) }),
		listenOption(listen),
	}
	if ring != nil {
		options = append(options, libp2p.Transport(ring.Transport))
	} else {
		options = append(options, libp2p.Transport(road.NewTCP), libp2p.Transport(quic.NewTransport), libp2p.QUICReuse(road.NewQUIC))
	}
	if cfg.Seed {
		options = append(options, libp2p.EnableNATService())
	}
	self, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	options = append(options, reach.Options(ways(cfg, self, announced))...)
	h, err := libp2p.New(options...)
	if err != nil {
		return nil, fmt.Errorf("start libp2p host: %w", err)
	}
	return h, nil
}

// ways is what the node is for those who want to reach it.
func ways(cfg Config, self peer.ID, announced []ma.Multiaddr) reach.Config {
	seeds := slices.DeleteFunc(slices.Clone(cfg.Network.Seeds), func(s peer.AddrInfo) bool { return s.ID == self })
	onlyHere := len(cfg.Listen) > 0 && !slices.ContainsFunc(cfg.Listen, func(s string) bool {
		a, err := ma.NewMultiaddr(s)
		return err == nil && !manet.IsIPLoopback(a)
	})
	return reach.Config{Open: cfg.Seed || len(announced) > 0, Relays: cfg.Seed, PortMap: cfg.PortMap && !onlyHere, Seeds: seeds}
}

func listenOption(listen []ma.Multiaddr) libp2p.Option {
	if len(listen) == 0 {
		return libp2p.NoListenAddrs
	}
	return libp2p.ListenAddrs(listen...)
}

func connectionManager(seed bool) (*connmgr.BasicConnMgr, error) {
	low, high := ConnsLow, ConnsHigh
	if seed {
		low, high = SeedConnsLow, SeedConnsHigh
	}
	m, err := connmgr.NewConnManager(low, high, connmgr.WithGracePeriod(ConnGrace))
	if err != nil {
		return nil, fmt.Errorf("make connection manager: %w", err)
	}
	return m, nil
}

// resourceManager bounds what others can make the host hold. What is not listed keeps libp2p's default for a small machine.
func resourceManager() (network.ResourceManager, error) {
	defaults := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&defaults)
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: SystemConns, ConnsInbound: SystemConnsIn, ConnsOutbound: SystemConns,
			Streams: SystemStreams, StreamsInbound: SystemStreams, StreamsOutbound: SystemStreams,
			Memory: SystemMemory, FD: SystemFiles,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: TransientConns, ConnsInbound: TransientConns, ConnsOutbound: TransientConns, FD: TransientConns,
			Streams: TransientStreams, StreamsInbound: TransientStreams, StreamsOutbound: TransientStreams,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: PeerConns, ConnsInbound: PeerConns, ConnsOutbound: PeerConns, FD: PeerConns,
			Streams: 2 * PeerStreams, StreamsInbound: PeerStreams, StreamsOutbound: PeerStreams, Memory: PeerMemory,
		},
		Service: map[string]rcmgr.ResourceLimits{
			direct.Service:    serviceLimits(direct.Streams, direct.Memory),
			directory.Service: serviceLimits(directory.Streams, directory.Memory),
			prekey.Service:    serviceLimits(prekey.Streams, prekey.Memory),
			mailbox.Service:   serviceLimits(mailbox.Streams, mailbox.Memory),
			member.Service:    serviceLimits(member.Streams, member.Memory),
		},
		ServicePeer: map[string]rcmgr.ResourceLimits{
			direct.Service:    serviceLimits(direct.PeerStreams, direct.PeerMemory),
			directory.Service: serviceLimits(directory.PeerStreams, directory.PeerMemory),
			prekey.Service:    serviceLimits(prekey.PeerStreams, prekey.PeerMemory),
			mailbox.Service:   serviceLimits(mailbox.PeerStreams, mailbox.PeerMemory),
			member.Service:    serviceLimits(member.PeerStreams, member.PeerMemory),
		},
	}.Build(defaults.Scale(SystemMemory, SystemFiles))
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: AddressConns}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: AddressConns}, {PrefixLength: 48, ConnCount: SubnetConns}}),
		rcmgr.WithConnRateLimiters(connectionRate()))
	if err != nil {
		return nil, fmt.Errorf("make resource manager: %w", err)
	}
	return m, nil
}

func serviceLimits(streams rcmgr.LimitVal, memory rcmgr.LimitVal64) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{Streams: streams, StreamsInbound: streams, StreamsOutbound: streams, Memory: memory}
}

// connectionRate limits how fast one address may open connections.
func connectionRate() *rate.Limiter {
	limit := rate.Limit{RPS: AddressConnRate, Burst: AddressConnBurst}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{{Prefix: loopback4()}, {Prefix: loopback6()}},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: limit}},
			GracePeriod:      time.Minute,
		},
	}
}
