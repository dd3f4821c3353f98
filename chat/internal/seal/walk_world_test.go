package seal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// mistake is what a messenger, or the package, could get wrong. The walk has to notice each.
type mistake int

const (
	noMistake         mistake = iota
	retriesReencrypt          // a retry is a new packet
	forgetsSeen               // neither envelopes nor messages are remembered
	forgetsHandshakes         // a first flight may begin a second session
	failedOpenMoves           // a packet that does not open moves the chain on
	keepsNoKeys               // late packets have no keys
	sendsOnRestored           // a state from a copy is sent on
)

// world is some devices, what is on its way between them, and the truth about all of it, which no device sees.
type world struct {
	t       testing.TB
	rng     *rand.Rand
	mistake mistake
	nodes   []*node
	copies  []*keep    // a copy of each device's database, or nil
	offered [][][]byte // one-time keys that are still given out, by device
	flying  []flight
	history []flight
	steps   int
	quiet   bool // no faults any more

	sealed   map[envelopeID]sealing // every packet, by the one inside
	places   map[place]bool
	messages []message
	tainted  map[seal.SessionID]bool // not every packet of it has to open: a side was restored, or left out very much
	skipped  map[seal.SessionID]int
	broken   error // the first invariant that did not hold
	tally
}

// tally counts what a walk met, so that a walk that meets nothing is seen.
type tally struct{ opened, refused, again, sessions, heals, renewals, restores, dropped int }

func (a *tally) add(b tally) {
	a.opened, a.refused, a.again, a.sessions = a.opened+b.opened, a.refused+b.refused, a.again+b.again, a.sessions+b.sessions
	a.heals, a.renewals, a.restores, a.dropped = a.heals+b.heals, a.renewals+b.renewals, a.restores+b.restores, a.dropped+b.dropped
}

func (a tally) String() string {
	return fmt.Sprintf("%d packets opened, %d refused, %d seen before; %d sessions, %d given up; %d heals, %d rows sealed anew, %d restores",
		a.opened, a.refused, a.again, a.sessions, a.dropped, a.heals, a.renewals, a.restores)
}

type flight struct {
	from, to int
	packet   []byte
}

// sealing is what a packet was made of.
type sealing struct {
	from, to int
	session  seal.SessionID
	body     []byte
	tag      seal.Tag
}

// place is where one packet key belongs.
type place struct {
	from    int
	session seal.SessionID
	chain   seal.ChainID
	n       uint32
}

type message struct {
	from, to int
	excused  bool // a restored device may have lost it
}

func newWorld(t testing.TB, seed uint64, devices int, m mistake) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 2)), mistake: m, copies: make([]*keep, devices), offered: make([][][]byte, devices),
		sealed: map[envelopeID]sealing{}, places: map[place]bool{}, tainted: map[seal.SessionID]bool{}, skipped: map[seal.SessionID]int{},
	}
	for i := range devices {
		w.nodes = append(w.nodes, newNode(i, devices))
		w.publish(w.nodes[i])
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf("step %d: "+format, append([]any{w.steps}, args...)...)
	}
}

func (w *world) publish(n *node) {
	w.offered[n.index] = nil
	for _, k := range n.pool {
		w.offered[n.index] = append(w.offered[n.index], k.public)
	}
}

// bundle is what a directory and a host hand out: at times an old record, no one-time key, or one for the second time.
func (w *world) bundle(of *node) seal.Bundle {
	g := of.generations[len(of.generations)-1]
	if len(of.generations) > 1 && w.rng.IntN(8) == 0 && !w.quiet {
		g = of.generations[len(of.generations)-2]
	}
	b := seal.Bundle{Signed: g.signedPub, KEM: g.kemPub}
	if keys := w.offered[of.index]; len(keys) > 0 && w.rng.IntN(4) > 0 {
		b.OneTime = keys[0]
		if w.rng.IntN(16) > 0 {
			w.offered[of.index] = keys[1:]
		}
	}
	return b
}

// begin starts a session with a device and returns its index.
func (w *world) begin(n *node, peer int) int {
	to := w.nodes[peer]
	s, err := seal.Initiate(n.party, n.identity, n.certificate, to.party, w.bundle(to))
	if err != nil {
		w.fail("begin: %v", err)
		return -1
	}
	w.held(n.hold(held{peer: peer, id: s.ID(), state: s.Marshal()}))
	return n.find(s.ID())
}

