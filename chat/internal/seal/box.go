package seal

import (
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"parley/chat/internal/wire"
)

const (
	purposeDeposit = 1
	purposeStream  = 2

	// HeaderSize is how long the first part of every box is: version, purpose, id8 of the envelope key, and the encapsulated secret.
	HeaderSize = headerSize
	// DepositPackets is the most packets of one deposit: a fetch is shared by that many at best, and a count says no more than that.
	DepositPackets = 64
	// DepositSize is the largest plaintext of a deposit in bytes, padding included: three of the largest packets.
	DepositSize = 512 << 10
)

// newBox makes the header of a box, and the context that seals what is in it.
func newBox(to Address, purpose byte) (header []byte, s *hpke.Sender, err error) {
	key, err := hpke.MLKEM768X25519().NewPublicKey(to.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("read envelope key: %w", err)
	}
	enc, s, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), to.info(purpose))
	if err != nil {
		return nil, nil, fmt.Errorf("encapsulate: %w", err)
	}
	id := wire.ID8(to.Key)
	return slices.Concat([]byte{version, purpose}, id[:], enc), s, nil
}

// newRecipient returns the context that opens what is behind a header.
func (k EnvelopeKey) newRecipient(purpose byte, network [16]byte, device string, header []byte) (*hpke.Recipient, error) {
	us := Address{Network: network, Device: device, Key: k.Public()}
	id, ok := KeyOf(header)
	if len(header) != HeaderSize || header[1] != purpose || !ok || id != wire.ID8(us.Key) {
		return nil, errBox
	}
	r, err := hpke.NewRecipient(header[HeaderSize-encSize:], k.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), us.info(purpose))
	if err != nil {
		return nil, errBox
	}
	return r, nil
}

// KeyOf returns the id8 of the envelope key that a box is sealed to, or false for what is no box. Whoever has several keys finds the one
// that opens it.
func KeyOf(box []byte) (id [8]byte, ok bool) {
	if len(box) < HeaderSize || box[0] != version {
		return id, false
	}
	return [8]byte(box[2:10]), true
}

// SealDeposit puts packets into one box that may lie in a mailbox, padded so that its size tells little. It is an error to put nothing,
// an empty packet, or more than fits into it.
func SealDeposit(to Address, packets [][]byte) ([]byte, error) {
	plaintext, err := marshalDeposit(packets)
	if err != nil {
		return nil, fmt.Errorf("seal deposit: %w", err)
	}
	header, s, err := newBox(to, purposeDeposit)
	if err != nil {
		return nil, fmt.Errorf("seal deposit: %w", err)
	}
	ct, err := s.Seal(header, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal deposit: %w", err)
	}
	return append(header, ct...), nil
}

// OpenDeposit opens a box that was deposited for us as a device in a network, and returns its packets.
func (k EnvelopeKey) OpenDeposit(network [16]byte, device string, box []byte) ([][]byte, error) {
	if len(box) < headerSize+tagSize || len(box) > (headerSize+tagSize)+DepositSize {
		return nil, errBox
	}
	header, ct := box[:HeaderSize], box[HeaderSize:]
	r, err := k.newRecipient(purposeDeposit, network, device, header)
	if err != nil {
		return nil, err
	}
	plaintext, err := r.Open(header, ct)
	if err != nil {
		return nil, errBox
	}
	return parseDeposit(plaintext)
}

// errDeposit is the one answer to every plaintext that no honest sender deposits.
var errDeposit = errors.New("open deposit: malformed")

// depositClass returns the size to which a plaintext of n bytes is padded.
func depositClass(n int) int {
	class := 2 << 10
	for class < n {
		class *= 4
	}
	return class
}

func marshalDeposit(packets [][]byte) ([]byte, error) {
	if len(packets) == 0 || len(packets) > DepositPackets {
		return nil, fmt.Errorf("%d packets, not 1 to %d", len(packets), DepositPackets)
	}
	size := 2
	for _, p := range packets {
		if len(p) == 0 {
			return nil, errors.New("an empty packet")
		}
		size += 4 + len(p)
	}
	if size > DepositSize {
		return nil, fmt.Errorf("%d bytes, at most %d fit", size, DepositSize)
	}
	b := make([]byte, 0, depositClass(size))
	b = binary.BigEndian.AppendUint16(b, uint16(len(packets)))
	for _, p := range packets {
		b = wire.AppendLP(b, p)
	}
	return b[:cap(b)], nil
}

// parseDeposit takes packets out. Every plaintext has one form: the smallest class that holds the packets, and zeros behind them.
func parseDeposit(b []byte) ([][]byte, error) {
	r := wire.NewReader(b)
	count := r.U16()
	if count == 0 || count > DepositPackets || len(b) > DepositSize {
		return nil, errDeposit
	}
	packets := make([][]byte, count)
	for i := range packets {
		if packets[i] = r.LP(DepositSize); len(packets[i]) == 0 {
			return nil, errDeposit
		}
	}
	padding := r.Rest()
	if depositClass(len(b)-len(padding)) != len(b) || slices.ContainsFunc(padding, func(c byte) bool { return c != 0 }) {
		return nil, errDeposit
	}
	return packets, nil
}
