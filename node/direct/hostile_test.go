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

	"parley/node/direct/directtest"
	"parley/node/internal/frame"
	"parley/node/internal/pace"
)

// impatient makes slow peers fail in the time that a test has.
func impatient() patience {
	return patience{first: 50 * time.Millisecond, whole: 50 * time.Millisecond, write: 200 * time.Millisecond}
}

// sealed begins a stream to Bob as Alice would: its first bytes, and what makes a frame of an envelope.
func (s *scene) sealed() (begin []byte, next func(envelope string) []byte) {
	s.t.Helper()
	header, seal, err := directtest.NewBoxes(s.alice.ID()).SealStream(s.bob.ID())
	if err != nil {
		s.t.Fatal(err)
	}
	return frame.Append(nil, header), func(envelope string) []byte {
		record, err := seal([]byte(envelope))
		if err != nil {
			s.t.Fatal(err)
		}
		return frame.Append(nil, record)
	}
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

// TestHostileFrames sends what no honest sender writes, instead of a header and behind one: Bob resets the stream, keeps nothing, and
// goes on with Alice.
func TestHostileFrames(t *testing.T) {
	s := newScene(t)
	s.listen(impatient())
	header, next := s.sealed()
	first, second := next("first"), next("second")
	otherHeader, otherNext := s.sealed()
	empty := slices.Concat(otherHeader, otherNext(""))
	foreign := otherNext("foreign")
	wires := map[string][]byte{
		"silence":                     nil,
		"half a header":               header[:HeaderSize/2],
		"a header of rubbish":         frame.Append(nil, bytes.Repeat([]byte{7}, HeaderSize)),
		"a short header":              frame.Append(nil, header[2:HeaderSize]),
		"a long header":               {0xeb, 0x08},
		"a record for a header":       first,
		"a header alone":              header,
		"a header twice":              slices.Concat(header, header, first),
		"a record of another stream":  slices.Concat(header, foreign),
		"the second record first":     slices.Concat(header, second),
		"the first record twice":      slices.Concat(header, first, first),
		"a record that is cut":        slices.Concat(header, frame.Append(nil, first[1:len(first)-1])),
		"a record without room for 1": slices.Concat(header, []byte{1, 1}),
		"an empty envelope":           empty,
	}
	for name, wire := range map[string][]byte{
		"4 GiB declared":    {0xff, 0xff, 0xff, 0xff, 0x0f},
		"one byte too many": {0x91, 0x80, 0x08},
		"an empty frame":    {0x00},
		"a padded length":   {0x81, 0x00},
		"an endless length": bytes.Repeat([]byte{0xff}, 100),
		"half a length":     {0x80},
		"half a frame":      {0x05, 'h', 'e'},
	} {
		wires[name] = wire
		wires[name+" behind a header"] = slices.Concat(header, wire)
	}
	for name, wire := range wires {
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
	if got := unique(s.inbox.all()); !slices.Contains(got, "honest") || len(got) > 2 || len(got) == 2 && got[0] != "first" {
		t.Errorf("Bob has %q", got)
	}
}

// TestHeaderForSomebodyElse opens nothing that is sealed to Carol.
func TestHeaderForSomebodyElse(t *testing.T) {
	s := newScene(t)
	header, seal, err := directtest.NewBoxes(s.alice.ID()).SealStream(s.alice.ID())
	if err != nil {
		t.Fatal(err)
	}
	record, err := seal([]byte("not for Bob"))
	if err != nil {
		t.Fatal(err)
	}
	stream := s.stream()
	s.write(stream, frame.Append(frame.Append(nil, header), record))
	if err := s.ends(stream); !errors.Is(err, network.ErrReset) || len(s.inbox.all()) > 0 {
		t.Errorf("the stream ended with %v, Bob has %q", err, s.inbox.all())
	}
}

// TestSlowLoris sends a byte now and then: the frame has its deadline, however alive its sender is.
func TestSlowLoris(t *testing.T) {
	s := newScene(t)
	s.listen(impatient())
	stream := s.stream()
	header, _ := s.sealed()
	s.write(stream, append(header, 0x80, 0x02)) // 256 bytes
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
	s.inbox.refuses = func([]byte) bool { return true } // the longest answers there are
	stream := s.stream()
	wire, next := s.sealed()
	for range 100 {
		for range 1 << 14 {
			wire = append(wire, next("x")...)
		}
		if err := stream.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(wire); err != nil {
			return
		}
		wire = wire[:0]
	}
	t.Error("1.6 million envelopes were taken from a sender who reads nothing")
}

// TestHeaderFlood opens streams faster than anybody honest: Bob looks at the headers of a few, and then still serves Alice.
func TestHeaderFlood(t *testing.T) {
	s := newScene(t)
	s.receiver.keys = pace.New(KeysPerSecond, KeysPerSecond)
	start, refused := time.Now(), 0
	const n = 15 * KeysPerSecond
	for i := range n {
		stream := s.stream()
		begin, next := s.sealed()
		_, err := stream.Write(append(begin, next(fmt.Sprint("flood ", i))...)) // it may be reset before that
		if err = errors.Join(err, stream.CloseWrite()); err == nil {
			err = s.ends(stream)
		}
		if err != nil {
			refused++
		}
	}
	most := KeysPerSecond * (2 + int(time.Since(start)/time.Second))
	if opened := s.boxes.Opened(); opened > most || refused < n-most {
		t.Errorf("%d of %d streams were refused, %d headers opened, at most %d", refused, n, opened, most)
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

// TestFloodOfMany lets many peers together open no more than Bob can bear; the flood of one does not use up what is for all.
func TestFloodOfMany(t *testing.T) {
	s := newScene(t)
	s.receiver.allKeys = pace.New(1, 3)
	refused := 0
	for range 10 {
		stream := s.stream()
		begin, next := s.sealed()
		_, err := stream.Write(append(begin, next("x")...))
		if err = errors.Join(err, stream.CloseWrite()); err == nil {
			err = s.ends(stream)
		}
		if err != nil {
			refused++
		}
	}
	if refused == 0 || s.boxes.Opened() > 7 { // a second may pass meanwhile, or a few
		t.Errorf("%d refused, %d headers opened", refused, s.boxes.Opened())
	}
}

// TestOneFloodsHerself opens more than one peer may: what she is refused is not taken from what all may open together.
func TestOneFloodsHerself(t *testing.T) {
	s := newScene(t)
	s.receiver.keys, s.receiver.allKeys = pace.New(1, 1), pace.New(1, 2)
	s.mustDeliver([]byte("the one that Alice may open"))
	for range 5 {
		stream := s.stream()
		if _, err := stream.Write([]byte{0}); err == nil {
			_ = s.ends(stream)
		}
	}
	if !s.receiver.allKeys.Allow("") {
		t.Error("Alice has used up what is for all")
	}
}

// TestACrowdDoesNotKeepContactsOut has strangers use up what is for all together: contacts still get in, and not without end.
func TestACrowdDoesNotKeepContactsOut(t *testing.T) {
	friend := peer.ID("a friend")
	r := NewReceiver(nil, nil, func(device peer.ID) bool { return device == friend })
	r.allKeys, r.ownKeys = pace.New(0, 3), pace.New(0, 2)
	opened := 0
	for i := range 10 {
		if r.mayOpen(peer.ID(fmt.Sprint("stranger ", i))) {
			opened++
		}
	}
	if opened != 3 {
		t.Errorf("strangers open %d streams", opened)
	}
	for i, want := range []bool{true, true, false} {
		if r.mayOpen(friend) != want {
			t.Errorf("stream %d of the friend: opened %v", i, !want)
		}
	}
}

// tape is a stream that has been recorded, with all the memory that there is.
type tape struct{ io.Reader }

func (tape) SetReadDeadline(time.Time) error { return nil }
func (tape) ReserveMemory(int, uint8) error  { return nil }
func (tape) ReleaseMemory(int)               {}

// TestLongestStream takes the last record that a stream may have, and none behind it.
func TestLongestStream(t *testing.T) {
	r := NewReceiver(nil, nil, nil)
	for opened, want := range map[int]int{StreamRecords - 1: 1, StreamRecords: 0} {
		wire := tape{bytes.NewReader(frame.Append(nil, []byte("record")))}
		in := &incoming{frames: frame.NewReader(wire, wire, r.buffers, 100), opened: opened, open: func(b []byte) ([]byte, error) { return b, nil }}
		if batch, _, err := r.batch(in, 0); len(batch) != want || (err == nil) != (want > 0) {
			t.Errorf("after %d records: %d more, %v", opened, len(batch), err)
		}
	}
}

// liar answers Alice on Bob's side with what a test likes, once it has read her letters.
func (s *scene) liar(answer []byte) {
	s.receiver.Stop(s.bob, time.Second)
	s.bob.SetStreamHandler(Protocol, func(stream network.Stream) {
		_, _ = io.ReadFull(stream, make([]byte, HeaderSize+2))
		_, _ = stream.Write(answer)
		_ = stream.CloseWrite()
		_, _ = io.Copy(io.Discard, stream)
	})
}

// answers is an honest acknowledgement of envelopes, of which some are refused.
func answers(envelopes [][]byte, refused ...uint32) ack {
	a := ack{refused: refused}
	for i, e := range envelopes {
		tag := tagOf(e)
		if slices.Contains(refused, uint32(i+1)) {
			tag = [TagSize]byte{}
		}
		a.add(tag)
	}
	return a
}

// TestHostileAcknowledgements answers Alice with rubbish and with lies: she resets the stream and takes nothing of it for true.
func TestHostileAcknowledgements(t *testing.T) {
	all := letters(3)
	honest, named := answers(all), answers(all, 1, 3)
	with := func(change func(*ack)) []byte {
		a := ack{tally: named.tally, refused: slices.Clone(named.refused)}
		change(&a)
		return frame.Append(nil, marshalAck(a))
	}
	tooMany := make([]uint32, Batch+1)
	for name, answer := range map[string][]byte{
		"a frame of nothing":              {0},
		"a huge frame":                    {0xff, 0xff, 0xff, 0xff, 0x0f},
		"a cut one":                       frame.Append(nil, marshalAck(honest)[:ackSize(0)-1]),
		"one with something behind":       frame.Append(nil, append(marshalAck(honest), 0)),
		"half of one":                     frame.Append(nil, marshalAck(honest))[:20],
		"another hash":                    with(func(a *ack) { a.f[31] ^= 1 }),
		"no envelope at all":              with(func(a *ack) { *a = ack{} }),
		"more than were sent":             frame.Append(nil, marshalAck(answers(letters(4)))),
		"far more than were sent":         with(func(a *ack) { a.k = 1 << 31 }),
		"a refused one is not named":      with(func(a *ack) { a.refused = a.refused[:1] }),
		"an accepted one is named":        with(func(a *ack) { a.refused = []uint32{1, 2, 3} }),
		"names that are not sorted":       with(func(a *ack) { a.refused = []uint32{3, 1} }),
		"a name twice":                    with(func(a *ack) { a.refused = []uint32{1, 1, 3} }),
		"a name that is too large":        with(func(a *ack) { a.refused = []uint32{1, 3, 4} }),
		"the name of none":                with(func(a *ack) { a.refused = []uint32{0, 1, 3} }),
		"more names than fit":             with(func(a *ack) { a.refused = tooMany }),
		"names that are counted and lack": frame.Append(nil, marshalAck(named)[:ackSize(1)]),
		"what opens nothing shows":        with(func(a *ack) { a.refused = nil; a.tally = answers(all, 1, 2, 3).tally }),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.liar(answer)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if accepted, err := s.sender.Deliver(ctx, s.bob.ID(), tagged(all...)); err == nil || ctx.Err() != nil || len(accepted) != 0 {
				t.Errorf("%v, %v", accepted, err)
			}
			for _, l := range s.sender.links {
				if l.open != nil {
					t.Error("the stream is kept")
				}
			}
		})
	}
}

// TestALieCostsTheTruthBeforeItNothing answers truly for one letter, and then goes back to it.
func TestALieCostsTheTruthBeforeItNothing(t *testing.T) {
	all := letters(3)
	for name, second := range map[string]ack{
		"the same again":         answers(all[:1]),
		"a lie about the others": {tally: tally{k: 3}},
	} {
		s := newScene(t)
		s.liar(frame.Append(frame.Append(nil, marshalAck(answers(all[:1]))), marshalAck(second)))
		if accepted, err := s.sender.Deliver(t.Context(), s.bob.ID(), tagged(all...)); err == nil || !slices.Equal(accepted, []bool{true}) {
			t.Errorf("%s: %v, %v", name, accepted, err)
		}
	}
}

// TestHonestAcknowledgements takes a true answer in whatever pieces it comes.
func TestHonestAcknowledgements(t *testing.T) {
	all := letters(5)
	whole := answers(all, 1, 4)
	first, second := answers(all[:2], 1), whole
	second.refused = []uint32{4}
	for name, answer := range map[string][]byte{
		"at once": frame.Append(nil, marshalAck(whole)),
		"in two":  frame.Append(frame.Append(nil, marshalAck(first)), marshalAck(second)),
	} {
		s := newScene(t)
		s.liar(answer)
		accepted, err := s.sender.Deliver(t.Context(), s.bob.ID(), tagged(all...))
		if want := []bool{false, true, true, false, true}; err != nil || !slices.Equal(accepted, want) {
			t.Errorf("%s: %v, %v", name, accepted, err)
		}
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
