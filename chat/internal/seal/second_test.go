package seal_test

// A second reading of chat/SPEC.md §4, written from its text alone. It shares nothing with package seal, so that the two agree only where
// the text says what both understood. It is plain rather than fast, and refuses with one error for everything.

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

var errSecond = errors.New("second reading: refused")

const (
	secondFirst = 1
	secondFull  = 2
	secondShort = 3
)

// secondParty is one end; identity is nil for the far one.
type secondParty struct {
	account  []byte
	device   string
	ik       []byte
	identity *ecdh.PrivateKey
}

// secondPrekeys are what a responder has; oneTime may be nil.
type secondPrekeys struct {
	signed, oneTime *ecdh.PrivateKey
	kem             *mlkem.DecapsulationKey768
}

// secondBundle is their public half.
type secondBundle struct{ signed, kem, oneTime []byte }

// secondDraw is where keys and nonces come from, so that a test may give them.
type secondDraw struct {
	x25519 func() *ecdh.PrivateKey
	kem    func() *mlkem.DecapsulationKey768
	encaps func(ek *mlkem.EncapsulationKey768) (ss, ct []byte)
	nonce  func() []byte
}

func secondRandom() secondDraw {
	return secondDraw{
		x25519: func() *ecdh.PrivateKey { k, _ := ecdh.X25519().GenerateKey(rand.Reader); return k },
		kem:    func() *mlkem.DecapsulationKey768 { k, _ := mlkem.GenerateKey768(); return k },
		encaps: func(ek *mlkem.EncapsulationKey768) (ss, ct []byte) { return ek.Encapsulate() },
		nonce:  func() []byte { b := make([]byte, 24); _, _ = rand.Read(b); return b },
	}
}

// secondChain is one chain, of either side.
type secondChain struct {
	dh, ek, ct []byte
	id         [8]byte
	ck         []byte
	n, pn      uint32
}

type secondKept struct {
	chain [8]byte
	n     uint32
	mk    []byte
}

type secondSession struct {
	draw     secondDraw
	th, rk   []byte
	sid      []byte
	front    []byte // of a first flight, up to its inner packet; nil for a responder
	dh       *ecdh.PrivateKey
	kem      *mlkem.DecapsulationKey768 // nil until this side has made a chain
	theirDH  []byte
	theirEK  []byte // nil until the other side has made a chain
	out, in  *secondChain
	newChain bool // the next send makes one
	kept     []secondKept
}

func lp2(x []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(x))), x...) }

func h2(parts ...[]byte) []byte {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return sum[:]
}

func hmac2(key []byte, data string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(data))
	return m.Sum(nil)
}

func id2(key []byte) []byte { return h2(key)[:8] }

// agree2 is X25519 with a strict key: below 2^255-19, high bit clear, and no all-zero result (which crypto/ecdh refuses).
func agree2(own *ecdh.PrivateKey, public []byte) ([]byte, error) {
	if len(public) != 32 || public[31]&0x80 != 0 {
		return nil, errSecond
	}
	p := append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...)
	p = append(p, 0x7f)
	for i := 31; i >= 0; i-- {
		if public[i] < p[i] {
			break
		}
		if public[i] > p[i] || i == 0 {
			return nil, errSecond
		}
	}
	key, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, errSecond
	}
	shared, err := own.ECDH(key)
	if err != nil {
		return nil, errSecond
	}
	return shared, nil
}

// secondRoot derives TH, RK0 and the sid. a and b are initiator and responder.
func secondRoot(a, b secondParty, ek, spk, kem, opk, ct []byte, dhs [][]byte, ss []byte) (th, rk, sid []byte) {
	var t []byte
	for _, field := range [][]byte{{1}, a.account, []byte(a.device), a.ik, ek, b.account, []byte(b.device), b.ik, spk, kem, opk, ct} {
		t = append(t, lp2(field)...)
	}
	th = h2(t)
	ikm := bytes.Repeat([]byte{0xff}, 32)
	for _, dh := range dhs {
		ikm = append(ikm, dh...)
	}
	out, _ := hkdf.Key(sha256.New, append(ikm, ss...), make([]byte, 32), "parley/pqxdh/1"+string(th), 48)
	return th, out[:32], out[32:]
}

