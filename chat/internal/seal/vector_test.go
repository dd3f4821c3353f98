package seal_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/mlkem"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"
	"testing/cryptotest"

	"parley/chat/internal/seal"
)

var update = flag.Bool("update", false, "write the vectors of sessions anew")

const vectorFile = "../../testdata/vectors/session.json"

// hexed is bytes that are hexadecimal in JSON.
type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexed) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// sessionVector is one session: its keys, and what happened in it, in order.
type sessionVector struct {
	Name      string        `json:"name"`
	Initiator vectorEnd     `json:"initiator"`
	Responder vectorEnd     `json:"responder"`
	Ephemeral hexed         `json:"ephemeral private"` // EK_A
	KEMText   hexed         `json:"kem ciphertext"`    // ct of the handshake
	KEMSecret hexed         `json:"kem secret"`        // SS of the handshake
	TH        hexed         `json:"transcript hash"`
	Session   hexed         `json:"sid"`
	Chains    []vectorChain `json:"chains"`
	Events    []vectorEvent `json:"events"`
}

type vectorEnd struct {
	Account     hexed `json:"account key"`
	Device      hexed `json:"device id"`
	Certificate hexed `json:"certificate"`
	Identity    hexed `json:"ik private"`
	Signed      hexed `json:"spk private,omitempty"`
	KEM         hexed `json:"kem seed,omitempty"`
	OneTime     hexed `json:"opk private,omitempty"`
}

// vectorChain is a chain with the root after it.
type vectorChain struct {
	By    string `json:"by"`
	DH    hexed  `json:"dh private"`
	KEM   hexed  `json:"kem seed"`
	CT    hexed  `json:"ct"`
	SS    hexed  `json:"ss"`
	Chain hexed  `json:"chain8"`
	Root  hexed  `json:"root after"`
}

// vectorEvent is a packet that is sealed, or one that is opened: the number of the event that sealed it.
type vectorEvent struct {
	Do     string `json:"do"` // seal, open or confirm
	By     string `json:"by"`
	Of     int    `json:"of"` // open, confirm: which event's packet
	Form   byte   `json:"form,omitempty"`
	Body   hexed  `json:"body,omitempty"`
	Tag    hexed  `json:"tag,omitempty"`
	Packet hexed  `json:"packet,omitempty"`
}

// recorder plays a session and writes it down.
type recorder struct {
	t     *testing.T
	v     *sessionVector
	ends  map[string]*end
	sides map[string]*seal.Session
	kems  map[string][]byte // seeds of the newest chain of each side
}

func recorded(e *end) vectorEnd {
	v := vectorEnd{
		Account: hexed(e.party.Account), Device: hexed(e.party.Device), Certificate: e.certificate, Identity: e.identity.Bytes(),
		Signed: e.signed.Bytes(), KEM: e.kem.Bytes(),
	}
	if e.oneTime != nil {
		v.OneTime = e.oneTime.Bytes()
	}
	return v
}

func fixedEnd(name string, n byte) *end {
	account, device := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n + 1}, 32))
	identity, err := seal.ExchangeKeyOf(bytes.Repeat([]byte{n + 2}, 32))
	if err != nil {
		panic(err)
	}
	return endOf(name, account, device, identity)
}

func (r *recorder) seal(by, text string) int {
	s := r.sides[by]
	starts := s.Starts()
	packet, tag, chain, err := s.Seal([]byte(text))
	if err != nil {
		r.t.Fatal(err)
	}
	e := vectorEvent{Do: "seal", By: by, Body: hexed(text), Tag: tag[:], Packet: packet, Form: packet[1]}
	if starts {
		r.chain(by, packet, chain)
	}
	r.v.Events = append(r.v.Events, e)
	return len(r.v.Events) - 1
}

// chain notes the chain that a packet begins.
func (r *recorder) chain(by string, packet []byte, chain seal.ChainID) {
	l := r.sides[by].Loot()
	if f, err := secondParseFirst(packet); err == nil {
		packet = f.inner
	}
	p, err := secondParse(packet)
	if err != nil {
		r.t.Fatal(err)
	}
	ss := make([]byte, 32)
	if len(p.ct) > 0 {
		if ss, err = mlkem768(r.kems[other(by)]).Decapsulate(p.ct); err != nil {
			r.t.Fatal(err)
		}
	}
	r.kems[by] = l.KEM
	r.v.Chains = append(r.v.Chains, vectorChain{By: by, DH: l.DH, KEM: l.KEM, CT: p.ct, SS: ss, Chain: chain[:], Root: l.Root})
}

func other(by string) string {
	if by == "initiator" {
		return "responder"
	}
	return "initiator"
}

