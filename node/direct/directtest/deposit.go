package directtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
)

// SealDeposit makes a box for any device, of one of the sizes that boxes have.
func (b *Boxes) SealDeposit(device peer.ID, envelopes [][]byte) ([]byte, error) {
	header := make([]byte, headerSize)
	_, _ = rand.Read(header) // never fails
	id := sha256.Sum256([]byte(device))
	copy(header, append([]byte{1, 1}, id[:8]...))
	plain := binary.BigEndian.AppendUint16(nil, uint16(len(envelopes)))
	for _, e := range envelopes {
		plain = append(binary.BigEndian.AppendUint32(plain, uint32(len(e))), e...)
	}
	size := 2 << 10
	for size < len(plain) {
		size *= 4
	}
	if size > 512<<10 {
		return nil, errors.New("too much for one box")
	}
	next, aead, err := context(device, header)
	if err != nil {
		return nil, err
	}
	return aead.Seal(header, next(), append(plain, make([]byte, size-len(plain))...), nil), nil
}

// OpenDeposit takes a box that was made for this device.
func (b *Boxes) OpenDeposit(box []byte) (envelopes [][]byte, err error) {
	id := sha256.Sum256([]byte(b.device))
	if len(box) < headerSize || string(box[:10]) != "\x01\x01"+string(id[:8]) {
		return nil, errForeign
	}
	next, aead, err := context(b.device, box[:headerSize])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, next(), box[headerSize:], nil)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(plain)
	for plain = plain[2:]; n > 0; n-- {
		size := binary.BigEndian.Uint32(plain)
		envelopes = append(envelopes, plain[4:4+size])
		plain = plain[4+size:]
	}
	return envelopes, nil
}
