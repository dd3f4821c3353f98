package frame

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// account is a resource scope with an end.
type account struct{ held, highest, limit int }

func (a *account) ReserveMemory(n int, _ uint8) error {
	if a.held+n > a.limit {
		return errors.New("out of memory")
	}
	a.held += n
	a.highest = max(a.highest, a.held)
	return nil
}

func (a *account) ReleaseMemory(n int) { a.held -= n }

// still is a stream without a clock.
type still struct{ io.Reader }

func (still) SetReadDeadline(time.Time) error { return nil }

const (
	testMax    = 1000
	testBuffer = 64
)

func reader(r io.Reader) (*Reader, *account) {
	a := &account{limit: 1 << 20}
	return NewReader(still{r}, a, NewPool(testBuffer), testMax), a
}

// readAll reads frames until an error, which it returns with them.
func readAll(r *Reader) (payloads []string, err error) {
	for {
		p, err := r.Next(0, time.Second)
		if err != nil {
			return payloads, err
		}
		payloads = append(payloads, string(p))
		r.Release(p)
	}
}

// TestVectors holds the examples of SPEC.md, "Frames".
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		hex, payload, trouble string
	}{
		{hex: "0161", payload: "a"},
		{hex: "0568656c6c6f", payload: "hello"},
		{hex: "8001" + strings.Repeat("78", 128), payload: strings.Repeat("x", 128)},
		{hex: "00", trouble: "empty"},
		{hex: "8100", trouble: "not minimal"},
		{hex: "8000", trouble: "not minimal"},
		{hex: "e907", trouble: "1001 bytes declared"},
		{hex: "ffffffff0f", trouble: "4294967295 bytes declared"},
		{hex: "ffffffffff01", trouble: "more than 5 bytes"},
		{hex: "05686500", trouble: "unexpected EOF"},
		{hex: "80", trouble: "unexpected EOF"},
	} {
		raw, err := hex.DecodeString(v.hex)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := reader(bytes.NewReader(raw))
		p, err := r.Next(0, time.Second)
		if v.trouble == "" {
			if err != nil || string(p) != v.payload {
				t.Errorf("%s: got %q, %v", v.hex, p, err)
			}
			if again := Append(nil, p); !bytes.Equal(again, raw) {
				t.Errorf("%s: written as %x", v.hex, again)
			}
		} else if err == nil || !strings.Contains(err.Error(), v.trouble) {
			t.Errorf("%s: got %q, %v; want an error about %q", v.hex, p, err, v.trouble)
		}
	}
}

// TestRoundTrip reads back what was written, however the stream cuts it into pieces, and gives all memory back.
func TestRoundTrip(t *testing.T) {
	var wrote []string
	var wire []byte
	for _, n := range []int{1, 2, 61, 62, 63, 64, 65, 127, 128, 129, testMax} {
		p := strings.Repeat(string(rune('a'+n%26)), n)
		wrote = append(wrote, p)
		wire = Append(wire, []byte(p))
	}
	for name, stream := range map[string]io.Reader{
		"whole":          bytes.NewReader(wire),
		"byte by byte":   iotest.OneByteReader(bytes.NewReader(wire)),
		"half by half":   iotest.HalfReader(bytes.NewReader(wire)),
		"end with bytes": iotest.DataErrReader(bytes.NewReader(wire)),
	} {
		r, memory := reader(stream)
		got, err := readAll(r)
		if err != io.EOF || strings.Join(got, "|") != strings.Join(wrote, "|") {
			t.Errorf("%s: got %d frames and %v", name, len(got), err)
		}
		r.Close()
		if memory.held != 0 {
			t.Errorf("%s: %d bytes are held at the end", name, memory.held)
		}
	}
}

// TestEveryTruncation cuts a stream of frames at every byte: what was whole is read, what was cut is an error.
func TestEveryTruncation(t *testing.T) {
	payloads := []string{"a", strings.Repeat("b", 130), "ccc", strings.Repeat("d", 300)}
	var wire []byte
	ends := map[int]int{0: 0} // length of whole frames → how many
	for i, p := range payloads {
		wire = Append(wire, []byte(p))
		ends[len(wire)] = i + 1
	}
	whole := 0
	for cut := range len(wire) + 1 {
		if n, ok := ends[cut]; ok {
			whole = n
		}
		r, memory := reader(bytes.NewReader(wire[:cut]))
		got, err := readAll(r)
		_, clean := ends[cut]
		if len(got) != whole || clean != (err == io.EOF) {
			t.Fatalf("cut at %d: %d frames, want %d, and %v", cut, len(got), whole, err)
		}
		r.Close()
		if memory.held != 0 {
			t.Fatalf("cut at %d: %d bytes are held", cut, memory.held)
		}
	}
}

