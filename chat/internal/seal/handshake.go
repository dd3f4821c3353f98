package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"parley/chat/internal/wire"
)

// Party is one end of a session, as both ends have to see it: all of it is bound into every key.
type Party struct {
	Account  []byte // account key
	Device   string // peer id
	Exchange []byte // IK, the certified X25519 key
}

// Bundle is what the initiator takes from the other device's records: keys whose signatures have been verified.
type Bundle struct {
	Signed  []byte // SPK, X25519
	KEM     []byte // ML-KEM-768, one-time or the last resort
	OneTime []byte // OPK, X25519; nil where there is none
}

// Answer is what the responder takes from its own keys: the private halves of what a first flight names.
type Answer struct {
	Identity ExchangeKey
	Signed   ExchangeKey
	KEM      KEMKey
	OneTime  *ExchangeKey // nil where none was used
}

// Initiate begins a session with a device (PQXDH, section 3.3, with the transcript in the derivation). Its packets carry the
// handshake until Confirm or the first packet of the other side.
func Initiate(self Party, identity ExchangeKey, certificate []byte, peer Party, b Bundle) (*Session, error) {
	if len(certificate) > wire.MaxSigned {
		return nil, fmt.Errorf("begin session: a certificate of %d bytes", len(certificate))
	}
	ephemeral := NewExchangeKey()
	ss, ct, err := encapsulate(b.KEM)
	if err != nil {
		return nil, fmt.Errorf("begin session: %w", err)
	}
	f := First{
		Account: self.Account, Certificate: certificate, ephemeral: ephemeral.Public(), Signed: wire.ID8(b.Signed), KEM: wire.ID8(b.KEM), ct: ct,
	}
	pairs := []pair{{identity, b.Signed}, {ephemeral, peer.Exchange}, {ephemeral, b.Signed}}
	if b.OneTime != nil {
		f.OneTime = wire.ID8(b.OneTime)
		pairs = append(pairs, pair{ephemeral, b.OneTime})
	}
	th := transcript(self, peer, f, b)
	root, sid, err := agreement(pairs, ss, th)
	if err != nil {
		return nil, fmt.Errorf("begin session: %w", err)
	}
	return &Session{
		id: sid, transcript: th, root: root, theirs: newLink(slices.Clone(b.Signed), nil, nil), turn: true, first: appendFirst(nil, f),
	}, nil
}

// Respond makes the session that a first flight begins. peer is who the verified certificate in it says. Nothing has been proven
// before a packet opens: drop the session where the first one does not.
func Respond(self Party, peer Party, f *First, a Answer) (*Session, error) {
	if !bytes.Equal(f.Account, peer.Account) {
		return nil, errors.New("answer session: another account than the certificate's")
	}
	b := Bundle{Signed: a.Signed.Public(), KEM: a.KEM.Public()}
	pairs := []pair{{a.Signed, peer.Exchange}, {a.Identity, f.ephemeral}, {a.Signed, f.ephemeral}}
	if a.OneTime != nil {
		b.OneTime = a.OneTime.Public()
		pairs = append(pairs, pair{*a.OneTime, f.ephemeral})
	}
	if wire.ID8(b.Signed) != f.Signed || wire.ID8(b.KEM) != f.KEM || f.UsesOneTime() != (a.OneTime != nil) || f.UsesOneTime() && wire.ID8(b.OneTime) != f.OneTime {
		return nil, fmt.Errorf("answer session: other prekeys than the first flight names")
	}
	ss, err := a.KEM.decapsulate(f.ct)
	if err != nil {
		return nil, fmt.Errorf("answer session: %w", err)
	}
	th := transcript(peer, self, *f, b)
	root, sid, err := agreement(pairs, ss, th)
	if err != nil {
		return nil, fmt.Errorf("answer session: %w", err)
	}
	return &Session{id: sid, transcript: th, root: root, dh: a.Signed}, nil
}

// pair is one of the agreements of a handshake: our private key, their public one.
type pair struct {
	ours   ExchangeKey
	theirs []byte
}

// agreement is the key derivation of the handshake.
func agreement(pairs []pair, ss []byte, th [sha256.Size]byte) (root secret, sid SessionID, err error) {
	ikm := slices.Repeat([]byte{0xff}, secretSize)
	for _, p := range pairs {
		dh, err := p.ours.agree(p.theirs)
		if err != nil {
			return root, sid, err
		}
		ikm = append(ikm, dh...)
	}
	ikm = append(ikm, ss...)
	out, err := hkdf.Key(sha256.New, ikm, make([]byte, secretSize), wire.LabelHandshake+string(th[:]), secretSize+sidSize)
	if err != nil {
		return root, sid, err
	}
	clear(ikm)
	copy(root[:], out)
	copy(sid[:], out[secretSize:])
	return root, sid, nil
}

// transcript hashes everything that both ends have to agree on. It is the associated data of the whole session.
func transcript(initiator, responder Party, f First, b Bundle) [sha256.Size]byte {
	var t []byte
	for _, field := range [][]byte{
		{version},
		initiator.Account, []byte(initiator.Device), initiator.Exchange, f.ephemeral,
		responder.Account, []byte(responder.Device), responder.Exchange, b.Signed, b.KEM, b.OneTime,
		f.ct,
	} {
		t = wire.AppendLP(t, field)
	}
	return sha256.Sum256(t)
}
