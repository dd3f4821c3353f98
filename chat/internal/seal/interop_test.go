package seal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"parley/chat/internal/seal"
)

// voice is one side of a session, whoever implements it.
type voice interface {
	say(body []byte) (packet, tag []byte, chain [8]byte)
	hear(packet []byte) (body, tag []byte, err error)
	confirm(chain [8]byte)
	name() []byte
}

// real is package seal as a voice.
type realVoice struct {
	t testing.TB
	s *seal.Session
}

func (v realVoice) say(body []byte) (packet, tag []byte, chain [8]byte) {
	packet, ack, chain, err := v.s.Seal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	return packet, ack[:], chain
}

func (v realVoice) hear(packet []byte) (body, tag []byte, err error) {
	body, ack, err := open(v.s, packet)
	return body, ack[:], err
}

func (v realVoice) confirm(chain [8]byte) { v.s.Confirm(chain) }
func (v realVoice) name() []byte          { id := v.s.ID(); return id[:] }

// secondVoice is the second reading, which is told what the other side is known to have.
type secondVoice struct {
	t     testing.TB
	s     *secondSession
	known bool    // the other side has the session
	heard [8]byte // a chain that it has
}

func (v *secondVoice) say(body []byte) (packet, tag []byte, chain [8]byte) {
	form := byte(secondFull)
	switch {
	case v.s.front != nil && !v.known:
		form = secondFirst
	case v.s.out != nil && !v.s.newChain && v.s.out.id == v.heard:
		form = secondShort
	}
	packet, tag, err := v.s.seal(form, body)
	if err != nil {
		v.t.Fatal(err)
	}
	return packet, tag, v.s.out.id
}

func (v *secondVoice) hear(packet []byte) (body, tag []byte, err error) {
	body, tag, err = v.s.openAny(packet)
	v.known = v.known || err == nil
	return body, tag, err
}

func (v *secondVoice) confirm(chain [8]byte) { v.heard, v.known = chain, true }
func (v *secondVoice) name() []byte          { return v.s.sid }

// inFlight is a packet that has been sent.
type inFlight struct {
	packet, body, tag []byte
	chain             [8]byte
	opened            int
}

// meetVoices lets one implementation begin and the other answer.
func meetVoices(t *testing.T, realBegins, oneTime bool) (sides [2]voice) {
	a, b := newEnd("a"), newEnd("b")
	if oneTime {
		b.offerOneTime()
	}
	pa, _, _ := a.second()
	pb, keys, bundle := b.second()
	if realBegins {
		s := a.initiate(t, b)
		packet, tag, chain := realVoice{t, s}.say([]byte("hello"))
		f, err := secondParseFirst(packet)
		if err != nil {
			t.Fatal(err)
		}
		who, err := secondCertificate(f.account, f.certificate)
		if err != nil {
			t.Fatal(err)
		}
		other, body, ack, err := secondRespond(secondRandom(), pb, who, keys, packet)
		if err != nil || string(body) != "hello" || !bytes.Equal(ack, tag) {
			t.Fatalf("the second reading opens %q, %v", body, err)
		}
		s.Confirm(chain)
		return [2]voice{realVoice{t, s}, &secondVoice{t: t, s: other}}
	}
	s, err := secondInitiate(secondRandom(), pa, pb, a.certificate, bundle)
	if err != nil {
		t.Fatal(err)
	}
	packet, tag, _ := (&secondVoice{t: t, s: s}).say([]byte("hello"))
	other, body, ack, err := b.respond(packet)
	if err != nil || string(body) != "hello" || !bytes.Equal(ack[:], tag) {
		t.Fatalf("package seal opens %q, %v", body, err)
	}
	return [2]voice{&secondVoice{t: t, s: s}, realVoice{t, other}}
}

// TestTwoReadingsTalk lets package seal and the second reading talk under random schedules, each in both roles.
func TestTwoReadingsTalk(t *testing.T) {
	for seed := range uint64(interopSeeds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		sides := meetVoices(t, seed&1 == 0, seed&2 == 0)
		if !bytes.Equal(sides[0].name(), sides[1].name()) {
			t.Fatalf("seed %d: session %x and %x", seed, sides[0].name(), sides[1].name())
		}
		var sent [2][]*inFlight
		for i := range 150 {
			from := rng.IntN(2)
			if rng.IntN(3) > 0 || len(sent[from]) == 0 {
				for range 1 + rng.IntN(1+rng.IntN(6)) {
					body := fmt.Appendf(nil, "%d of %d", i, from)
					packet, tag, chain := sides[from].say(body)
					sent[from] = append(sent[from], &inFlight{packet: packet, body: body, tag: tag, chain: chain})
				}
				continue
			}
			m := sent[from][rng.IntN(len(sent[from]))] // late, or not at all, or again
			body, tag, err := sides[1-from].hear(m.packet)
			if m.opened++; m.opened > 1 {
				if err == nil {
					t.Fatalf("seed %d, step %d: a copy opens", seed, i)
				}
				continue
			}
			if err != nil || !bytes.Equal(body, m.body) || !bytes.Equal(tag, m.tag) {
				t.Fatalf("seed %d, step %d: %q opens as %q, tag %x of %x, %v", seed, i, m.body, body, tag, m.tag, err)
			}
			if rng.IntN(2) == 0 {
				sides[from].confirm(m.chain)
			}
		}
	}
}

// TestTwoReadingsKeepTheSameKeys leaves out as much as may be left out, and more, at both.
func TestTwoReadingsKeepTheSameKeys(t *testing.T) {
	for _, realBegins := range []bool{false, true} {
		sides := meetVoices(t, realBegins, false)
		turn := func(from, n int) (packets [][]byte) {
			for range n {
				packet, _, _ := sides[from].say([]byte("x"))
				packets = append(packets, packet)
			}
			return packets
		}
		opens := func(at int, packet []byte) bool { _, _, err := sides[at].hear(packet); return err == nil }
		first := turn(0, 1002)
		if opens(1, first[1001]) || !opens(1, first[1000]) || !opens(1, first[1001]) {
			t.Fatal("1,000 places may be left out, 1,001 may not")
		}
		if !opens(0, turn(1, 1)[0]) {
			t.Fatal("no answer")
		}
		next := turn(0, 1003)
		if !opens(1, next[1000]) || !opens(1, next[1002]) || opens(1, first[0]) || !opens(1, first[1]) || !opens(1, next[1001]) {
			t.Fatal("2,000 keys are kept, and the oldest of 2,001 goes")
		}
	}
}