func secondInitiate(draw secondDraw, self, peer secondParty, certificate []byte, b secondBundle) (*secondSession, error) {
	ekA := draw.x25519()
	kem, err := mlkem.NewEncapsulationKey768(b.kem)
	if err != nil {
		return nil, errSecond
	}
	ss, ct := draw.encaps(kem)
	dh1, e1 := agree2(self.identity, b.signed)
	dh2, e2 := agree2(ekA, peer.ik)
	dh3, e3 := agree2(ekA, b.signed)
	dhs, e4 := [][]byte{dh1, dh2, dh3}, error(nil)
	opkID := make([]byte, 8)
	if b.oneTime != nil {
		var dh4 []byte
		dh4, e4 = agree2(ekA, b.oneTime)
		dhs, opkID = append(dhs, dh4), id2(b.oneTime)
	}
	if errors.Join(e1, e2, e3, e4) != nil {
		return nil, errSecond
	}
	s := &secondSession{draw: draw, theirDH: b.signed, newChain: true}
	s.th, s.rk, s.sid = secondRoot(self, peer, ekA.PublicKey().Bytes(), b.signed, b.kem, b.oneTime, ct, dhs, ss)
	s.front = bytes.Join([][]byte{
		{1, secondFirst}, lp2(self.account), lp2(certificate), ekA.PublicKey().Bytes(), id2(b.signed), id2(b.kem), opkID, ct,
	}, nil)
	return s, nil
}

// secondHello is a first flight taken apart.
type secondHello struct {
	account, certificate, ek, spk, kem, opk, ct, inner []byte
}

func cut2(b []byte, n int) (head, tail []byte, err error) {
	if n < 0 || len(b) < n {
		return nil, nil, errSecond
	}
	return b[:n], b[n:], nil
}

func cutLP2(b []byte) (x, tail []byte, err error) {
	head, tail, err := cut2(b, 4)
	if err != nil {
		return nil, nil, err
	}
	if n := binary.BigEndian.Uint32(head); n < 1<<20 {
		return cut2(tail, int(n))
	}
	return nil, nil, errSecond
}

func secondParseFirst(b []byte) (f secondHello, err error) {
	head, b, err := cut2(b, 2)
	if err != nil || head[0] != 1 || head[1] != secondFirst {
		return f, errSecond
	}
	if f.account, b, err = cutLP2(b); err != nil || len(f.account) != 32 {
		return f, errSecond
	}
	if f.certificate, b, err = cutLP2(b); err != nil {
		return f, err
	}
	for _, field := range []struct {
		to   *[]byte
		size int
	}{{&f.ek, 32}, {&f.spk, 8}, {&f.kem, 8}, {&f.opk, 8}, {&f.ct, 1088}} {
		if *field.to, b, err = cut2(b, field.size); err != nil {
			return f, err
		}
	}
	if f.inner, b, err = cutLP2(b); err != nil || len(b) != 0 {
		return f, errSecond
	}
	return f, nil
}

// secondCertificate verifies a certificate (chat/SPEC.md §2) and returns whom it names.
func secondCertificate(account, c []byte) (p secondParty, err error) {
	if len(c) < 64 {
		return p, errSecond
	}
	body, sig := c[:len(c)-64], c[len(c)-64:]
	if len(account) != ed25519.PublicKeySize || !ed25519.Verify(account, append(lp2([]byte("parley device certificate v1")), body...), sig) {
		return p, errSecond
	}
	head, body, err := cut2(body, 2)
	if err != nil || !bytes.Equal(head, []byte{1, 1}) {
		return p, errSecond
	}
	var fields [4][]byte
	for i := range fields {
		if fields[i], body, err = cutLP2(body); err != nil {
			return p, err
		}
	}
	if len(body) != 8 || !bytes.Equal(fields[0], account) || len(fields[2]) != 32 {
		return p, errSecond
	}
	return secondParty{account: account, device: string(fields[1]), ik: fields[2]}, nil
}

