package guard

import (
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"
)

// Resources returns a resource manager that also counts the connections that it refuses.
func (g *Guard) Resources(m network.ResourceManager) network.ResourceManager { return &resources{m, g} }

// Blocked is what a resource manager reports to: it counts what a limit blocks, but for connections, of which Resources knows more.
func (g *Guard) Blocked() rcmgr.MetricsReporter { return blocked{g} }

type resources struct {
	network.ResourceManager
	guard *Guard
}

// OpenConnection counts who was refused, and writes down from where.
func (r *resources) OpenConnection(d network.Direction, fd bool, remote ma.Multiaddr) (network.ConnManagementScope, error) {
	scope, err := r.ResourceManager.OpenConnection(d, fd, remote)
	switch {
	case err == nil:
	case d == network.DirOutbound:
		r.guard.Count(Limit)
	case strings.Contains(err.Error(), "rate limit"): // libp2p has no name for it
		r.guard.Refuse(RateLimited, "", remote)
	default:
		r.guard.Refuse(Limit, "", remote)
	}
	return scope, err
}

// blocked counts without looking at whom it was about.
type blocked struct{ *Guard }

// AllowConn is of no interest.
func (blocked) AllowConn(network.Direction, bool) {}

// BlockConn is counted by Resources.
func (blocked) BlockConn(network.Direction, bool) {}

// AllowStream is of no interest.
func (blocked) AllowStream(peer.ID, network.Direction) {}

// BlockStream counts.
func (b blocked) BlockStream(peer.ID, network.Direction) { b.Count(Limit) }

// AllowPeer is of no interest.
func (blocked) AllowPeer(peer.ID) {}

// BlockPeer counts.
func (b blocked) BlockPeer(peer.ID) { b.Count(Limit) }

// AllowProtocol is of no interest.
func (blocked) AllowProtocol(protocol.ID) {}

// BlockProtocol counts.
func (b blocked) BlockProtocol(protocol.ID) { b.Count(Limit) }

// BlockProtocolPeer counts.
func (b blocked) BlockProtocolPeer(protocol.ID, peer.ID) { b.Count(Limit) }

// AllowService is of no interest.
func (blocked) AllowService(string) {}

// BlockService counts.
func (b blocked) BlockService(string) { b.Count(Limit) }

// BlockServicePeer counts.
func (b blocked) BlockServicePeer(string, peer.ID) { b.Count(Limit) }

// AllowMemory is of no interest.
func (blocked) AllowMemory(int) {}

// BlockMemory counts.
func (b blocked) BlockMemory(int) { b.Count(Limit) }
