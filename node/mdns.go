package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"go.uber.org/zap"
)

// labelLAN separates the hash in the service name from every other hash of a network id.
const labelLAN = "parley/mdns/1"

// lanService is the DNS-SD name under which the nodes of a network find each other on a LAN. It tells members that they belong
// together, and others no more than that.
func lanService(n Network) string {
	sum := sha256.Sum256(append([]byte(labelLAN), n.ID[:]...))
	return "_p-" + hex.EncodeToString(sum[:5]) + "._udp"
}

// discoverLAN connects to what mDNS finds, until ctx ends. It begins anew when our addresses change, because mDNS tells those that it
// was started with, and now and then where there is no multicast yet.
func (n *Node) discoverLAN(ctx context.Context) error {
	moved, err := n.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		return fmt.Errorf("watch our addresses: %w", err)
	}
	for ctx.Err() == nil {
		service := mdns.NewMdnsService(n.host, lanService(n.cfg.Network), lanFinds{n.found})
		retry := (<-chan time.Time)(nil)
		if err := service.Start(); err != nil {
			n.log.Debug("no mDNS here", zap.Error(err))
			retry = time.After(LANRetry)
		}
		n.meetAll(ctx, moved.Out(), retry)
		_ = service.Close() // it has told what it had to tell
	}
	return moved.Close()
}

// meetAll connects to what is found until ctx ends, our addresses change, or it is time to try again.
func (n *Node) meetAll(ctx context.Context, moved <-chan any, retry <-chan time.Time) {
	tried := make(map[peer.ID]time.Time)
	for {
		select {
		case <-ctx.Done():
			return
		case <-moved:
			return
		case <-retry:
			return
		case p := <-n.found:
			n.meet(ctx, p, tried)
		}
	}
}

// meet connects to a peer that was found, unless it is connected or was tried a moment ago: mDNS repeats itself.
func (n *Node) meet(ctx context.Context, p peer.AddrInfo, tried map[peer.ID]time.Time) {
	for id, at := range tried {
		if time.Since(at) > LANRetry {
			delete(tried, id)
		}
	}
	if _, again := tried[p.ID]; again || p.ID == n.ID() || n.connected(p.ID) || len(tried) >= LANQueue {
		return
	}
	tried[p.ID] = time.Now()
	p.Addrs = firstOf(p.Addrs)
	n.guard.Prove(p.ID, p.Addrs...)
	if err := n.connect(ctx, p); err != nil {
		n.log.Debug("no answer from a peer on the LAN", zap.Stringer("peer", p.ID), zap.Error(err))
	}
}

// lanFinds passes finds on, and drops those that nobody waits for: they come again.
type lanFinds struct{ found chan<- peer.AddrInfo }

// HandlePeerFound is called by mDNS, on a goroutine of its own for each find.
func (l lanFinds) HandlePeerFound(p peer.AddrInfo) {
	select {
	case l.found <- p:
	default:
	}
}
