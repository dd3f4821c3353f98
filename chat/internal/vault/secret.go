package vault

import "fmt"

// KeySize is the length of every key in bytes.
const KeySize = 32

// Secret is a key of 32 bytes. It never prints: every verb of fmt, every encoder and every logger gets a placeholder. Copies of a
// Secret share its bytes, so that Wipe ends all of them. The zero Secret holds no key.
type Secret struct{ b *[KeySize]byte }

// NewSecret returns a secret with a copy of the bytes, which must be 32.
func NewSecret(b []byte) (Secret, error) {
	if len(b) != KeySize {
		return Secret{}, fmt.Errorf("key of %d bytes, want %d", len(b), KeySize)
	}
	k := [KeySize]byte(b)
	return Secret{&k}, nil
}

// MadeSecret returns a secret that fill has filled: with randomness.
func MadeSecret(fill func([]byte)) Secret {
	var k [KeySize]byte
	fill(k[:])
	return Secret{&k}
}

// Bytes returns the key itself, not a copy; nil where there is none.
func (s Secret) Bytes() []byte {
	if s.b == nil {
		return nil
	}
	return s.b[:]
}

// Wipe overwrites the key, in every copy of s.
func (s Secret) Wipe() { clear(s.Bytes()) }

// redacted is what everybody sees of a secret.
const redacted = "[key]"

// String says that there is a key, and not which.
func (s Secret) String() string { return redacted }

// GoString is String, for %#v.
func (s Secret) GoString() string { return redacted }

// Format is String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText is String, for JSON and the loggers that encode what they are given.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
