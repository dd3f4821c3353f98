package seal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"parley/chat/internal/seal"
)

// The messenger's part in the walk: what a device keeps, all of it in one struct that can be copied and put back, as a database can.

// Kinds of bodies (chat/SPEC.md §4.4).
const (
	bodyContent = 1
	bodyStep    = 2
	bodyHeal    = 3
)

const (
	maxHeld        = 6  // sessions with one device
	maxGenerations = 7  // the current one and six before
	healEvery      = 40 // steps between two heals for one device
)

type envelopeID [sha256.Size]byte

// node is a device. Its identity never changes; everything else can be restored from a copy.
type node struct {
	*end
	index int
	keep
}

// keep is the database.
type keep struct {
	clock       int
	generations []generation // the newest last
	pool        []oneTimeKey
	sessions    []held
	rows        []row // the outbox, in the order in which the contents were made
	handshakes  map[seal.Ephemeral]seal.SessionID
	seen        map[envelopeID]seal.Tag
	opened      map[envelopeID]bool // by the packet inside, for the checks
	inbox       map[uint64]int      // messages that are shown, and how often
	made        map[uint64]bool     // messages that it wrote
	healed      []int               // when a heal was last sent to each device
}

type generation struct {
	signed              seal.ExchangeKey
	kem                 seal.KEMKey
	signedPub, kemPub   []byte
	signedName, kemName [8]byte
}

// oneTimeKey is a one-time X25519 prekey with its name.
type oneTimeKey struct {
	key    seal.ExchangeKey
	public []byte
	name   [8]byte
}

// held is a session with another device.
type held struct {
	peer     int
	id       seal.SessionID
	state    []byte
	made     int
	received int  // when a packet was last opened in it; 0: never
	frozen   bool // came back from a copy: nothing is sent on it
}

// row is an envelope that its device has not acknowledged. Every pair that it ever had stays good.
type row struct {
	to       int
	body     []byte
	packet   []byte
	pairs    []ackPair
	renewals int // how often it was sealed anew, for a reason
}

type ackPair struct {
	id      envelopeID
	tag     seal.Tag
	session seal.SessionID
	chain   seal.ChainID
}

func newNode(index, devices int) *node {
	n := &node{end: newEnd(string(rune('A' + index))), index: index}
	n.keep = keep{
		clock: 1, handshakes: map[seal.Ephemeral]seal.SessionID{}, seen: map[envelopeID]seal.Tag{}, opened: map[envelopeID]bool{},
		inbox: map[uint64]int{}, made: map[uint64]bool{}, healed: slices.Repeat([]int{-healEvery}, devices),
	}
	n.rotate()
	n.refill(3)
	return n
}

// clone copies the database. Packets and states are never written to, and so are shared.
func (k keep) clone() keep {
	k.generations, k.pool = slices.Clone(k.generations), slices.Clone(k.pool)
	k.sessions, k.rows, k.healed = slices.Clone(k.sessions), slices.Clone(k.rows), slices.Clone(k.healed)
	for i := range k.rows {
		k.rows[i].pairs = slices.Clone(k.rows[i].pairs)
	}
	k.handshakes, k.seen, k.opened = maps.Clone(k.handshakes), maps.Clone(k.seen), maps.Clone(k.opened)
	k.inbox, k.made = maps.Clone(k.inbox), maps.Clone(k.made)
	return k
}

func (n *node) rotate() {
	g := generation{signed: seal.NewExchangeKey(), kem: seal.NewKEMKey()}
	g.signedPub, g.kemPub = g.signed.Public(), g.kem.Public()
	g.signedName, g.kemName = id8(g.signedPub), id8(g.kemPub)
	n.generations = append(n.generations, g)
	n.generations = n.generations[max(0, len(n.generations)-maxGenerations):]
}

func (n *node) refill(count int) {
	for range count {
		k := oneTimeKey{key: seal.NewExchangeKey()}
		k.public = k.key.Public()
		k.name = id8(k.public)
		n.pool = append(n.pool, k)
	}
}

// find returns the index of a session; -1 where there is none.
func (n *node) find(id seal.SessionID) int {
	return slices.IndexFunc(n.sessions, func(h held) bool { return h.id == id })
}

// choose returns the session to send on: the one last received on; before any receipt, the one with the smaller sid.
func (n *node) choose(peer int) int {
	best := -1
	for i, h := range n.sessions {
		if h.peer != peer || h.frozen {
			continue
		}
		if best < 0 || h.received > n.sessions[best].received ||
			h.received == n.sessions[best].received && bytes.Compare(h.id[:], n.sessions[best].id[:]) < 0 {
			best = i
		}
	}
	return best
}

// hold adds a session, and returns what had to go for it: what was used least lately.
func (n *node) hold(h held) (gone []seal.SessionID) {
	n.clock++
	h.made = n.clock
	n.sessions = append(n.sessions, h)
	for n.with(h.peer) > maxHeld {
		oldest := -1
		for i, o := range n.sessions {
			if o.peer == h.peer && (oldest < 0 || max(o.made, o.received) < max(n.sessions[oldest].made, n.sessions[oldest].received)) {
				oldest = i
			}
		}
		gone = append(gone, n.sessions[oldest].id)
		n.sessions = slices.Delete(n.sessions, oldest, oldest+1)
	}
	return gone
}

func (n *node) with(peer int) (count int) {
	for _, h := range n.sessions {
		if h.peer == peer {
			count++
		}
	}
	return count
}

// keys finds the private halves that a first flight names.
func (n *node) keys(f *seal.First) (a seal.Answer, oneTime int, ok bool) {
	a.Identity, oneTime = n.identity, -1
	for _, g := range n.generations {
		if g.signedName == f.Signed && g.kemName == f.KEM { // whoever takes a bundle takes one record
			a.Signed, a.KEM, ok = g.signed, g.kem, true
		}
	}
	if f.UsesOneTime() {
		oneTime = slices.IndexFunc(n.pool, func(k oneTimeKey) bool { return k.name == f.OneTime })
		if oneTime < 0 {
			return a, -1, false
		}
		a.OneTime = &n.pool[oneTime].key
	}
	return a, oneTime, ok
}

func id8(key []byte) [8]byte {
	sum := sha256.Sum256(key)
	return [8]byte(sum[:8])
}

// inside returns the packet that carries the body: of a first flight, the one in it.
func inside(packet []byte) envelopeID {
	if f, err := secondParseFirst(packet); err == nil {
		return sha256.Sum256(f.inner)
	}
	return sha256.Sum256(packet)
}

func bodyOf(kind byte, message uint64, size int) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{kind}, message), make([]byte, size)...)
}
