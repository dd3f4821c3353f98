package node

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"parley/node/direct"
	"parley/node/internal/announce"
	"parley/node/internal/book"
	"parley/node/internal/setback"
	"parley/node/member"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Peer is one connected node, for people to look at.
type Peer = struct {
	ID      peer.ID       `json:"id"`
	Address string        `json:"address"`
	Route   string        `json:"route"`
	Seed    bool          `json:"seed"`
	Since   time.Time     `json:"since"`
	RTT     time.Duration `json:"rtt_ns"` // the last measured round trip; zero before the first
}

// Sees reports whether a device is connected, and it and we have admitted each other.
func (n *Node) Sees(device peer.ID) bool { return n.connected(device) }

// Peers lists the nodes that this one is connected to, the longest connected first. Round trips are those that the DHT has
// measured.
func (n *Node) Peers() []Peer {
	var peers []Peer
	for _, id := range n.peers() {
		conns := n.host.Network().ConnsToPeer(id)
		best := n.best(id)
		if best == nil || len(conns) == 0 {
			continue
		}
		oldest := slices.MinFunc(conns, func(a, b network.Conn) int { return a.Stat().Opened.Compare(b.Stat().Opened) })
		peers = append(peers, Peer{
			ID:      id,
			Address: best.RemoteMultiaddr().String(),
			Route:   n.ways.Route(best),
			Seed:    n.isSeed(id),
			Since:   oldest.Stat().Opened,
			RTT:     n.host.Peerstore().LatencyEWMA(id),
		})
	}
	slices.SortFunc(peers, func(a, b Peer) int { return a.Since.Compare(b.Since) })
	return peers
}

// Addresses lists where this device may be reached, best first: announced, public, LAN, and loopback only where there is nothing
// else. reachable is false when none of them is announced or public.
func (n *Node) Addresses() (addrs []string, reachable bool) {
	all := rank(n.announced, n.host.Addrs())
	return texts(all), slices.ContainsFunc(n.announced, announce.Elsewhere) || len(all) > 0 && distance(all[0]) == public
}

// Reached is whether others can dial a node: "yes", "no" or "unknown", and how many seeds have found it so. (It is an alias of an unnamed struct, so
// that a messenger can name the same type without importing this package.)
type Reached = struct {
	State string
	Seeds int
}

// Reach says whether others can dial this node, as far as seeds have tried.
func (n *Node) Reach() Reached {
	through, tried := n.confirmed.Seeds()
	switch {
	case through > 0:
		return Reached{State: "yes", Seeds: through}
	case tried > 0:
		return Reached{State: "no", Seeds: tried}
	}
	return Reached{State: "unknown"}
}

// Learn remembers where a device may be reached, across restarts: multiaddrs without the /p2p part. What does not parse is
// skipped, and so are circuits, which are found anew each time. The device's connection is the last that is closed when there are too many.
func (n *Node) Learn(device peer.ID, addrs []string) {
	if device == n.ID() || device.Validate() != nil {
		return
	}
	n.host.ConnManager().Protect(device, tagContact)
	given := withoutCircuits(Place(device, addrs).Addrs)
	n.guard.Remember(device, firstOf(given)...)
	known := book.Union(given, n.book.Addrs(device))
	if conns := n.host.Network().ConnsToPeer(device); len(conns) > 0 {
		known = book.Union(workingAddresses(conns, n.host.Peerstore().Addrs(device)), known)
	}
	n.book.Put(device, known)
}

// isContact reports whether Learn has named a device.
func (n *Node) isContact(device peer.ID) bool {
	return n.host.ConnManager().IsProtected(device, tagContact)
}

// tagContact protects the connections to devices that Learn has named.
const tagContact = "contact"

// Removed reports whether this device is no member any more, as the authority has said: it, or who invited it, was removed.
func (n *Node) Removed() bool { return n.members.Standing() == member.Revoked }

// Warning says in one line what is wrong with the connection to the network right now; it is empty when nothing is.
func (n *Node) Warning() string {
	if n.Removed() {
		return member.Revoked.Error()
	}
	if n.OtherKey() && n.members.Member() {
		return "the network has another key now, which was changed while this device was away"
	}
	if !n.seedless() {
		return ""
	}
	return n.setback().Text()
}

// WaitsFor says what would help while no seed is connected: "answer", where nobody is there; "member", where somebody is and cannot let us in now; and "invite",
// where another one is needed, as it is for who was removed. It is empty while all is well, and where the network has no seeds.
func (n *Node) WaitsFor() string {
	switch {
	case n.Removed(), n.OtherKey():
		return setback.WaitsForInvite
	case !n.seedless():
		return ""
	}
	return n.setback().WaitsFor()
}

func (n *Node) seedless() bool { return len(n.seeds) > 0 && n.SeedsConnected() == 0 }

// setback returns what tells most of why no seed has taken us in.
func (n *Node) setback() setback.Setback {
	until := n.cfg.Member.Expires
	return n.trouble.Most(!n.members.Member() && !until.IsZero() && time.Now().After(until))
}

// failure is an error in one line for people, with the libraries' words for it behind.
type failure struct {
	text  string
	cause error
}

// Error returns the line.
func (f *failure) Error() string { return f.text }

// Unwrap returns what the libraries said.
func (f *failure) Unwrap() error { return f.cause }

// streamReason says in a few words why envelopes were not acknowledged.
func (n *Node) streamReason(device peer.ID, err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, direct.ErrNoBox):
		return "its key is not known here"
	case !n.connected(device):
		return "the connection broke"
	}
	return "it could not take the envelopes now"
}
