package chat

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"parley/chat/internal/wire"
)

// AccountID is a person: the account's Ed25519 public key. Its text form is the full key; what people compare is Short.
type AccountID [ed25519.PublicKeySize]byte

// String returns the whole key in lower-case Crockford base32 (52 characters).
func (a AccountID) String() string { return wire.Base32(a[:]) }

// Short returns the form for people: 75 bits of the key's hash and a check character, "7q3k-m2fd-9xwa-tt5c".
func (a AccountID) Short() string {
	sum := sha256.Sum256(append([]byte(wire.LabelAccountID), a[:]...))
	return wire.Short(sum[:])
}

// IsZero reports whether a names nobody.
func (a AccountID) IsZero() bool { return a == AccountID{} }

// ParseAccountID reads what String wrote.
func ParseAccountID(s string) (AccountID, error) {
	var a AccountID
	return a, wire.ParseBase32(a[:], s)
}

// ConversationID names a thread alike on every device in it: a kind byte and 31 bytes of a hash over who takes part.
type ConversationID [32]byte

const conversationDirect = 1

// DirectConversation returns the id of the conversation between two accounts, the same whoever asks.
func DirectConversation(a, b AccountID) ConversationID {
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	h := sha256.New()
	h.Write([]byte(wire.LabelDirect))
	h.Write(a[:])
	h.Write(b[:])
	var c ConversationID
	h.Sum(c[:0])
	copy(c[1:], c[:31])
	c[0] = conversationDirect
	return c
}

// String returns "dm:" and the hash in Crockford base32.
func (c ConversationID) String() string { return "dm:" + wire.Base32(c[1:]) }

// ParseConversationID reads what String wrote.
func ParseConversationID(s string) (ConversationID, error) {
	var c ConversationID
	if len(s) < 3 || s[:3] != "dm:" {
		return c, fmt.Errorf("conversation id %.80q: does not start with dm", s)
	}
	c[0] = conversationDirect
	return c, wire.ParseBase32(c[1:], s[3:])
}

// MessageID is bound to author, device and content: recomputed by the receiver, never taken from the wire (SPEC.md, "Ids").
type MessageID [32]byte

// String returns the id in Crockford base32 (52 characters).
func (m MessageID) String() string { return wire.Base32(m[:]) }

// IsZero reports whether m names no message.
func (m MessageID) IsZero() bool { return m == MessageID{} }

// ParseMessageID reads what String wrote.
func ParseMessageID(s string) (MessageID, error) {
	var m MessageID
	return m, wire.ParseBase32(m[:], s)
}

// EnvelopeID is the SHA-256 of an envelope's bytes.
type EnvelopeID [32]byte

// EnvelopeIDOf returns the id of an envelope.
func EnvelopeIDOf(envelope []byte) EnvelopeID { return sha256.Sum256(envelope) }

// AckTag proves that whoever sends it has opened the envelope. All zeros: taken, but it could not be opened.
type AckTag [16]byte

// RowID is a local, time-ordered key in the layout of UUIDv7: 48 bits of milliseconds, 12 bits of a counter within the
// millisecond, the rest random. It is never sent. Time order doubles the insert rate of both engines.
type RowID [16]byte

// IsZero reports whether r names no row.
func (r RowID) IsZero() bool { return r == RowID{} }

// newRowID returns an id that is greater than last, even when the clock stands still or goes back.
func newRowID(now time.Time, last RowID) RowID {
	var r RowID
	mustRandom(r[8:])
	stamp := uint64(max(now.UnixMilli(), 0))<<16 | 0x7000
	if prev := binary.BigEndian.Uint64(last[:]); stamp <= prev {
		stamp = nextStamp(prev)
	}
	binary.BigEndian.PutUint64(r[:], stamp)
	r[8] = r[8]&0x3f | 0x80
	return r
}

// nextStamp counts within the millisecond, and borrows the next one after 4,096 rows.
func nextStamp(prev uint64) uint64 {
	if prev&0xfff < 0xfff {
		return prev + 1
	}
	return (prev>>16+1)<<16 | 0x7000
}

// mustRandom fills b; crypto/rand never fails on the systems that Go supports.
func mustRandom(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
}