func (r *recorder) open(of int) {
	by, sealed := other(r.v.Events[of].By), r.v.Events[of]
	var body []byte
	var tag seal.Tag
	var err error
	if r.sides[by] == nil {
		r.sides[by], body, tag, err = r.ends[by].respond(sealed.Packet)
	} else {
		body, tag, err = open(r.sides[by], sealed.Packet)
	}
	if err != nil || !bytes.Equal(body, sealed.Body) || !bytes.Equal(tag[:], sealed.Tag) {
		r.t.Fatalf("event %d: %q, %v", of, body, err)
	}
	r.v.Events = append(r.v.Events, vectorEvent{Do: "open", By: by, Of: of})
}

func (r *recorder) confirm(of int) {
	e := r.v.Events[of]
	l := r.sides[e.By].Loot()
	r.sides[e.By].Confirm(l.Ours)
	r.v.Events = append(r.v.Events, vectorEvent{Do: "confirm", By: e.By, Of: of})
}

// record plays one session from a fixed stream of random bytes.
func record(t *testing.T, name string, seed uint64, oneTime bool) sessionVector {
	cryptotest.SetGlobalRandom(t, seed)
	a, b := fixedEnd("Alice's laptop", 1), fixedEnd("Bob's phone", 11)
	if oneTime {
		b.offerOneTime()
	}
	v := sessionVector{Name: name, Initiator: recorded(a), Responder: recorded(b)}
	v.Initiator.Signed, v.Initiator.KEM = nil, nil // the initiator uses none
	cryptotest.SetGlobalRandom(t, seed+1)
	v.Ephemeral = seal.NewExchangeKey().Bytes()
	cryptotest.SetGlobalRandom(t, seed+1) // Initiate draws its ephemeral key first
	s := a.initiate(t, b)
	id, l := s.ID(), s.Loot()
	v.Session, v.TH = id[:], l.Transcript
	r := &recorder{
		t: t, v: &v, ends: map[string]*end{"initiator": a, "responder": b}, sides: map[string]*seal.Session{"initiator": s},
		kems: map[string][]byte{},
	}
	r.script()
	f, err := secondParseFirst(v.Events[0].Packet)
	if err != nil {
		t.Fatal(err)
	}
	v.KEMText = f.ct
	if v.KEMSecret, err = mlkem768(b.kem.Bytes()).Decapsulate(f.ct); err != nil {
		t.Fatal(err)
	}
	return v
}

// script is what happens in every vector: turns both ways, packets that are late, every form of packet, an empty body.
func (r *recorder) script() {
	hello, again, third := r.seal("initiator", "hello"), r.seal("initiator", "are you there?"), r.seal("initiator", "the third")
	r.open(again)
	r.open(hello)
	back := r.seal("responder", "hello yourself")
	r.open(back)
	r.confirm(back)
	short := r.seal("responder", "a short one")
	full := r.seal("initiator", "a chain with a KEM step")
	r.open(full)
	r.open(third)
	r.open(short)
	r.confirm(full)
	one, _, last := r.seal("initiator", "one"), r.seal("initiator", "lost"), r.seal("initiator", "")
	r.open(last)
	step := r.seal("responder", "\x02")
	r.open(step)
	r.open(one)
	r.open(r.seal("initiator", "done"))
}

// TestVectorsOfSessions plays the sessions of the vectors again, and compares every byte.
func TestVectorsOfSessions(t *testing.T) {
	all := []sessionVector{record(t, "without a one-time key", 41, false), record(t, "with a one-time key", 42, true)}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(vectorFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Error("sessions are not what the vectors say; -update writes them anew, and a change of the format needs a new version")
	}
}

// replayer plays a vector with the second reading, from the vector's keys alone.
type replayer struct {
	t     *testing.T
	v     *sessionVector
	sides map[string]*secondSession
	acked map[string][8]byte
	made  map[string]int // chains that a side has made
	nonce []byte         // of the packet that is to be sealed
	seen  int            // chains in all
}

// draw hands a side the keys that the vector names, in the order of its chains.
func (r *replayer) draw(by string) secondDraw {
	chain := func() *vectorChain {
		n := 0
		for i := range r.v.Chains {
			if r.v.Chains[i].By == by {
				if n++; n > r.made[by] {
					return &r.v.Chains[i]
				}
			}
		}
		r.t.Fatal("a chain that the vector does not have")
		return nil
	}
	return secondDraw{
		x25519: func() *ecdh.PrivateKey { return x25519(chain().DH) },
		kem:    func() *mlkem.DecapsulationKey768 { return mlkem768(chain().KEM) },
		encaps: func(*mlkem.EncapsulationKey768) (ss, ct []byte) { c := chain(); return c.SS, c.CT },
		nonce:  func() []byte { return r.nonce },
	}
}

