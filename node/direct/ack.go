package direct

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// A tally is how far a stream is acknowledged: the number of envelopes that the receiver has taken on it, and the hash over their tags,
// F_0 = 32 zeros, F_k = SHA-256(F_{k−1} ‖ tag_k). An envelope that was taken and not accepted counts with a tag of zeros.
type tally struct {
	k uint32
	f [sha256.Size]byte
}

func (t *tally) add(tag [TagSize]byte) {
	var b [sha256.Size + TagSize]byte
	copy(b[:], t.f[:])
	copy(b[sha256.Size:], tag[:])
	t.k, t.f = t.k+1, sha256.Sum256(b[:])
}

// An ack is what a receiver says after each batch.
type ack struct {
	tally
	refused []uint32 // the numbers of the envelopes that were taken and not accepted since the ack before; the first on a stream is 1
}

// ackSize is how long an ack with n refused envelopes is, and maxAck the longest.
func ackSize(n int) int { return 4 + sha256.Size + 2 + 4*n }

const maxAck = 4 + sha256.Size + 2 + 4*Batch

func marshalAck(a ack) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, ackSize(len(a.refused))), a.k)
	b = append(b, a.f[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.refused)))
	for _, n := range a.refused {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// parseAck reads the ack that follows one of before envelopes: it acknowledges at least one more, and names only those in between,
// in ascending order.
func parseAck(b []byte, before uint32) (ack, error) {
	if len(b) < ackSize(0) {
		return ack{}, fmt.Errorf("acknowledgement of %d bytes", len(b))
	}
	a := ack{tally: tally{k: binary.BigEndian.Uint32(b)}}
	copy(a.f[:], b[4:])
	m := int(binary.BigEndian.Uint16(b[4+sha256.Size:]))
	if a.k <= before {
		return ack{}, fmt.Errorf("acknowledgement of %d envelopes after one of %d", a.k, before)
	}
	if m > Batch || len(b) != ackSize(m) {
		return ack{}, fmt.Errorf("acknowledgement of %d bytes with %d names", len(b), m)
	}
	last := before
	for names := b[ackSize(0):]; len(names) > 0; names = names[4:] {
		n := binary.BigEndian.Uint32(names)
		if n <= last || n > a.k {
			return ack{}, fmt.Errorf("acknowledgement of %d to %d names %d after %d", before+1, a.k, n, last)
		}
		last = n
		a.refused = append(a.refused, n)
	}
	return a, nil
}

// errLie says that a receiver has acknowledged what it has not opened, or more than was sent.
var errLie = errors.New("the acknowledgement is not true")

// prove checks an ack against the tags that the envelopes behind a tally should have, and says of each envelope whether the receiver has
// accepted it. Nothing of an ack that is not true counts.
func (t tally) prove(a ack, expected [][TagSize]byte) (accepted []bool, err error) {
	if int64(a.k)-int64(t.k) > int64(len(expected)) {
		return nil, fmt.Errorf("%w: %d envelopes, %d were sent", errLie, a.k, int(t.k)+len(expected))
	}
	refused := a.refused
	for _, tag := range expected[:a.k-t.k] {
		taken := len(refused) == 0 || refused[0] != t.k+1
		if !taken {
			tag, refused = [TagSize]byte{}, refused[1:]
		}
		t.add(tag)
		accepted = append(accepted, taken)
	}
	if subtle.ConstantTimeCompare(t.f[:], a.f[:]) != 1 {
		return nil, fmt.Errorf("%w: another hash over %d tags", errLie, a.k)
	}
	return accepted, nil
}