// secondRespond makes the session of a first flight and opens the packet in it.
func secondRespond(draw secondDraw, self, peer secondParty, keys secondPrekeys, flight []byte) (*secondSession, []byte, []byte, error) {
	refuse := func() (*secondSession, []byte, []byte, error) { return nil, nil, nil, errSecond }
	f, err := secondParseFirst(flight)
	if err != nil || !bytes.Equal(f.account, peer.account) {
		return refuse()
	}
	spk, kem, opk := keys.signed.PublicKey().Bytes(), keys.kem.EncapsulationKey().Bytes(), []byte(nil)
	wantOPK := make([]byte, 8)
	if keys.oneTime != nil {
		opk = keys.oneTime.PublicKey().Bytes()
		wantOPK = id2(opk)
	}
	if !bytes.Equal(f.spk, id2(spk)) || !bytes.Equal(f.kem, id2(kem)) || !bytes.Equal(f.opk, wantOPK) {
		return refuse()
	}
	dh1, e1 := agree2(keys.signed, peer.ik)
	dh2, e2 := agree2(self.identity, f.ek)
	dh3, e3 := agree2(keys.signed, f.ek)
	dhs, e4 := [][]byte{dh1, dh2, dh3}, error(nil)
	if keys.oneTime != nil {
		var dh4 []byte
		dh4, e4 = agree2(keys.oneTime, f.ek)
		dhs = append(dhs, dh4)
	}
	ss, e5 := keys.kem.Decapsulate(f.ct)
	if errors.Join(e1, e2, e3, e4, e5) != nil {
		return refuse()
	}
	s := &secondSession{draw: draw, dh: keys.signed}
	s.th, s.rk, s.sid = secondRoot(peer, self, f.ek, spk, kem, opk, f.ct, dhs, ss)
	body, tag, err := s.open(f.inner)
	if err != nil {
		return refuse()
	}
	return s, body, tag, nil
}

// step derives a chain from the root.
func (s *secondSession) step(c *secondChain, shared, ss []byte) {
	hash := h2(c.dh, c.ek, c.ct)
	copy(c.id[:], hash)
	out, _ := hkdf.Key(sha256.New, slices.Concat(shared, ss), s.rk, "parley/rk/1"+string(hash), 64)
	s.rk, c.ck = out[:32], out[32:]
}

// seal makes a packet of the form that is asked for. A short one may not be asked for at the start of a chain.
func (s *secondSession) seal(form byte, body []byte) (packet, tag []byte, err error) {
	if s.newChain {
		if err := s.makeChain(); err != nil {
			return nil, nil, err
		}
	}
	c := s.out
	head := append([]byte{1, secondFull}, s.sid...)
	switch {
	case form == secondShort:
		head[1] = secondShort
		head = append(head, c.id[:]...)
	case c.ct == nil:
		head = slices.Concat(head, []byte{0}, c.dh, c.ek)
	default:
		head = slices.Concat(head, []byte{1}, c.dh, c.ek, c.ct)
	}
	if form != secondShort {
		head = binary.BigEndian.AppendUint32(head, c.pn)
	}
	head = binary.BigEndian.AppendUint32(head, c.n)
	nonce := s.draw.nonce()
	head = append(head, nonce...)
	mk := hmac2(c.ck, "\x01")
	c.ck = hmac2(c.ck, "\x02")
	c.n++
	aead, tag := body2(mk)
	packet = slices.Concat(head, aead.Seal(nil, nonce, body, slices.Concat(s.th, head)))
	if form == secondFirst {
		packet = slices.Concat(s.front, lp2(packet))
	}
	return packet, tag, nil
}

func body2(mk []byte) (aead cipher.AEAD, tag []byte) {
	key, _ := hkdf.Expand(sha256.New, mk, "parley/body/1", 32)
	aead, _ = chacha20poly1305.NewX(key)
	return aead, hmac2(mk, "parley/ack/1")[:16]
}

func (s *secondSession) makeChain() error {
	c := &secondChain{}
	if s.out != nil {
		c.pn = s.out.n
	}
	s.dh, s.kem = s.draw.x25519(), s.draw.kem()
	c.dh, c.ek = s.dh.PublicKey().Bytes(), s.kem.EncapsulationKey().Bytes()
	ss := make([]byte, 32)
	if s.theirEK != nil {
		ek, err := mlkem.NewEncapsulationKey768(s.theirEK)
		if err != nil {
			return errSecond
		}
		ss, c.ct = s.draw.encaps(ek)
	}
	shared, err := agree2(s.dh, s.theirDH)
	if err != nil {
		return err
	}
	s.step(c, shared, ss)
	s.out, s.newChain = c, false
	return nil
}

// secondPacket is a full or short packet taken apart.
type secondPacket struct {
	form            byte
	sid, dh, ek, ct []byte
	chain           [8]byte
	pn, n           uint32
	nonce, head     []byte
	body            []byte
}

