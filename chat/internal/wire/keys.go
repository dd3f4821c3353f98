package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"filippo.io/edwards25519"
)

// Sizes of keys and signatures in bytes.
const (
	KeySize       = 32 // Ed25519 and X25519
	SignatureSize = 64
	EnvelopeKey   = 1216 // X-Wing: ML-KEM-768 (1184) and X25519 (32)
	DeviceIDSize  = 38   // the libp2p peer id of an Ed25519 key
)

// deviceIDPrefix is what makes an Ed25519 key a libp2p peer id: an identity multihash of 36 bytes (00 24) of the protobuf
// {type: Ed25519, data: 32 bytes} (08 01 12 20).
const deviceIDPrefix = "\x00\x24\x08\x01\x12\x20"

// DeviceID returns the peer id of a device signing key.
func DeviceID(key ed25519.PublicKey) string { return deviceIDPrefix + string(key) }

// DeviceKey returns the signing key in a peer id, checked by CheckSigningKey.
func DeviceKey(id string) (ed25519.PublicKey, error) {
	if len(id) != DeviceIDSize || id[:len(deviceIDPrefix)] != deviceIDPrefix {
		return nil, errors.New("device id: not an Ed25519 peer id")
	}
	key := ed25519.PublicKey(id[len(deviceIDPrefix):])
	return key, CheckSigningKey(key)
}

// CheckSigningKey refuses Ed25519 keys that are not canonical or of small order. Go's verifier takes both, and under the identity
// point one signature fits every message.
func CheckSigningKey(key []byte) error {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	if !slices.Equal(p.Bytes(), key) {
		return errors.New("signing key: not canonical")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("signing key: small order")
	}
	return nil
}

// CheckExchangeKey refuses X25519 keys with the high bit set or a coordinate of at least 2^255-19: both are second names for
// another key. (Points of small order show up as an all-zero secret, which crypto/ecdh refuses.)
func CheckExchangeKey(key []byte) error {
	if len(key) != KeySize {
		return fmt.Errorf("exchange key of %d bytes", len(key))
	}
	if key[31]&0x80 != 0 {
		return errors.New("exchange key: high bit set")
	}
	if key[31] == 0x7f && key[0] >= 0xed && !slices.ContainsFunc(key[1:31], func(b byte) bool { return b != 0xff }) {
		return errors.New("exchange key: not canonical")
	}
	return nil
}

// ID8 names a public key inside a box or packet: the first eight bytes of its hash.
func ID8(key []byte) (id [8]byte) {
	sum := sha256.Sum256(key)
	copy(id[:], sum[:])
	return id
}

// Sign appends to body the signature over lp(label) ‖ body.
func Sign(label string, key ed25519.PrivateKey, body []byte) []byte {
	return append(slices.Clone(body), ed25519.Sign(key, signed(label, body))...)
}

// Verify checks a detached signature over lp(label) ‖ body. The key must have passed CheckSigningKey.
func Verify(label string, key ed25519.PublicKey, body, signature []byte) error {
	if len(signature) != SignatureSize || !ed25519.Verify(key, signed(label, body), signature) {
		return errors.New("wrong signature")
	}
	return nil
}

func signed(label string, body []byte) []byte {
	return append(AppendLP(make([]byte, 0, 4+len(label)+len(body)), []byte(label)), body...)
}

// Split cuts a signed object into its body and its signature.
func Split(b []byte) (body, signature []byte, err error) {
	n := len(b) - SignatureSize
	if n < 0 {
		return nil, nil, errShort
	}
	return b[:n], b[n:], nil
}
