package mailbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
)

// write sends bytes on a stream that may be cut off meanwhile.
func write(stream network.Stream, wire []byte) {
	_ = stream.SetWriteDeadline(time.Now().Add(patient))
	_, _ = stream.Write(wire)
}

// ends waits for the host to end a stream, and returns what it has said before, and how it ended.
func (s *scene) ends(stream network.Stream) ([]byte, error) {
	s.Helper()
	if err := stream.SetReadDeadline(time.Now().Add(patient)); err != nil {
		s.Fatal(err)
	}
	return io.ReadAll(stream)
}

// frames joins payloads to what is on the wire.
func frames(payloads ...[]byte) (wire []byte) {
	for _, p := range payloads {
		wire = frame.Append(wire, p)
	}
	return wire
}

// hash is what an owner with Bob's lanes asks with.
func (s *scene) hash() []byte {
	h := mailbox.HashOf(s.opened)
	return h[:]
}

// TestHostileFrames sends what no honest peer writes, on each protocol and at each place: the host resets the stream, keeps nothing of it,
// and goes on with Alice and Bob.
func TestHostileFrames(t *testing.T) {
	s := newScene(t)
	s.server.Hurry(100*time.Millisecond, time.Second, time.Second)
	s.opens()
	head := mailbox.MarshalHead(s.capability, depositID(1), s.bob.ID())
	bad := map[string][]byte{
		"4 GiB declared":    {0xff, 0xff, 0xff, 0xff, 0x0f},
		"an empty frame":    {0x00},
		"a padded length":   {0x81, 0x00},
		"an endless length": bytes.Repeat([]byte{0xff}, 100),
		"half a length":     {0x80},
		"half a frame":      {0x05, 'h', 'e'},
	}
	cases := map[string]map[string][]byte{
		"deposit": {
			"a short head":        frames(head[:48]),
			"a head of rubbish":   frames(bytes.Repeat([]byte{7}, len(head))),
			"a long head":         frames(append(slices.Clone(head), make([]byte, mailbox.MaxHead)...)),
			"a head alone":        frames(head),
			"a box that is large": append(frames(head), 0xff, 0xff, 0x7f),
		},
		"open": {
			"lanes of rubbish":   frames([]byte("rubbish")),
			"more than it says":  frames([]byte{0, 0, 1}),
			"less than it says":  frames([]byte{0, 1}),
			"the open lane":      frames(append([]byte{0, 1}, make([]byte, 33)...)),
			"lanes without end":  {0xff, 0xff, 0x7f},
			"a lane of class 99": frames(append(append([]byte{0, 1}, s.lane.Key[:]...), 99)),
		},
		"fetch": {
			"a short hash": frames(make([]byte, 31)),
			"a long hash":  frames(make([]byte, 33)),
		},
	}
	for verb, wires := range cases {
		for name, wire := range bad {
			wires[name] = wire
		}
		for name, wire := range wires {
			stream := s.stream(s.bob, verb)
			write(stream, wire)
			if said, err := s.ends(stream); !errors.Is(err, network.ErrReset) || len(said) > 0 {
				t.Errorf("%s, %s: the host says %x and ends with %v", verb, name, said, err)
			}
		}
	}
	for name, wire := range bad {
		stream := s.stream(s.alice, "deposit")
		write(stream, append(frames(head), wire...))
		if said, err := s.ends(stream); !errors.Is(err, network.ErrReset) || len(said) > 0 {
			t.Errorf("%s instead of a box: the host says %x and ends with %v", name, said, err)
		}
	}
	s.waits("the host to be idle", func() bool { return s.busy() == 0 })
	if kept := s.store.Kept(s.bob.ID()); kept.Boxes != 0 {
		t.Errorf("%d boxes of rubbish are kept", kept.Boxes)
	}
	s.mustLeave([]byte("honest"))
	d := newDesk()
	s.fetches(d)
	s.waits("the honest box", func() bool { return len(d.all()) == 1 })
}

