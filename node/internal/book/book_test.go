package book

import (
	"fmt"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// TestBook keeps the newest of what it is told, in an order that is worth dialling in, and knows what is not saved.
func TestBook(t *testing.T) {
	const size = 100
	at := func(n int) []ma.Multiaddr {
		return []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/10.0.0.1/tcp/%d", n+1))}
	}
	b := New(size, 2)
	b.Load([]peer.AddrInfo{{ID: "seen last", Addrs: at(1)}, {ID: "seen before", Addrs: at(2)}})
	if len(b.Unsaved()) != 0 {
		t.Error("what was loaded need not be saved")
	}
	b.Put("new", at(3))
	b.Put("seen before", nil)
	b.Put("talkative", slices.Concat(at(5), at(6), at(7)))
	if len(b.Addrs("talkative")) != 2 {
		t.Error("a peer fills the book with addresses")
	}
	if got := b.Recent(); len(got) != 4 || got[0].ID != "talkative" || got[1].ID != "new" || got[2].ID != "seen last" || got[3].ID != "seen before" {
		t.Errorf("recent: %v", got)
	}
	unsaved := b.Unsaved()
	if len(unsaved) != 2 || len(b.Unsaved()) != 0 {
		t.Errorf("unsaved: %v", unsaved)
	}
	if b.Again(unsaved); len(b.Unsaved()) != 2 {
		t.Error("what could not be saved is not tried again")
	}
	for i := range 2 * size {
		b.Put(peer.ID(fmt.Sprint(i)), at(i))
	}
	if len(b.Recent()) != size || b.Addrs("new") != nil || b.Addrs(peer.ID(fmt.Sprint(2*size-1))) == nil {
		t.Errorf("%d peers are remembered, or the wrong ones", len(b.Recent()))
	}
}

// TestUnion keeps the order, and each address once.
func TestUnion(t *testing.T) {
	a, b, c := ma.StringCast("/tcp/1"), ma.StringCast("/tcp/2"), ma.StringCast("/tcp/3")
	if got := Union([]ma.Multiaddr{b, a}, []ma.Multiaddr{a, c, b}); len(got) != 3 || !got[0].Equal(b) || !got[1].Equal(a) || !got[2].Equal(c) {
		t.Errorf("got %v", got)
	}
}
