package member

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Signature domains and labels.
const (
	labelCertificate = "parley member certificate v1"
	labelRevocations = "parley member revocations v1"
	labelRotation    = "parley network key v1"
	labelRequest     = "parley member request v1"
	labelAgreement   = "parley member agreement v1"
	labelToken       = "parley/member token/1"
)

// Lengths in bytes.
const (
	keySize         = 32
	networkSize     = 16
	pskSize         = 32
	inviteSize      = 8
	proofSize       = 64
	bodySize        = keySize + keySize + 1 + inviteSize + 8 + proofSize
	certificateSize = bodySize + ed25519.SignatureSize
	hashSize        = 16 // of a certificate, where a list spares it
)

// flagMayInvite says that a device may let in others.
const flagMayInvite = 1

// Key is an Ed25519 public key: of a device, an account or an authority.
type Key [keySize]byte

// KeyOf returns the key of a device. The error says that the device has one of another kind, and so is no node of ours.
func KeyOf(device peer.ID) (Key, error) {
	public, err := device.ExtractPublicKey()
	if err != nil {
		return Key{}, fmt.Errorf("key of %s: %w", device, err)
	}
	raw, err := public.Raw()
	if err != nil || public.Type() != crypto.Ed25519 {
		return Key{}, fmt.Errorf("key of %s: not an Ed25519 key", device)
	}
	return Key(raw), nil
}

// Peer returns the id of the device that has this key.
func (k Key) Peer() (peer.ID, error) {
	public, err := crypto.UnmarshalEd25519PublicKey(k[:])
	if err != nil {
		return "", fmt.Errorf("device key: %w", err)
	}
	return peer.IDFromPublicKey(public)
}

// Network is what chains are judged by. The functions are the messenger's rules, and pure.
type Network struct {
	ID [networkSize]byte
	// IDOf returns the id of the network whose authority has this public key.
	IDOf func(authority []byte) [networkSize]byte
	// Proven reports whether an account has said that a device is its own, in this network.
	Proven func(network [networkSize]byte, account [keySize]byte, device peer.ID, proof []byte) bool
}

// InviteID is the public name of an invite: it lets nobody in.
type InviteID [inviteSize]byte

// Claim says whose device it is.
type Claim struct {
	Device  Key
	Account Key
	Proof   [proofSize]byte // of the account
}

// holds reports whether the account has said so.
func (c Claim) holds(n Network) bool {
	device, err := c.Device.Peer()
	return err == nil && n.Proven(n.ID, c.Account, device, c.Proof[:])
}

// Certificate says that a device is a member. It is a value without a verdict: Chain.Judge has it.
type Certificate struct {
	Claim
	MayInvite bool
	Invite    InviteID // zero for the device that made the network
	Issued    uint64   // Unix seconds
	signature [ed25519.SignatureSize]byte
}

// issue signs a certificate.
func issue(n Network, issuer ed25519.PrivateKey, c Certificate) Certificate {
	copy(c.signature[:], ed25519.Sign(issuer, c.signed(n, Key(issuer.Public().(ed25519.PublicKey)))))
	return c
}

// signed is what an issuer signs.
func (c Certificate) signed(n Network, issuer Key) []byte {
	return statement(labelCertificate, n, issuer[:], c.body())
}

// statement is what is signed under a label in a network.
func statement(label string, n Network, parts ...[]byte) []byte {
	return slices.Concat(append([][]byte{domain(label), n.ID[:]}, parts...)...)
}

// domain is how everything begins that is signed under a label.
func domain(label string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(label))), label...)
}

func (c Certificate) body() []byte {
	flags := byte(0)
	if c.MayInvite {
		flags = flagMayInvite
	}
	b := slices.Concat(c.Device[:], c.Account[:], []byte{flags}, c.Invite[:])
	b = binary.BigEndian.AppendUint64(b, c.Issued)
	return append(b, c.Proof[:]...)
}