// TestEveryCutDeposit cuts a deposit at every byte: none is kept that is not whole.
func TestEveryCutDeposit(t *testing.T) {
	s := newScene(t)
	s.opens()
	wire := frames(mailbox.MarshalHead(s.capability, depositID(1), s.bob.ID()), []byte("box"))
	for cut := range len(wire) {
		stream := s.stream(s.alice, "deposit")
		write(stream, wire[:cut])
		if err := stream.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if said, _ := s.ends(stream); len(said) > 0 {
			t.Errorf("cut at %d of %d: the host says %x", cut, len(wire), said)
		}
	}
	if kept := s.store.Kept(s.bob.ID()); kept.Boxes != 0 {
		t.Errorf("%d boxes are kept", kept.Boxes)
	}
	stream := s.stream(s.alice, "deposit")
	write(stream, wire)
	_ = stream.CloseWrite()
	if said, err := s.ends(stream); err != nil || !bytes.Equal(said, frames([]byte{byte(mailbox.Stored)})) {
		t.Errorf("whole: the host says %x and ends with %v", said, err)
	}
}

// TestHostileOwner acknowledges what is not on its way, or in another form: the host resets the stream and deletes nothing.
func TestHostileOwner(t *testing.T) {
	s := newScene(t)
	s.opens()
	s.mustLeave([]byte("box"))
	id := mailbox.IDOf(s.bob.ID(), [][]byte{[]byte("box")})
	for name, wire := range map[string][]byte{
		"another id":         frames(mailbox.MarshalAck([]mailbox.DepositID{depositID(1)})),
		"another id with it": frames(mailbox.MarshalAck([]mailbox.DepositID{id, depositID(1)})),
		"half an id":         frames(id[:8]),
		"an id and a half":   frames(append(id[:], id[:8]...)),
		"too many ids":       frames(make([]byte, mailbox.MaxAck+16)),
		"an empty frame":     {0},
		"an unending length": bytes.Repeat([]byte{0xff}, 6),
		"4 GiB of ids":       {0xff, 0xff, 0xff, 0xff, 0x0f},
		"a hash once more":   frames(s.hash()),
		"the end in a frame": {0x10, 1, 2, 3},
	} {
		stream := s.stream(s.bob, "fetch")
		write(stream, frames(s.hash()))
		handed := make([]byte, 2+1+1+16+3)
		if _, err := io.ReadFull(stream, handed); err != nil {
			t.Fatal(err)
		}
		write(stream, wire)
		if name == "the end in a frame" {
			_ = stream.CloseWrite()
		}
		if _, err := s.ends(stream); !errors.Is(err, network.ErrReset) {
			t.Errorf("%s: the stream ended with %v", name, err)
		}
		if kept := s.store.Kept(s.bob.ID()); kept.Boxes != 1 {
			t.Fatalf("%s: the box is gone", name)
		}
	}
}

// TestWindow hands out no more than the window to an owner who acknowledges nothing, and gives him up after a while.
func TestWindow(t *testing.T) {
	for name, size := range map[string]int{"many": 10, "large": 400 << 10} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.server.Hurry(patient, 300*time.Millisecond, time.Second)
			s.opens()
			s.mustLeave(boxes(80, size)[:min(80, 32<<20/size/2)]...)
			stream := s.stream(s.bob, "fetch")
			write(stream, frames(s.hash()))
			said, err := s.ends(stream)
			if !errors.Is(err, network.ErrReset) {
				t.Errorf("the stream ended with %v", err)
			}
			in := bytes.NewReader(said)
			r := frame.NewReader(tape{in}, tape{}, frame.NewPool(1<<10), mailbox.MaxHanded)
			handed, sum := -1, 0
			for {
				b, err := r.Next(0, time.Second)
				if err != nil {
					break
				}
				handed, sum = handed+1, sum+len(b)
			}
			if handed > mailbox.Window || sum > mailbox.WindowBytes+1<<10 || handed < 5 {
				t.Errorf("%d boxes with %d bytes were handed out", handed, sum)
			}
			if s.store.Kept(s.bob.ID()).Boxes < handed {
				t.Error("boxes are gone that nobody has acknowledged")
			}
		})
	}
}

