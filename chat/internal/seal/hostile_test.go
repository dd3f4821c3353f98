package seal_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// Keys that are none, of the kinds that Project Wycheproof tests (x25519_test.json: "LowOrderPublic", "NonCanonicalPublic"; ed25519_test.json;
// mlkem_768_encaps_test.json: "ModulusOverflow"). The points of small order are those of https://cr.yp.to/ecdh.html#validate.

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// littleP returns 2^255-19+d in 32 bytes, least significant first.
func littleP(d int64) []byte {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19-d))
	b := p.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

func highBit(key []byte) []byte {
	key = bytes.Clone(key)
	key[31] |= 0x80
	return key
}

// smallOrder lists u-coordinates in their one allowed form whose points have small order, on the curve and on its twist.
func smallOrder() [][]byte {
	return [][]byte{
		make([]byte, 32),
		append([]byte{1}, make([]byte, 31)...),
		unhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
		unhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
		littleP(-1),
	}
}

// secondNames lists X25519 keys that are another way to write a key: what others compute with them, everybody can.
func secondNames() (keys [][]byte) {
	for d := range int64(19) {
		keys = append(keys, littleP(d), highBit(littleP(d)))
	}
	for _, k := range smallOrder() {
		keys = append(keys, highBit(k))
	}
	honest := seal.NewExchangeKey().Public()
	return append(keys, highBit(honest), highBit(append([]byte{9}, make([]byte, 31)...)))
}

func badX25519() [][]byte {
	lengths := [][]byte{nil, make([]byte, 31), make([]byte, 33), make([]byte, 64)}
	return slices.Concat(smallOrder(), secondNames(), lengths)
}

// badKEM lists ML-KEM-768 encapsulation keys that FIPS 203, section 7.2, refuses: of another length, or with a coefficient of q or more.
func badKEM() (keys [][]byte) {
	honest := seal.NewKEMKey().Public()
	for _, n := range []int{0, 1, 800, 1183, 1185, 1568} {
		keys = append(keys, append(bytes.Clone(honest), make([]byte, 400)...)[:n])
	}
	for _, at := range []int{0, 3 * 100, 3 * 383} { // two coefficients of 12 bits in three bytes: q, and 4095
		for _, pair := range [][3]byte{{0x01, 0x0d, 0x00}, {0x00, 0x10, 0xd0}, {0xff, 0xff, 0xff}} {
			k := bytes.Clone(honest)
			copy(k[at:], pair[:])
			keys = append(keys, k)
		}
	}
	return keys
}

// badEd25519 lists Ed25519 keys of small order, with every encoding, and keys that are no canonical point.
func badEd25519() [][]byte {
	eight := unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
	other := unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
	one := append([]byte{1}, make([]byte, 31)...)
	keys := [][]byte{one, littleP(-1), make([]byte, 32), eight, other, littleP(0), littleP(1), nil, make([]byte, 31), make([]byte, 33)}
	for _, k := range slices.Clone(keys[:7]) {
		keys = append(keys, highBit(k))
	}
	for d := int64(2); d < 19; d++ {
		keys = append(keys, littleP(d), highBit(littleP(d)))
	}
	return append(keys, bytes.Repeat([]byte{0xff}, 32))
}

func TestSmallOrderPointsAreWhatTheyAreSaidToBe(t *testing.T) {
	own := x25519(seal.NewExchangeKey().Bytes())
	for _, k := range smallOrder() {
		public, err := ecdh.X25519().NewPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := own.ECDH(public); err == nil {
			t.Errorf("%x agrees on a secret that is not zero", k)
		}
	}
}

