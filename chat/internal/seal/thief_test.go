package seal_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/chat/internal/seal"
)

// thief knows every packet and some keys, and derives all that can be derived from them: whatever a root, a pair and a KEM key give.
type thief struct {
	t       *testing.T
	th      []byte
	roots   [][]byte
	x       []*ecdh.PrivateKey
	kems    []*mlkem.DecapsulationKey768
	chains  map[[8]byte][]chainKey
	kept    map[[8]byte]map[uint32][]byte
	publics [][]byte // X25519 keys that were ever seen
	shared  map[string][]byte
	packets []secondPacket
	read    map[int]bool // which packets he has opened
}

// chainKey opens the places of a chain from n on.
type chainKey struct {
	ck []byte
	n  uint32
}

// heist is a conversation with everything that a thief could want, and when it came to be.
type heist struct {
	t          *testing.T
	a, b       *end
	as, bs     *seal.Session
	log        []spoken
	xs, seeds  [][]byte // every ratchet key of both sides
	lastChains [2]seal.ChainID
}

type spoken struct {
	from   int
	packet []byte
	chain  seal.ChainID
	opened bool
}

func newHeist(t *testing.T, oneTime bool) *heist {
	h := &heist{t: t, a: newEnd("a"), b: newEnd("b")}
	if oneTime {
		h.b.offerOneTime()
	}
	h.as = h.a.initiate(t, h.b)
	return h
}

// say sends one packet from a side and, unless it is lost, opens it at the other.
func (h *heist) say(from int, lost bool) {
	s, o := h.as, h.bs
	if from == 1 {
		s, o = h.bs, h.as
	}
	packet, _, chain, err := s.Seal(fmt.Appendf(nil, "packet %d", len(h.log)))
	if err != nil {
		h.t.Fatal(err)
	}
	l := s.Loot()
	h.xs, h.seeds = append(h.xs, l.DH), append(h.seeds, l.KEM)
	h.log, h.lastChains[from] = append(h.log, spoken{from, packet, chain, !lost}), chain
	if lost {
		return
	}
	if o == nil {
		if h.bs, _, _, err = h.b.respond(packet); err != nil {
			h.t.Fatal(err)
		}
		return
	}
	get(h.t, o, packet)
}

// chat speaks in turns, of one to three packets each.
func (h *heist) chat(rng *rand.Rand, turns, first int) {
	for i := range turns {
		for range 1 + rng.IntN(3) {
			h.say((first+i)%2, false)
		}
	}
}

// thief takes what is public: every packet, and the transcript hash.
func (h *heist) thief() *thief {
	t := &thief{
		t: h.t, th: h.as.Loot().Transcript, chains: map[[8]byte][]chainKey{}, kept: map[[8]byte]map[uint32][]byte{},
		shared: map[string][]byte{}, read: map[int]bool{},
	}
	t.publics = [][]byte{h.a.party.Exchange, h.b.party.Exchange, h.b.signed.Public()}
	for _, s := range h.log {
		p, err := secondParse(inner(s.packet))
		if err != nil {
			h.t.Fatal(err)
		}
		t.packets = append(t.packets, p)
		if p.form == secondFull {
			t.publics = append(t.publics, p.dh)
		}
	}
	return t
}

func inner(packet []byte) []byte {
	if f, err := secondParseFirst(packet); err == nil {
		return f.inner
	}
	return packet
}

// steal adds a whole session state.
func (t *thief) steal(l seal.Loot) {
	t.roots, t.x = append(t.roots, l.Root), append(t.x, x25519(l.DH))
	if l.KEM != nil {
		t.kems = append(t.kems, mlkem768(l.KEM))
	}
	t.chains[l.Ours] = append(t.chains[l.Ours], chainKey{l.SendKey, l.Sent})
	t.chains[l.Theirs] = append(t.chains[l.Theirs], chainKey{l.RecvKey, l.Received})
	for _, k := range l.Kept {
		if t.kept[k.Chain] == nil {
			t.kept[k.Chain] = map[uint32][]byte{}
		}
		t.kept[k.Chain][k.N] = k.Key
	}
}

// agree returns the secret of two public keys, if he has the private half of either.
func (t *thief) agree(one, other []byte) []byte {
	for _, k := range t.x {
		for _, pair := range [][2][]byte{{one, other}, {other, one}} {
			if !bytes.Equal(k.PublicKey().Bytes(), pair[0]) {
				continue
			}
			id := string(pair[0]) + string(pair[1])
			if t.shared[id] == nil {
				t.shared[id], _ = agree2(k, pair[1])
			}
			return t.shared[id]
		}
	}
	return nil
}

