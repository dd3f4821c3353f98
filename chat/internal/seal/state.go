package seal

import (
	"encoding/binary"
	"fmt"

	"parley/chat/internal/wire"
)

const stateVersion = 1

// The bits of a state's flags.
const (
	stateKEM = 1 << iota
	stateMade
	stateHeard
	stateTurn
	stateReceives
)

// Room for a state in bytes: two chains and a handshake, and one kept key.
const (
	stateRoom = 8 << 10
	keptSize  = chainSize + 4 + secretSize
)

// maxFirst bounds the handshake in a state, in bytes: a certificate and what stands beside it.
const maxFirst = 2 << 10

// Marshal returns the state, with every secret in it: keep it sealed.
func (s *Session) Marshal() []byte {
	b := append(make([]byte, 0, stateRoom+keptSize*len(s.kept)), stateVersion, s.flags())
	b = append(b, s.id[:]...)
	b = append(b, s.transcript[:]...)
	b = append(b, s.root[:]...)
	b = append(b, s.dh.bytes[:]...)
	if s.kem != nil {
		b = append(b, s.kem.seed[:]...)
	}
	b = s.ours.append(b)
	b = append(b, s.sendKey[:]...)
	b = binary.BigEndian.AppendUint32(b, s.sent)
	b = binary.BigEndian.AppendUint32(b, s.previous)
	b = s.theirs.append(b)
	b = append(b, s.recvKey[:]...)
	b = binary.BigEndian.AppendUint32(b, s.received)
	b = binary.BigEndian.AppendUint32(b, s.opened)
	b = wire.AppendLP(b, s.first)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.kept)))
	for _, k := range s.kept {
		b = append(b, k.chain[:]...)
		b = binary.BigEndian.AppendUint32(b, k.n)
		b = append(b, k.key[:]...)
	}
	return b
}

func (l link) append(b []byte) []byte {
	b = wire.AppendLP(b, l.dh)
	b = wire.AppendLP(b, l.ek)
	return wire.AppendLP(b, l.ct)
}

func (s *Session) flags() (f byte) {
	for bit, on := range map[byte]bool{
		stateKEM: s.kem != nil, stateMade: s.made, stateHeard: s.heard, stateTurn: s.turn, stateReceives: s.receives,
	} {
		if on {
			f |= bit
		}
	}
	return f
}

// ParseSession reads what Marshal wrote.
func ParseSession(b []byte) (*Session, error) {
	r := wire.NewReader(b)
	r.Version(stateVersion)
	flags := r.Byte()
	s := &Session{
		made: flags&stateMade != 0, heard: flags&stateHeard != 0, turn: flags&stateTurn != 0, receives: flags&stateReceives != 0,
	}
	r.Fill(s.id[:])
	r.Fill(s.transcript[:])
	r.Fill(s.root[:])
	r.Fill(s.dh.bytes[:])
	if flags&stateKEM != 0 {
		s.kem = new(KEMKey)
		r.Fill(s.kem.seed[:])
	}
	s.ours = readLink(r)
	r.Fill(s.sendKey[:])
	s.sent, s.previous = r.U32(), r.U32()
	s.theirs = readLink(r)
	r.Fill(s.recvKey[:])
	s.received, s.opened = r.U32(), r.U32()
	if first := r.LP(maxFirst); len(first) > 0 {
		s.first = append([]byte(nil), first...)
	}
	n := r.U16()
	if n > MaxKept {
		r.Fail("%d kept keys, at most %d", n, MaxKept)
		n = 0
	}
	s.kept = make([]keptKey, 0, n)
	for range n {
		var k keptKey
		r.Fill(k.chain[:])
		k.n = r.U32()
		r.Fill(k.key[:])
		s.kept = append(s.kept, k)
	}
	if flags >= stateReceives<<1 || !s.sound() {
		r.Fail("parts that do not belong together")
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("session state: %w", err)
	}
	return s, nil
}

// sound reports whether the parts of a state fit together: whoever has a chain has all of it, and a pair of its own to it.
func (s *Session) sound() bool {
	ours, theirs := s.made && s.ours.whole() || !s.made && s.ours.empty(), s.receives && s.theirs.whole()
	if !s.receives {
		theirs = len(s.theirs.ek) == 0 && len(s.theirs.ct) == 0 && (len(s.theirs.dh) == wire.KeySize || !s.turn && len(s.theirs.dh) == 0)
	}
	return ours && theirs && s.made == (s.kem != nil) && (s.made || !s.heard)
}

func (l link) whole() bool {
	return len(l.dh) == wire.KeySize && len(l.ek) == KEMKeySize && (len(l.ct) == 0 || len(l.ct) == kemTextSize)
}

func (l link) empty() bool { return len(l.dh)+len(l.ek)+len(l.ct) == 0 }

func readLink(r *wire.Reader) link {
	return newLink(r.LP(wire.KeySize), r.LP(KEMKeySize), r.LP(kemTextSize)).clone()
}
