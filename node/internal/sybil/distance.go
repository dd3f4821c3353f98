package sybil

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// place is the beginning of a Kademlia id: what follows decides nothing in networks of less than 2^48 nodes.
type place uint64

// at returns where a key or a peer id is in the DHT's space of ids.
func at[T ~string](name T) place {
	sum := sha256.Sum256([]byte(name))
	return place(binary.BigEndian.Uint64(sum[:8]))
}

// shared counts the bits with which two places begin alike.
func (p place) shared(other place) int { return bits.LeadingZeros64(uint64(p ^ other)) }

// branch is the first bits of another place, up to branchBits behind the first that is not shared.
func (p place) branch(other place) place { return other >> max(0, 64-p.shared(other)-1-branchBits) }

// share is the part of all ids that are as close to p as other is, or closer.
func (p place) share(other place) float64 { return (float64(p^other) + 1) / (1 << 64) }

// crowd estimates how many servers there are from those that a server says are the closest to it. Zero: it named nobody.
func crowd(server peer.ID, neighbours []peer.ID) float64 {
	furthest, count := 0.0, 0
	for _, n := range neighbours {
		if n != server {
			furthest = max(furthest, at(server).share(at(n)))
			count++
		}
	}
	if count == 0 {
		return 0
	}
	return float64(count) / furthest
}

// median returns the middle value, or the lower of two; fallback where there is none.
func median(values []float64, fallback float64) float64 {
	if len(values) == 0 {
		return fallback
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// depth is with how many bits of the key an id has to begin, so that no more than most of so many servers do.
func depth(servers float64, most int) int {
	bits := 0
	for ; servers > float64(most); servers /= 2 {
		bits++
	}
	return bits
}
