package direct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
)

// impatient makes slow peers fail in the time that a test has.
func impatient() patience {
	return patience{first: 50 * time.Millisecond, whole: 50 * time.Millisecond, write: 200 * time.Millisecond}
}

// stream opens a stream to Bob on which a test writes what it likes.
func (s *scene) stream() network.Stream {
	s.t.Helper()
	stream, err := s.alice.NewStream(s.t.Context(), s.bob.ID(), Protocol)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = stream.Reset() })
	return stream
}

func (s *scene) write(stream network.Stream, b []byte) {
	s.t.Helper()
	if _, err := stream.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for Bob to end a stream, and returns how.
func (s *scene) ends(stream network.Stream) error {
	s.t.Helper()
	if err := stream.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, stream)
	return err
}

// TestHostileFrames sends what no honest sender writes: Bob resets the stream, keeps nothing, and goes on with Alice.
func TestHostileFrames(t *testing.T) {
	s := newScene(t)
	s.listen(impatient())
	for name, wire := range map[string][]byte{
		"4 GiB declared":             {0xff, 0xff, 0xff, 0xff, 0x0f},
		"one byte too many":          {0x81, 0x80, 0x08},
		"empty frame":                {0x00},
		"padded length":              {0x81, 0x00},
		"endless length":             bytes.Repeat([]byte{0xff}, 100),
		"good frame, then a bad one": append(frame.Append(nil, []byte("good")), 0),
		"silence":                    nil,
		"half a length":              {0x80},
		"half a frame":               {0x05, 'h', 'e'},
	} {
		stream := s.stream()
		if wire == nil { // the protocol is negotiated with the first byte that is written or read
			go func() { _, _ = stream.Read(make([]byte, 1)) }()
			continue
		}
		s.write(stream, wire)
		if err := s.ends(stream); !errors.Is(err, network.ErrReset) {
			t.Errorf("%s: the stream ended with %v", name, err)
		}
	}
	s.mustDeliver([]byte("honest"))
	if got := s.inbox.all(); !slices.Contains(got, "honest") || len(got) > 2 {
		t.Errorf("Bob has %q", got)
	}
}

// TestSlowLoris sends a byte now and then: the frame has its deadline, however alive its sender is.
func TestSlowLoris(t *testing.T) {
	s := newScene(t)
	s.listen(impatient())
	stream := s.stream()
	s.write(stream, []byte{0x80, 0x02}) // 256 bytes
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for n := 0; ; n++ {
		<-tick.C
		if _, err := stream.Write([]byte{'x'}); err != nil {
			break
		}
		if n > 200 {
			t.Fatal("the stream is still open")
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestEstablishedMayIdle shows that a sender who has sent may be silent for longer than the first frame may take.
func TestEstablishedMayIdle(t *testing.T) {
	s := newScene(t)
	s.listen(impatient())
	s.mustDeliver([]byte("one"))
	<-time.After(4 * impatient().first)
	s.mustDeliver([]byte("two"))
	if s.opened != 1 {
		t.Errorf("%d streams were opened", s.opened)
	}
}

// TestNeverReading shows that a sender who does not read his acknowledgements is cut off when they no longer fit anywhere.
func TestNeverReading(t *testing.T) {
	s := newScene(t)
	s.listen(impatient())
	stream := s.stream()
	wire := bytes.Repeat([]byte{1, 'x'}, 1<<16)
	for range 100 {
		if err := stream.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(wire); err != nil {
			return
		}
	}
	t.Error("6.5 million envelopes were taken from a sender who reads nothing")
}

// TestStreamFlood opens streams faster than anybody honest: most are refused, and Alice is still served.
func TestStreamFlood(t *testing.T) {
	s := newScene(t)
	refused := 0
	for i := range 3 * StreamBurst {
		stream := s.stream()
		_, err := stream.Write(frame.Append(nil, fmt.Appendf(nil, "flood %d", i))) // it may be reset before that
		if err = errors.Join(err, stream.CloseWrite()); err == nil {
			err = s.ends(stream)
		}
		if err != nil {
			refused++
		}
	}
	if refused < StreamBurst || len(s.inbox.all()) > 2*StreamBurst {
		t.Errorf("%d of %d streams were refused, %d envelopes kept", refused, 3*StreamBurst, len(s.inbox.all()))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil { // the flood was Alice's: her bucket must fill first
		if _, err := s.deliver(ctx, []byte("honest")); err == nil {
			return
		}
	}
	t.Error("no stream was accepted again")
}

// TestHostileAcknowledgements answers Alice with rubbish: she takes none of it for an acknowledgement.
func TestHostileAcknowledgements(t *testing.T) {
	for name, answer := range map[string][]byte{
		"not a whole tag": frame.Append(nil, make([]byte, TagSize+1)),
		"an empty frame":  {0},
		"a huge frame":    {0xff, 0xff, 0xff, 0xff, 0x0f},
		"nothing":         nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.receiver.Stop(s.bob, time.Second)
			s.bob.SetStreamHandler(Protocol, func(stream network.Stream) {
				_, _ = stream.Write(answer)
				_ = stream.Close()
			})
			if tags, err := s.sender.Deliver(t.Context(), s.bob.ID(), letters(2)); err == nil || len(tags) != 0 {
				t.Errorf("%d tags, %v", len(tags), err)
			}
		})
	}
}

// TestStopWaits lets the batch that Bob's messenger holds be acknowledged, and ends the streams that wait.
func TestStopWaits(t *testing.T) {
	s := newScene(t)
	entered, proceed := make(chan struct{}), make(chan struct{})
	s.inbox.before = func([][]byte) error { close(entered); <-proceed; return nil }
	idle := s.stream()
	s.write(idle, []byte{0x80}) // half a length
	delivered := make(chan error, 1)
	go func() { _, err := s.deliver(t.Context(), []byte("last")); delivered <- err }()
	<-entered
	stopped := make(chan struct{})
	go func() { s.receiver.Stop(s.bob, 10*time.Second); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("Stop did not wait for the messenger")
	case <-time.After(50 * time.Millisecond):
	}
	close(proceed)
	<-stopped
	if err := <-delivered; err != nil {
		t.Errorf("the batch that was kept was not acknowledged: %v", err)
	}
	if err := s.ends(idle); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the stream that waited is still open")
	}
}

// TestStopGivesUp ends a messenger that takes longer than the grace.
func TestStopGivesUp(t *testing.T) {
	s := newScene(t)
	entered := make(chan struct{})
	s.receiver.receive = func(ctx context.Context, _ peer.ID, _ [][]byte) ([][]byte, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	delivered := make(chan error, 1)
	go func() { _, err := s.deliver(t.Context(), []byte("last")); delivered <- err }()
	<-entered
	start := time.Now()
	s.receiver.Stop(s.bob, 20*time.Millisecond)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := <-delivered; err == nil {
		t.Error("what was not kept was acknowledged")
	}
}