// handshake derives the first root from a first flight, if he has the keys for it.
func (t *thief) handshake(h *heist) {
	f, err := secondParseFirst(h.log[0].packet)
	if err != nil {
		t.t.Fatal(err)
	}
	spk, opk := h.b.signed.Public(), []byte(nil)
	dhs := [][]byte{t.agree(h.a.party.Exchange, spk), t.agree(f.ek, h.b.party.Exchange), t.agree(f.ek, spk)}
	if h.b.oneTime != nil {
		opk = h.b.oneTime.Public()
		dhs = append(dhs, t.agree(f.ek, opk))
	}
	if slices.ContainsFunc(dhs, func(b []byte) bool { return b == nil }) {
		return
	}
	pa, _, _ := h.a.second()
	pb, _, _ := h.b.second()
	guesses := [][]byte{make([]byte, 32)}
	for _, k := range t.kems {
		ss, err := k.Decapsulate(f.ct)
		if err == nil {
			guesses = append(guesses, ss)
		}
	}
	for _, ss := range guesses {
		_, root, _ := secondRoot(pa, pb, f.ek, spk, h.b.kem.Public(), opk, f.ct, dhs, ss)
		t.roots = append(t.roots, root)
	}
}

// run derives until nothing new comes out, and returns how many packets he reads.
func (t *thief) run() int {
	for again := true; again; {
		again = false
		t.openAll()
		for i := range t.packets {
			if p := t.packets[i]; p.form == secondFull && !t.reads(p.chain) && t.ratchet(p) {
				again = true
			}
		}
	}
	return len(t.read)
}

// reads reports whether he has a chain from its first packet on.
func (t *thief) reads(chain [8]byte) bool {
	return slices.ContainsFunc(t.chains[chain], func(k chainKey) bool { return k.n == 0 })
}

// ratchet tries every root, every agreement and every KEM key on a chain's public part.
func (t *thief) ratchet(p secondPacket) bool {
	secrets := [][]byte{make([]byte, 32)}
	for _, k := range t.kems {
		if ss, err := k.Decapsulate(p.ct); err == nil {
			secrets = append(secrets, ss)
		}
	}
	for _, public := range t.publics {
		shared := t.agree(p.dh, public)
		if shared == nil {
			continue
		}
		for _, root := range t.roots {
			for _, ss := range secrets {
				s := &secondSession{rk: root}
				c := &secondChain{dh: p.dh, ek: p.ek, ct: p.ct}
				s.step(c, shared, ss)
				if t.fits(p, chainKey{c.ck, 0}) {
					t.roots, t.chains[p.chain] = append(t.roots, s.rk), append(t.chains[p.chain], chainKey{c.ck, 0})
					return true
				}
			}
		}
	}
	return false
}

// fits reports whether a chain key opens a packet.
func (t *thief) fits(p secondPacket, k chainKey) bool {
	if p.n < k.n {
		return false
	}
	for range p.n - k.n {
		k.ck = hmac2(k.ck, "\x02")
	}
	return t.opens(p, hmac2(k.ck, "\x01"))
}

func (t *thief) opens(p secondPacket, mk []byte) bool {
	aead, _ := body2(mk)
	_, err := aead.Open(nil, p.nonce, p.body, slices.Concat(t.th, p.head))
	return err == nil
}

func (t *thief) openAll() {
	for i, p := range t.packets {
		if mk := t.kept[p.chain][p.n]; mk != nil && t.opens(p, mk) {
			t.read[i] = true
		}
		for _, k := range t.chains[p.chain] {
			if !t.read[i] && t.fits(p, k) {
				t.read[i] = true
			}
		}
	}
}

// TestTheThiefOfTheseTestsIsAble gives him everything: a thief who reads nothing then would prove nothing.
func TestTheThiefOfTheseTestsIsAble(t *testing.T) {
	for _, oneTime := range []bool{false, true} {
		h := newHeist(t, oneTime)
		h.chat(rand.New(rand.NewPCG(1, 4)), 7, 0)
		th := h.thief()
		h.giveX(th)
		h.giveKEM(th)
		th.handshake(h)
		if n := th.run(); n != len(h.log) {
			t.Errorf("with every key he reads %d of %d", n, len(h.log))
		}
	}
}

// giveX gives every X25519 key that was ever made; giveKEM every ML-KEM key.
func (h *heist) giveX(t *thief) {
	keys := append(slices.Clone(h.xs), h.a.identity.Bytes(), h.b.identity.Bytes(), h.b.signed.Bytes())
	if h.b.oneTime != nil {
		keys = append(keys, h.b.oneTime.Bytes())
	}
	for _, k := range keys {
		t.x = append(t.x, x25519(k))
	}
}

func (h *heist) giveKEM(t *thief) {
	for _, k := range append(slices.Clone(h.seeds), h.b.kem.Bytes()) {
		t.kems = append(t.kems, mlkem768(k))
	}
}

// TestAQuantumComputerForOneHalfReadsNothing knows every X25519 key and no ML-KEM key, or the other way around.
func TestAQuantumComputerForOneHalfReadsNothing(t *testing.T) {
	for _, oneTime := range []bool{false, true} {
		h := newHeist(t, oneTime)
		h.chat(rand.New(rand.NewPCG(2, 4)), 8, 0)
		curve, lattice := h.thief(), h.thief()
		h.giveX(curve)
		curve.handshake(h)
		h.giveKEM(lattice)
		lattice.handshake(h)
		if n, m := curve.run(), lattice.run(); n+m != 0 {
			t.Errorf("with every X25519 key he reads %d, with every ML-KEM key %d, of %d", n, m, len(h.log))
		}
	}
}