func (w *world) held(gone []seal.SessionID) {
	w.sessions++
	for _, id := range gone {
		w.dropped++
		w.tainted[id] = true
	}
}

func (w *world) parse(state []byte) *seal.Session {
	s, err := seal.ParseSession(state)
	if err != nil {
		w.t.Fatal(err) // it was just written
	}
	return s
}

// seal closes a row's body in the next packet of a session.
func (w *world) seal(n *node, session int, r *row) {
	h := &n.sessions[session]
	if h.frozen {
		w.fail("device %d sends on a session that came from a copy", n.index)
	}
	s := w.parse(h.state)
	packet, tag, chain, err := s.Seal(r.body)
	if err != nil {
		w.fail("seal: %v", err)
		return
	}
	h.state = s.Marshal()
	p, err := seal.Parse(packet)
	if err != nil {
		w.fail("a packet of our own: %v", err)
		return
	}
	w.note(n.index, p, chain)
	r.packet = packet
	r.pairs = append(r.pairs, ackPair{sha256.Sum256(packet), tag, h.id, chain})
	w.sealed[inside(packet)] = sealing{n.index, r.to, h.id, r.body, tag}
}

// note checks that no packet key is ever used twice.
func (w *world) note(from int, p *seal.Packet, chain seal.ChainID) {
	at, n := p.Position()
	where := place{from, p.Session, at, n}
	if at != chain || w.places[where] {
		w.fail("two packets at place %d of chain %x", n, at)
	}
	w.places[where] = true
}

// send queues a body for a device, on a given session or, with -1, on the one that the rule says; and puts it on its way.
func (w *world) send(n *node, peer, session int, body []byte) {
	if session < 0 {
		session = n.choose(peer)
	}
	if session < 0 {
		session = w.begin(n, peer)
	}
	r := row{to: peer, body: body}
	w.seal(n, session, &r)
	n.rows = append(n.rows, r)
	w.transmit(n.index, peer, r.packet)
}

// write sends a new message.
func (w *world) write(n *node, peer, session int) {
	id := uint64(len(w.messages))
	w.messages = append(w.messages, message{from: n.index, to: peer})
	n.made[id] = true
	w.send(n, peer, session, bodyOf(bodyContent, id, w.rng.IntN(40)))
}

func (w *world) transmit(from, to int, packet []byte) {
	w.flying = append(w.flying, flight{from, to, packet})
	w.history = append(w.history, flight{from, to, packet})
}

// retry puts a row on its way again, byte for byte.
func (w *world) retry(n *node, i int) {
	r := &n.rows[i]
	if w.mistake == retriesReencrypt {
		if session := n.choose(r.to); session >= 0 {
			w.seal(n, session, r)
		}
	}
	if len(r.pairs) != 1+r.renewals {
		w.fail("a row has %d packets after %d renewals", len(r.pairs), r.renewals)
	}
	w.transmit(n.index, r.to, r.packet)
}

// deliver hands a packet to its device, and the acknowledgement back, which may be lost.
func (w *world) deliver(f flight) {
	tag, ok := w.receive(w.nodes[f.to], f.from, f.packet)
	if ok && (w.quiet || w.rng.IntN(4) > 0) {
		w.acknowledge(w.nodes[f.from], sha256.Sum256(f.packet), tag)
	}
}

// acknowledge takes a row away, where the tag is right.
func (w *world) acknowledge(n *node, id envelopeID, tag seal.Tag) {
	for i, r := range n.rows {
		for _, p := range r.pairs {
			if p.id != id || p.tag != tag {
				continue
			}
			if at := n.find(p.session); at >= 0 {
				s := w.parse(n.sessions[at].state)
				s.Confirm(p.chain)
				n.sessions[at].state = s.Marshal()
			}
			n.rows = slices.Delete(n.rows, i, i+1)
			return
		}
	}
}

// receive is the way in: seen before, a session that is known, a first flight, or something to heal.
func (w *world) receive(n *node, from int, packet []byte) (tag seal.Tag, ok bool) {
	n.clock++
	if tag, ok := n.seen[sha256.Sum256(packet)]; ok {
		w.again++
		return tag, true
	}
	p, err := seal.Parse(packet)
	if err != nil {
		if _, ours := w.sealed[inside(packet)]; ours {
			w.fail("a packet that was sealed is none: %v", err)
		}
		return tag, false
	}
	if i := n.find(p.Session); i >= 0 {
		return w.open(n, i, p, packet)
	}
	if p.First != nil {
		return w.answer(n, p, packet)
	}
	w.refused++
	w.heal(n, from)
	return tag, false
}

