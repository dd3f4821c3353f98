package seal

import (
	"crypto/hpke"
	"errors"
	"fmt"

	"parley/chat/internal/wire"
)

const (
	version    = 1
	encSize    = 1120
	headerSize = 1 + 1 + 8 + encSize
	tagSize    = 16
)

// Tag is derived from a packet's key: who shows it has opened the packet.
type Tag [16]byte

// Address is whom a box is for. All of it is bound into the box, which therefore opens nowhere else.
type Address struct {
	Network [16]byte
	Device  string // peer id
	Key     []byte // envelope key
}

func (a Address) info(purpose byte) []byte {
	id := wire.ID8(a.Key)
	info := append([]byte(wire.LabelBox), purpose)
	info = append(info, a.Network[:]...)
	info = append(info, a.Device...)
	return append(info, id[:]...)
}

// EnvelopeKey opens boxes. It never prints.
type EnvelopeKey struct{ private hpke.PrivateKey }

// NewEnvelopeKey returns the key pair of a 32-byte seed.
func NewEnvelopeKey(seed []byte) (EnvelopeKey, error) {
	k, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return EnvelopeKey{}, fmt.Errorf("envelope key: %w", err)
	}
	return EnvelopeKey{k}, nil
}

// Public returns the key that others seal to.
func (k EnvelopeKey) Public() []byte { return k.private.PublicKey().Bytes() }

// String says that there is a key, and not which.
func (k EnvelopeKey) String() string { return "[envelope key]" }

// GoString is String, for %#v.
func (k EnvelopeKey) GoString() string { return k.String() }

// errBox is the one answer to every box that does not open, so that nothing can be learnt from how it failed.
var errBox = errors.New("box does not open")