// TestHostileKeysInRecords signs bad keys properly: they are refused for what they are.
func TestHostileKeysInRecords(t *testing.T) {
	e := newEnd("e")
	for _, k := range append(secondNames(), make([]byte, 31), make([]byte, 33)) {
		c := wire.Certificate{Account: e.party.Account, Device: e.party.Device, Exchange: k, Name: "x", Sequence: 1}
		if _, err := wire.ParseCertificate(c.Sign(e.account)); err == nil {
			t.Errorf("a certificate for %x", k)
		}
	}
	identity := append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...) // R = the identity, S = 0: fits every message
	for _, k := range badEd25519() {
		c := wire.Certificate{Account: k, Device: e.party.Device, Exchange: e.party.Exchange, Name: "x", Sequence: 1}.Sign(e.account)
		copy(c[len(c)-64:], identity)
		_, badAccount := wire.ParseCertificate(c)
		d := wire.Certificate{Account: e.party.Account, Device: wire.DeviceID(k), Exchange: e.party.Exchange, Name: "x", Sequence: 1}
		_, badDevice := wire.ParseCertificate(d.Sign(e.account))
		r := wire.DeviceRecord{Device: wire.DeviceID(k), Account: e.party.Account, Sequence: 1}.Sign(e.device)
		copy(r[len(r)-64:], identity)
		_, badRecord := wire.ParseDeviceRecord(r)
		a := wire.AccountRecord{Account: k, Sequence: 1}.Sign(e.account)
		copy(a[len(a)-64:], identity)
		_, badAccountRecord := wire.ParseAccountRecord(a)
		if badAccount == nil || badDevice == nil || badRecord == nil || badAccountRecord == nil {
			t.Errorf("%x: %v, %v, %v, %v", k, badAccount, badDevice, badRecord, badAccountRecord)
		}
	}
	for purpose, keys := range map[byte][][]byte{1: secondNames(), 3: secondNames(), 2: badKEM(), 4: badKEM(), 5: badKEM()} {
		for _, k := range keys {
			r := wire.DeviceRecord{Device: e.party.Device, Account: e.party.Account, Sequence: 1, Prekeys: []wire.Prekey{{Purpose: purpose, Key: k}}}
			if _, err := wire.ParseDeviceRecord(r.Sign(e.device)); err == nil {
				t.Errorf("a prekey of purpose %d: %x", purpose, k)
			}
		}
	}
}

// TestHostileKeysInABundle hands bad keys to an initiator, as a directory might.
func TestHostileKeysInABundle(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	refuse := func(what string, key []byte, to seal.Party, bundle seal.Bundle) {
		t.Helper()
		if _, err := seal.Initiate(a.party, a.identity, a.certificate, to, bundle); err == nil {
			t.Errorf("%s %x", what, key)
		}
	}
	for _, k := range badX25519() {
		to, signed, oneTime := b.party, b.bundle(), b.bundle()
		to.Exchange, signed.Signed = k, k
		refuse("IK", k, to, b.bundle())
		refuse("SPK", k, b.party, signed)
		if oneTime.OneTime = k; k != nil {
			refuse("OPK", k, b.party, oneTime)
		}
	}
	for _, k := range badKEM() {
		bundle := b.bundle()
		bundle.KEM = k
		refuse("KEM", k, b.party, bundle)
	}
	if _, err := seal.Initiate(a.party, a.identity, make([]byte, 1000), b.party, b.bundle()); err == nil {
		t.Error("a certificate that no state has room for")
	}
}

