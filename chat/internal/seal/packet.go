package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"parley/chat/internal/wire"
)

// Types of packets, behind the version byte (chat/SPEC.md, "Packets").
const (
	typeFirst = 1
	typeFull  = 2
	typeShort = 3
)

const (
	sidSize   = 16
	chainSize = 8
	nonceSize = chacha20poly1305.NonceSizeX
	bodyTag   = chacha20poly1305.Overhead
	flagKEM   = 1 // a full packet's chain was made with a KEM ciphertext
)

// SessionID names a session between two devices. Both derive it; it is random to everybody else.
type SessionID [sidSize]byte

// ChainID names one chain of a session: the first bytes of the hash of its public part.
type ChainID [chainSize]byte

// Ephemeral is the part of a first flight that the initiator made for it, by which a replay is known.
type Ephemeral [sha256.Size]byte

var errPacket = errors.New("not a packet")

// Packet is a packet taken apart, its body still closed.
type Packet struct {
	First   *First // nil unless it carries the handshake
	Session SessionID
	full    bool
	link    link // of a full packet
	chain   ChainID
	pn, n   uint32
	nonce   []byte
	head    []byte // every byte before the body
	body    []byte
}

// First is what a first flight carries in front of its packet: who begins, and which of our prekeys were used.
type First struct {
	Account     []byte // account key of the initiator
	Certificate []byte // signed; the caller verifies it
	ephemeral   []byte // EK
	Signed      [8]byte
	KEM         [8]byte
	OneTime     [8]byte // zeros: none was used
	ct          []byte
}

// UsesOneTime reports whether a one-time X25519 prekey took part.
func (f *First) UsesOneTime() bool { return f.OneTime != [8]byte{} }

// Replay identifies the handshake: the same bytes make the same session, which must exist once.
func (f *First) Replay() Ephemeral {
	return sha256.Sum256(slices.Concat(f.ephemeral, f.Signed[:], f.KEM[:], f.OneTime[:], f.ct))
}

// Position orders the packets of one session: those of a batch are opened chain by chain, in ascending order, so that the fewest
// keys have to be kept for later. Packets of different chains keep the order in which they came.
func (p *Packet) Position() (ChainID, uint32) { return p.chain, p.n }

// link is the public part of a chain, with what is derived from it.
type link struct {
	dh, ek, ct []byte // ct is empty on an initiator's first chain
	hash       [sha256.Size]byte
}

// newLink hashes the public part: the hash binds the chain's keys to it, and its beginning is the chain's name.
func newLink(dh, ek, ct []byte) link {
	return link{dh, ek, ct, sha256.Sum256(slices.Concat(dh, ek, ct))}
}

func (l link) id() ChainID { return ChainID(l.hash[:chainSize]) }

// clone returns a link that shares no bytes with a packet.
func (l link) clone() link {
	return link{slices.Clone(l.dh), slices.Clone(l.ek), slices.Clone(l.ct), l.hash}
}

// appendFull appends the head of a full packet.
func appendFull(b []byte, sid SessionID, l link, pn, n uint32, nonce []byte) []byte {
	flags := byte(0)
	if len(l.ct) > 0 {
		flags = flagKEM
	}
	b = append(b, version, typeFull)
	b = append(b, sid[:]...)
	b = append(b, flags)
	b = append(b, l.dh...)
	b = append(b, l.ek...)
	b = append(b, l.ct...)
	b = binary.BigEndian.AppendUint32(b, pn)
	b = binary.BigEndian.AppendUint32(b, n)
	return append(b, nonce...)
}

// appendShort appends the head of a short packet.
func appendShort(b []byte, sid SessionID, chain ChainID, n uint32, nonce []byte) []byte {
	b = append(b, version, typeShort)
	b = append(b, sid[:]...)
	b = append(b, chain[:]...)
	b = binary.BigEndian.AppendUint32(b, n)
	return append(b, nonce...)
}

