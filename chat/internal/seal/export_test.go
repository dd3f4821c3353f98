package seal

// What tests from outside see of a session's secrets: a thief's loot, and what vectors write down.

// Loot is everything secret in a session.
type Loot struct {
	Transcript, Root []byte
	DH               []byte // private X25519
	KEM              []byte // seed; nil where there is none
	SendKey, RecvKey []byte
	Sent, Received   uint32
	Ours, Theirs     ChainID
	Kept             []LootKey
}

// LootKey is a key that is kept for a late packet.
type LootKey struct {
	Chain ChainID
	N     uint32
	Key   []byte
}

// Loot copies the secrets of a session.
func (s *Session) Loot() (l Loot) {
	l = Loot{
		Transcript: s.transcript[:], Root: append([]byte(nil), s.root[:]...), DH: append([]byte(nil), s.dh.bytes[:]...),
		SendKey: append([]byte(nil), s.sendKey[:]...), RecvKey: append([]byte(nil), s.recvKey[:]...),
		Sent: s.sent, Received: s.received, Ours: s.ours.id(), Theirs: s.theirs.id(),
	}
	if s.kem != nil {
		l.KEM = append([]byte(nil), s.kem.seed[:]...)
	}
	for _, k := range s.kept {
		l.Kept = append(l.Kept, LootKey{k.chain, k.n, append([]byte(nil), k.key[:]...)})
	}
	return l
}

// Kept is how many keys a session keeps.
func (s *Session) Kept() int { return len(s.kept) }

// Hint returns what a packet says of its place without being opened.
func (p *Packet) Hint() (full, kem bool, pn, n uint32) { return p.full, len(p.link.ct) > 0, p.pn, p.n }

// Break makes a session as it would be if a failed open had moved it on, for the check of the checker.
func (s *Session) Break() { _, s.recvKey = step(s.recvKey) }

// Forget drops the keys that are kept for late packets, for the check of the checker.
func (s *Session) Forget() { s.kept = nil }
