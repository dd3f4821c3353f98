package wire

import (
	"encoding/binary"
	"slices"
)

// Limits of a content; chat/limits.go says the same in the messenger's words.
const (
	MaxParents = 8
	MaxPayload = 96 << 10
)

// Content is what a message says, in the form that its id is the hash of (chat/SPEC.md, "Content").
type Content struct {
	Conversation [32]byte
	Kind         byte
	Seq          uint64 // dense per device and conversation, from 1
	Prev         [32]byte
	Parents      [][32]byte
	Clock        uint64
	Salt         [16]byte
	Payload      []byte
}

// Append appends the canonical form.
func (c Content) Append(b []byte) []byte {
	b = AppendLP(b, c.Conversation[:])
	b = append(b, c.Kind)
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	b = append(b, c.Prev[:]...)
	b = append(b, byte(len(c.Parents)))
	for _, p := range c.Parents {
		b = append(b, p[:]...)
	}
	b = binary.BigEndian.AppendUint64(b, c.Clock)
	b = append(b, c.Salt[:]...)
	return AppendLP(b, c.Payload)
}

// ParseContent reads what Append wrote. The payload aliases b.
func ParseContent(b []byte) (Content, error) {
	var c Content
	r := NewReader(b)
	r.FillLP(c.Conversation[:])
	c.Kind = r.Byte()
	if c.Seq = r.U64(); c.Seq == 0 {
		r.Fail("sequence number 0")
	}
	r.Fill(c.Prev[:])
	if (c.Seq == 1) != (c.Prev == [32]byte{}) {
		r.Fail("sequence number %d does not go with its predecessor", c.Seq)
	}
	n := int(r.Byte())
	if n > MaxParents {
		r.Fail("%d parents, at most %d", n, MaxParents)
	}
	for range min(n, MaxParents) {
		var p [32]byte
		r.Fill(p[:])
		c.Parents = append(c.Parents, p)
	}
	if !slices.IsSortedFunc(c.Parents, compare) || len(slices.Compact(slices.Clone(c.Parents))) != len(c.Parents) {
		r.Fail("parents not in ascending order")
	}
	c.Clock = r.U64()
	r.Fill(c.Salt[:])
	c.Payload = r.LP(MaxPayload)
	return c, r.Close()
}

func compare(a, b [32]byte) int { return slices.Compare(a[:], b[:]) }
