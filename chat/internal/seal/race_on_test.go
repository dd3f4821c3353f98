//go:build race

package seal_test

// usualSeeds is how many walks a usual run takes. Nothing here is concurrent, so the race detector only makes them ten times slower.
const usualSeeds = 60

// impostors is how often a forgery is tried.
const impostors = 100

// longFrameBits is the distance of the bits that are flipped in long packets.
const longFrameBits = 37

// interopSeeds is how many conversations two readings have.
const interopSeeds = 12
