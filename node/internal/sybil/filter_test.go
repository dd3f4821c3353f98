package sybil

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// comes lets a peer ask for a place, as kad-dht does, and take it.
func comes(f *Filter, self, p peer.ID) bool {
	g := peerdiversity.PeerGroupInfo{Id: p, Cpl: at(self).shared(at(p))}
	if !f.Allow(g) {
		return false
	}
	f.Increment(g)
	return true
}

// table is a filter under test, whose peers are called after their addresses.
type table struct {
	*Filter
	self  peer.ID
	next  uint64
	where map[peer.ID][]ma.Multiaddr
}

func newTable(places Places, trusted ...peer.ID) *table {
	tb := &table{self: "alice", where: make(map[peer.ID][]ma.Multiaddr)}
	tb.Filter = NewFilter(tb.self, places, trusted, func(p peer.ID) []ma.Multiaddr { return tb.where[p] })
	return tb
}

// from makes up a peer of the first bucket, connected from addresses.
func (tb *table) from(branch int, addresses ...string) peer.ID {
	for {
		tb.next++
		p := peer.ID(binary.BigEndian.AppendUint64(nil, tb.next))
		if at(tb.self).shared(at(p)) == 0 && (branch < 0 || int(at(p)>>60)%8 == branch) {
			for _, a := range addresses {
				tb.where[p] = append(tb.where[p], ma.StringCast(a))
			}
			return p
		}
	}
}

// TestFilterSubnets shares a bucket out among subnets of the internet, and leaves LANs alone.
func TestFilterSubnets(t *testing.T) {
	for name, c := range map[string]struct {
		address string // of the n-th peer
		want    int
	}{
		"IPv4 /16":      {"/ip4/5.9.%d.1/tcp/4101", 4},
		"IPv6 /32":      {"/ip6/2a01:4f8:%x::1/udp/4101/quic-v1", 4},
		"many IPv4 /16": {"/ip4/5.%d.0.1/tcp/4101", 20},
		"many IPv6 /32": {"/ip6/2a01:%x::1/tcp/4101", 20},
		"10/8":          {"/ip4/10.0.0.%d/tcp/4101", 20},
		"IPv6 of a LAN": {"/ip6/fd00::%x/tcp/4101", 20},
		"loopback":      {"/ip4/127.0.0.1/tcp/%d", 20},
	} {
		tb := newTable(Places{Bucket: 20, Branch: 20, Subnet: 4})
		got := 0
		for i := range 40 {
			if comes(tb.Filter, tb.self, tb.from(-1, fmt.Sprintf(c.address, i+1))) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%s: %d of 40 have a place, not %d", name, got, c.want)
		}
	}
}

// TestFilterTwoHomes counts a peer in each subnet that it is connected from, and in none any more when it has gone.
func TestFilterTwoHomes(t *testing.T) {
	tb := newTable(Places{Bucket: 20, Branch: 20, Subnet: 1})
	both := tb.from(-1, "/ip4/5.9.0.1/tcp/1", "/ip4/192.168.0.1/tcp/1", "/ip6/2a01:4f8::1/tcp/1")
	if !comes(tb.Filter, tb.self, both) {
		t.Fatal("the first was refused")
	}
	if len(tb.PeerAddresses(both)) != 3 {
		t.Error("not all of its addresses are known")
	}
	for _, address := range []string{"/ip4/5.9.9.9/tcp/1", "/ip6/2a01:4f8:9::1/tcp/1"} {
		if comes(tb.Filter, tb.self, tb.from(-1, address)) {
			t.Errorf("%s is allowed beside it", address)
		}
	}
	g := peerdiversity.PeerGroupInfo{Id: both, Cpl: 0}
	tb.Decrement(g)
	tb.Decrement(g)
	if !comes(tb.Filter, tb.self, tb.from(-1, "/ip4/5.9.9.9/tcp/1")) {
		t.Error("its place was not given back")
	}
}

// TestFilterBranches leaves most of a bucket to others when ids are chosen out of one branch of it.
func TestFilterBranches(t *testing.T) {
	tb := newTable(Places{Bucket: 20, Branch: 5, Subnet: 4})
	for branch, want := range []int{5, 5, 5, 5, 0} { // and then the bucket is full
		got := 0
		for i := range 30 {
			if comes(tb.Filter, tb.self, tb.from(branch, fmt.Sprintf("/ip4/10.0.0.%d/tcp/1", i))) {
				got++
			}
		}
		if got != want {
			t.Errorf("branch %d has %d places, not %d", branch, got, want)
		}
	}
}

// TestFilterKeepsPlaces keeps places for those who are trusted, until they are there, and again when they have gone.
func TestFilterKeepsPlaces(t *testing.T) {
	maker := newTable(Places{})
	seeds := []peer.ID{maker.from(1), maker.from(1)}
	tb := newTable(Places{Bucket: 3, Branch: 3, Subnet: 1}, seeds...)
	tb.next = maker.next
	if !comes(tb.Filter, tb.self, tb.from(1, "/ip4/10.0.0.1/tcp/1")) || comes(tb.Filter, tb.self, tb.from(1, "/ip4/10.0.0.2/tcp/1")) {
		t.Error("not one stranger has a place of three")
	}
	for _, s := range seeds {
		tb.where[s] = []ma.Multiaddr{ma.StringCast("/ip4/5.9.0.1/tcp/1")} // both: who is trusted counts in no subnet
		if !comes(tb.Filter, tb.self, s) {
			t.Error("a seed was refused")
		}
	}
	tb.Decrement(peerdiversity.PeerGroupInfo{Id: seeds[0], Cpl: 0})
	if comes(tb.Filter, tb.self, tb.from(2, "/ip4/10.0.0.3/tcp/1")) || !comes(tb.Filter, tb.self, seeds[0]) {
		t.Error("the place of a seed that went was not kept")
	}
}