// marshal returns the bytes.
func (c Certificate) marshal() []byte { return append(c.body(), c.signature[:]...) }

// hash names the certificate in a list.
func (c Certificate) hash() [hashSize]byte {
	sum := sha256.Sum256(c.marshal())
	return [hashSize]byte(sum[:])
}

var errCertificate = errors.New("malformed certificate")

// parseCertificate reads the first certificate in b, and returns what is behind it.
func parseCertificate(b []byte) (c Certificate, rest []byte, err error) {
	if len(b) < certificateSize {
		return c, nil, errCertificate
	}
	rest = b[certificateSize:]
	next := func(to []byte) { b = b[copy(to, b):] }
	next(c.Device[:])
	next(c.Account[:])
	if b[0]&^flagMayInvite != 0 {
		return c, nil, errCertificate
	}
	c.MayInvite = b[0] == flagMayInvite
	b = b[1:]
	next(c.Invite[:])
	c.Issued = binary.BigEndian.Uint64(b)
	b = b[8:]
	next(c.Proof[:])
	next(c.signature[:])
	return c, rest, nil
}

// Chain is the way from the authority to a device.
type Chain struct {
	Authority    Key
	Certificates []Certificate // at least one; the last is the device's own
}

var errChain = errors.New("malformed chain")

// ParseChain reads what Marshal wrote. That it parses says nothing about who is in it.
func ParseChain(b []byte) (Chain, error) {
	var c Chain
	if len(b) <= keySize || b[keySize] == 0 || b[keySize] > MaxDepth || len(b) != keySize+1+int(b[keySize])*certificateSize {
		return c, errChain
	}
	c.Authority = Key(b)
	for rest := b[keySize+1:]; len(rest) > 0; {
		certificate, behind, err := parseCertificate(rest)
		if err != nil {
			return Chain{}, err
		}
		c.Certificates, rest = append(c.Certificates, certificate), behind
	}
	return c, nil
}

// Marshal returns the bytes.
func (c Chain) Marshal() []byte {
	b := append(bytes.Clone(c.Authority[:]), byte(len(c.Certificates)))
	for _, certificate := range c.Certificates {
		b = append(b, certificate.marshal()...)
	}
	return b
}

// Own returns the certificate of the device that the chain leads to.
func (c Chain) Own() Certificate { return c.Certificates[len(c.Certificates)-1] }

// first reports whether the chain is of the device that made the network.
func (c Chain) first() bool { return len(c.Certificates) == 1 && c.Own().Invite == InviteID{} }

// answers reports whether the chain is of the one who was asked for it: whoever hands a request on may not let the joiner in by itself.
func (c Chain) answers(r Request) bool {
	n := len(c.Certificates)
	return c.Own().Invite == r.Invite && (n == 1 || c.Certificates[n-2].Device == r.Issuer)
}

// Judge returns Admitted when the chain makes a device a member of the network, as far as its signatures go, and Unproven otherwise. The list of
// revocations is another question: List.Judge.
func (c Chain) Judge(n Network, device Key) Verdict {
	if len(c.Certificates) == 0 || c.Own().Device != device || n.IDOf(c.Authority[:]) != n.ID || c.repeats() {
		return Unproven
	}
	issuer := c.Authority
	for i, certificate := range c.Certificates {
		last := i == len(c.Certificates)-1
		if !last && !certificate.MayInvite || !ed25519.Verify(issuer[:], certificate.signed(n, issuer), certificate.signature[:]) ||
			!certificate.holds(n) {
			return Unproven
		}
		issuer = certificate.Device
	}
	return Admitted
}

// repeats reports whether a device is in the chain twice: nobody needs that, and it would only cost work.
func (c Chain) repeats() bool {
	for i, a := range c.Certificates {
		for _, b := range c.Certificates[:i] {
			if a.Device == b.Device {
				return true
			}
		}
	}
	return false
}