func (w *world) open(n *node, i int, p *seal.Packet, packet []byte) (tag seal.Tag, ok bool) {
	before := n.sessions[i].state
	s := w.parse(before)
	body, tag, err := s.Open(p)
	if err != nil {
		if w.mistake == failedOpenMoves {
			s.Break()
		}
		if !bytes.Equal(s.Marshal(), before) {
			w.fail("a failed open changed the state")
		}
		n.sessions[i].state = s.Marshal()
		w.refused++
		w.shouldFail(n, i, s, packet, err)
		w.heal(n, n.sessions[i].peer)
		return tag, false
	}
	if w.mistake == keepsNoKeys {
		s.Forget()
	}
	n.sessions[i].state, n.sessions[i].received = s.Marshal(), n.clock
	w.took(n, n.sessions[i].peer, s, packet, body, tag)
	return tag, true
}

// shouldFail checks that a packet which did not open did not have to.
func (w *world) shouldFail(n *node, i int, s *seal.Session, packet []byte, err error) {
	if s.Kept() > seal.MaxKept || len(s.Marshal()) > mostState {
		w.fail("%d keys kept, a state of %d bytes", s.Kept(), len(s.Marshal()))
	}
	what, ours := w.sealed[inside(packet)]
	if ours && what.to == n.index && !n.opened[inside(packet)] && !w.tainted[n.sessions[i].id] {
		w.fail("a packet of a session that both have does not open: %v", err)
	}
}

// answer makes the session that a first flight begins, where it may.
func (w *world) answer(n *node, p *seal.Packet, packet []byte) (tag seal.Tag, ok bool) {
	c, err := wire.ParseCertificate(p.First.Certificate)
	if err != nil {
		return tag, false
	}
	peer := slices.IndexFunc(w.nodes, func(o *node) bool { return o.party.Device == c.Device })
	_, again := n.handshakes[p.First.Replay()]
	a, oneTime, ok := n.keys(p.First)
	if again && w.mistake != forgetsHandshakes || !ok || peer < 0 {
		w.refused++
		w.heal(n, peer)
		return tag, false
	}
	s, err := seal.Respond(n.party, seal.Party{Account: c.Account, Device: c.Device, Exchange: c.Exchange}, p.First, a)
	var body []byte
	if err == nil {
		body, tag, err = s.Open(p)
	}
	if err != nil {
		w.refused++
		w.heal(n, peer)
		return tag, false
	}
	w.held(n.hold(held{peer: peer, id: s.ID(), state: s.Marshal(), received: n.clock}))
	n.handshakes[p.First.Replay()] = s.ID()
	if oneTime >= 0 {
		n.pool = slices.Delete(n.pool, oneTime, oneTime+1)
	}
	w.took(n, peer, s, packet, body, tag)
	return tag, true
}

// took stores what a packet held, once.
func (w *world) took(n *node, peer int, s *seal.Session, packet, body []byte, tag seal.Tag) {
	in := inside(packet)
	what, ours := w.sealed[in]
	switch {
	case !ours:
		w.fail("opened %x, which nobody sealed", body)
	case !bytes.Equal(what.body, body) || what.tag != tag || what.to != n.index || what.from != peer || what.session != s.ID():
		w.fail("%x from %d, tag %x, opened as %x from %d, tag %x", what.body, what.from, what.tag, body, peer, tag)
	case n.opened[in]:
		w.fail("%x opened twice", body)
	case s.Kept() > seal.MaxKept || len(s.Marshal()) > mostState:
		w.fail("%d keys kept, a state of %d bytes", s.Kept(), len(s.Marshal()))
	}
	w.opened++
	n.opened[in] = true
	if w.mistake != forgetsSeen {
		n.seen[sha256.Sum256(packet)] = tag
	}
	switch body[0] {
	case bodyContent:
		id := binary.BigEndian.Uint64(body[1:])
		if n.inbox[id] == 0 || w.mistake == forgetsSeen {
			n.inbox[id]++
		}
		if n.inbox[id] > 1 {
			w.fail("message %d is shown twice", id)
		}
	case bodyHeal:
		w.renew(n, peer)
	}
	if s.Owes() {
		w.send(n, peer, -1, bodyOf(bodyStep, 0, 0))
	}
}

