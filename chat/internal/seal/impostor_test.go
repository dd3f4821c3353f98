package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// TestWhoHasMyKeysCannotPoseAsOthersToMe is key-compromise impersonation: Mallory has all of A's long-term keys (account, device, IK)
// and begins sessions with A as B. DH1 needs B's IK or A's signed prekey.
func TestWhoHasMyKeysCannotPoseAsOthersToMe(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	a.offerOneTime()
	accepted := 0
	for i := range impostors {
		identity := a.identity
		if i%2 == 0 {
			identity = seal.NewExchangeKey()
		}
		s, err := seal.Initiate(b.party, identity, b.certificate, a.party, a.bundle())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := a.respond(put(t, s, "it is me, B")); err == nil {
			accepted++
		}
	}
	if accepted > 0 {
		t.Errorf("%d of %d accepted", accepted, impostors)
	}
}

// TestWhoHasMySignedPrekeyTooCan pins down where that ends, as in X3DH: A's signed prekey alone computes DH1 with anybody's IK. It is why
// prekeys form generations, and why whoever was robbed makes new ones.
func TestWhoHasMySignedPrekeyTooCan(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	m, _, _ := a.second() // Mallory computes DH1 = (SPK_A, IK_B) with the private key of the other side
	m.identity = x25519(a.signed.Bytes())
	m.account, m.device, m.ik = b.party.Account, b.party.Device, b.party.Exchange
	pa, _, bundle := a.second()
	s, err := secondInitiateWith(m, pa, b, bundle)
	if err != nil {
		t.Fatal(err)
	}
	packet, _, err := s.seal(secondFirst, []byte("it is me, B"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := a.respond(packet); err != nil {
		t.Errorf("the limit that is written down is not there: %v", err)
	}
	a.signed = seal.NewExchangeKey()
	if _, _, _, err := a.respond(packet); err == nil {
		t.Error("accepted after the prekey is gone")
	}
}

// secondInitiateWith begins as b, with DH1 made from A's signed prekey and B's public IK.
func secondInitiateWith(m, to secondParty, b *end, bundle secondBundle) (*secondSession, error) {
	draw := secondRandom()
	ek := draw.x25519()
	ss, ct := draw.encaps(mustKEM(bundle.kem))
	dh1, e1 := agree2(m.identity, b.party.Exchange)
	dh2, e2 := agree2(ek, to.ik)
	dh3, e3 := agree2(ek, bundle.signed)
	if err := errors.Join(e1, e2, e3); err != nil {
		return nil, err
	}
	s := &secondSession{draw: draw, theirDH: bundle.signed, newChain: true}
	s.th, s.rk, s.sid = secondRoot(m, to, ek.PublicKey().Bytes(), bundle.signed, bundle.kem, nil, ct, [][]byte{dh1, dh2, dh3}, ss)
	s.front = slices.Concat([]byte{1, secondFirst}, lp2(b.party.Account), lp2(b.certificate), ek.PublicKey().Bytes(),
		id2(bundle.signed), id2(bundle.kem), make([]byte, 8), ct)
	return s, nil
}

// TestBothMeanTheSameTwo swaps every part of who talks to whom, on either side: nothing opens (unknown key share, misbinding).
func TestBothMeanTheSameTwo(t *testing.T) {
	a, b, c := newEnd("a"), newEnd("b"), newEnd("c")
	with := func(p seal.Party, change func(*seal.Party)) seal.Party { change(&p); return p }
	wrong := map[string]func(*seal.Party){
		"account":  func(p *seal.Party) { p.Account = c.party.Account },
		"device":   func(p *seal.Party) { p.Device = c.party.Device },
		"exchange": func(p *seal.Party) { p.Exchange = c.party.Exchange },
		"all":      func(p *seal.Party) { *p = c.party },
	}
	try := func(name string, initiator, to, responder, from seal.Party) {
		t.Helper()
		s, err := seal.Initiate(initiator, a.identity, a.certificate, to, b.bundle())
		if err != nil {
			t.Fatal(err)
		}
		p, err := seal.Parse(put(t, s, "x"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := seal.Respond(responder, from, p.First, b.answer())
		if err == nil {
			_, _, err = r.Open(p)
		}
		if (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	try("", a.party, b.party, b.party, a.party)
	for name, change := range wrong {
		try("initiator takes itself for another: "+name, with(a.party, change), b.party, b.party, a.party)
		try("initiator takes the responder for another: "+name, a.party, with(b.party, change), b.party, a.party)
		try("responder takes itself for another: "+name, a.party, b.party, with(b.party, change), a.party)
		try("responder takes the initiator for another: "+name, a.party, b.party, b.party, with(a.party, change))
	}
	try("roles swapped", a.party, b.party, a.party, b.party)
}

// TestAForeignCertificateClaimsNothing puts Mallory's account before Alice's first flight: he certifies her device and her IK as his.
func TestAForeignCertificateClaimsNothing(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	_, mallory, _ := ed25519.GenerateKey(rand.Reader)
	packet := put(t, a.initiate(t, b), "hello")
	f, err := secondParseFirst(packet)
	if err != nil {
		t.Fatal(err)
	}
	mine := endOf("m", mallory, a.device, a.identity)
	forged := slices.Concat([]byte{1, secondFirst}, lp2(mine.party.Account), lp2(mine.certificate), f.ek, f.spk, f.kem, f.opk, f.ct, lp2(f.inner))
	if _, _, _, err := b.respond(forged); err == nil {
		t.Error("her words under his name")
	}
	half := slices.Concat([]byte{1, secondFirst}, lp2(mine.party.Account), lp2(f.certificate), f.ek, f.spk, f.kem, f.opk, f.ct, lp2(f.inner))
	if _, _, _, err := b.respond(half); err == nil {
		t.Error("her certificate under his account")
	}
	if _, _, _, err := newEnd("c").respond(packet); err == nil {
		t.Error("somebody else opens it")
	}
	sibling := newEnd("another of b") // the same prekeys by accident, and another device
	sibling.identity, sibling.signed, sibling.kem = b.identity, b.signed, b.kem
	if _, _, _, err := sibling.respond(packet); err == nil {
		t.Error("another device with the same keys opens it")
	}
	if _, body, _, err := b.respond(packet); err != nil || string(body) != "hello" {
		t.Errorf("%q, %v", body, err)
	}
}

// TestAFirstFlightIsOneSession replays a first flight: the same name each time, by which it is known, and nothing once a key is gone.
func TestAFirstFlightIsOneSession(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	s := a.initiate(t, b)
	packet, next := put(t, s, "one"), put(t, s, "two")
	bs, _, _, err := b.respond(packet)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := seal.Parse(packet)
	q, _ := seal.Parse(next)
	if p.First.Replay() != q.First.Replay() || p.Session != q.Session {
		t.Error("two packets of one first flight are two handshakes")
	}
	other, _ := seal.Parse(put(t, a.initiate(t, b), "one"))
	if other.First.Replay() == p.First.Replay() {
		t.Error("two handshakes are one")
	}
	state := bs.Marshal()
	for range impostors {
		if _, _, err := bs.Open(p); !errors.Is(err, seal.ErrKnown) {
			t.Fatalf("a replay: %v", err)
		}
		bs = restore(t, bs.Marshal())
	}
	if !bytes.Equal(state, bs.Marshal()) {
		t.Error("replays changed the state")
	}
	again, _, _, err := b.respond(packet)
	if err != nil || again.ID() != bs.ID() {
		t.Errorf("the same handshake gives another session: %v", err)
	}
	b.kem = seal.NewKEMKey()
	if _, _, _, err := b.respond(packet); err == nil {
		t.Error("it opens after its KEM prekey is gone")
	}
	b.offerOneTime()
	packet = put(t, a.initiate(t, b), "one")
	b.oneTime = nil
	if _, _, _, err := b.respond(packet); err == nil {
		t.Error("it opens after its one-time key is gone")
	}
	b.offerOneTime()
	if _, _, _, err := b.respond(packet); err == nil {
		t.Error("it opens with another one-time key")
	}
}

// TestNothingIsNegotiated tries every version and type, and every way to leave the KEM out.
func TestNothingIsNegotiated(t *testing.T) {
	a, b, as, bs := meet(t)
	b.offerOneTime()
	full := put(t, as, "full")
	get(t, bs, full)
	as.Confirm(as.Loot().Ours)
	short := put(t, as, "short")
	full = put(t, bs, "a new chain")
	first := put(t, a.initiate(t, b), "first")
	for name, packet := range map[string][]byte{"first": first, "full": full, "short": short} {
		accepted := 0
		for head := range 1 << 16 {
			changed := bytes.Clone(packet)
			changed[0], changed[1] = byte(head>>8), byte(head)
			if !bytes.Equal(changed, packet) && accepts(b, []*seal.Session{as, bs}, changed) {
				accepted++
			}
		}
		if accepted != 0 {
			t.Errorf("%s: %d other versions and types accepted", name, accepted)
		}
	}
	const flags, ct = 18, 19 + 32 + 1184
	for f := range 256 {
		changed := bytes.Clone(full)
		if changed[flags] = byte(f); f != 1 && accepts(b, []*seal.Session{as, bs}, changed) {
			t.Errorf("flags %d accepted", f)
		}
	}
	stripped := slices.Delete(bytes.Clone(full), ct, ct+1088)
	if stripped[flags] = 0; accepts(b, []*seal.Session{as, bs}, stripped) {
		t.Error("a chain without its KEM step")
	}
	f, _ := secondParseFirst(first)
	without := slices.Concat([]byte{1, secondFirst}, lp2(f.account), lp2(f.certificate), f.ek, f.spk, f.kem, make([]byte, 8), f.ct, lp2(f.inner))
	oneTime := b.oneTime
	if b.oneTime = nil; accepts(b, nil, without) {
		t.Error("the one-time key is stripped")
	}
	if b.oneTime = oneTime; !accepts(b, nil, first) || !accepts(b, []*seal.Session{as, bs}, full) {
		t.Error("what was not changed does not open")
	}
}

// accepts reports whether a device opens a packet, in one of some sessions or as a first flight. The sessions stay as they are.
func accepts(e *end, sessions []*seal.Session, packet []byte) bool {
	p, err := seal.Parse(packet)
	if err != nil {
		return false
	}
	for _, s := range sessions {
		again, err := seal.ParseSession(s.Marshal())
		if err != nil {
			return true
		}
		if _, _, err := again.Open(p); err == nil {
			return true
		}
		if !bytes.Equal(again.Marshal(), s.Marshal()) {
			return true
		}
	}
	if p.First == nil {
		return false
	}
	_, err = wire.ParseCertificate(p.First.Certificate)
	if err != nil {
		return false
	}
	_, _, _, err = e.respond(packet)
	return err == nil
}
