package direct

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/direct/directtest"
	"parley/node/internal/pace"
)

// scene is Alice who sends, and Bob who receives, on two connected hosts.
type scene struct {
	t          testing.TB
	alice, bob host.Host
	sender     *Sender
	opened     int // streams that Alice has opened
	inbox      *inbox
	boxes      *directtest.Boxes // Bob's
	receiver   *Receiver
}

// inbox keeps what arrives. before is asked first, and refuses says what is taken and not accepted.
type inbox struct {
	before  func(envelopes [][]byte) error
	refuses func(envelope []byte) bool

	mu   sync.Mutex
	kept []string
}

func (i *inbox) receive(_ context.Context, _ peer.ID, envelopes [][]byte) ([][]byte, error) {
	if i.before != nil {
		if err := i.before(envelopes); err != nil {
			return nil, err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var tags [][]byte
	for _, e := range envelopes {
		if i.refuses != nil && i.refuses(e) {
			tags = append(tags, make([]byte, TagSize))
			continue
		}
		i.kept = append(i.kept, string(e))
		tag := tagOf(e)
		tags = append(tags, tag[:])
	}
	return tags, nil
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.kept)
}

func tagOf(envelope []byte) [TagSize]byte {
	sum := sha256.Sum256(envelope)
	return [TagSize]byte(sum[:])
}

func tagged(envelopes ...[]byte) (all []Outgoing) {
	for _, e := range envelopes {
		all = append(all, Outgoing{Packet: e, Tag: tagOf(e)})
	}
	return all
}

func newHost(t testing.TB) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{t: t, alice: newHost(t), bob: newHost(t), inbox: &inbox{}}
	if err := s.alice.Connect(t.Context(), peer.AddrInfo{ID: s.bob.ID(), Addrs: s.bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s.boxes = directtest.NewBoxes(s.bob.ID())
	s.sender = NewSender(func(ctx context.Context, device peer.ID) (network.Stream, error) {
		s.opened++
		return s.alice.NewStream(ctx, device, Protocol)
	}, directtest.NewBoxes(s.alice.ID()))
	s.listen(patience{FirstFrame, WholeFrame, WriteTimeout})
	return s
}

// listen makes Bob receive, with a receiver of his own patience that opens as many streams as tests need.
func (s *scene) listen(p patience) {
	r := NewReceiver(s.inbox.receive, s.boxes, func(peer.ID) bool { return false })
	r.patience = p
	r.keys = pace.New(1000, 1000)
	r.allKeys = r.keys
	s.receiver = r
	r.Serve(s.bob)
	s.t.Cleanup(func() { r.Stop(s.bob, time.Second) })
}

// deliver sends envelopes and fails the test when it is said that Bob has accepted what he refuses, or the other way.
func (s *scene) deliver(ctx context.Context, envelopes ...[]byte) (int, error) {
	s.t.Helper()
	accepted, err := s.sender.Deliver(ctx, s.bob.ID(), tagged(envelopes...))
	for i, got := range accepted {
		if want := s.inbox.refuses == nil || !s.inbox.refuses(envelopes[i]); got != want {
			s.t.Fatalf("envelope %d: accepted %v, want %v", i, got, want)
		}
	}
	return len(accepted), err
}

func (s *scene) mustDeliver(envelopes ...[]byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	if n, err := s.deliver(ctx, envelopes...); err != nil || n != len(envelopes) {
		s.t.Fatalf("%d of %d delivered: %v", n, len(envelopes), err)
	}
}

// letters makes n envelopes of different sizes.
func letters(n int) (envelopes [][]byte) {
	for i := range n {
		envelopes = append(envelopes, fmt.Appendf(nil, "letter %d %s", i, strings.Repeat("x", i%700)))
	}
	return envelopes
}

func texts(envelopes [][]byte) (all []string) {
	for _, e := range envelopes {
		all = append(all, string(e))
	}
	return all
}

// TestThousand delivers 1,000 envelopes on one stream: in order, each once, acknowledged only after Bob has them.
func TestThousand(t *testing.T) {
	s := newScene(t)
	all := letters(1000)
	for start := 0; start < len(all); start += 250 {
		s.mustDeliver(all[start : start+250]...)
		if got := len(s.inbox.all()); got < start+250 {
			t.Fatalf("%d acknowledged, %d kept", start+250, got)
		}
	}
	if !slices.Equal(s.inbox.all(), texts(all)) {
		t.Error("Bob has something else than Alice sent")
	}
	if s.opened != 1 {
		t.Errorf("%d streams were opened", s.opened)
	}
}

// TestSizes delivers the smallest and the largest envelope, and refuses what is neither before anything is sent.
func TestSizes(t *testing.T) {
	s := newScene(t)
	s.mustDeliver([]byte{1}, make([]byte, MaxEnvelope), []byte{2}, make([]byte, MaxEnvelope-1))
	for _, bad := range [][]byte{nil, make([]byte, MaxEnvelope+1)} {
		if n, err := s.deliver(t.Context(), []byte("fine"), bad); n != 0 || err == nil || !strings.Contains(err.Error(), "envelope 2 of 2") {
			t.Errorf("%d bytes: %d delivered, %v", len(bad), n, err)
		}
	}
	if n := len(s.inbox.all()); n != 4 {
		t.Errorf("Bob has %d envelopes", n)
	}
}

// TestWindow delivers more at once than may be on the wire.
func TestWindow(t *testing.T) {
	s := newScene(t)
	all := letters(3*Window + 1)
	s.mustDeliver(all...)
	if !slices.Equal(s.inbox.all(), texts(all)) {
		t.Error("Bob has something else than Alice sent")
	}
}

// TestPipeline shows that a second call writes while the first waits for its acknowledgement, and that each gets its own.
func TestPipeline(t *testing.T) {
	s := newScene(t)
	entered, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.inbox.before = func([][]byte) error {
		once.Do(func() { close(entered); <-proceed })
		return nil
	}
	var calls sync.WaitGroup
	calls.Go(func() { s.mustDeliver(letters(10)...) })
	<-entered
	link := s.sender.link(s.bob.ID())
	calls.Go(func() { s.mustDeliver([]byte("second"), []byte("call")) })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(link.writing) == 0 { // until the second call has its turn to write, and then to read
		<-tick.C
	}
	close(proceed)
	calls.Wait()
	if want := append(texts(letters(10)), "second", "call"); !slices.Equal(s.inbox.all(), want) {
		t.Errorf("Bob has %q", s.inbox.all())
	}
	if s.opened != 1 {
		t.Errorf("%d streams were opened", s.opened)
	}
}

// TestRefused shows that what Bob could not keep is offered again, and nothing is lost or out of order.
func TestRefused(t *testing.T) {
	s := newScene(t)
	all, refusals := letters(600), 0
	s.inbox.before = func([][]byte) error {
		if refusals++; refusals%4 == 0 {
			return errors.New("disk full")
		}
		return nil
	}
	delivered, attempts := 0, 0
	for ; delivered < len(all); attempts++ {
		rest := all[delivered:]
		n, err := s.deliver(t.Context(), rest[:min(len(rest), 200)]...)
		delivered += n
		if attempts > 20 {
			t.Fatalf("no end: %d delivered, %v", delivered, err)
		}
	}
	if s.opened < 2 {
		t.Error("nothing was refused")
	}
	if got := unique(s.inbox.all()); !slices.Equal(got, texts(all)) {
		t.Errorf("Bob has %d different envelopes of %d, or another order", len(got), len(all))
	}
}

// unique drops repetitions and keeps the order of first arrival.
func unique(all []string) (once []string) {
	seen := make(map[string]bool)
	for _, e := range all {
		if !seen[e] {
			once = append(once, e)
		}
		seen[e] = true
	}
	return once
}

// TestStreamDiedUnnoticed delivers although the stream that Alice kept is gone: she opens another by herself.
func TestStreamDiedUnnoticed(t *testing.T) {
	s := newScene(t)
	s.mustDeliver([]byte("before"))
	s.receiver.Stop(s.bob, time.Second)
	s.listen(patience{FirstFrame, WholeFrame, WriteTimeout})
	s.mustDeliver([]byte("after"))
	if !slices.Equal(s.inbox.all(), []string{"before", "after"}) || s.opened != 2 {
		t.Errorf("Bob has %q over %d streams", s.inbox.all(), s.opened)
	}
}

// TestCancelled cuts a call short while Bob holds its envelopes: the next call gets its own acknowledgements.
func TestCancelled(t *testing.T) {
	s := newScene(t)
	entered, proceed := make(chan struct{}, 100), make(chan struct{})
	s.inbox.before = func([][]byte) error { entered <- struct{}{}; <-proceed; return nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := s.deliver(ctx, letters(3)...); done <- err }()
	<-entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	close(proceed)
	s.mustDeliver([]byte("next"), []byte("one"))
	if _, err := s.deliver(ctx, []byte("too late")); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that begins after its end: %v", err)
	}
}

// TestCancelledNeighbour cuts short the second of two calls: the first is answered truly or not at all.
func TestCancelledNeighbour(t *testing.T) {
	s := newScene(t)
	entered, proceed := make(chan struct{}, 100), make(chan struct{})
	s.inbox.before = func([][]byte) error { entered <- struct{}{}; <-proceed; return nil }
	first := make(chan error, 1)
	go func() { _, err := s.deliver(t.Context(), letters(3)...); first <- err }()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.deliver(ctx, []byte("neighbour")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	close(proceed)
	<-first // delivered or not, and that truly: deliver has checked
	s.mustDeliver([]byte("next"))
}

// TestForget drops the stream of a device that went away, and not one that works.
func TestForget(t *testing.T) {
	s := newScene(t)
	s.mustDeliver([]byte("one"))
	s.sender.Forget(s.bob.ID())
	if len(s.sender.links) != 1 {
		t.Error("a stream that works was dropped")
	}
	s.mustDeliver([]byte("two"))
	if err := s.alice.Network().ClosePeer(s.bob.ID()); err != nil {
		t.Fatal(err)
	}
	s.sender.Forget(s.bob.ID())
	if len(s.sender.links) != 0 {
		t.Error("a dead stream was kept")
	}
	s.mustDeliver([]byte("three"))
	if s.opened != 2 {
		t.Errorf("%d streams were opened", s.opened)
	}
}

// TestBadTags shows that an answer which is none resets the stream instead of reaching Alice.
func TestBadTags(t *testing.T) {
	for name, tags := range map[string][][]byte{
		"too few": {}, "too many": {make([]byte, TagSize), make([]byte, TagSize)}, "too short": {make([]byte, TagSize-1)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.receiver.receive = func(context.Context, peer.ID, [][]byte) ([][]byte, error) { return tags, nil }
			if n, err := s.deliver(t.Context(), []byte("hello")); n != 0 || err == nil {
				t.Errorf("%d delivered, %v", n, err)
			}
		})
	}
}

// TestRefusedByName delivers letters of which Bob takes some without accepting them: Alice learns which, in whatever batches they come.
func TestRefusedByName(t *testing.T) {
	s := newScene(t)
	s.inbox.refuses = func(e []byte) bool { return len(e)%3 == 0 }
	all := letters(3 * Batch)
	for _, part := range [][][]byte{all[:1], all[1:10], all[10:]} {
		s.mustDeliver(part...)
	}
	s.inbox.refuses = func([]byte) bool { return true }
	s.mustDeliver(letters(2 * Batch)...)
	s.inbox.refuses = nil
	s.mustDeliver(all...)
	if s.opened != 1 {
		t.Errorf("%d streams were opened", s.opened)
	}
}

// TestRenewal gives each stream five records, and then no time at all: Alice begins another, and everything arrives once and in order.
func TestRenewal(t *testing.T) {
	s := newScene(t)
	s.sender.renewal.records = 5
	all := letters(20)
	for start := 0; start < len(all); start += 2 { // the fifth record of a stream is left out
		s.mustDeliver(all[start : start+2]...)
	}
	if s.opened != 5 || s.boxes.Opened() != 5 {
		t.Errorf("%d streams for 20 envelopes, two at a time; %d boxes", s.opened, s.boxes.Opened())
	}
	s.sender.renewal = renewal{records: StreamRecords}
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() { s.mustDeliver([]byte("late")) })
	}
	calls.Wait()
	if want := append(texts(all), slices.Repeat([]string{"late"}, 10)...); !slices.Equal(s.inbox.all(), want) || s.opened != 15 {
		t.Errorf("Bob has %d envelopes over %d streams", len(s.inbox.all()), s.opened)
	}
	for _, c := range s.alice.Network().ConnsToPeer(s.bob.ID()) {
		open := 0
		for _, stream := range c.GetStreams() {
			if stream.Protocol() == Protocol {
				open++
			}
		}
		if open > 1 {
			t.Errorf("%d streams are open at the end", open)
		}
	}
}

// keyless is Alice's boxes when she does not know the key of anybody.
type keyless struct{ *directtest.Boxes }

func (keyless) SealStream(peer.ID) ([]byte, func([]byte) ([]byte, error), error) {
	return nil, nil, errors.New("no key of Bob")
}

// TestNoKey opens no stream to a device whose key is not known, and says so.
func TestNoKey(t *testing.T) {
	s := newScene(t)
	s.sender.boxes = keyless{}
	if n, err := s.deliver(t.Context(), []byte("hello")); n != 0 || !errors.Is(err, ErrNoBox) || !strings.Contains(err.Error(), "no key of Bob") {
		t.Errorf("%d delivered, %v", n, err)
	}
	if s.opened != 0 {
		t.Error("a stream was opened")
	}
	if _, err := s.sender.Deliver(t.Context(), s.bob.ID(), []Outgoing{{Packet: []byte("x")}}); err == nil || !strings.Contains(err.Error(), "no tag") {
		t.Errorf("an envelope without a tag: %v", err)
	}
}
