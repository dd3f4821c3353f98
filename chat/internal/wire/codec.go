package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AppendLP appends lp(x).
func AppendLP(b, x []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(x)))
	return append(b, x...)
}

// Reader takes a layout apart. After the first error every method returns zero values, so callers check once, with Close.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads b; what it returns may alias b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// errShort says that the bytes end before the layout does.
var errShort = errors.New("truncated")

// Take returns the next n bytes.
func (r *Reader) Take(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.rest)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Byte returns the next byte.
func (r *Reader) Byte() byte {
	if b := r.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 returns the next two bytes as a number.
func (r *Reader) U16() int {
	if b := r.Take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

// U32 returns the next four bytes as a number.
func (r *Reader) U32() uint32 {
	if b := r.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 returns the next eight bytes as a number.
func (r *Reader) U64() uint64 {
	if b := r.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// LP returns the next length-prefixed field, of at most limit bytes.
func (r *Reader) LP(limit int) []byte {
	head := r.Take(4)
	if head == nil {
		return nil
	}
	n := binary.BigEndian.Uint32(head)
	if uint64(n) > uint64(limit) {
		r.Fail("field of %d bytes, at most %d", n, limit)
		return nil
	}
	return r.Take(int(n))
}

// Fill reads exactly len(dst) bytes into dst.
func (r *Reader) Fill(dst []byte) { copy(dst, r.Take(len(dst))) }

// FillLP reads a length-prefixed field that must have exactly len(dst) bytes.
func (r *Reader) FillLP(dst []byte) {
	if b := r.LP(len(dst)); r.err == nil && len(b) != len(dst) {
		r.Fail("field of %d bytes, want %d", len(b), len(dst))
	} else {
		copy(dst, b)
	}
}

// Version reads a version byte, and fails unless it is want: an unknown version is refused, there is nothing to negotiate.
func (r *Reader) Version(want byte) {
	if v := r.Byte(); r.err == nil && v != want {
		r.Fail("version %d, want %d", v, want)
	}
}

// Fail notes an error, unless there is one already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// Left returns how many bytes have not been read.
func (r *Reader) Left() int { return len(r.rest) }

// Rest returns what has not been read, and takes it.
func (r *Reader) Rest() []byte { return r.Take(len(r.rest)) }

// Close returns the first error; bytes that are left over are one.
func (r *Reader) Close() error {
	if len(r.rest) != 0 {
		r.Fail("%d bytes left over", len(r.rest))
	}
	return r.err
}
