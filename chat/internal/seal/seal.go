package seal

import (
	"crypto/hpke"
	"errors"
	"fmt"
	"slices"

	"parley/chat/internal/wire"
)

const (
	version = 1
	// PurposeInterim is the purpose byte of boxes that each hold one signed message. 1 (deposit) and 2 (stream) are kept for the
	// boxes that go around a session's packets.
	PurposeInterim = 3

	encSize    = 1120
	headerSize = 1 + 1 + 8 + encSize
	tagSize    = 16
	// Overhead is how many bytes a box adds to its plaintext.
	Overhead = headerSize + tagSize
)

// Tag is derived from a box's secret: who shows it has opened the box.
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

// Box seals plaintext to an address, and returns the tag that only its reader can show.
func Box(to Address, plaintext []byte) (box []byte, tag Tag, err error) {
	key, err := hpke.MLKEM768X25519().NewPublicKey(to.Key)
	if err != nil {
		return nil, tag, fmt.Errorf("seal box: %w", err)
	}
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), to.info(PurposeInterim))
	if err != nil {
		return nil, tag, fmt.Errorf("seal box: %w", err)
	}
	id := wire.ID8(to.Key)
	header := slices.Concat([]byte{version, PurposeInterim}, id[:], enc)
	ct, err := sender.Seal(header, plaintext)
	if err != nil {
		return nil, tag, fmt.Errorf("seal box: %w", err)
	}
	ack, err := sender.Export(wire.LabelAck, len(tag))
	copy(tag[:], ack)
	return append(header, ct...), tag, err
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

// Open opens a box that was sealed to us as a device in a network.
func (k EnvelopeKey) Open(network [16]byte, device string, box []byte) (plaintext []byte, tag Tag, err error) {
	us := Address{Network: network, Device: device, Key: k.Public()}
	id := wire.ID8(us.Key)
	if len(box) < Overhead || box[0] != version || box[1] != PurposeInterim || !slices.Equal(box[2:10], id[:]) {
		return nil, tag, errBox
	}
	header, ct := box[:headerSize], box[headerSize:]
	r, err := hpke.NewRecipient(header[10:], k.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), us.info(PurposeInterim))
	if err != nil {
		return nil, tag, errBox
	}
	if plaintext, err = r.Open(header, ct); err != nil {
		return nil, tag, errBox
	}
	ack, err := r.Export(wire.LabelAck, len(tag))
	copy(tag[:], ack)
	return plaintext, tag, err
}
