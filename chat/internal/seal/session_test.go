package seal

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// device is one end in these tests, with the keys that its records would show.
type device struct {
	party    Party
	identity ExchangeKey
	signed   ExchangeKey
	kem      KEMKey
	oneTime  ExchangeKey
}

func newDevice(name string) *device {
	d := &device{identity: NewExchangeKey(), signed: NewExchangeKey(), kem: NewKEMKey(), oneTime: NewExchangeKey()}
	d.party = Party{Account: bytes.Repeat([]byte{name[0]}, 32), Device: name, Exchange: d.identity.Public()}
	return d
}

func (d *device) bundle(oneTime bool) Bundle {
	b := Bundle{Signed: d.signed.Public(), KEM: d.kem.Public()}
	if oneTime {
		b.OneTime = d.oneTime.Public()
	}
	return b
}

func (d *device) answer(f *First) Answer {
	a := Answer{Identity: d.identity, Signed: d.signed, KEM: d.kem}
	if f.UsesOneTime() {
		a.OneTime = &d.oneTime
	}
	return a
}

// meet makes Alice begin a session with Bob, and Bob answer it with her first packet, which says "hello".
func meet(t *testing.T, oneTime bool) (alice, bob *Session) {
	t.Helper()
	a, b := newDevice("alice"), newDevice("bob")
	alice, err := Initiate(a.party, a.identity, []byte("certificate"), b.party, b.bundle(oneTime))
	if err != nil {
		t.Fatal(err)
	}
	packet, tag, _, err := alice.Seal([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	p := parsed(t, packet)
	bob, err = Respond(b.party, a.party, p.First, b.answer(p.First))
	if err != nil {
		t.Fatal(err)
	}
	body, ack, err := bob.Open(p)
	if err != nil || string(body) != "hello" || ack != tag || alice.ID() != bob.ID() || p.Session != bob.ID() {
		t.Fatalf("Bob opens %q, tag %x of %x, %v", body, ack, tag, err)
	}
	return alice, bob
}

func parsed(t *testing.T, packet []byte) *Packet {
	t.Helper()
	p, err := Parse(packet)
	if err != nil {
		t.Fatalf("packet of %d bytes: %v", len(packet), err)
	}
	return p
}

func say(t *testing.T, from *Session, text string) []byte {
	t.Helper()
	packet, _, _, err := from.Seal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

func hear(t *testing.T, to *Session, packet []byte, want string) {
	t.Helper()
	body, _, err := to.Open(parsed(t, packet))
	if err != nil || string(body) != want {
		t.Fatalf("got %q, %v; want %q", body, err, want)
	}
}

func TestTwoDevicesTalkInTurns(t *testing.T) {
	for _, oneTime := range []bool{false, true} {
		alice, bob := meet(t, oneTime)
		for i := range 5 {
			text := fmt.Sprint("message ", i)
			hear(t, bob, say(t, alice, text), text)
			hear(t, alice, say(t, bob, "re: "+text), "re: "+text)
		}
	}
}

func TestHeadersShrinkOnceTheOtherSideHasThem(t *testing.T) {
	alice, bob := meet(t, false)
	packet, _, chain, err := alice.Seal([]byte("x"))
	if err != nil || parsed(t, packet).First == nil {
		t.Fatalf("the handshake is not repeated: %v", err)
	}
	hear(t, bob, packet, "x")
	if !alice.Confirm(chain) || alice.Confirm(chain) {
		t.Error("the first confirmation is news, the second is not")
	}
	short := say(t, alice, "x")
	if p := parsed(t, short); p.full || p.First != nil || len(short) != 1+1+16+8+4+24+1+16 {
		t.Errorf("a packet of %d bytes, full %v", len(short), p.full)
	}
	hear(t, bob, short, "x")
	answer := say(t, bob, "y")
	if p := parsed(t, answer); !p.full || p.First != nil || len(p.link.ct) == 0 {
		t.Error("the first packet of a chain must show its public part, with a KEM step")
	}
	hear(t, alice, answer, "y")
}

func TestLatePacketsOpenAndCopiesDoNot(t *testing.T) {
	alice, bob := meet(t, false)
	var packets [][]byte
	for i := range 1000 {
		packets = append(packets, say(t, alice, fmt.Sprint(i)))
	}
	hear(t, bob, packets[999], "999")
	for i := range 999 {
		hear(t, bob, packets[i], fmt.Sprint(i))
	}
	if _, _, err := bob.Open(parsed(t, packets[5])); !errors.Is(err, ErrKnown) {
		t.Errorf("a copy: %v", err)
	}
	for range MaxSkip + 1 {
		packets = append(packets, say(t, alice, "far"))
	}
	before := bob.Marshal()
	if _, _, err := bob.Open(parsed(t, say(t, alice, "too far"))); err == nil {
		t.Error("a packet that leaves out more than MaxSkip opens")
	}
	if !bytes.Equal(before, bob.Marshal()) {
		t.Error("a failed open changed the state")
	}
}

func TestAStateComesBackAsItWas(t *testing.T) {
	alice, bob := meet(t, true)
	lost := say(t, alice, "late")
	hear(t, bob, say(t, alice, "first"), "first")
	hear(t, alice, say(t, bob, "back"), "back")
	for _, s := range []**Session{&alice, &bob} {
		again, err := ParseSession((*s).Marshal())
		if err != nil || !bytes.Equal(again.Marshal(), (*s).Marshal()) {
			t.Fatal(err)
		}
		*s = again
	}
	hear(t, bob, say(t, alice, "on"), "on")
	hear(t, bob, lost, "late")
	hear(t, alice, say(t, bob, "and on"), "and on")
}

func TestWhoOnlyListensOwesAStep(t *testing.T) {
	alice, bob := meet(t, false)
	for range TurnAfter {
		hear(t, bob, say(t, alice, "x"), "x")
	}
	if !bob.Owes() || alice.Owes() {
		t.Error("after many packets one way, the listener owes a step")
	}
	hear(t, alice, say(t, bob, ""), "")
	if bob.Owes() {
		t.Error("a step was sent")
	}
}
