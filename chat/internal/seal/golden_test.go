package seal_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"parley/chat/internal/seal"
)

// goldens returns one packet of each form that opens at a device, and the sessions that it has.
func goldens(t *testing.T) (b *end, bs *seal.Session, first, full, short []byte) {
	a, b, as, bs := meet(t)
	full = put(t, as, "on a new chain")
	get(t, restore(t, bs.Marshal()), full)
	other := put(t, as, "first of its chain, as far as the other side knows")
	as.Confirm(as.Loot().Ours)
	short = put(t, as, "short")
	get(t, bs, other)
	b.offerOneTime()
	return b, bs, put(t, a.initiate(t, b), "first"), full, short
}

// TestEveryWrongBitAndEveryTruncation tries each of them on a packet of every form: nothing opens, nothing panics, nothing changes.
func TestEveryWrongBitAndEveryTruncation(t *testing.T) {
	b, bs, first, full, short := goldens(t)
	before, accepted, tried := bs.Marshal(), 0, 0
	try := func(packet []byte) {
		tried++
		if p, err := seal.Parse(packet); err == nil {
			if p.First != nil {
				_, _, _, err = b.respond(packet)
			} else {
				_, _, err = bs.Open(p)
			}
			if err == nil {
				accepted++
				bs = restore(t, before)
			}
		}
		if !bytes.Equal(bs.Marshal(), before) {
			t.Fatal("the state changed")
		}
	}
	for _, packet := range [][]byte{first, full, short} {
		for n := range packet {
			try(packet[:n])
		}
		every := 1
		if len(packet) > 1000 {
			every = longFrameBits
		}
		for bit := 0; bit < 8*len(packet); bit += every {
			changed := bytes.Clone(packet)
			changed[bit/8] ^= 1 << (bit % 8)
			try(changed)
		}
		try(append(bytes.Clone(packet), 0))
	}
	if accepted != 0 {
		t.Errorf("%d of %d accepted", accepted, tried)
	}
	for _, packet := range [][]byte{full, short} {
		get(t, bs, packet)
	}
	if _, _, _, err := b.respond(first); err != nil {
		t.Error(err)
	}
}

// TestAroundAKnownFirstFlight flips every bit of a first flight whose session is known: what precedes the packet inside is not looked at
// any more, so a bit there changes nothing; a bit of the packet inside does not open.
func TestAroundAKnownFirstFlight(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	as := a.initiate(t, b)
	bs, _, _, err := b.respond(put(t, as, "one"))
	if err != nil {
		t.Fatal(err)
	}
	packet := put(t, as, "two")
	f, err := secondParseFirst(packet)
	if err != nil {
		t.Fatal(err)
	}
	state, front := bs.Marshal(), len(packet)-len(f.inner)
	for bit := 0; bit < 8*len(packet); bit += 3 {
		changed := bytes.Clone(packet)
		changed[bit/8] ^= 1 << (bit % 8)
		s := restore(t, state)
		body, _, err := open(s, changed)
		if err == nil && (bit/8 >= front || string(body) != "two") {
			t.Fatalf("bit %d: %q", bit, body)
		}
		if err != nil && !bytes.Equal(s.Marshal(), state) {
			t.Fatalf("bit %d changed the state", bit)
		}
	}
}

// vectorPackets are packets to begin fuzzing with.
func vectorPackets(t testing.TB) (packets [][]byte) {
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []sessionVector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		for _, e := range v.Events {
			if e.Packet != nil {
				packets = append(packets, e.Packet)
			}
		}
	}
	return packets
}

// FuzzParse takes made-up packets apart, and compares with the second reading what is one.
func FuzzParse(f *testing.F) {
	for _, p := range vectorPackets(f) {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := seal.Parse(b)
		in, first := b, false
		if hello, err := secondParseFirst(b); err == nil && len(hello.certificate) <= 512 {
			in, first = hello.inner, true
		}
		want, refused := secondParse(in)
		if first && want.form != secondFull {
			refused = errSecond
		}
		if (err == nil) != (refused == nil) {
			t.Fatalf("package seal says %v, the second reading %v", err, refused)
		}
		if err != nil {
			return
		}
		chain, n := p.Position()
		full, kem, pn, _ := p.Hint()
		if chain != want.chain || n != want.n || pn != want.pn || full != (want.form == secondFull) || kem != (len(want.ct) > 0) ||
			!bytes.Equal(p.Session[:], want.sid) || (p.First != nil) != first {
			t.Fatalf("%+v, %+v", p, want)
		}
	})
}

// FuzzParseSession reads made-up states: whatever is one is written back as it was, and neither sealing nor opening panics.
func FuzzParseSession(f *testing.F) {
	_, _, as, bs := meet(f)
	packet := put(f, as, "x")
	for _, s := range []*seal.Session{as, bs, newEnd("a").initiate(f, newEnd("b"))} {
		f.Add(s.Marshal())
	}
	p, err := seal.Parse(packet)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := seal.ParseSession(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Marshal(), b) {
			t.Fatal("a state is not written as it was read")
		}
		p := *p
		p.Session = s.ID()
		if _, _, err := s.Open(&p); err != nil && !bytes.Equal(s.Marshal(), b) {
			t.Fatal("a failed open changed the state")
		}
		if _, _, _, err := s.Seal([]byte("x")); err == nil {
			if _, err := seal.ParseSession(s.Marshal()); err != nil {
				t.Fatalf("a state that cannot be read again: %v", err)
			}
		}
	})
}

// FuzzOpenPacket hands made-up packets to a session: none opens, and the state stays as it is. The first 16 bytes behind the type become
// the session's name, so that the input is looked at.
func FuzzOpenPacket(f *testing.F) {
	_, _, as, bs := meet(f)
	get(f, bs, put(f, as, "x"))
	before, id := bs.Marshal(), bs.ID()
	for _, p := range vectorPackets(f) {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := seal.Parse(b)
		if err != nil {
			return
		}
		p.Session = id
		if _, _, err := bs.Open(p); err == nil || !bytes.Equal(bs.Marshal(), before) {
			t.Fatalf("opens, or changes the state: %v", err)
		}
	})
}

// Whatever stands in front of a packet, it is the same packet.
func TestTheInnermostPacket(t *testing.T) {
	a, b := newEnd("a"), newEnd("b")
	as := a.initiate(t, b)
	packet := put(t, as, "one")
	f, err := secondParseFirst(packet)
	if err != nil || !bytes.Equal(seal.Innermost(packet), f.inner) || !bytes.Equal(seal.Innermost(f.inner), f.inner) {
		t.Fatalf("%v: %d bytes of %d", err, len(seal.Innermost(packet)), len(packet))
	}
	for n := range packet {
		if got := seal.Innermost(packet[:n]); !bytes.Equal(got, packet[:n]) {
			t.Fatalf("of the first %d bytes %d are a packet", n, len(got))
		}
	}
}
