package wire

import (
	"encoding/binary"
	"fmt"
)

// Types of bodies (chat/SPEC.md, "Bodies"); numbers are never reused.
const (
	BodyContent = 1 // a content
	BodyStep    = 2 // nothing: a chain for the other side to heal from
	BodyHeal    = 3 // nothing: the sender could not open something of the receiver's

	bodyMarked = 0x80
)

// Body is what a session's packet carries.
type Body struct {
	Type    byte
	Marks   *Marks // in the first packet of every chain
	Content []byte // of a BodyContent; else empty
}

// Marks tell how new the sender's records are, and how new ours are as the sender holds them; and let us deposit for the sending device.
type Marks struct {
	Account uint64   // sequence of the sender's account record
	Device  uint64   // sequence of the sending device's record
	Held    uint64   // sequence of the receiver's account record that the sender holds; 0 for none
	Grant   [32]byte // what the receiver's capabilities at the sending device's mailboxes are made of; zeros: nothing
}

// Append appends the plaintext of a packet.
func (b Body) Append(dst []byte) []byte {
	if b.Marks == nil {
		return append(append(dst, b.Type), b.Content...)
	}
	dst = append(dst, b.Type|bodyMarked)
	for _, n := range []uint64{b.Marks.Account, b.Marks.Device, b.Marks.Held} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	dst = append(dst, b.Marks.Grant[:]...)
	return append(dst, b.Content...)
}

// ParseBody reads what Append wrote. The content aliases p, and is not parsed.
func ParseBody(p []byte) (Body, error) {
	r := NewReader(p)
	t := r.Byte()
	b := Body{Type: t &^ bodyMarked}
	if t&bodyMarked != 0 {
		b.Marks = &Marks{Account: r.U64(), Device: r.U64(), Held: r.U64()}
		r.Fill(b.Marks.Grant[:])
	}
	b.Content = r.Rest()
	switch {
	case b.Type < BodyContent || b.Type > BodyHeal:
		r.Fail("type %d", b.Type)
	case (b.Type == BodyContent) != (len(b.Content) > 0):
		r.Fail("type %d with %d bytes", b.Type, len(b.Content))
	}
	if err := r.Close(); err != nil {
		return Body{}, fmt.Errorf("body: %w", err)
	}
	return b, nil
}

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
