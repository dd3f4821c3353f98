package direct

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"parley/node/internal/frame"
)

// outgoing is one stream to a device: written by the call that holds writing, read by the one that holds reading.
type outgoing struct {
	stream network.Stream
	failed atomic.Bool

	// For who writes.
	header []byte // to be written before the first record; nil then
	seal   func(envelope []byte) ([]byte, error)
	since  time.Time
	over   bool        // its key is outdated: nothing more is sealed
	left   atomic.Bool // there is a better way by now

	// For who reads.
	acks     *frame.Reader
	proven   tally
	accepted []bool // what was read and belongs to later envelopes

	mu       sync.Mutex
	written  int             // envelopes
	expected [][TagSize]byte // the tags of those that are not acknowledged
}

func (o *outgoing) reset() { _ = o.stream.Reset() }

// lasts reports whether n envelopes more may be written before the stream has to be renewed.
func (o *outgoing) lasts(n int, r renewal) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.over && !o.left.Load() && o.written+n <= r.records && time.Since(o.since) < r.after
}

// expect notes what is about to be written: an acknowledgement may come before write returns.
func (o *outgoing) expect(envelopes []Outgoing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written += len(envelopes)
	for _, e := range envelopes {
		o.expected = append(o.expected, e.Tag)
	}
}

// write seals and sends envelopes through a buffer that is flushed when it is full, and at the end. It returns how many it has sent: without
// an error, fewer than all where the stream's key was outdated before the next.
func (o *outgoing) write(envelopes []Outgoing) (sent int, err error) {
	size := len(o.header) + frameRoom
	for _, e := range envelopes {
		size += len(e.Packet) + RecordOverhead + frameRoom
	}
	buf := make([]byte, 0, min(size, WriteBuffer))
	if o.header != nil {
		buf, o.header = frame.Append(buf, o.header), nil
	}
	for i, e := range envelopes {
		record, err := o.seal(e.Packet)
		if o.over = outdated(err); o.over {
			envelopes = envelopes[:i]
			break
		}
		if err != nil {
			return sent, fmt.Errorf("seal: %w", err)
		}
		if len(buf) > 0 && len(buf)+len(record)+frameRoom > WriteBuffer {
			if err := o.flush(buf, envelopes[sent:i]); err != nil {
				return sent, err
			}
			buf, sent = buf[:0], i
		}
		buf = frame.Append(buf, record)
	}
	if sent == len(envelopes) {
		return sent, nil
	}
	return len(envelopes), o.flush(buf, envelopes[sent:])
}

// outdated reports whether an error of seal says that its stream is over.
func outdated(err error) bool {
	var o interface{ Outdated() bool }
	return errors.As(err, &o) && o.Outdated()
}

// frameRoom is how many bytes the length of a frame takes at most here.
const frameRoom = 3

// flush sends a buffer with the records of some envelopes.
func (o *outgoing) flush(buf []byte, envelopes []Outgoing) error {
	o.expect(envelopes)
	if err := o.stream.SetWriteDeadline(time.Now().Add(WriteTimeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := o.stream.Write(buf); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// read says of the next n envelopes whether the device has accepted them, or of those before an error; acked is called for each.
func (o *outgoing) read(n int, acked func()) ([]bool, error) {
	accepted := make([]bool, 0, n)
	for len(accepted) < n {
		if len(o.accepted) == 0 || o.failed.Load() {
			if err := o.next(); err != nil {
				return accepted, fmt.Errorf("read acknowledgement: %w", err)
			}
		}
		acked()
		accepted, o.accepted = append(accepted, o.accepted[0]), o.accepted[1:]
	}
	return accepted, nil
}

// next reads one acknowledgement and holds it against what was sent.
func (o *outgoing) next() error {
	if o.failed.Load() {
		return errors.New("the stream failed under an earlier call")
	}
	b, err := o.acks.Next(AckTimeout, WholeFrame)
	if err != nil {
		return err
	}
	o.acks.Release(b)
	a, err := parseAck(b, o.proven.k)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.accepted, err = o.proven.prove(a, o.expected); err != nil {
		return err
	}
	o.proven, o.expected = a.tally, o.expected[len(o.accepted):]
	return nil
}
