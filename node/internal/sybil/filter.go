package sybil

import (
	"net"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Filter decides who may take a place in a routing table. The places of a bucket are shared out twice: by branch, which is the next
// branchBits bits of an id after those that the whole bucket has in common, for who wants to surround a key has to choose ids of one branch;
// and by subnet, IPv4 /16 and IPv6 /32, as far as addresses are public; those of a LAN are all one subnet by nature, and unlimited. Peers that
// we trust may always come, and their places are kept for them. It is a kad-dht diversity filter.
type Filter struct {
	places    Places
	self      place
	trusted   map[peer.ID]int // their buckets
	addresses func(peer.ID) []ma.Multiaddr

	mu   sync.Mutex
	held map[peer.ID]seat
}

// Places is how many places a bucket has, and how many of them one branch and one subnet may have at most.
type Places struct{ Bucket, Branch, Subnet int }

// branchBits tells eight branches of a bucket apart.
const branchBits = 3

// seat is what a peer in the table takes.
type seat struct {
	bucket  int
	branch  place
	subnets []string
}

// NewFilter returns a filter for the table of a node called self. Addresses says where a peer is connected from.
func NewFilter(self peer.ID, places Places, trusted []peer.ID, addresses func(peer.ID) []ma.Multiaddr) *Filter {
	f := &Filter{
		places: places, self: at(self), addresses: addresses,
		trusted: make(map[peer.ID]int), held: make(map[peer.ID]seat),
	}
	for _, p := range trusted {
		f.trusted[p] = f.self.shared(at(p))
	}
	return f
}

// Allow reports whether there is a place for a peer: a newcomer pushes nobody out. It is asked once for each of the peer's addresses, and
// answers for all of them.
func (f *Filter) Allow(g peerdiversity.PeerGroupInfo) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.trusted[g.Id]; ok {
		return true
	}
	wanted := f.seat(g)
	taken, branch := f.kept(g.Cpl), 0
	perSubnet := make(map[string]int)
	for _, s := range f.held {
		if s.bucket != wanted.bucket {
			continue
		}
		taken++
		if s.branch == wanted.branch {
			branch++
		}
		for _, name := range s.subnets {
			perSubnet[name]++
		}
	}
	return taken < f.places.Bucket && branch < f.places.Branch &&
		!slices.ContainsFunc(wanted.subnets, func(name string) bool { return perSubnet[name] >= f.places.Subnet })
}

// kept counts the places of a bucket that are free for peers that we trust alone.
func (f *Filter) kept(bucket int) (n int) {
	for p, b := range f.trusted {
		if _, here := f.held[p]; b == bucket && !here {
			n++
		}
	}
	return n
}

// seat is what a peer would take.
func (f *Filter) seat(g peerdiversity.PeerGroupInfo) seat {
	return seat{bucket: g.Cpl, branch: f.self.branch(at(g.Id)), subnets: f.subnets(g.Id)}
}

// Increment notes that a peer takes a place, with one of its addresses.
func (f *Filter) Increment(g peerdiversity.PeerGroupInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[g.Id] = f.seat(g)
}

// Decrement notes that a peer, or one of its addresses, has gone.
func (f *Filter) Decrement(g peerdiversity.PeerGroupInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, g.Id)
}

// PeerAddresses says where a peer is connected from.
func (f *Filter) PeerAddresses(p peer.ID) []ma.Multiaddr { return f.addresses(p) }

// subnets returns where a peer is connected from, as far as that is public, each subnet once.
func (f *Filter) subnets(p peer.ID) (names []string) {
	for _, a := range f.addresses(p) {
		if name := subnet(a); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// subnet names the part of the internet that an address belongs to; empty where it is not public.
func subnet(a ma.Multiaddr) string {
	ip, err := manet.ToIP(a)
	if err != nil || !manet.IsPublicAddr(a) {
		return ""
	}
	bits := 32
	if four := ip.To4(); four != nil {
		ip, bits = four, 16
	}
	return ip.Mask(net.CIDRMask(bits, 8*len(ip))).String()
}
