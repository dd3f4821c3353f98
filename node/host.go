package node

import (
	"fmt"
	"os"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node/internal/guard"
	"parley/node/internal/road"
	"parley/node/psk"
	"parley/node/reach"
)

// newHost makes the libp2p host of a node: TCP and WebSocket with Noise and yamux, QUIC where the network has no pre-shared key, circuits through
// seeds, and nothing else. Without listen addresses it only dials. ring holds the pre-shared key; nil in a network without.
func newHost(cfg Config, listen, announced []ma.Multiaddr, ring *psk.Ring, g *guard.Guard, good *reach.Confirmed) (host.Host, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	limits, err := resourceManager(cfg, g)
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
		libp2p.SwarmOpts(swarm.WithDialTimeoutLocal(DialTimeoutLocal), swarm.WithDialRanker(g.Order)),
		libp2p.AddrsFactory(func(addrs []ma.Multiaddr) []ma.Multiaddr {
			return append(rank(slices.Concat(announced, good.Addresses()), addrs), circuits(addrs)...)
		}),
		listenOption(listen),
		libp2p.ConnectionGater(g),
	}
	options = append(options, transports(ring)...)
	self, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	options = append(options, reach.Options(ways(cfg, self, announced))...)
	if err := privately(ring); err != nil {
		return nil, err
	}
	h, err := libp2p.New(options...)
	if err != nil {
		return nil, fmt.Errorf("start libp2p host: %w", err)
	}
	return h, nil
}

// privately does what LIBP2P_FORCE_PNET=1 in the environment asks for: no connection without a pre-shared key. A ring lets none be made, but libp2p knows nothing of
// rings and would refuse them all.
func privately(ring *psk.Ring) error {
	if os.Getenv(pnet.EnvKey) != "1" {
		return nil
	}
	if ring == nil {
		return fmt.Errorf("%s=1 asks for a network with a pre-shared key, and this one has none: unset it", pnet.EnvKey)
	}
	pnet.ForcePrivateNetwork = false
	return nil
}

// transports are those of a network: under its keys, or without.
func transports(ring *psk.Ring) []libp2p.Option {
	if ring != nil {
		return []libp2p.Option{libp2p.Transport(ring.Transport), libp2p.Transport(ring.WebSocket)}
	}
	return []libp2p.Option{
		libp2p.Transport(road.NewTCP), libp2p.Transport(road.NewWebSocket), libp2p.Transport(quic.NewTransport), libp2p.QUICReuse(road.NewQUIC),
	}
}

// ways is what the node is for those who want to reach it.
func ways(cfg Config, self peer.ID, announced []ma.Multiaddr) reach.Config {
	seeds := slices.DeleteFunc(slices.Clone(cfg.Network.Seeds), func(s peer.AddrInfo) bool { return s.ID == self })
	return reach.Config{
		Open: cfg.Seed || len(announced) > 0, Relays: cfg.Seed, PortMap: cfg.PortMap && !onlyHere(cfg), Seeds: seeds,
		Dialling: reach.Dialling{Version: cfg.Network.version()},
	}
}

// onlyHere reports whether the node listens on loopback addresses alone.
func onlyHere(cfg Config) bool {
	return len(cfg.Listen) > 0 && !slices.ContainsFunc(cfg.Listen, func(s string) bool {
		a, err := ma.NewMultiaddr(s)
		return err == nil && !manet.IsIPLoopback(a)
	})
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