// tape is a stream that has been recorded, with all the memory that there is.
type tape struct{ io.Reader }

func (tape) SetReadDeadline(time.Time) error { return nil }
func (tape) ReserveMemory(int, uint8) error  { return nil }
func (tape) ReleaseMemory(int)               {}

// TestSlowDepositor sends a byte now and then: the deposit has its deadline, however alive its sender is.
func TestSlowDepositor(t *testing.T) {
	s := newScene(t)
	s.server.Hurry(50*time.Millisecond, time.Second, time.Second)
	s.opens()
	stream := s.stream(s.alice, "deposit")
	write(stream, append(frames(mailbox.MarshalHead(s.capability, depositID(1), s.bob.ID())), 0xff, 0x7f))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		<-tick.C
		if _, err := stream.Write([]byte{'x'}); err != nil {
			return
		}
		if n > 1000 {
			t.Fatal("the stream is still open")
		}
	}
}

// TestOwnerNeverReads is given up when nothing fits into his stream any more.
func TestOwnerNeverReads(t *testing.T) {
	s := newScene(t)
	s.server.Hurry(100*time.Millisecond, patient, time.Second)
	s.opens()
	sent := boxes(8, mailbox.MaxBox)
	s.mustLeave(sent...)
	stream := s.stream(s.bob, "fetch")
	write(stream, frames(s.hash()))
	s.waits("the fetch to begin", func() bool { return s.server.Feeds() == 1 })
	s.waits("the fetch to be given up", func() bool { return s.server.Feeds() == 0 })
	d := newDesk()
	s.server.Hurry(patient, patient, time.Second)
	s.fetches(d)
	s.waits("all boxes", func() bool { return len(d.all()) == len(sent) })
}

// TestDeclaredBoxesCostNothing has many streams declare the largest box and send little of it: the host holds little.
func TestDeclaredBoxesCostNothing(t *testing.T) {
	s := newScene(t)
	s.opens()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 200 {
		from := s.alice
		if i%2 == 0 {
			from = s.bob
		}
		stream := s.stream(from, "deposit")
		head := mailbox.MarshalHead(s.capability, depositID(byte(i)), s.bob.ID())
		box := frame.Append(nil, make([]byte, mailbox.MaxBox))
		write(stream, append(frames(head), box[:1000]...))
	}
	s.waits("the streams", func() bool { return s.busy() > 100 })
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if s.Logf("%d streams hold %d KiB", s.busy(), grown>>10); grown > 100<<20/2 {
		t.Errorf("200 streams hold %d MiB for boxes that were not sent", grown>>20)
	}
}

// TestLyingHost has Bob ask a host that answers as it likes: he ends the stream, and takes nothing that is no box.
func TestLyingHost(t *testing.T) {
	s := newScene(t)
	s.opens()
	box := mailbox.MarshalBox(mailbox.Box{ID: depositID(1), Box: []byte("box")})
	nothing, current := []byte{mailbox.HandedNothing}, []byte{mailbox.StatusCurrent}
	for name, wire := range map[string][]byte{
		"another status":     frames([]byte{3}),
		"a long status":      frames([]byte{mailbox.StatusCurrent, 0}),
		"a box at once":      frames(box),
		"silence":            nil,
		"an empty box":       frames(current, box[:17]),
		"another kind":       frames(current, []byte{3}),
		"a box too large":    append(frames(current), 0xff, 0xff, 0x7f),
		"nothing, twice":     frames(current, nothing, nothing),
		"nothing and more":   frames(current, []byte{mailbox.HandedNothing, 1}),
		"half a box":         append(frames(current), 0x10, 1),
		"box and rubbish":    frames(current, box, []byte("rubbish")),
		"only the beginning": frames(current),
	} {
		s.home.SetStreamHandler(mailbox.ProtocolFetch, func(stream network.Stream) {
			_, _ = io.ReadFull(stream, make([]byte, 1+sha256.Size))
			_, _ = stream.Write(wire)
			_ = stream.CloseWrite()
			_, _ = io.Copy(io.Discard, stream)
		})
		d := newDesk()
		err := mailbox.Fetch(s.context(), s.bob, mailbox.Fetching{
			Host: s.home.ID(), Lanes: s.opened, Began: func() {}, Take: d.take, Drained: d.drain,
			Pause: func(context.Context, int) error { return nil }, Silence: patient,
		})
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the fetch ended with %v", name, err)
		}
		if got := d.all(); len(got) > 1 || len(got) == 1 && name != "box and rubbish" {
			t.Errorf("%s: Bob has taken %q", name, got)
		}
	}
}