// TestEveryBitFlip flips each bit of a frame. The decoder may take another payload for it, never more than it was sent.
func TestEveryBitFlip(t *testing.T) {
	wire := Append(Append(nil, bytes.Repeat([]byte("x"), 200)), []byte("y"))
	for bit := range len(wire) * 8 {
		flipped := bytes.Clone(wire)
		flipped[bit/8] ^= 1 << (bit % 8)
		r, memory := reader(bytes.NewReader(flipped))
		got, err := readAll(r)
		if total := len(strings.Join(got, "")); total >= len(wire) || err == nil {
			t.Fatalf("bit %d: %d bytes of payload out of %d on the wire, %v", bit, total, len(wire), err)
		}
		r.Close()
		if memory.held != 0 {
			t.Fatalf("bit %d: %d bytes are held", bit, memory.held)
		}
	}
}

// TestDeclaredLengthCostsNothing declares huge frames: nothing is reserved for them but the read buffer.
func TestDeclaredLengthCostsNothing(t *testing.T) {
	for _, length := range [][]byte{{0xff, 0xff, 0xff, 0xff, 0x0f}, {0xe9, 0x07}} {
		r, memory := reader(bytes.NewReader(length))
		_, err := r.Next(0, time.Second)
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", length, err)
		}
		if memory.highest > testBuffer {
			t.Errorf("%x: %d bytes were reserved", length, memory.highest)
		}
	}
}

// TestLimitChanges takes a small frame, and larger ones once they are allowed.
func TestLimitChanges(t *testing.T) {
	large := strings.Repeat("x", testMax)
	r, _ := reader(strings.NewReader("\x01a" + string(Append(Append(nil, []byte(large)), []byte(large+"y")))))
	r.Limit(1)
	for i, want := range []string{"a", large} {
		if p, err := r.Next(0, time.Second); err != nil || string(p) != want {
			t.Fatalf("frame %d has %d bytes, %v", i, len(p), err)
		}
		r.Limit(testMax)
	}
	if p, err := r.Next(0, time.Second); !errors.Is(err, ErrMalformed) {
		t.Errorf("a frame of %d bytes is above the limit, %v", len(p), err)
	}
}

// TestMemoryRefused shows that a frame for which there is no memory is not read.
func TestMemoryRefused(t *testing.T) {
	wire := Append(nil, bytes.Repeat([]byte("x"), 500))
	memory := &account{limit: testBuffer + 499}
	r := NewReader(still{bytes.NewReader(wire)}, memory, NewPool(testBuffer), testMax)
	if _, err := r.Next(0, time.Second); err == nil || !strings.Contains(err.Error(), "reserve 500 bytes") {
		t.Errorf("got %v", err)
	}
	memory.limit = testBuffer - 1
	r = NewReader(still{bytes.NewReader(wire)}, &account{limit: testBuffer - 1}, NewPool(testBuffer), testMax)
	if _, err := r.Next(0, time.Second); err == nil || !strings.Contains(err.Error(), "read buffer") {
		t.Errorf("got %v", err)
	}
}

// TestIdleHoldsNothing shows that a reader between two frames holds no memory.
func TestIdleHoldsNothing(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	memory := &account{limit: 1 << 20}
	r := NewReader(ours, memory, NewPool(testBuffer), testMax)
	go func() { _, _ = theirs.Write(Append(nil, []byte("hello"))) }()
	p, err := r.Next(time.Second, time.Second)
	if err != nil || memory.held != testBuffer+len("hello") {
		t.Fatalf("got %q, %v, %d bytes held", p, err, memory.held)
	}
	r.Release(p)
	if _, err := r.Next(time.Millisecond, time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if memory.held != 0 {
		t.Errorf("%d bytes are held while idle", memory.held)
	}
}

// TestDeadlines shows that an idle stream is given its idle time, and a frame that has begun its own.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		defer ours.Close()
		r := NewReader(ours, &account{limit: 1 << 20}, NewPool(testBuffer), testMax)
		start := time.Now()
		if _, err := r.Next(10*time.Second, 30*time.Second); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("idle: %v after %s", err, time.Since(start))
		}
		go func() { _, _ = theirs.Write([]byte{5, 'h'}) }()
		start = time.Now()
		if _, err := r.Next(10*time.Second, 30*time.Second); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("half a frame: %v after %s", err, time.Since(start))
		}
	})
}

