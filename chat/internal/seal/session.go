package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"parley/chat/internal/wire"
)

// What a session keeps for packets that are late, as numbers of keys.
const (
	// MaxSkip is how many packets of one chain a packet may leave out: what a sender may have on its way at once, several times over.
	MaxSkip = 1000
	// MaxKept is how many keys of packets that were left out are kept in all: the oldest goes first, and its sender's row, which was
	// never acknowledged, heals it.
	MaxKept = 2000
	// TurnAfter is how many packets a device opens without sending any before it owes the other side a step.
	TurnAfter = 100
)

// ErrKnown says that a packet's place in its chain was opened before, or given up: it is a copy that is not remembered any more, or
// two packets were made from one state (a fork).
var ErrKnown = errors.New("packet: its place was opened before")

// errOpen is the one answer to every packet that does not open.
var errOpen = errors.New("packet does not open")

// Session is the state of a Double Ratchet between two devices, with a KEM step in every turn. It is pure: no I/O, no clock. What
// changes it is Seal, Open and Confirm; a failed call changes nothing. Keep it as Marshal returns it, in the transaction that keeps
// what was sealed or opened.
//
// Chains alternate: a side that has received a chain of the other makes a new one of its own at its next send, and not before, so
// at any time each side has one pair that the next chain of the other will answer to.
type Session struct {
	id         SessionID
	transcript [sha256.Size]byte
	root       secret

	dh  ExchangeKey // ours that they answer to: of our last chain, or the signed prekey at a responder
	kem *KEMKey     // nil at a responder before its first chain

	made     bool // we have a sending chain
	ours     link
	sendKey  secret
	sent     uint32 // packets on our chain
	previous uint32 // packets on our chain before
	heard    bool   // the other side has acknowledged a packet of our chain
	turn     bool   // they have a newer chain than ours answers to: our next packet begins one

	theirs   link // ek and ct are empty at an initiator before the first answer
	receives bool // we have a receiving chain
	recvKey  secret
	received uint32 // place of the next packet on their chain
	opened   uint32 // packets opened since we last sent
	kept     []keptKey

	first []byte // what precedes our packets until the other side is known to have the session
}

// keptKey opens a packet that was left out.
type keptKey struct {
	chain ChainID
	n     uint32
	key   secret
}

// ID returns the session's name.
func (s *Session) ID() SessionID { return s.id }

// Format says which session it is, whatever the verb.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "[session %x]", s.id[:4]) }

// Starts reports whether the next packet begins a chain.
func (s *Session) Starts() bool { return s.turn || !s.made }

// Owes reports whether the other side waits for a chain of ours to heal from: we have opened many packets and sent none.
func (s *Session) Owes() bool { return s.turn && s.opened >= TurnAfter }

// Confirmed reports whether the other side is known to have the session.
func (s *Session) Confirmed() bool { return s.first == nil }

// Awaits returns what the first flight named, where the other side is not known to have the session that we began.
func (s *Session) Awaits() (First, bool) {
	if s.first == nil {
		return First{}, false
	}
	f, _, err := readFirst(s.first)
	return *f, err == nil
}

// Seal closes a body in the next packet. It returns the packet, the tag that only who opened it can show, and the chain that it is on.
func (s *Session) Seal(body []byte) (packet []byte, tag Tag, chain ChainID, err error) {
	next := *s
	if s.Starts() {
		if err := next.begin(); err != nil {
			return nil, tag, chain, fmt.Errorf("seal packet: %w", err)
		}
	}
	if next.sent == ^uint32(0) {
		return nil, tag, chain, errors.New("seal packet: the chain is at its end")
	}
	key, following := step(next.sendKey)
	nonce := make([]byte, nonceSize)
	mustRandom(nonce)
	chain = next.ours.id()
	var head []byte
	if next.heard {
		head = appendShort(nil, s.id, chain, next.sent, nonce)
	} else {
		head = appendFull(nil, s.id, next.ours, next.previous, next.sent, nonce)
	}
	aead, tag, err := openers(key)
	if err != nil {
		return nil, tag, chain, fmt.Errorf("seal packet: %w", err)
	}
	packet = aead.Seal(head, nonce, body, s.associated(head))
	next.sendKey, next.sent, next.opened = following, next.sent+1, 0
	if next.first != nil {
		packet = append(slices.Clone(next.first), wire.AppendLP(nil, packet)...)
	}
	*s = next
	return packet, tag, chain, nil
}

// begin makes a chain of ours (Double Ratchet, section 3; the KEM step as in SimpleX's).
func (s *Session) begin() error {
	dh, kem := NewExchangeKey(), NewKEMKey()
	ss, ct := make([]byte, secretSize), []byte(nil)
	if len(s.theirs.ek) > 0 {
		var err error
		if ss, ct, err = encapsulate(s.theirs.ek); err != nil {
			return err
		}
	}
	l := newLink(dh.Public(), kem.Public(), ct)
	shared, err := dh.agree(s.theirs.dh)
	if err != nil {
		return err
	}
	s.root, s.sendKey, err = ratchet(s.root, shared, ss, l)
	s.dh, s.kem, s.ours = dh, &kem, l
	s.previous, s.sent, s.made, s.heard, s.turn = s.sent, 0, true, false, false
	return err
}

// Confirm notes that the other side has acknowledged a packet on a chain of ours: it has that chain's public part, and the session.
// It returns whether that was news.
func (s *Session) Confirm(chain ChainID) bool {
	news := s.first != nil
	s.first = nil
	if s.made && !s.heard && s.ours.id() == chain {
		s.heard, news = true, true
	}
	return news
}