// mostState is what a session's state may have in bytes: 2,000 keys of 44 bytes, two chains, a handshake.
const mostState = seal.MaxKept*44 + 2*2400 + 2200

// heal begins a new session with a device of which something did not open, and says so on it. The newest heal stands for all.
func (w *world) heal(n *node, peer int) {
	if peer < 0 || peer == n.index || w.steps-n.healed[peer] < healEvery {
		return
	}
	w.heals++
	n.healed[peer] = w.steps
	n.rows = slices.DeleteFunc(n.rows, func(r row) bool { return r.to == peer && r.body[0] == bodyHeal })
	w.send(n, peer, w.begin(n, peer), bodyOf(bodyHeal, 0, 0))
}

// renew seals what a device has not acknowledged anew, on the session that is now sent on. The old pairs stay good.
func (w *world) renew(n *node, peer int) {
	session := n.choose(peer)
	if session < 0 {
		session = w.begin(n, peer)
	}
	for i := range n.rows {
		r := &n.rows[i]
		if r.to == peer && r.pairs[len(r.pairs)-1].session != n.sessions[session].id {
			w.seal(n, session, r)
			r.renewals++
			w.renewals++
		}
	}
}

// restore puts an old copy back. Nothing is sent on its sessions: it makes new prekeys, begins anew with everybody, and says so.
func (w *world) restore(n *node) {
	w.restores++
	for i := range w.messages {
		m := &w.messages[i]
		lost := m.to == n.index && n.inbox[uint64(i)] > 0 && w.copies[n.index].inbox[uint64(i)] == 0
		unwritten := m.from == n.index && !w.copies[n.index].made[uint64(i)]
		m.excused = m.excused || lost || unwritten
	}
	for _, k := range []keep{n.keep, *w.copies[n.index]} {
		w.taint(n.index, k)
	}
	n.keep = w.copies[n.index].clone()
	if w.mistake == sendsOnRestored {
		return
	}
	for i := range n.sessions {
		n.sessions[i].frozen = true
	}
	n.rotate()
	n.pool = nil
	n.refill(3)
	w.publish(n)
	for peer := range w.nodes {
		if peer != n.index && (n.with(peer) > 0 || slices.ContainsFunc(n.rows, func(r row) bool { return r.to == peer })) {
			n.healed[peer] = w.steps - healEvery
			w.heal(n, peer)
			w.renew(n, peer)
		}
	}
}

// taint marks every session that a device has or had.
func (w *world) taint(index int, k keep) {
	for _, h := range k.sessions {
		w.tainted[h.id] = true
	}
	for _, s := range w.sealed {
		if s.from == index || s.to == index {
			w.tainted[s.session] = true
		}
	}
}

var errUnsettled = errors.New("rows are left that nobody acknowledges")

// settle lets every row arrive, without faults.
func (w *world) settle() error {
	w.quiet, w.flying = true, nil
	for range 40 {
		w.steps += healEvery
		left := 0
		for _, n := range w.nodes {
			left += len(n.rows)
			for i := range n.rows {
				w.retry(n, i)
			}
		}
		if left == 0 {
			return w.broken
		}
		for len(w.flying) > 0 && w.broken == nil {
			f := w.flying[0]
			w.flying = w.flying[1:]
			w.deliver(f)
		}
		if w.broken != nil {
			return w.broken
		}
	}
	return errUnsettled
}

// agree checks the ledger: every message that nobody was allowed to lose is there once, and everybody can talk to everybody.
func (w *world) agree() error {
	if err := w.settle(); err != nil {
		return err
	}
	for range 2 {
		for _, n := range w.nodes {
			for peer := range w.nodes {
				if peer != n.index {
					w.write(n, peer, -1)
				}
			}
		}
		if err := w.settle(); err != nil {
			return err
		}
	}
	for i, m := range w.messages {
		if shown := w.nodes[m.to].inbox[uint64(i)]; shown != 1 && !m.excused {
			return fmt.Errorf("message %d from %d to %d is shown %d times", i, m.from, m.to, shown)
		}
	}
	return nil
}
