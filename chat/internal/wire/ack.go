package wire

import (
	"encoding/binary"
	"fmt"
)

// typeAck is the type of a packet that belongs to no chain and holds acknowledgements (chat/SPEC.md, "Acknowledgements").
const typeAck = 5

// MaxAcks is the most acknowledgements of one packet: those of a full deposit, four times over, in 12 KiB.
const MaxAcks = 256

// Acks is what a device has opened and kept, and proves by tags.
type Acks struct {
	Session [16]byte // a session of the two devices, by which the other side knows who speaks
	List    []Ack
}

// Ack is one envelope's acknowledgement. Who has not opened the envelope does not know its tag.
type Ack struct {
	Envelope [32]byte
	Tag      [16]byte
}

// IsAcks reports whether a packet says that it holds acknowledgements.
func IsAcks(packet []byte) bool {
	return len(packet) > 1 && packet[0] == recordVersion && packet[1] == typeAck
}

// Append appends the packet.
func (a Acks) Append(dst []byte) []byte {
	dst = append(dst, recordVersion, typeAck)
	dst = append(dst, a.Session[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.List)))
	for _, ack := range a.List {
		dst = append(append(dst, ack.Envelope[:]...), ack.Tag[:]...)
	}
	return dst
}

// ParseAcks reads what Append wrote.
func ParseAcks(p []byte) (Acks, error) {
	var a Acks
	r := NewReader(p)
	r.Version(recordVersion)
	if t := r.Byte(); t != typeAck {
		r.Fail("type %d", t)
	}
	r.Fill(a.Session[:])
	n := r.U16()
	if n == 0 || n > MaxAcks {
		r.Fail("%d of them, not 1 to %d", n, MaxAcks)
		n = 0
	}
	for range n {
		var ack Ack
		r.Fill(ack.Envelope[:])
		r.Fill(ack.Tag[:])
		a.List = append(a.List, ack)
	}
	if err := r.Close(); err != nil {
		return Acks{}, fmt.Errorf("acknowledgements: %w", err)
	}
	return a, nil
}
