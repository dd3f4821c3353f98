package seal_test

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rand"
	"testing"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// end is one device with its account, and the private halves of what its records show.
type end struct {
	account, device ed25519.PrivateKey
	identity        seal.ExchangeKey
	party           seal.Party
	certificate     []byte
	signed          seal.ExchangeKey
	kem             seal.KEMKey
	oneTime         *seal.ExchangeKey // what its bundle offers; nil: nothing
}

func newEnd(name string) *end {
	_, account, _ := ed25519.GenerateKey(rand.Reader)
	_, device, _ := ed25519.GenerateKey(rand.Reader)
	return endOf(name, account, device, seal.NewExchangeKey())
}

func endOf(name string, account, device ed25519.PrivateKey, identity seal.ExchangeKey) *end {
	e := &end{account: account, device: device, identity: identity, signed: seal.NewExchangeKey(), kem: seal.NewKEMKey()}
	e.party = seal.Party{
		Account: account.Public().(ed25519.PublicKey), Device: wire.DeviceID(device.Public().(ed25519.PublicKey)), Exchange: identity.Public(),
	}
	e.certificate = wire.Certificate{
		Account: e.party.Account, Device: e.party.Device, Exchange: e.party.Exchange, Name: name, Sequence: 1,
	}.Sign(account)
	return e
}

func (e *end) offerOneTime() { k := seal.NewExchangeKey(); e.oneTime = &k }

func (e *end) bundle() seal.Bundle {
	b := seal.Bundle{Signed: e.signed.Public(), KEM: e.kem.Public()}
	if e.oneTime != nil {
		b.OneTime = e.oneTime.Public()
	}
	return b
}

func (e *end) answer() seal.Answer {
	return seal.Answer{Identity: e.identity, Signed: e.signed, KEM: e.kem, OneTime: e.oneTime}
}

func (e *end) initiate(t testing.TB, to *end) *seal.Session {
	t.Helper()
	s, err := seal.Initiate(e.party, e.identity, e.certificate, to.party, to.bundle())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// respond does what a messenger does with a first flight: verify the certificate in it, answer, open.
func (e *end) respond(packet []byte) (*seal.Session, []byte, seal.Tag, error) {
	p, err := seal.Parse(packet)
	if err != nil {
		return nil, nil, seal.Tag{}, err
	}
	c, err := wire.ParseCertificate(p.First.Certificate)
	if err != nil {
		return nil, nil, seal.Tag{}, err
	}
	s, err := seal.Respond(e.party, seal.Party{Account: c.Account, Device: c.Device, Exchange: c.Exchange}, p.First, e.answer())
	if err != nil {
		return nil, nil, seal.Tag{}, err
	}
	body, tag, err := s.Open(p)
	return s, body, tag, err
}

// meet makes two devices with a session that both have, and of which both know that the other has it.
func meet(t testing.TB) (a, b *end, as, bs *seal.Session) {
	t.Helper()
	a, b = newEnd("a"), newEnd("b")
	as = a.initiate(t, b)
	bs, _, _, err := b.respond(put(t, as, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	get(t, as, put(t, bs, "hello yourself"))
	return a, b, as, bs
}

func put(t testing.TB, s *seal.Session, text string) []byte {
	t.Helper()
	packet, _, _, err := s.Seal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

func get(t testing.TB, s *seal.Session, packet []byte) string {
	t.Helper()
	body, _, err := open(s, packet)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func open(s *seal.Session, packet []byte) ([]byte, seal.Tag, error) {
	p, err := seal.Parse(packet)
	if err != nil {
		return nil, seal.Tag{}, err
	}
	return s.Open(p)
}

func restore(t testing.TB, state []byte) *seal.Session {
	t.Helper()
	s, err := seal.ParseSession(state)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// second returns an end as the second reading wants it.
func (e *end) second() (secondParty, secondPrekeys, secondBundle) {
	p := secondParty{account: e.party.Account, device: e.party.Device, ik: e.party.Exchange, identity: x25519(e.identity.Bytes())}
	k := secondPrekeys{signed: x25519(e.signed.Bytes()), kem: mlkem768(e.kem.Bytes())}
	if e.oneTime != nil {
		k.oneTime = x25519(e.oneTime.Bytes())
	}
	b := e.bundle()
	return p, k, secondBundle{b.Signed, b.KEM, b.OneTime}
}

func x25519(private []byte) *ecdh.PrivateKey {
	k, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		panic(err)
	}
	return k
}

func mlkem768(seed []byte) *mlkem.DecapsulationKey768 {
	k, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		panic(err)
	}
	return k
}

func mustKEM(public []byte) *mlkem.EncapsulationKey768 {
	k, err := mlkem.NewEncapsulationKey768(public)
	if err != nil {
		panic(err)
	}
	return k
}
