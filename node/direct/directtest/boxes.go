// Package directtest has boxes for tests of what carries them. They keep every promise that a carrier can see: a header of the real length
// opens for its device alone, and a record at its place on its stream alone. They keep no secret: their key is in the header.
package directtest

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/crypto/chacha20poly1305"
)

// headerSize is that of the protocol.
const headerSize = 1130

// Boxes are those of one device.
type Boxes struct {
	device peer.ID
	opened atomic.Int32
}

// NewBoxes returns the boxes of a device.
func NewBoxes(device peer.ID) *Boxes { return &Boxes{device: device} }

// Opened counts the headers that were looked at so far, in vain or not.
func (b *Boxes) Opened() int { return int(b.opened.Load()) }

// SealStream begins a stream to any device.
func (b *Boxes) SealStream(device peer.ID) (header []byte, seal func([]byte) ([]byte, error), err error) {
	header = make([]byte, headerSize)
	_, _ = rand.Read(header) // never fails
	id := sha256.Sum256([]byte(device))
	copy(header, append([]byte{1, 2}, id[:8]...))
	next, aead, err := context(device, header)
	return header, func(envelope []byte) ([]byte, error) { return aead.Seal(nil, next(), envelope, nil), nil }, err
}

// errForeign is the answer to what is not for us.
var errForeign = errors.New("not sealed to this device")

// OpenStream takes a header that was made for this device.
func (b *Boxes) OpenStream(_ peer.ID, header []byte) (open func([]byte) ([]byte, error), err error) {
	b.opened.Add(1)
	id := sha256.Sum256([]byte(b.device))
	if len(header) != headerSize || string(header[:10]) != "\x01\x02"+string(id[:8]) {
		return nil, errForeign
	}
	next, aead, err := context(b.device, header)
	return func(record []byte) ([]byte, error) { return aead.Open(nil, next(), record, nil) }, err
}

// context derives what both sides of a stream share: the cipher, and the nonce of each record in turn.
func context(device peer.ID, header []byte) (next func() []byte, aead cipher.AEAD, err error) {
	key := sha256.Sum256(append([]byte(device), header...))
	aead, err = chacha20poly1305.New(key[:])
	n := uint64(0)
	return func() []byte {
		n++
		return binary.BigEndian.AppendUint64(make([]byte, 4, chacha20poly1305.NonceSize), n)
	}, aead, err
}
