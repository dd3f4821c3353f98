package node_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node"
	"parley/node/direct"
	"parley/node/mailbox"
	"parley/node/nodetest"
)

// whole is set by "make attacks".
var whole = flag.Bool("whole", false, "meet each attack as often as it takes to bound what is left, instead of often enough for every day")

// times is how often something is done: every day, and in the whole.
func times(everyDay, inAll int) int {
	if *whole {
		return inAll
	}
	return everyDay
}

// siege is a host of mailboxes that strangers beset, and those who want to use it: Alice, whose device is a contact's, and Bob, whose mailbox
// it keeps and who gets nothing in any other way.
type siege struct {
	*post
	home    *nodetest.Device
	letters int
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	p := newPost(t, 1)
	return beset(p, p.hosts[0])
}

// beset prepares a siege of a host of mailboxes.
func beset(p *post, home *nodetest.Device) *siege {
	p.t.Helper()
	s := &siege{post: p, home: home}
	p.bob.Stop()
	p.bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error { return errors.New("not this way") }
	p.bob.Start()
	p.keeps()
	s.home.Learn(p.alice.ID(), p.alice.Config.Listen)
	p.alice.Learn(s.home.ID(), s.home.Config.Listen)
	s.say()
	return s
}

// say has Alice hand one letter to the host itself and one for Bob, each at the first attempt, and returns how long both took.
func (s *siege) say() time.Duration {
	s.t.Helper()
	s.letters++
	begin := time.Now()
	direct := fmt.Appendf(nil, "to the host %d", s.letters)
	if handed, err := s.alice.Deliver(nodetest.Context(s.t), s.home.ID(), nil, nodetest.Letters(direct)); err != nil || !handed[0].Acked {
		s.t.Errorf("letter %d to the host: %+v, %v", s.letters, handed, err)
	}
	handed, err := s.send(fmt.Appendf(nil, "to Bob %d", s.letters))
	if err != nil || len(handed) != 1 || !slices.Contains(handed[0].Holders, s.home.ID()) {
		s.t.Errorf("letter %d to Bob: %+v, %v", s.letters, handed, err)
	}
	return time.Since(begin)
}

// talk has Alice write now and then until an end, and some more, and returns the 95th of a hundred times.
func (s *siege) talk(end <-chan struct{}) (p95 time.Duration) {
	s.t.Helper()
	var took []time.Duration
	tick := time.NewTicker(200 * time.Millisecond) // slower than what a host lets one depositor do
	defer tick.Stop()
	for left := 20; left > 0; {
		took = append(took, s.say())
		select {
		case <-end:
			left--
		case <-tick.C:
		}
	}
	slices.Sort(took)
	return took[len(took)*95/100]
}

// holds runs an attack while Alice writes, and checks that nothing of what she writes is lost and nobody was hung up on.
func (s *siege) holds(attack func()) {
	s.t.Helper()
	quiet, end, talked := make(chan struct{}), make(chan struct{}), make(chan time.Duration, 1)
	time.AfterFunc(time.Duration(times(0, 10))*time.Second, func() { close(quiet) })
	before := s.talk(quiet)
	since, memory := s.connected(), heap()
	go func() { talked <- s.talk(end) }()
	over := sync.OnceValue(func() time.Duration { close(end); return <-talked })
	defer over()
	attack()
	during := over()
	grown := heap() - memory
	s.t.Logf("p95 of two letters: %v before, %v during; %d rounds; heap %+d MiB, strangers included", before, during, s.letters, grown>>20)
	if grown > 256<<20 {
		s.t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	for id, at := range since {
		if !s.connected()[id].Equal(at) {
			s.t.Errorf("%s was hung up on", id)
		}
	}
	nodetest.WaitFor(s.t, "Bob to have all letters", func() bool { return len(s.bob.Inbox.Envelopes()) == s.letters })
	if got := len(s.home.Inbox.Envelopes()); got != s.letters {
		s.t.Errorf("the host has %d letters of %d", got, s.letters)
	}
}

// connected says since when Alice and Bob are connected to the host.
func (s *siege) connected() map[peer.ID]time.Time {
	since := make(map[peer.ID]time.Time)
	for _, p := range s.home.Peers() {
		if p.ID == s.alice.ID() || p.ID == s.bob.ID() {
			since[p.ID] = p.Since
		}
	}
	return since
}

// stranger connects to the host as somebody new, who has the network's key and keeps no rule.
func (s *siege) stranger() (host.Host, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(private)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.DisableRelay(),
		libp2p.PrivateNetwork(s.home.Config.Network.PSK),
		libp2p.ProtocolVersion("parley/"+hex.EncodeToString(s.home.Config.Network.ID[:])),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), node.DialTimeout)
	defer cancel()
	if err := h.Connect(ctx, s.home.Info()); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// crowd is n strangers, who are all connected.
