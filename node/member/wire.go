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
	kindTurn   = 3
	kindStage  = 4
)

// Lengths in bytes.
const (
	maxChain   = keySize + 1 + MaxDepth*certificateSize
	stageSize  = 8 + 8
	helloHead  = 1 + 8 + stageSize
	maxHello   = helloHead + maxChain
	joinerSize = 1 + TokenSize + keySize + proofSize
)

var errFrame = errors.New("malformed frame of a member")

// hello is how a member shows itself.
type hello struct {
	sequence uint64 // of the list that it has
	at       stage  // of the network's key
	chain    Chain
}

func (h hello) marshal() []byte {
	b := binary.BigEndian.AppendUint64([]byte{kindMember}, h.sequence)
	return append(h.at.append(b), h.chain.Marshal()...)
}

func parseHello(b []byte) (hello, error) {
	if len(b) < helloHead || b[0] != kindMember {
		return hello{}, errFrame
	}
	chain, err := ParseChain(b[helloHead:])
	return hello{binary.BigEndian.Uint64(b[1:]), readStage(b[9:]), chain}, err
}

func (s stage) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, s.sequence), s.ends)
}

func readStage(b []byte) stage {
	return stage{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// marshalStage returns how one side ends an exchange: with the key that it has now.
func marshalStage(s stage) []byte { return s.append([]byte{kindStage}) }

func parseStage(b []byte) (stage, error) {
	if len(b) != 1+stageSize || b[0] != kindStage {
		return stage{}, errFrame
	}
	return readStage(b[1:]), nil
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

// news is what one side hands on: the list of revocations, and the rotation of the network's key. Each is nothing where the other has it.
type news struct{ list, rotation []byte }

func (n news) frames() [][]byte {
	return [][]byte{append([]byte{kindList}, n.list...), append([]byte{kindTurn}, n.rotation...)}
}

// parseNews returns what is in a frame of a kind; none where the other side has nothing newer.
func parseNews(kind byte, b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != kind {
		return nil, errFrame
	}
	return b[1:], nil
}
