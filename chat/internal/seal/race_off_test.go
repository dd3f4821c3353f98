//go:build !race

package seal_test

// usualSeeds is how many walks a usual run takes.
const usualSeeds = 300

// impostors is how often a forgery is tried.
const impostors = 1000

// longFrameBits is the distance of the bits that are flipped in long packets.
const longFrameBits = 1

// interopSeeds is how many conversations two readings have.
const interopSeeds = 80