// Open opens a packet of this session, and returns its body and its tag. Where it fails, the session is as it was.
func (s *Session) Open(p *Packet) (body []byte, tag Tag, err error) {
	if p.Session != s.id {
		return nil, tag, errOpen
	}
	if i := s.find(p); i >= 0 {
		body, tag, err = s.unseal(s.kept[i].key, p)
		if err == nil {
			s.kept = slices.Delete(slices.Clone(s.kept), i, i+1)
			s.took()
		}
		return body, tag, err
	}
	next := *s
	switch {
	case s.receives && p.chain == s.theirs.id():
		if p.n < s.received {
			return nil, tag, ErrKnown
		}
	case !p.full:
		return nil, tag, errOpen
	default:
		if err := next.follow(p); err != nil {
			return nil, tag, err
		}
	}
	key, err := next.skipTo(p.n)
	if err != nil {
		return nil, tag, err
	}
	if body, tag, err = s.unseal(key, p); err != nil {
		return nil, tag, err
	}
	next.took()
	*s = next
	return body, tag, nil
}

// took counts a packet that was opened. Whoever sends to us in this session has it.
func (s *Session) took() {
	s.opened++
	s.first = nil
}

// find returns the index of the key that was kept for a packet; -1 where there is none.
func (s *Session) find(p *Packet) int {
	return slices.IndexFunc(s.kept, func(k keptKey) bool { return k.n == p.n && k.chain == p.chain })
}

// follow moves to a chain that the other side has begun: what is missing of the one before is kept, up to where that ended.
func (s *Session) follow(p *Packet) error {
	if s.turn {
		return errOpen // chains alternate: there is none of ours that it could answer to
	}
	if s.receives {
		if p.pn < s.received {
			return errOpen
		}
		if err := s.skip(p.pn); err != nil {
			return err
		}
	}
	ss := make([]byte, secretSize)
	if (len(p.link.ct) > 0) != (s.kem != nil) {
		return errOpen
	}
	var err error
	if s.kem != nil {
		if ss, err = s.kem.decapsulate(p.link.ct); err != nil {
			return errOpen
		}
	}
	if err := checkKEM(p.link.ek); err != nil {
		return errOpen // or nothing could be sent in answer
	}
	shared, err := s.dh.agree(p.link.dh)
	if err != nil {
		return errOpen
	}
	s.root, s.recvKey, err = ratchet(s.root, shared, ss, p.link)
	s.theirs, s.receives, s.received, s.turn = p.link.clone(), true, 0, true
	return err
}

// skipTo returns the key of a place on the current chain, and keeps the keys of those before it.
func (s *Session) skipTo(n uint32) (secret, error) {
	if err := s.skip(n); err != nil {
		return secret{}, err
	}
	if n == ^uint32(0) {
		return secret{}, errOpen
	}
	key, following := step(s.recvKey)
	s.recvKey, s.received = following, n+1
	return key, nil
}

// skip keeps the keys of the places on the current chain before n.
func (s *Session) skip(n uint32) error {
	if n-s.received > MaxSkip {
		return errOpen
	}
	if n == s.received {
		return nil
	}
	chain := s.theirs.id()
	s.kept = slices.Clone(s.kept)
	for ; s.received < n; s.received++ {
		key, following := step(s.recvKey)
		s.kept = append(s.kept, keptKey{chain, s.received, key})
		s.recvKey = following
	}
	s.kept = s.kept[max(0, len(s.kept)-MaxKept):]
	return nil
}

// unseal opens a body with its key.
func (s *Session) unseal(key secret, p *Packet) ([]byte, Tag, error) {
	aead, tag, err := openers(key)
	if err != nil {
		return nil, Tag{}, err
	}
	body, err := aead.Open(nil, p.nonce, p.body, s.associated(p.head))
	if err != nil {
		return nil, Tag{}, errOpen
	}
	return body, tag, nil
}

// associated is what every body is bound to: the handshake, and all of its packet that precedes it.
func (s *Session) associated(head []byte) []byte { return slices.Concat(s.transcript[:], head) }

// ratchet derives the next root key, and the key of the chain that is being made.
func ratchet(root secret, dh, ss []byte, l link) (next, chain secret, err error) {
	out, err := hkdf.Key(sha256.New, slices.Concat(dh, ss), root[:], wire.LabelRatchet+string(l.hash[:]), 2*secretSize)
	if err != nil {
		return next, chain, err
	}
	copy(next[:], out)
	copy(chain[:], out[secretSize:])
	return next, chain, nil
}

// step derives the key of one packet, and the chain key after it.
func step(chain secret) (key, following secret) {
	mac := hmac.New(sha256.New, chain[:])
	mac.Write([]byte{1})
	mac.Sum(key[:0])
	mac.Reset()
	mac.Write([]byte{2})
	mac.Sum(following[:0])
	return key, following
}

// openers derives from a packet's key what opens its body, and the tag that proves it.
func openers(key secret) (cipher, Tag, error) {
	var tag Tag
	body, err := hkdf.Expand(sha256.New, key[:], wire.LabelBody, secretSize)
	if err != nil {
		return nil, tag, err
	}
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(wire.LabelAck))
	copy(tag[:], mac.Sum(nil))
	aead, err := chacha20poly1305.NewX(body)
	return aead, tag, err
}

// cipher is crypto/cipher.AEAD, as far as it is used.
type cipher interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}