// TestFloodingHost writes boxes without regard to the window: Bob takes them as fast as he is told to, in batches that are bounded.
func TestFloodingHost(t *testing.T) {
	s := newScene(t)
	s.opens()
	s.home.SetStreamHandler(mailbox.ProtocolFetch, func(stream network.Stream) {
		_, _ = io.ReadFull(stream, make([]byte, 1+sha256.Size))
		_, _ = stream.Write(frames([]byte{mailbox.StatusCurrent}))
		go func() { _, _ = io.Copy(io.Discard, stream) }()
		rubbish := frames(mailbox.MarshalBox(mailbox.Box{ID: depositID(1), Box: make([]byte, 1000)}))
		for range 100_000 {
			if _, err := stream.Write(rubbish); err != nil {
				return
			}
		}
		_ = stream.CloseWrite()
	})
	taken, paused := 0, 0
	ctx, cancel := context.WithCancel(s.context())
	defer cancel()
	err := mailbox.Fetch(ctx, s.bob, mailbox.Fetching{
		Host: s.home.ID(), Lanes: s.opened, Began: func() {}, Drained: func() {}, Silence: patient,
		Pause: func(_ context.Context, n int) error { paused += n; return nil },
		Take: func(_ context.Context, boxes [][]byte) error {
			if len(boxes) > mailbox.Window {
				t.Errorf("%d boxes at once", len(boxes))
			}
			if taken += len(boxes); taken > 5_000 {
				cancel()
			}
			return nil
		},
	})
	if !errors.Is(err, context.Canceled) || paused != taken {
		t.Errorf("%d boxes were taken, %d waited for, %v", taken, paused, err)
	}
}

// TestLyingVerdicts has Alice deposit at a host that answers as it likes: nothing counts as stored that was not said to be.
func TestLyingVerdicts(t *testing.T) {
	s := newScene(t)
	for name, c := range map[string]struct {
		wire   []byte
		stored int
	}{
		"verdict 0":         {frames([]byte{0}), 0},
		"verdict 6":         {frames([]byte{6}), 0},
		"a long verdict":    {frames([]byte{1, 1}), 0},
		"silence":           {nil, 0},
		"one of three":      {frames([]byte{1}), 1},
		"two and a refusal": {frames([]byte{1}, []byte{1}, []byte{2}), 2},
	} {
		s.home.SetStreamHandler(mailbox.ProtocolDeposit, func(stream network.Stream) {
			_, _ = stream.Write(c.wire)
			_ = stream.CloseWrite()
			_, _ = io.Copy(io.Discard, stream)
		})
		if n, err := s.leave(s.alice, s.capability, boxes(3, 10)...); n != c.stored || err == nil {
			t.Errorf("%s: %d stored, %v", name, n, err)
		}
	}
}

