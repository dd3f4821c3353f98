package book

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Book remembers a bounded number of peers. Its methods may be called from several goroutines.
type Book struct {
	size, each int

	mu    sync.Mutex
	peers map[peer.ID]*note
}

type note struct {
	addrs []ma.Multiaddr
	seen  time.Time
	dirty bool // to be saved
}

// New returns an empty book for so many peers with so many addresses each.
func New(size, each int) *Book {
	return &Book{size: size, each: each, peers: make(map[peer.ID]*note)}
}

// Load takes what an earlier run has saved, the most recently seen first.
func (b *Book) Load(known []peer.AddrInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for i, p := range known[:min(len(known), b.size)] {
		if _, ok := b.peers[p.ID]; !ok {
			b.peers[p.ID] = &note{addrs: b.first(p.Addrs), seen: now.Add(-time.Duration(i+1) * time.Second)}
		}
	}
}

// Put notes where a peer is, in the place of what was known. Without addresses it notes nothing.
func (b *Book) Put(p peer.ID, addrs []ma.Multiaddr) {
	if len(addrs) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.peers[p]; !ok && len(b.peers) >= b.size {
		b.forgetOldest()
	}
	b.peers[p] = &note{addrs: b.first(addrs), seen: time.Now(), dirty: true}
}

func (b *Book) first(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs[:min(len(addrs), b.each)] }

func (b *Book) forgetOldest() {
	var oldest peer.ID
	for id, n := range b.peers {
		if oldest == "" || n.seen.Before(b.peers[oldest].seen) {
			oldest = id
		}
	}
	delete(b.peers, oldest)
}

// Addrs returns where a peer was last seen.
func (b *Book) Addrs(p peer.ID) []ma.Multiaddr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, ok := b.peers[p]; ok {
		return slices.Clone(n.addrs)
	}
	return nil
}

// Union returns the first list and what only the second has, in their order.
func Union(first, second []ma.Multiaddr) []ma.Multiaddr {
	all := slices.Clone(first)
	for _, a := range second {
		if !slices.ContainsFunc(all, a.Equal) {
			all = append(all, a)
		}
	}
	return all
}

// Recent lists the peers, the most recently seen first.
func (b *Book) Recent() []peer.AddrInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []peer.AddrInfo
	for id, n := range b.peers {
		list = append(list, peer.AddrInfo{ID: id, Addrs: slices.Clone(n.addrs)})
	}
	slices.SortFunc(list, func(x, y peer.AddrInfo) int { return b.peers[y.ID].seen.Compare(b.peers[x.ID].seen) })
	return list
}

// Unsaved returns what has changed since the last call.
func (b *Book) Unsaved() []peer.AddrInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []peer.AddrInfo
	for id, n := range b.peers {
		if n.dirty {
			list = append(list, peer.AddrInfo{ID: id, Addrs: slices.Clone(n.addrs)})
			n.dirty = false
		}
	}
	return list
}

// Again marks peers that could not be saved.
func (b *Book) Again(list []peer.AddrInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range list {
		if n, ok := b.peers[p.ID]; ok {
			n.dirty = true
		}
	}
}