// appendFirst appends what stands before the packet of a first flight.
func appendFirst(b []byte, f First) []byte {
	b = append(b, version, typeFirst)
	b = wire.AppendLP(b, f.Account)
	b = wire.AppendLP(b, f.Certificate)
	b = append(b, f.ephemeral...)
	b = append(b, f.Signed[:]...)
	b = append(b, f.KEM[:]...)
	b = append(b, f.OneTime[:]...)
	return append(b, f.ct...)
}

// Parse takes a packet apart. It opens nothing; what it returns aliases b.
func Parse(b []byte) (*Packet, error) {
	if len(b) < 2 || b[0] != version {
		return nil, errPacket
	}
	switch b[1] {
	case typeFirst:
		return parseFirst(b)
	case typeFull:
		return parseFull(b)
	case typeShort:
		return parseShort(b)
	}
	return nil, errPacket
}

// readFirst reads what appendFirst wrote, and returns what follows it.
func readFirst(b []byte) (*First, []byte, error) {
	r := wire.NewReader(b[2:])
	f := &First{Account: r.LP(wire.KeySize), Certificate: r.LP(wire.MaxSigned), ephemeral: r.Take(wire.KeySize)}
	r.Fill(f.Signed[:])
	r.Fill(f.KEM[:])
	r.Fill(f.OneTime[:])
	f.ct = r.Take(kemTextSize)
	rest := r.Rest()
	if r.Close() != nil || len(f.Account) != wire.KeySize {
		return f, nil, errPacket
	}
	return f, rest, nil
}

// Innermost returns the packet that a first flight carries; any other packet, and what is none, is its own. A packet's body stands for all
// that its session was derived from, so that nothing in front of it says more.
func Innermost(b []byte) []byte {
	if len(b) < 2 || b[0] != version || b[1] != typeFirst {
		return b
	}
	_, rest, err := readFirst(b)
	if err != nil {
		return b
	}
	r := wire.NewReader(rest)
	inner := r.LP(len(rest))
	if r.Close() != nil {
		return b
	}
	return inner
}

func parseFirst(b []byte) (*Packet, error) {
	f, rest, err := readFirst(b)
	if err != nil {
		return nil, err
	}
	r := wire.NewReader(rest)
	inner := r.LP(len(rest))
	if r.Close() != nil || len(inner) < 2 || inner[0] != version || inner[1] != typeFull {
		return nil, errPacket
	}
	p, err := parseFull(inner)
	if err != nil {
		return nil, err
	}
	p.First = f
	return p, nil
}

func parseFull(b []byte) (*Packet, error) {
	r := wire.NewReader(b[2:])
	p := &Packet{full: true}
	r.Fill(p.Session[:])
	flags := r.Byte()
	dh, ek, ct := r.Take(wire.KeySize), r.Take(KEMKeySize), []byte(nil)
	if flags == flagKEM {
		ct = r.Take(kemTextSize)
	} else if flags != 0 {
		return nil, errPacket
	}
	p.pn, p.n = r.U32(), r.U32()
	if !p.rest(r, b) {
		return nil, errPacket
	}
	p.link = newLink(dh, ek, ct)
	p.chain = p.link.id()
	return p, nil
}

func parseShort(b []byte) (*Packet, error) {
	r := wire.NewReader(b[2:])
	p := &Packet{}
	r.Fill(p.Session[:])
	r.Fill(p.chain[:])
	p.n = r.U32()
	if !p.rest(r, b) {
		return nil, errPacket
	}
	return p, nil
}

// rest reads nonce and body, and reports whether everything before was there.
func (p *Packet) rest(r *wire.Reader, b []byte) bool {
	p.nonce = r.Take(nonceSize)
	p.body = r.Rest()
	p.head = b[:len(b)-len(p.body)]
	return r.Close() == nil && len(p.body) >= bodyTag
}