// TestLyingGuide answers as it likes who hosts mailboxes, and a flood of questions is not answered.
func TestLyingGuide(t *testing.T) {
	s := newScene(t)
	for name, wire := range map[string][]byte{
		"rubbish":        frames([]byte("rubbish")),
		"silence":        nil,
		"17 hosts":       frames(append([]byte{17}, mailbox.MarshalHosts(nil)...)),
		"less than said": frames([]byte{1}),
	} {
		s.home.SetStreamHandler(mailbox.ProtocolHosts, func(stream network.Stream) {
			_, _ = stream.Write(wire)
			_ = stream.Close()
		})
		if hosts, err := mailbox.Hosts(s.context(), s.alice, s.home.ID()); err == nil {
			t.Errorf("%s: %v", name, hosts)
		}
	}
	asked := 0
	guide := mailbox.NewGuide(func() []peer.AddrInfo { asked++; return []peer.AddrInfo{{ID: s.home.ID(), Addrs: s.home.Addrs()}} })
	guide.Serve(s.home)
	defer guide.Stop(s.home)
	for range 2 * mailbox.QuestionBurst {
		hosts, err := mailbox.Hosts(s.context(), s.alice, s.home.ID())
		if err == nil && (len(hosts) != 1 || hosts[0].ID != s.home.ID()) {
			t.Errorf("the guide says %v", hosts)
		}
	}
	if asked < mailbox.QuestionBurst || asked > mailbox.QuestionBurst+2 {
		t.Errorf("%d of %d questions were answered", asked, 2*mailbox.QuestionBurst)
	}
}