func (s *siege) crowd(n int) (all []host.Host) {
	s.t.Helper()
	for range n {
		h, err := s.stranger()
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = h.Close() })
		all = append(all, h)
	}
	return all
}

// A slowness is a way to hold a stream open for as long as one is let.
type slowness struct {
	protocol protocol.ID // none: it is never said what is wanted
	wire     []byte      // what is written at once
	drips    bool        // then a byte a second
	ends     bool        // or the writing side is closed
}

func slownesses() []slowness {
	head := append([]byte{86}, make([]byte, 48)...) // of a deposit for somebody who has no mailbox, without the owner
	whole := append(slices.Clone(head), append([]byte{0, 36, 8, 1, 18, 32}, make([]byte, 32)...)...)
	box := append(slices.Clone(whole), 0xff, 0x1f, 'x') // of 4095 bytes, of which one comes
	return []slowness{
		{},
		{wire: []byte("\x13/multi"), drips: true},
		{protocol: mailbox.ProtocolDeposit},
		{protocol: mailbox.ProtocolDeposit, wire: head[:1], drips: true},
		{protocol: mailbox.ProtocolDeposit, wire: box, drips: true},
		{protocol: mailbox.ProtocolDeposit, wire: head, ends: true},
		{protocol: mailbox.ProtocolFetch},
		{protocol: mailbox.ProtocolOpen, wire: []byte{35}, drips: true},
		{protocol: direct.Protocol},
		{protocol: direct.Protocol, wire: []byte{0xea, 0x08, 'x'}, drips: true},
	}
}

// hold opens a stream, says that it has begun, and is slow on it, until it is reset or ctx ends.
func (w slowness) hold(ctx context.Context, h host.Host, victim peer.ID, begun func()) {
	defer begun()
	var s network.Stream
	var err error
	if w.protocol == "" {
		s, err = h.Network().NewStream(ctx, victim)
	} else {
		s, err = h.NewStream(ctx, victim, w.protocol)
	}
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	defer func() { _ = s.Reset() }()
	_, _ = s.Write(w.wire)
	if w.ends {
		_ = s.CloseWrite()
	}
	begun()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, s)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if w.drips {
				_, _ = s.Write([]byte{1})
			}
		}
	}
}

// longest is how long a stream can be held at most: by a deposit whose box comes slowly, and some more on a busy machine.
const longest = mailbox.FirstFrame + mailbox.WholeFrame + mailbox.WholeBox + time.Minute

// TestSlowStrangers has strangers hold streams of every kind as slowly as they can. In the whole each is reset by its deadline, while
// the strangers stay.
func TestSlowStrangers(t *testing.T) {
	s := newSiege(t)
	for name, kinds := range map[string][]slowness{"of every kind": slownesses(), "without a word": slices.Repeat(slownesses()[:1], 10)} {
		t.Run(name, func(t *testing.T) {
			crowd := s.crowd(times(30, 50))
			goroutines := runtime.NumGoroutine()
			ctx, hangUp := context.WithTimeout(t.Context(), longest)
			defer hangUp()
			var opening, holding sync.WaitGroup
			var held atomic.Int32
			s.holds(func() {
				for _, h := range crowd {
					for _, kind := range kinds {
						held.Add(1)
						opening.Add(1)
						holding.Go(func() { defer held.Add(-1); kind.hold(ctx, h, s.home.ID(), sync.OnceFunc(opening.Done)) })
					}
				}
				opening.Wait()
				if *whole {
					holding.Wait()
				}
			})
			t.Logf("%d streams, of which %d are held after it", len(crowd)*len(kinds), held.Load())
			if ctx.Err() != nil {
				t.Error("some are held for longer than any deadline")
			}
			hangUp()
			holding.Wait()
			nodetest.WaitFor(t, "nothing to be left of it", func() bool { return runtime.NumGoroutine() <= goroutines+10 })
			for _, h := range crowd {
				_ = h.Close()
			}
		})
	}
}