// TestATheftShowsNothingOfThePast steals the states of both sides, the identities, and the prekeys that were made since.
func TestATheftShowsNothingOfThePast(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 5))
		h := newHeist(t, seed%2 == 0)
		h.chat(rng, 2+rng.IntN(7), 0)
		th := h.thief()
		th.steal(h.as.Loot())
		th.steal(h.bs.Loot())
		th.x = append(th.x, x25519(h.a.identity.Bytes()), x25519(h.b.identity.Bytes()))
		if seed%2 == 0 { // the one-time key was destroyed when it was used: the others may still be there
			th.x, th.kems = append(th.x, x25519(h.b.signed.Bytes())), append(th.kems, mlkem768(h.b.kem.Bytes()))
		}
		th.handshake(h)
		if n := th.run(); n != 0 {
			t.Errorf("seed %d: he reads %d of %d", seed, n, len(h.log))
		}
	}
}

// TestWhatATheftShowsOfThePast pins down the two exceptions: keys that are kept for packets which never came, and, without a one-time
// key, an initiator's first chain for as long as the prekeys are kept.
func TestWhatATheftShowsOfThePast(t *testing.T) {
	h := newHeist(t, false)
	h.say(0, false)
	h.say(0, true) // lost: B keeps its key
	h.say(0, false)
	h.chat(rand.New(rand.NewPCG(3, 5)), 4, 1)
	th := h.thief()
	th.steal(h.bs.Loot())
	if n := th.run(); n != 1 || !th.read[1] {
		t.Errorf("a state shows %v; it has the key of packet 1", th.read)
	}
	th = h.thief()
	th.steal(h.bs.Loot())
	th.x = append(th.x, x25519(h.b.identity.Bytes()), x25519(h.b.signed.Bytes()))
	th.kems = append(th.kems, mlkem768(h.b.kem.Bytes()))
	th.handshake(h)
	th.run()
	for i, s := range h.log {
		if first := s.chain == h.log[0].chain; th.read[i] != first {
			t.Errorf("packet %d: read %v, on the first chain %v", i, th.read[i], first)
		}
	}
}

// TestATheftHeals steals one side's state and prekeys and goes on listening. He reads the chains that were there, and the next of
// the other side where that answers to the pair he has; nothing once the robbed side has answered and been answered. So it is with
// a quantum computer for X25519 on top.
func TestATheftHeals(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 6))
		robbed := int(seed % 2)
		h := newHeist(t, seed%4 < 2)
		h.chat(rng, 3+rng.IntN(3), 0)
		loot, victim := h.as.Loot(), h.as
		if robbed == 1 {
			loot, victim = h.bs.Loot(), h.bs
		}
		may := map[seal.ChainID]bool{loot.Ours: true, loot.Theirs: true}
		answersNow := victim.Starts() // the robbed side makes a new pair at its next send
		stolen := len(h.log)
		h.say(1-robbed, false) // answers to the stolen pair, or goes on on a chain that he has
		may[h.lastChains[1-robbed]] = true
		if answersNow != (h.lastChains[1-robbed] == loot.Theirs) {
			t.Fatalf("seed %d: the other side is on another chain than expected", seed)
		}
		h.say(robbed, false) // the round trip is done
		done := len(h.log)
		h.chat(rng, 6, 1-robbed)
		for _, quantum := range []bool{false, true} {
			th := h.thief()
			th.steal(loot)
			th.kems = append(th.kems, mlkem768(h.b.kem.Bytes()))
			th.x = append(th.x, x25519(h.a.identity.Bytes()), x25519(h.b.identity.Bytes()), x25519(h.b.signed.Bytes()))
			if quantum {
				h.giveX(th)
			}
			th.run()
			for i := stolen; i < len(h.log); i++ {
				if th.read[i] && (i >= done || !may[h.log[i].chain]) {
					t.Errorf("seed %d, quantum %v: he reads packet %d, %d after the theft", seed, quantum, i, i-stolen)
				}
			}
			if !th.read[stolen] || th.read[done-1] {
				t.Errorf("seed %d, quantum %v: right after the theft he reads %v, the answer %v", seed, quantum, th.read[stolen], th.read[done-1])
			}
		}
	}
}

// TestTheRoundTripBeginsWithTheOtherSide shows why the round trip has to begin with the other side: what the robbed side says on a chain
// that is there already heals nothing.
func TestTheRoundTripBeginsWithTheOtherSide(t *testing.T) {
	h := newHeist(t, true)
	h.chat(rand.New(rand.NewPCG(7, 7)), 4, 0)
	h.say(0, false) // A has a chain of its own: it starts none now
	loot := h.as.Loot()
	from := len(h.log)
	h.say(0, false) // on the stolen chain
	h.say(1, false) // answers to the stolen pair
	h.say(1, false)
	h.say(0, false) // only now A makes a pair that the thief lacks
	h.say(1, false)
	th := h.thief()
	th.steal(loot)
	th.run()
	for i, want := range []bool{true, true, true, false, false} {
		if th.read[from+i] != want {
			t.Errorf("packet %d after the theft: read %v, want %v", i, th.read[from+i], want)
		}
	}
}
