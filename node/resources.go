package node

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node/direct"
	"parley/node/directory"
	"parley/node/internal/guard"
	"parley/node/mailbox"
	"parley/node/member"
	"parley/node/prekey"
)

// newGuard makes the guard of a node.
func newGuard(cfg Config) *guard.Guard {
	return guard.New(guard.Config{Seeds: cfg.Network.Seeds, Loopback: onlyHere(cfg), Logger: cfg.logger()})
}

// resourceManager bounds what others can make the host hold, and has the guard count what it refuses. What is not listed keeps libp2p's default
// for a small machine.
func resourceManager(cfg Config, g *guard.Guard) (network.ResourceManager, error) {
	v4, v6 := trustedConns(cfg.Trusted)
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits()), rcmgr.WithMetricsDisabled(), rcmgr.WithMetrics(g.Blocked()),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: AddressConns}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: AddressConns}, {PrefixLength: 48, ConnCount: SubnetConns}}),
		rcmgr.WithNetworkPrefixLimit(v4, v6),
		rcmgr.WithAllowlistedMultiaddrs(seedAddresses(cfg.Network.Seeds)),
		rcmgr.WithConnRateLimiters(connectionRate(cfg.Trusted)))
	if err != nil {
		return nil, fmt.Errorf("make resource manager: %w", err)
	}
	return g.Resources(m), nil
}

// limits are those of the resource manager.
func limits() rcmgr.ConcreteLimitConfig {
	defaults := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&defaults)
	services := map[string][2]rcmgr.ResourceLimits{ // in all, and of one peer
		direct.Service:    {serviceLimits(direct.Streams, direct.Memory), serviceLimits(direct.PeerStreams, direct.PeerMemory)},
		directory.Service: {serviceLimits(directory.Streams, directory.Memory), serviceLimits(directory.PeerStreams, directory.PeerMemory)},
		prekey.Service:    {serviceLimits(prekey.Streams, prekey.Memory), serviceLimits(prekey.PeerStreams, prekey.PeerMemory)},
		mailbox.Service:   {serviceLimits(mailbox.Streams, mailbox.Memory), serviceLimits(mailbox.PeerStreams, mailbox.PeerMemory)},
		member.Service:    {serviceLimits(member.Streams, member.Memory), serviceLimits(member.PeerStreams, member.PeerMemory)},
		autonatv2.ServiceName: {
			serviceLimits(ReachStreams, ReachStreams*StreamMemory), serviceLimits(ReachPeerStreams, ReachPeerStreams*StreamMemory),
		},
	}
	all, each := make(map[string]rcmgr.ResourceLimits), make(map[string]rcmgr.ResourceLimits)
	for name, l := range services {
		all[name], each[name] = l[0], l[1]
	}
	each[ping.ServiceName] = rcmgr.ResourceLimits{Memory: PingMemory}
	return rcmgr.PartialLimitConfig{
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
		Service: all, ServicePeer: each,
		ProtocolPeer: map[protocol.ID]rcmgr.ResourceLimits{ // libp2p says MiB where it means KiB, which is no limit
			identify.ID: {Memory: IdentifyMemory}, identify.IDPush: {Memory: IdentifyMemory}, ping.ID: {Memory: PingMemory},
		},
	}.Build(defaults.Scale(SystemMemory, SystemFiles))
}

func serviceLimits(streams rcmgr.LimitVal, memory rcmgr.LimitVal64) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{Streams: streams, StreamsInbound: streams, StreamsOutbound: streams, Memory: memory}
}

// seedAddresses lists where seeds are, for the resource manager: they are let in also when strangers have taken every place. One that has a
// name alone, or no public address of its own, is not on the list, and takes its turn.
func seedAddresses(seeds []peer.AddrInfo) (addrs []ma.Multiaddr) {
	for _, s := range seeds {
		for _, a := range s.Addrs {
			if ip, err := manet.ToIP(a); err == nil {
				at, err := manet.FromIP(ip)
				if err == nil {
					addrs = append(addrs, at.Encapsulate(ma.StringCast("/p2p/"+s.ID.String())))
				}
			}
		}
	}
	return addrs
}

// trustedConns exempts loopback, and what the operator trusts, from the limits of connections by address.
func trustedConns(trusted []netip.Prefix) (v4, v6 []rcmgr.NetworkPrefixLimit) {
	for _, p := range append([]netip.Prefix{loopback4(), loopback6()}, trusted...) {
		limit := rcmgr.NetworkPrefixLimit{Network: p, ConnCount: SystemConnsIn}
		if p.Addr().Is4() {
			v4 = append(v4, limit)
		} else {
			v6 = append(v6, limit)
		}
	}
	return v4, v6
}

// connectionRate limits how fast one address may open connections, but for loopback and what the operator trusts.
func connectionRate(trusted []netip.Prefix) *rate.Limiter {
	limit := rate.Limit{RPS: AddressConnRate, Burst: AddressConnBurst}
	free := []rate.PrefixLimit{{Prefix: loopback4()}, {Prefix: loopback6()}}
	for _, p := range trusted {
		free = append(free, rate.PrefixLimit{Prefix: p})
	}
	return &rate.Limiter{
		NetworkPrefixLimits: free,
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: limit}},
			GracePeriod:      time.Minute,
		},
	}
}