// TestSybilDepositors has 10,000 depositors who are nobody's contacts fill what they can, mailboxes of their own among it: no deposit of a
// contact is refused as long as it is within what an owner has for sure, and what is kept stays within its bounds.
func TestSybilDepositors(t *testing.T) {
	store, q, host, bob := mailboxtest.NewStore(), mailbox.DefaultQuota(), mailboxtest.Peer(1), mailboxtest.Peer(2)
	q.Owners = 32 // a smaller host, so that a test can fill it
	q.Host = mailbox.Room{Boxes: 34 * q.Sure.Boxes, Bytes: 34 * q.Sure.Bytes}
	alice := mailboxtest.Lane(1, mailbox.ClassContact)
	deposit := func(owner peer.ID, lane [32]byte, name string) mailbox.Verdict {
		sum := sha256.Sum256([]byte(name))
		v, err := store.Deposit(t.Context(), mailbox.Deposit{
			Owner: owner, Host: host, Lane: lane, ID: mailbox.DepositID(sum[:16]), Box: make([]byte, 1<<10), At: time.Now(),
		}, q)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	open := func(owner peer.ID) bool {
		v, err := store.Open(t.Context(), owner, host, []mailbox.Lane{alice}, q, time.Now())
		return err == nil && v == mailbox.Stored
	}
	if !open(bob) {
		t.Fatal("Bob has no mailbox")
	}
	for i := range 2 * q.Owners {
		if own := open(mailboxtest.Peer(100 + i)); own != (i < q.Owners-1) {
			t.Fatalf("Sybil %d has a mailbox: %v", i, own)
		}
		for n := range 2 * q.Sure.Boxes {
			deposit(mailboxtest.Peer(100+i), alice.Key, fmt.Sprint("own ", i, " ", n))
		}
	}
	honest := 0
	for i := range 10_000 {
		deposit(bob, [32]byte{}, fmt.Sprint("stranger ", i))
		deposit(bob, sha256.Sum256(fmt.Append(nil, i)), fmt.Sprint("guess ", i))
		if i%25 == 0 {
			if v := deposit(bob, alice.Key, fmt.Sprint("honest ", i)); v != mailbox.Stored {
				t.Fatalf("honest deposit %d: verdict %d", honest, v)
			}
			honest++
		}
	}
	if kept := store.Kept(bob); kept.Boxes != honest+q.Open.Boxes {
		t.Errorf("%d boxes are kept for Bob, %d of them honest", kept.Boxes, honest)
	}
	if all := store.All(); all.Bytes > q.Host.Bytes || all.Boxes != q.Host.Boxes-(q.Sure.Boxes-honest-q.Open.Boxes) {
		t.Errorf("%d boxes with %d bytes are kept", all.Boxes, all.Bytes)
	}
}

// TestRefusedIsBounded remembers refusals for a while and so many.
func TestRefusedIsBounded(t *testing.T) {
	m, now := mailbox.NewRefused(), time.Now()
	for i := range 2 * mailbox.Refusals {
		m.Note(mailboxtest.Peer(i), capability(1), mailbox.LaneFull, now)
	}
	if m.Len() != mailbox.Refusals {
		t.Errorf("%d refusals are remembered", m.Len())
	}
	bob := mailboxtest.Peer(2 * mailbox.Refusals)
	m.Note(bob, capability(1), mailbox.MailboxFull, now)
	if v, known := m.Of(bob, capability(1), now.Add(mailbox.RefusedFor/2)); !known || v != mailbox.MailboxFull {
		t.Errorf("soon after: %d, %v", v, known)
	}
	if _, known := m.Of(bob, capability(2), now); known {
		t.Error("another lane is refused with it")
	}
	if _, known := m.Of(bob, capability(1), now.Add(mailbox.RefusedFor)); known {
		t.Error("it is remembered for ever")
	}
	m.Forget(bob)
	if _, known := m.Of(bob, capability(1), now); known || m.Len() != mailbox.Refusals-1 {
		t.Error("what an owner has changed does not count, or not for him alone")
	}
}

// TestOpeningsAtTheSameTime leave nothing certain: the owner has to say again which lanes he has.
func TestOpeningsAtTheSameTime(t *testing.T) {
	o, bob, now := mailbox.NewOpenings(), mailboxtest.Peer(1), time.Now()
	one, two := capability(1), capability(2)
	o.Begin(bob)
	o.End(bob, one, now, true)
	if !o.Are(bob, one, now) || o.Are(bob, two, now) || o.Are(mailboxtest.Peer(2), one, now) {
		t.Error("the lanes are not those that were named")
	}
	if !o.Are(bob, one, now.Add(mailbox.OpenLife)) || o.Are(bob, one, now.Add(mailbox.OpenLife+1)) {
		t.Error("lanes are current for another time than OpenLife")
	}
	for _, second := range []bool{true, false} { // whichever ends last
		o.Begin(bob)
		o.Begin(bob)
		o.End(bob, one, now, true)
		if o.Are(bob, one, now) {
			t.Error("lanes are certain while others are being stored")
		}
		o.End(bob, two, now, second)
		if o.Are(bob, one, now) || o.Are(bob, two, now) {
			t.Error("one of two is certain")
		}
	}
	o.Begin(bob)
	o.End(bob, one, now, false)
	if o.Are(bob, one, now) {
		t.Error("lanes are current that the store does not have")
	}
	for i := range 100 {
		o.Begin(mailboxtest.Peer(i))
		o.End(mailboxtest.Peer(i), one, now.Add(time.Duration(i)*mailbox.OpenLife/10), true)
	}
	if o.Len() > 11 {
		t.Errorf("%d owners are remembered, most of whom have not been here for long", o.Len())
	}
}

// TestSplit cuts envelopes into what fits into a box each, and loses none.
func TestSplit(t *testing.T) {
	const most = mailbox.ChunkBytes - mailbox.ChunkHead - mailbox.ChunkEach
	for name, c := range map[string]struct {
		sizes  []int
		chunks string
	}{
		"none":             {nil, ""},
		"one":              {[]int{1}, "1"},
		"64":               {slices.Repeat([]int{1}, 64), "64"},
		"65":               {slices.Repeat([]int{1}, 65), "64 1"},
		"the largest":      {[]int{most}, "1"},
		"and one more":     {[]int{most, 1}, "1 1"},
		"just both":        {[]int{most - 5, 1}, "2"},
		"four of 128 KiB":  {slices.Repeat([]int{128 << 10}, 4), "3 1"},
		"large in between": {[]int{1, most, 1, 1}, "1 1 2"},
	} {
		var envelopes [][]byte
		for _, n := range c.sizes {
			envelopes = append(envelopes, make([]byte, n))
		}
		var got []string
		for _, chunk := range mailbox.Split(envelopes) {
			got = append(got, fmt.Sprint(len(chunk)))
		}
		if strings.Join(got, " ") != c.chunks {
			t.Errorf("%s: chunks of %v, not %s", name, got, c.chunks)
		}
	}
}
