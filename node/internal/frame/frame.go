package frame

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// ErrMalformed is in the chain of every error about a length that no honest sender writes: zero, above the maximum, or not
// minimal.
var ErrMalformed = errors.New("malformed frame")

// Malformed says of an error that it is about bytes that no honest sender writes. Nil stays nil.
func Malformed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// ResetCode returns what to reset a stream with on which an error has ended a conversation: so the other side hears why, and so does who counts
// what was refused.
func ResetCode(err error) network.StreamErrorCode {
	switch {
	case errors.Is(err, ErrMalformed):
		return network.StreamProtocolViolation
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return network.StreamResourceLimitExceeded
	case late(err):
		return network.StreamGarbageCollected
	}
	return network.StreamNoError
}

// late reports whether the deadline of a stream has passed. Multiplexers have errors of their own for that; what a context has ended is ours.
func late(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout() && !errors.Is(err, context.DeadlineExceeded)
}

// maxHeader is the longest length in bytes: five groups of seven bits hold any 32-bit length.
const maxHeader = 5

// Stream is what a Reader needs from a libp2p stream.
type Stream interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// Memory is where a Reader reserves what it is about to hold; every libp2p stream scope is one.
type Memory interface {
	ReserveMemory(size int, priority uint8) error
	ReleaseMemory(size int)
}

// Append adds the frame of a payload to dst.
func Append(dst, payload []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	return append(dst, payload...)
}

// Pool lends read buffers of one size to readers that have something to read.
type Pool struct {
	size    int
	buffers sync.Pool
}

// NewPool returns a pool of buffers of size bytes.
func NewPool(size int) *Pool {
	p := &Pool{size: size}
	p.buffers.New = func() any { return bufio.NewReaderSize(nil, size) }
	return p
}

// Reader reads the frames of one stream. It is used by one goroutine.
type Reader struct {
	stream Stream
	memory Memory
	pool   *Pool
	max    int
	buffer *bufio.Reader // nil between frames
}

// NewReader returns a reader of frames of at most limit bytes. Close gives back what it holds.
func NewReader(s Stream, m Memory, p *Pool, limit int) *Reader {
	return &Reader{stream: s, memory: m, pool: p, max: limit}
}

// Limit sets the most bytes of the frames that follow.
func (r *Reader) Limit(limit int) { r.max = limit }

// Next returns the next payload, which belongs to the caller until it calls Release. It waits up to idle for the frame to begin
// (zero: for ever) and up to whole for the rest of it. Memory is taken as the payload comes in. io.EOF says that the stream ended between two frames.
func (r *Reader) Next(idle, whole time.Duration) ([]byte, error) {
	if err := r.await(idle); err != nil {
		return nil, err
	}
	if !r.Ready() {
		if err := r.stream.SetReadDeadline(time.Now().Add(whole)); err != nil {
			return nil, fmt.Errorf("set frame deadline: %w", err)
		}
	}
	n, err := r.length()
	if err != nil {
		return nil, err
	}
	return r.payload(n)
}

// step is how much memory a frame gets at first, in bytes, and at least twice as much whenever that is full: who declares a large frame
// and does not send it holds little.
const step = 128 << 10

func (r *Reader) payload(n int) (payload []byte, err error) {
	for held := 0; held < n; {
		more := min(max(step, held), n-held)
		if err := r.memory.ReserveMemory(more, network.ReservationPriorityMedium); err != nil {
			r.memory.ReleaseMemory(held)
			return nil, fmt.Errorf("reserve %d bytes for a frame: %w", more, err)
		}
		payload = append(make([]byte, 0, held+more), payload...)[:held+more]
		if _, err := io.ReadFull(r.buffer, payload[held:]); err != nil {
			r.memory.ReleaseMemory(held + more)
			return nil, fmt.Errorf("read frame of %d bytes: %w", n, unexpected(err))
		}
		held += more
	}
	return payload, nil
}

// await returns once at least one byte is buffered. Without one it waits holding no buffer.
func (r *Reader) await(idle time.Duration) error {
	if r.buffer != nil && r.buffer.Buffered() > 0 {
		return nil
	}
	r.Close()
	var deadline time.Time
	if idle > 0 {
		deadline = time.Now().Add(idle)
	}
	if err := r.stream.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("set idle deadline: %w", err)
	}
	var first [1]byte
	if _, err := io.ReadFull(r.stream, first[:]); err != nil {
		return err
	}
	if err := r.memory.ReserveMemory(r.pool.size, network.ReservationPriorityMedium); err != nil {
		return fmt.Errorf("reserve a read buffer: %w", err)
	}
	r.buffer = r.pool.buffers.Get().(*bufio.Reader)
	r.buffer.Reset(io.MultiReader(bytes.NewReader(first[:]), r.stream))
	_, err := r.buffer.Peek(1)
	return err
}

// Ready reports whether Next would return at once: a whole frame, or an error, is in the buffer.
func (r *Reader) Ready() bool {
	if r.buffer == nil {
		return false
	}
	head, _ := r.buffer.Peek(min(r.buffer.Buffered(), maxHeader))
	n, used := binary.Uvarint(head)
	if used == 0 {
		return len(head) == maxHeader
	}
	return used < 0 || n > uint64(r.max) || used+int(n) <= r.buffer.Buffered()
}

// length reads and judges the length of a frame.
func (r *Reader) length() (int, error) {
	var n uint64
	for i := range maxHeader {
		b, err := r.buffer.ReadByte()
		if err != nil {
			return 0, fmt.Errorf("read frame length: %w", unexpected(err))
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return r.judge(n, i > 0 && b == 0)
		}
	}
	return 0, fmt.Errorf("%w: a length of more than %d bytes", ErrMalformed, maxHeader)
}

func (r *Reader) judge(n uint64, padded bool) (int, error) {
	switch {
	case padded:
		return 0, fmt.Errorf("%w: the length is not minimal", ErrMalformed)
	case n == 0:
		return 0, fmt.Errorf("%w: it is empty", ErrMalformed)
	case n > uint64(r.max):
		return 0, fmt.Errorf("%w: %d bytes declared, at most %d are allowed", ErrMalformed, n, r.max)
	}
	return int(n), nil
}

// Release returns the memory of a payload that Next returned.
func (r *Reader) Release(payload []byte) { r.memory.ReleaseMemory(len(payload)) }

// Close gives the buffer back. The reader can go on after it, without what was buffered.
func (r *Reader) Close() {
	if r.buffer == nil {
		return
	}
	r.buffer.Reset(nil)
	r.pool.buffers.Put(r.buffer)
	r.memory.ReleaseMemory(r.pool.size)
	r.buffer = nil
}

// unexpected marks an end in the middle of a frame as one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