// TestReady tells a whole frame in the buffer from a part of one.
func TestReady(t *testing.T) {
	wire := Append(Append(Append(nil, []byte("one")), []byte("two")), bytes.Repeat([]byte("x"), 100))
	r, _ := reader(bytes.NewReader(wire))
	if r.Ready() {
		t.Error("ready before the first byte")
	}
	for i, more := range []bool{true, false, false} {
		p, err := r.Next(0, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		r.Release(p)
		if r.Ready() != more {
			t.Errorf("after frame %d: ready is %v", i, r.Ready())
		}
	}
	for _, bad := range [][]byte{{1, 'a', 0}, {1, 'a', 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 'a', 0xe9, 0x07}} {
		r, _ := reader(bytes.NewReader(bad))
		if _, err := r.Next(0, time.Second); err != nil || !r.Ready() {
			t.Errorf("%x: an error in the buffer is not ready (%v)", bad, err)
		}
	}
}

// FuzzReader feeds anything: no panic, no payload outside the limits, no memory lost, and what is read is what is written.
func FuzzReader(f *testing.F) {
	f.Add([]byte{})
	f.Add(Append(Append(nil, []byte("hello")), []byte("world")))
	f.Add([]byte{0x80, 0x00})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3})
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, memory := reader(bytes.NewReader(wire))
		got, err := readAll(r)
		if err == nil {
			t.Fatal("no error at the end")
		}
		var again []byte
		for _, p := range got {
			if len(p) == 0 || len(p) > testMax {
				t.Fatalf("payload of %d bytes", len(p))
			}
			again = Append(again, []byte(p))
		}
		if !bytes.HasPrefix(wire, again) {
			t.Fatalf("read %x, which is written %x", wire, again)
		}
		r.Close()
		if memory.held != 0 || memory.highest > testBuffer+testMax {
			t.Fatalf("%d bytes held, %d at most", memory.held, memory.highest)
		}
	})
}

// TestLargeFramesGrow reserves for a large frame as much as has come, and twice as much at most; it is read as it was written.
func TestLargeFramesGrow(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), step)
	wire := Append(nil, large)
	for _, came := range []int{100, step, 3 * step, 9 * step} {
		memory := &account{limit: 1 << 30}
		r := NewReader(still{bytes.NewReader(wire[:came])}, memory, NewPool(testBuffer), len(large))
		if _, err := r.Next(0, time.Second); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes came: %v", came, err)
		}
		if most := step + 2*came + testBuffer; memory.highest > most {
			t.Errorf("%d bytes came, and %d were reserved", came, memory.highest)
		}
		if r.Close(); memory.held != 0 {
			t.Errorf("%d bytes came: %d are held at the end", came, memory.held)
		}
	}
	memory := &account{limit: 1 << 30}
	r := NewReader(still{iotest.HalfReader(bytes.NewReader(wire))}, memory, NewPool(testBuffer), len(large))
	p, err := r.Next(0, time.Second)
	if err != nil || !bytes.Equal(p, large) {
		t.Errorf("read %d bytes of %d, or others: %v", len(p), len(large), err)
	}
	r.Release(p)
	if r.Close(); memory.held != 0 {
		t.Errorf("%d bytes are held at the end", memory.held)
	}
}

// TestWhoIsResetHearsWhy tells what no honest sender writes, what came too late, and what there was no room for, from all the rest.
func TestWhoIsResetHearsWhy(t *testing.T) {
	for want, err := range map[network.StreamErrorCode]error{
		network.StreamProtocolViolation:     fmt.Errorf("read a head: %w", Malformed(errors.New("its parts do not fit"))),
		network.StreamGarbageCollected:      fmt.Errorf("read a head: %w", os.ErrDeadlineExceeded),
		network.StreamResourceLimitExceeded: fmt.Errorf("reserve: %w", network.ErrResourceLimitExceeded),
		network.StreamNoError:               fmt.Errorf("ask the database: %w", context.DeadlineExceeded),
	} {
		if got := ResetCode(err); got != want {
			t.Errorf("%v: %#x, want %#x", err, got, want)
		}
	}
	if Malformed(nil) != nil {
		t.Error("nothing is wrong, and it is malformed")
	}
}
