package member

import (
	"encoding/binary"
	"errors"
)

// The first byte of a frame, where it is no verdict.
const (
	kindList   = 0
	kindMember = 1 // also the verdict Admitted, with what the answerer is
	kindJoiner = 2
)

// Lengths in bytes.
const (
	maxChain   = keySize + 1 + MaxDepth*certificateSize
	maxHello   = 1 + 8 + maxChain
	joinerSize = 1 + TokenSize + keySize + proofSize
)

var errFrame = errors.New("malformed frame of a member")

// hello is how a member shows itself.
type hello struct {
	sequence uint64 // of the list that it has
	chain    Chain
}

func marshalHello(sequence uint64, chain []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{kindMember}, sequence), chain...)
}

func parseHello(b []byte) (hello, error) {
	if len(b) < 1+8 || b[0] != kindMember {
		return hello{}, errFrame
	}
	chain, err := ParseChain(b[9:])
	return hello{sequence: binary.BigEndian.Uint64(b[1:]), chain: chain}, err
}

// marshalJoiner returns what a joiner shows to who invited it; whose device it is the connection says.
func marshalJoiner(t Token, c Claim) []byte {
	b := append([]byte{kindJoiner}, t[:]...)
	b = append(b, c.Account[:]...)
	return append(b, c.Proof[:]...)
}

func parseJoiner(b []byte, device Key) (Token, Claim, error) {
	if len(b) != joinerSize || b[0] != kindJoiner {
		return Token{}, Claim{}, errFrame
	}
	b = b[1:]
	c := Claim{Device: device, Account: Key(b[TokenSize:]), Proof: [proofSize]byte(b[TokenSize+keySize:])}
	return Token(b), c, nil
}

// parseGranted reads the answer to a joiner: its chain, or the verdict.
func parseGranted(b []byte) (chain []byte, err error) {
	if len(b) > 1 && Verdict(b[0]) == Admitted {
		return b[1:], nil
	}
	if v, err := parseVerdict(b); err != nil || v != Admitted {
		return nil, errors.Join(err, verdictError(v))
	}
	return nil, errFrame
}

func parseVerdict(b []byte) (Verdict, error) {
	if len(b) != 1 || b[0] == 0 {
		return 0, errFrame
	}
	return Verdict(b[0]), nil
}

// verdictError is a verdict as an error; nil for Admitted, and for none.
func verdictError(v Verdict) error {
	if v == Admitted || v == 0 {
		return nil
	}
	return v
}

func marshalList(list []byte) []byte { return append([]byte{kindList}, list...) }

// parseListFrame returns a list's bytes; none where the other side has no newer one.
func parseListFrame(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != kindList {
		return nil, errFrame
	}
	return b[1:], nil
}
