package member

import (
	"crypto/ed25519"
	"slices"
)

// Request is how a joiner asks to be let in: signed by what its invite's token stands for, so that whoever hands it on can neither use the token nor
// put another device into it; and by the device, so that nobody puts somebody else's under an account of his.
type Request struct {
	Issuer    Key // the device that has made the invite
	Invite    InviteID
	Claim     Claim
	agreement [ed25519.SignatureSize]byte // of the device
	signature [ed25519.SignatureSize]byte // of the invite's key
}

const requestSize = 1 + keySize + len(InviteID{}) + 2*keySize + proofSize + 2*ed25519.SignatureSize

// NewRequest returns what the holder of a token asks its issuer for, with the private key of the device that is to be let in.
func NewRequest(n Network, issuer Key, t Token, c Claim, device ed25519.PrivateKey) Request {
	r := Request{Issuer: issuer, Invite: t.id(n), Claim: c}
	r.agreement = [ed25519.SignatureSize]byte(ed25519.Sign(device, statement(labelAgreement, n, r.body())))
	r.signature = [ed25519.SignatureSize]byte(ed25519.Sign(t.key(n), r.statement(n)))
	return r
}

// signed reports whether the holder of the token has signed it for which an issuer keeps a key.
func (r Request) signed(n Network, key []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, r.statement(n), r.signature[:])
}

// agreed reports whether the device wants to be the account's, and to be let in.
func (r Request) agreed(n Network) bool {
	return ed25519.Verify(r.Claim.Device[:], statement(labelAgreement, n, r.body()), r.agreement[:])
}

// statement is what the holder of the token signs.
func (r Request) statement(n Network) []byte {
	return statement(labelRequest, n, r.body(), r.agreement[:])
}

func (r Request) body() []byte {
	return slices.Concat(r.Issuer[:], r.Invite[:], r.Claim.Device[:], r.Claim.Account[:], r.Claim.Proof[:])
}

// Marshal returns the frame of the request.
func (r Request) Marshal() []byte {
	return slices.Concat([]byte{kindRequest}, r.body(), r.agreement[:], r.signature[:])
}

func parseRequest(b []byte) (r Request, err error) {
	if len(b) != requestSize || b[0] != kindRequest {
		return r, errFrame
	}
	b = b[1:]
	take := func(into []byte) { b = b[copy(into, b):] }
	for _, field := range [][]byte{r.Issuer[:], r.Invite[:], r.Claim.Device[:], r.Claim.Account[:], r.Claim.Proof[:], r.agreement[:], r.signature[:]} {
		take(field)
	}
	return r, nil
}