// TestStreamChurn has one stranger open and end streams as fast as she can.
func TestStreamChurn(t *testing.T) {
	s := newSiege(t)
	mallory := s.crowd(1)[0]
	s.holds(func() {
		begin, opened, n := time.Now(), atomic.Int64{}, times(2_000, 200_000)
		var churning sync.WaitGroup
		for worker := range 8 {
			churning.Go(func() {
				for i := worker; i < n; i += 8 {
					if s.churn(mallory, i) {
						opened.Add(1)
					}
				}
			})
		}
		churning.Wait()
		t.Logf("%d streams of %d were opened, %.0f a second", opened.Load(), n, float64(opened.Load())/time.Since(begin).Seconds())
	})
}

// churn opens the i-th stream of a stranger, and ends it at once. Where she was hung up on, she comes back.
func (s *siege) churn(h host.Host, i int) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), node.DialTimeout)
	defer cancel()
	kinds := []protocol.ID{direct.Protocol, mailbox.ProtocolDeposit, mailbox.ProtocolFetch, "/parley/nothing/1", ""}
	var stream network.Stream
	var err error
	if p := kinds[i%len(kinds)]; p == "" {
		stream, err = h.Network().NewStream(ctx, s.home.ID())
	} else {
		stream, err = h.NewStream(ctx, s.home.ID(), p)
	}
	if err != nil {
		_ = h.Connect(ctx, s.home.Info())
		return false
	}
	_, _ = stream.Write([]byte{1})
	if i%2 == 0 {
		_ = stream.Close()
	}
	_ = stream.Reset()
	return true
}

// TestConnectionFlood has many strangers connect, and others who only knock and say nothing. In the whole it goes on until the host closes
// connections to have fewer.
func TestConnectionFlood(t *testing.T) {
	s := newSiege(t)
	address := nodetest.Multiaddrs(t, s.home.Config.Listen...)[0]
	var accepted, refused atomic.Int32
	s.holds(func() {
		var flooding sync.WaitGroup
		n := times(100, 5_000)
		for worker := range 8 {
			flooding.Go(func() {
				for i := worker; i < n; i += 8 {
					if s.knock(address, i) {
						accepted.Add(1)
					} else {
						refused.Add(1)
					}
				}
			})
		}
		flooding.Wait()
		if *whole {
			nodetest.WaitFor(t, "the host to close connections", func() bool { return len(s.home.Peers()) <= node.ConnsHigh })
		}
	})
	t.Logf("%d of %d connections were made", accepted.Load(), accepted.Load()+refused.Load())
}

// knock makes the i-th connection of a flood: three of five are whole, the others say nothing.
func (s *siege) knock(address ma.Multiaddr, i int) bool {
	if i%5 < 3 {
		h, err := s.stranger()
		if err != nil {
			return false
		}
		busy := slowness{protocol: mailbox.ProtocolFetch} // an idle connection is the first to go
		var holding sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		holding.Go(func() {
			defer func() { _ = h.Close() }()
			for ctx.Err() == nil && h.Network().Connectedness(s.home.ID()) == network.Connected {
				busy.hold(ctx, h, s.home.ID(), func() {})
			}
		})
		s.t.Cleanup(func() { cancel(); holding.Wait() })
		return true
	}
	var dialer manet.Dialer
	c, err := dialer.Dial(address)
	if err != nil {
		return false
	}
	time.AfterFunc(node.DialTimeout, func() { _ = c.Close() })
	return true
}
