package wire

import (
	"encoding/binary"
	"errors"
)

// Limits of payloads.
const (
	maxReceipts = 256
	MaxName     = 32
	MaxRecord   = 8 << 10
)

// AppendReceipt appends the payload of a read receipt.
func AppendReceipt(b []byte, ids [][32]byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(ids)))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

// ParseReceipt reads what AppendReceipt wrote: 1 to 256 ids.
func ParseReceipt(b []byte) ([][32]byte, error) {
	r := NewReader(b)
	n := r.U16()
	if n == 0 || n > maxReceipts {
		return nil, errors.New("receipt for no message, or too many")
	}
	ids := make([][32]byte, n)
	for i := range ids {
		r.Fill(ids[i][:])
	}
	return ids, r.Close()
}

// Card introduces its sender: the name that they want to be shown under, and the records that let us write back at once.
type Card struct {
	Name    string
	Account []byte // account record
	Device  []byte // device record of the sending device
}

// Append appends the payload.
func (c Card) Append(b []byte) []byte {
	b = AppendLP(b, []byte(c.Name))
	b = AppendLP(b, c.Account)
	return AppendLP(b, c.Device)
}

// ParseCard reads what Append wrote. The records are not checked: they go the way of every record.
func ParseCard(b []byte) (Card, error) {
	r := NewReader(b)
	c := Card{Name: string(r.LP(MaxName)), Account: r.LP(MaxRecord), Device: r.LP(MaxRecord)}
	return c, r.Close()
}