func (e vectorEnd) second() (secondParty, secondPrekeys, secondBundle) {
	k := x25519(e.Identity)
	p := secondParty{account: e.Account, device: string(e.Device), ik: k.PublicKey().Bytes(), identity: k}
	if e.Signed == nil {
		return p, secondPrekeys{}, secondBundle{}
	}
	keys := secondPrekeys{signed: x25519(e.Signed), kem: mlkem768(e.KEM)}
	b := secondBundle{signed: keys.signed.PublicKey().Bytes(), kem: keys.kem.EncapsulationKey().Bytes()}
	if e.OneTime != nil {
		keys.oneTime = x25519(e.OneTime)
		b.oneTime = keys.oneTime.PublicKey().Bytes()
	}
	return p, keys, b
}

// TestTheSecondReadingDerivesTheVectors plays the vectors with the second reading: every packet comes out byte for byte.
func TestTheSecondReadingDerivesTheVectors(t *testing.T) {
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []sessionVector
	if err := json.Unmarshal(text, &all); err != nil || len(all) < 2 {
		t.Fatalf("%d vectors, %v", len(all), err)
	}
	for i := range all {
		t.Run(all[i].Name, func(t *testing.T) { replay(t, &all[i]) })
	}
}

func replay(t *testing.T, v *sessionVector) {
	r := &replayer{t: t, v: v, sides: map[string]*secondSession{}, acked: map[string][8]byte{}, made: map[string]int{}}
	a, _, _ := v.Initiator.second()
	b, _, bundle := v.Responder.second()
	draw := r.draw("initiator")
	draw.x25519 = func() *ecdh.PrivateKey { return x25519(v.Ephemeral) }
	draw.encaps = func(*mlkem.EncapsulationKey768) (ss, ct []byte) { return v.KEMSecret, v.KEMText }
	s, err := secondInitiate(draw, a, b, v.Initiator.Certificate, bundle)
	if err != nil {
		t.Fatal(err)
	}
	s.draw = r.draw("initiator")
	r.sides["initiator"] = s
	if !bytes.Equal(s.th, v.TH) || !bytes.Equal(s.sid, v.Session) {
		t.Fatalf("transcript hash %x, sid %x", s.th, s.sid)
	}
	for i, e := range v.Events {
		switch e.Do {
		case "seal":
			err = r.seal(e)
		case "open":
			err = r.open(e, v.Events[e.Of])
		case "confirm":
			r.acked[e.By] = r.sides[e.By].out.id
		}
		if err != nil {
			t.Fatalf("event %d, %s by %s: %v", i, e.Do, e.By, err)
		}
	}
	if r.seen != len(v.Chains) || r.seen < 4 {
		t.Errorf("%d chains of %d", r.seen, len(v.Chains))
	}
}

func (r *replayer) seal(e vectorEvent) error {
	s := r.sides[e.By]
	packet := e.Packet
	if f, err := secondParseFirst(packet); err == nil {
		packet = f.inner
	}
	p, err := secondParse(packet)
	if err != nil {
		return err
	}
	r.nonce = p.nonce
	begins := s.newChain
	got, tag, err := s.seal(e.Form, e.Body)
	if err != nil || !bytes.Equal(got, e.Packet) || !bytes.Equal(tag, e.Tag) {
		return fmt.Errorf("packet %x, tag %x, %w", got, tag, err)
	}
	if (e.Form == secondShort) != (r.acked[e.By] == s.out.id) {
		return fmt.Errorf("form %d", e.Form)
	}
	if begins {
		c := r.v.Chains[r.seen]
		r.seen++
		r.made[e.By]++
		if c.By != e.By || !bytes.Equal(c.Chain, s.out.id[:]) || !bytes.Equal(c.Root, s.rk) {
			return fmt.Errorf("chain %x, root %x", s.out.id, s.rk)
		}
	}
	return nil
}

func (r *replayer) open(e, sealed vectorEvent) (err error) {
	s := r.sides[e.By]
	var body, tag []byte
	if s == nil {
		b, keys, _ := r.v.Responder.second()
		a, err := secondCertificate(r.v.Initiator.Account, r.v.Initiator.Certificate)
		if err != nil {
			return err
		}
		s, body, tag, err = secondRespond(r.draw(e.By), b, a, keys, sealed.Packet)
		if err != nil {
			return err
		}
		r.sides[e.By] = s
	} else if body, tag, err = s.openAny(sealed.Packet); err != nil {
		return err
	}
	if !bytes.Equal(body, sealed.Body) || !bytes.Equal(tag, sealed.Tag) {
		return fmt.Errorf("%q, tag %x", body, tag)
	}
	return nil
}