// TestHostileKeysInAFirstFlight lets a known contact begin with a bad EK, or a bad IK. All else is right: he knows what the agreements
// give, since one of small order gives zeros, and a second name what the first gives.
func TestHostileKeysInAFirstFlight(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	pa, _, _ := a.second()
	pb, _, bundle := b.second()
	begin := func(ek []byte) []byte {
		draw := secondRandom()
		ss, ct := draw.encaps(mustKEM(bundle.kem))
		dh1, _ := agree2(pa.identity, bundle.signed)
		s := &secondSession{draw: draw, theirDH: bundle.signed, newChain: true}
		zeros := make([]byte, 32)
		s.th, s.rk, s.sid = secondRoot(pa, pb, ek, bundle.signed, bundle.kem, nil, ct, [][]byte{dh1, zeros, zeros}, ss)
		s.front = slices.Concat([]byte{1, secondFirst}, lp2(pa.account), lp2(a.certificate), ek, id2(bundle.signed), id2(bundle.kem), make([]byte, 8), ct)
		packet, _, err := s.seal(secondFirst, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	for _, k := range badX25519() {
		if len(k) != 32 {
			continue
		}
		if _, _, _, err := b.respond(begin(k)); err == nil {
			t.Errorf("EK %x", k)
		}
		p, err := seal.Parse(put(t, a.initiate(t, b), "x"))
		if err != nil {
			t.Fatal(err)
		}
		from := a.party
		from.Exchange = k
		if _, err := seal.Respond(b.party, from, p.First, b.answer()); err == nil {
			t.Errorf("IK %x", k)
		}
	}
}

// hostile is a contact who has a session, and makes chains with the public part that he likes. B is package seal.
func hostile(t *testing.T) (mallory *secondSession, b *seal.Session) {
	x, y := newEnd("m"), newEnd("b")
	px, _, _ := x.second()
	py, _, bundle := y.second()
	mallory, err := secondInitiate(secondRandom(), px, py, x.certificate, bundle)
	if err != nil {
		t.Fatal(err)
	}
	packet, _, err := mallory.seal(secondFirst, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	b, _, _, err = y.respond(packet)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := mallory.open(put(t, b, "hello yourself")); err != nil {
		t.Fatal(err)
	}
	return mallory, b
}

// chainWith seals a packet on a chain with this public part, where shared is what both sides agree on.
func (s *secondSession) chainWith(dh, ek, shared []byte) (packet []byte) {
	next := *s
	peer := mustKEM(s.theirEK)
	ss, ct := s.draw.encaps(peer)
	c := &secondChain{dh: dh, ek: ek, ct: ct, pn: s.out.n}
	next.step(c, shared, ss)
	next.out, next.newChain = c, false
	packet, _, err := next.seal(secondFull, []byte("on a bad chain"))
	if err != nil {
		panic(err)
	}
	return packet
}

// TestHostileKeysInAPacket lets a contact ratchet with bad keys, knowing what they give.
func TestHostileKeysInAPacket(t *testing.T) {
	mallory, b := hostile(t)
	before := b.Marshal()
	refuse := func(what string, key, packet []byte) {
		t.Helper()
		if _, _, err := open(b, packet); err == nil {
			t.Errorf("%s %x opens", what, key)
		}
		if !bytes.Equal(before, b.Marshal()) {
			t.Fatalf("%s %x changed the state", what, key)
		}
	}
	ek := seal.NewKEMKey().Public()
	own := mallory.draw.x25519()
	shared, err := agree2(own, mallory.theirDH)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range smallOrder() {
		refuse("dh", k, mallory.chainWith(k, ek, make([]byte, 32)))
		refuse("dh", k, mallory.chainWith(highBit(k), ek, make([]byte, 32)))
	}
	refuse("dh", nil, mallory.chainWith(highBit(own.PublicKey().Bytes()), ek, shared))
	refuse("dh", nil, mallory.chainWith(littleP(0), ek, make([]byte, 32)))
	refuse("dh", nil, mallory.chainWith(littleP(1), ek, make([]byte, 32)))
	for d := int64(2); d < 19; d++ { // 2^255-19+d is a second name of d
		other, err := ecdh.X25519().NewPublicKey(littleP(d))
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x25519(b.Loot().DH).ECDH(other)
		if err != nil {
			t.Fatal(err)
		}
		refuse("dh", littleP(d), mallory.chainWith(littleP(d), ek, secret))
	}
	for _, k := range badKEM() {
		if len(k) == mlkem.EncapsulationKeySize768 {
			refuse("ek", k, mallory.chainWith(own.PublicKey().Bytes(), k, shared))
		}
	}
	good := mallory.chainWith(own.PublicKey().Bytes(), ek, shared)
	if get(t, b, good) != "on a bad chain" {
		t.Error("a good chain does not open")
	}
	if _, _, _, err := b.Seal([]byte("an answer")); err != nil {
		t.Errorf("nothing can be sent any more: %v", err)
	}
}

// TestChainsAlternate lets a contact make a second chain before anything was sent in answer to his first.
func TestChainsAlternate(t *testing.T) {
	mallory, b := hostile(t)
	packet, _, err := mallory.seal(secondFull, []byte("a chain"))
	if err != nil {
		t.Fatal(err)
	}
	get(t, b, packet)
	own := mallory.draw.x25519()
	shared, _ := agree2(own, mallory.theirDH)
	before := b.Marshal()
	if _, _, err := open(b, mallory.chainWith(own.PublicKey().Bytes(), seal.NewKEMKey().Public(), shared)); err == nil || !bytes.Equal(before, b.Marshal()) {
		t.Errorf("two chains in a row: %v", err)
	}
	if _, _, err := mallory.open(put(t, b, "an answer")); err != nil {
		t.Fatal(err)
	}
	again := mallory.draw.x25519()
	shared, _ = agree2(again, mallory.theirDH)
	get(t, b, mallory.chainWith(again.PublicKey().Bytes(), seal.NewKEMKey().Public(), shared))
}

// TestPointsOnTheTwistAreKeys pins down that X25519 takes every other coordinate, as RFC 7748 has it: the twist is safe too.
func TestPointsOnTheTwistAreKeys(t *testing.T) {
	p := new(big.Int).SetBytes(reversed(littleP(0)))
	a, twists := newEnd("a"), 0
	for u := int64(2); u < 40; u++ {
		v := new(big.Int).Exp(big.NewInt(u), big.NewInt(3), p) // u³ + 486662u² + u is no square on the twist
		v.Add(v, new(big.Int).Mul(big.NewInt(486662), big.NewInt(u*u))).Add(v, big.NewInt(u)).Mod(v, p)
		if big.Jacobi(v, p) == -1 {
			twists++
		}
		b := newEnd("b")
		bundle := b.bundle()
		bundle.OneTime = append([]byte{byte(u)}, make([]byte, 31)...)
		if _, err := seal.Initiate(a.party, a.identity, a.certificate, b.party, bundle); err != nil {
			t.Errorf("u = %d: %v", u, err)
		}
	}
	if twists == 0 {
		t.Error("no point of the twist among them")
	}
}

func reversed(b []byte) []byte { b = bytes.Clone(b); slices.Reverse(b); return b }

// TestOnlyAFirstChainLacksTheKEM begins a session on a chain that claims a KEM step which nobody had a key for, and leaves the step out
// where there has to be one; the sender knows what both would give.
func TestOnlyAFirstChainLacksTheKEM(t *testing.T) {
	x, y := newEnd("m"), newEnd("b")
	px, _, _ := x.second()
	py, _, bundle := y.second()
	begins, err := secondInitiate(secondRandom(), px, py, x.certificate, bundle)
	if err != nil {
		t.Fatal(err)
	}
	shape := func(s *secondSession, form byte, ct []byte) []byte {
		own := s.draw.x25519()
		shared, err := agree2(own, s.theirDH)
		if err != nil {
			t.Fatal(err)
		}
		next, c := *s, &secondChain{dh: own.PublicKey().Bytes(), ek: seal.NewKEMKey().Public(), ct: ct}
		next.step(c, shared, make([]byte, 32))
		next.out, next.newChain = c, false
		packet, _, err := next.seal(form, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	if _, _, _, err := y.respond(shape(begins, secondFirst, make([]byte, 1088))); err == nil {
		t.Error("a first chain with a KEM step")
	}
	if _, _, _, err := y.respond(shape(begins, secondFirst, nil)); err != nil {
		t.Error(err)
	}
	mallory, b := hostile(t)
	if _, _, err := open(b, shape(mallory, secondFull, nil)); err == nil {
		t.Error("a later chain without a KEM step")
	}
}
