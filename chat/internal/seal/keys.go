package seal

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"errors"
	"fmt"

	"parley/chat/internal/wire"
)

// Sizes in bytes of what is on the wire and in a state.
const (
	// KEMKeySize is the length of an ML-KEM-768 encapsulation key (FIPS 203).
	KEMKeySize  = mlkem.EncapsulationKeySize768
	kemTextSize = mlkem.CiphertextSize768
	// SeedSize is the length of what a KEMKey is made of.
	SeedSize   = mlkem.SeedSize
	secretSize = 32
)

// secret is 32 bytes that never print.
type secret [secretSize]byte

// Format says that there is a secret, and not which, whatever the verb.
func (secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// ExchangeKey is a private X25519 key. It never prints.
type ExchangeKey struct {
	bytes secret
	made  *ecdh.PrivateKey // the same, with its public half; nil in a state that was just read, where it is made when it is asked for
}

// NewExchangeKey makes a key.
func NewExchangeKey() ExchangeKey {
	var k ExchangeKey
	mustRandom(k.bytes[:])
	k.made = k.mustPrivate()
	return k
}

// ExchangeKeyOf returns the key of 32 bytes that Bytes returned.
func ExchangeKeyOf(b []byte) (ExchangeKey, error) {
	var k ExchangeKey
	if len(b) != len(k.bytes) {
		return k, fmt.Errorf("exchange key: %d bytes", len(b))
	}
	copy(k.bytes[:], b)
	k.made = k.mustPrivate()
	return k, nil
}

// Bytes returns the secret itself: keep it sealed.
func (k ExchangeKey) Bytes() []byte { return k.bytes[:] }

// Public returns the key that others agree on secrets with.
func (k ExchangeKey) Public() []byte { return k.mustPrivate().PublicKey().Bytes() }

// String says that there is a key, and not which.
func (k ExchangeKey) String() string { return "[exchange key]" }

// Format is String for every verb.
func (k ExchangeKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

func (k ExchangeKey) mustPrivate() *ecdh.PrivateKey {
	if k.made != nil {
		return k.made
	}
	p, err := ecdh.X25519().NewPrivateKey(k.bytes[:])
	if err != nil {
		panic(err) // any 32 bytes are a private key
	}
	return p
}

// agree is X25519 of RFC 7748. Keys with a second name and points of small order are refused.
func (k ExchangeKey) agree(public []byte) ([]byte, error) {
	if err := wire.CheckExchangeKey(public); err != nil {
		return nil, err
	}
	p, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("exchange key: %w", err)
	}
	return k.mustPrivate().ECDH(p)
}

// KEMKey is a private ML-KEM-768 key. It never prints.
type KEMKey struct {
	seed [SeedSize]byte
	made *mlkem.DecapsulationKey768 // as in an ExchangeKey
}

// NewKEMKey makes a key.
func NewKEMKey() KEMKey {
	var k KEMKey
	mustRandom(k.seed[:])
	k.made = k.mustPrivate()
	return k
}

// Bytes returns the secret itself: keep it sealed.
func (k KEMKey) Bytes() []byte { return k.seed[:] }

// Public returns the key that others encapsulate to.
func (k KEMKey) Public() []byte { return k.mustPrivate().EncapsulationKey().Bytes() }

// String says that there is a key, and not which.
func (k KEMKey) String() string { return "[KEM key]" }

// Format is String for every verb.
func (k KEMKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

func (k KEMKey) mustPrivate() *mlkem.DecapsulationKey768 {
	if k.made != nil {
		return k.made
	}
	p, err := mlkem.NewDecapsulationKey768(k.seed[:])
	if err != nil {
		panic(err) // any 64 bytes are a seed
	}
	return p
}

func (k KEMKey) decapsulate(ct []byte) ([]byte, error) {
	if len(ct) != kemTextSize {
		return nil, errors.New("KEM ciphertext: wrong length")
	}
	return k.mustPrivate().Decapsulate(ct)
}

// checkKEM refuses what nobody can encapsulate to: a wrong length, or a coefficient that is not reduced (FIPS 203, section 7.2).
func checkKEM(public []byte) error {
	_, err := mlkem.NewEncapsulationKey768(public)
	return err
}

func encapsulate(public []byte) (ss, ct []byte, err error) {
	k, err := mlkem.NewEncapsulationKey768(public)
	if err != nil {
		return nil, nil, fmt.Errorf("KEM key: %w", err)
	}
	ss, ct = k.Encapsulate()
	return ss, ct, nil
}

// mustRandom fills b; crypto/rand never fails on the systems that Go supports.
func mustRandom(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
}