func secondParse(b []byte) (p secondPacket, err error) {
	whole := b
	head, b, err := cut2(b, 18)
	if err != nil || head[0] != 1 || head[1] != secondFull && head[1] != secondShort {
		return p, errSecond
	}
	p.form, p.sid = head[1], head[2:]
	sizes := []int{8, 0, 0, 0, 4, 24}
	if p.form == secondFull {
		flags, tail, err := cut2(b, 1)
		if err != nil || flags[0] > 1 {
			return p, errSecond
		}
		b, sizes = tail, []int{32, 1184, 1088 * int(flags[0]), 4, 4, 24}
	}
	fields := make([][]byte, len(sizes))
	for i, size := range sizes {
		if fields[i], b, err = cut2(b, size); err != nil {
			return p, err
		}
	}
	if len(b) < 16 {
		return p, errSecond
	}
	p.n, p.nonce = binary.BigEndian.Uint32(fields[4]), fields[5]
	p.head, p.body = whole[:len(whole)-len(b)], b
	if p.form == secondShort {
		copy(p.chain[:], fields[0])
		return p, nil
	}
	p.dh, p.ek, p.ct, p.pn = fields[0], fields[1], fields[2], binary.BigEndian.Uint32(fields[3])
	copy(p.chain[:], h2(p.dh, p.ek, p.ct))
	return p, nil
}

// openAny opens a packet of any form of a session that is known.
func (s *secondSession) openAny(packet []byte) (body, tag []byte, err error) {
	if f, err := secondParseFirst(packet); err == nil {
		return s.open(f.inner)
	}
	return s.open(packet)
}

// open works on a copy, which takes the state's place only when the body has opened.
func (s *secondSession) open(packet []byte) (body, tag []byte, err error) {
	p, err := secondParse(packet)
	if err != nil || !bytes.Equal(p.sid, s.sid) {
		return nil, nil, errSecond
	}
	next := *s
	next.kept = slices.Clone(s.kept)
	if s.in != nil {
		in := *s.in
		next.in = &in
	}
	mk, err := next.key(p)
	if err != nil {
		return nil, nil, err
	}
	aead, tag := body2(mk)
	body, err = aead.Open(nil, p.nonce, p.body, slices.Concat(s.th, p.head))
	if err != nil {
		return nil, nil, errSecond
	}
	*s = next
	return body, tag, nil
}

// key finds or derives the key of a packet's place, and moves the state past it.
func (s *secondSession) key(p secondPacket) ([]byte, error) {
	for i, k := range s.kept {
		if k.chain == p.chain && k.n == p.n {
			s.kept = slices.Delete(s.kept, i, i+1)
			return k.mk, nil
		}
	}
	if s.in == nil || s.in.id != p.chain {
		if p.form != secondFull {
			return nil, errSecond
		}
		if err := s.turn(p); err != nil {
			return nil, err
		}
	}
	if p.n < s.in.n {
		return nil, errSecond
	}
	if err := s.leaveOut(p.n); err != nil {
		return nil, err
	}
	mk := hmac2(s.in.ck, "\x01")
	s.in.ck, s.in.n = hmac2(s.in.ck, "\x02"), s.in.n+1
	return mk, nil
}

// turn moves to the chain that a full packet announces. The other side makes one only after it has received ours, so where the next
// chain would be ours there is nothing that it could answer to.
func (s *secondSession) turn(p secondPacket) error {
	if s.newChain || (len(p.ct) != 0) != (s.kem != nil) {
		return errSecond
	}
	if s.in != nil {
		if err := s.leaveOut(max(p.pn, s.in.n)); err != nil {
			return err
		}
	}
	if _, err := mlkem.NewEncapsulationKey768(p.ek); err != nil {
		return errSecond
	}
	shared, err := agree2(s.dh, p.dh)
	if err != nil {
		return err
	}
	ss := make([]byte, 32)
	if s.kem != nil {
		if ss, err = s.kem.Decapsulate(p.ct); err != nil {
			return errSecond
		}
	}
	s.in = &secondChain{dh: p.dh, ek: p.ek, ct: p.ct}
	s.step(s.in, shared, ss)
	s.theirDH, s.theirEK, s.newChain = p.dh, p.ek, true
	return nil
}

// leaveOut keeps the keys of the places of the current chain up to n.
func (s *secondSession) leaveOut(n uint32) error {
	if n-s.in.n > 1000 {
		return errSecond
	}
	for ; s.in.n < n; s.in.n++ {
		s.kept = append(s.kept, secondKept{s.in.id, s.in.n, hmac2(s.in.ck, "\x01")})
		s.in.ck = hmac2(s.in.ck, "\x02")
	}
	s.kept = s.kept[max(0, len(s.kept)-2000):]
	return nil
}
