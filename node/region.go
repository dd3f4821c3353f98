package node

import (
	"context"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"

	"parley/node/internal/sybil"
)

// searchRegion asks the servers around a key for a record, however many others stand nearer.
func (n *Node) searchRegion(ctx context.Context, table *dht.IpfsDHT, key string, found func([]byte)) {
	if !n.mayWalk(ctx) {
		return
	}
	defer n.walked()
	if err := sybil.Look(ctx, table, key, walkLimits(), found); err != nil {
		n.log.Debug("no answer from around a key", zap.Error(err))
	}
}

// putRegion puts a record of ours to the servers around its key.
func (n *Node) putRegion(ctx context.Context, table *dht.IpfsDHT, key string, value []byte) error {
	if !n.mayWalk(ctx) {
		return ctx.Err()
	}
	defer n.walked()
	return sybil.Put(ctx, table, key, value, walkLimits())
}

// mayWalk waits until fewer than Walks walks go on, and reports whether ctx has not ended before. Who may walk says so with walked.
func (n *Node) mayWalk(ctx context.Context) bool {
	select {
	case n.walks <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *Node) walked() { <-n.walks }

func walkLimits() sybil.Limits {
	return sybil.Limits{
		Region: RegionServers, Paths: WalkPaths, Width: WalkWidth, Servers: PathServers, Outside: RingServers,
		Names: ServerNames, Addresses: MaxPeerAddresses, Samples: SurveyServers, Heard: SurveyAnswers, Timeout: DialTimeout,
	}
}

// tableFilter bounds what one branch of ids and one subnet get of the routing table, and keeps places there for our seeds.
func (n *Node) tableFilter() *sybil.Filter {
	var seeds []peer.ID
	for _, s := range n.seeds {
		seeds = append(seeds, s.ID)
	}
	return sybil.NewFilter(n.ID(), sybil.Places{Bucket: BucketSize, Branch: BranchPlaces, Subnet: SubnetPlaces}, seeds, func(p peer.ID) (addrs []ma.Multiaddr) {
		for _, c := range n.host.Network().ConnsToPeer(p) {
			addrs = append(addrs, c.RemoteMultiaddr())
		}
		return addrs
	})
}

// seatSeeds puts those of our seeds back into the routing table that are connected and serve: kad-dht drops whoever leaves one question
// unanswered, and takes him again only when he comes anew.
func (n *Node) seatSeeds(table *dht.IpfsDHT) {
	for _, s := range n.seeds {
		if n.connected(s.ID) && n.isServer(s.ID) {
			_, _ = table.RoutingTable().TryAddPeer(s.ID, true, false) // who is slow beyond use stays out
		}
	}
}
