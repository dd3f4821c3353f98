package node

import (
	"slices"

	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"parley/node/reach"
)

// Deafen closes the listeners but that of circuits: nobody can dial the node any more, as behind a router.
func (n *Node) Deafen() {
	n.host.Network().(*swarm.Swarm).ListenClose(slices.DeleteFunc(n.host.Network().ListenAddresses(), reach.IsCircuit)...)
}
