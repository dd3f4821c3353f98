package e2e

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// silence is how long nothing has to come until nothing more is expected.
const silence = 500 * time.Millisecond

// TestTheWire measures the wire and the routers before anybody counts on them.
func TestTheWire(t *testing.T) {
	if !inTheRig(t) {
		return
	}
	net := newInternet(t)
	w := net.weathered(weather{})
	t.Logf("the wire is user space between TUN links, seed %d", w.seed)
	for _, machine := range []string{"alice", "bob", "carol"} {
		net.namespace(machine)
		net.plug(machine, wanLink)
	}
	alice, bob := newProbe(t, "alice", "5.1.0.1:4101"), newProbe(t, "bob", "5.2.0.1:4101")
	for _, check := range []struct {
		name string
		run  func(*testing.T, *wire, *probe, *probe)
	}{
		{"loss", checkLoss}, {"delay", checkDelay}, {"echoes", checkEchoes}, {"parting", checkParting}, {"rate", checkRate}, {"size", checkSize},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, w, alice, bob) })
		w.heal()
		w.turns(weather{})
	}
	t.Run("routers", func(t *testing.T) { checkRouters(t, net, bob, newProbe(t, "carol", "5.3.0.1:4101")) })
	t.Log(w.tally())
}

func checkLoss(t *testing.T, w *wire, alice, bob *probe) {
	const sent = 2000
	w.turns(weather{loss: 0.3})
	alice.send(bob.at, sent, 100)
	share := 1 - float64(len(bob.numbers(silence)))/sent
	t.Logf("of %d packets %.1f %% were lost, want 30 %%", sent, 100*share)
	if share < 0.27 || share > 0.33 {
		t.Error("that is not 30 %")
	}
}

func checkDelay(t *testing.T, w *wire, alice, bob *probe) {
	for _, oneWay := range []time.Duration{0, 250 * time.Millisecond} {
		w.turns(weather{delay: oneWay})
		var took []time.Duration
		for range 5 {
			took = append(took, alice.ping(t, bob))
		}
		slices.Sort(took)
		t.Logf("there and back in %v to %v, %v in the middle, want %v", took[0], took[len(took)-1], took[len(took)/2], 2*oneWay)
		if took[0] < 2*oneWay || took[0] > 2*oneWay+slowness*5*time.Millisecond || took[len(took)/2] > 2*oneWay+slowness*50*time.Millisecond {
			t.Error("that is not what the wire was told")
		}
	}
}

func checkEchoes(t *testing.T, w *wire, alice, bob *probe) {
	const sent = 1000
	w.turns(weather{twice: 0.1})
	alice.send(bob.at, sent, 100)
	came := len(bob.numbers(silence))
	t.Logf("%d packets came of %d, want a tenth twice", came, sent)
	if came < 1070 || came > 1130 {
		t.Error("that is not a tenth")
	}
}

// checkParting cuts one direction, both, and heals: what is cut has no answer, and the first packet after the heal has one.
func checkParting(t *testing.T, w *wire, alice, bob *probe) {
	arrived := func() [2]int {
		alice.send(bob.at, 20, 100)
		bob.send(alice.at, 20, 100)
		return [2]int{len(bob.numbers(silence / 2)), len(alice.numbers(silence / 2))}
	}
	w.cut([]string{"alice"}, []string{"bob"})
	if got := arrived(); got != [2]int{0, 20} {
		t.Errorf("with Alice's way to Bob cut %v packets arrived", got)
	}
	w.part([]string{"alice"}, []string{"bob", "carol"})
	if got := arrived(); got != [2]int{} {
		t.Errorf("with both ways cut %v packets arrived", got)
	}
	w.heal()
	if got := arrived(); got != [2]int{20, 20} {
		t.Errorf("after the heal %v packets arrived", got)
	}
}

func checkRate(t *testing.T, w *wire, alice, bob *probe) {
	const sent, size, rate, queue = 100, 1000, 50_000, 40_000
	w.turns(weather{rate: rate, queue: queue})
	begin := time.Now()
	alice.send(bob.at, sent, size)
	passed := int(rate * time.Since(begin) / time.Second / size) // while she was sending
	came := len(bob.numbers(silence))
	took := time.Since(begin) - silence
	t.Logf("%d of %d packets of %d bytes came within %v, at %d bytes/s with room for %d", came, sent, size, took, rate, queue)
	if came < queue/size || came > queue/size+passed+10 || took < 700*time.Millisecond || took > slowness*1200*time.Millisecond {
		t.Error("that is not what the wire was told")
	}
}

func checkSize(t *testing.T, w *wire, alice, bob *probe) {
	w.turns(weather{mtu: 1280})
	alice.send(bob.at, 1, 1280)
	alice.send(bob.at, 1, 1281)
	if came := len(bob.numbers(silence / 2)); came != 1 || w.tally().fates[tooLarge] == 0 {
		t.Errorf("of packets of 1280 and 1281 bytes %d arrived", came)
	}
}

// checkRouters looks at the ports of those behind routers from two places: a home keeps one for both, a symmetric router takes another, and
// nobody gets in who was not asked.
func checkRouters(t *testing.T, net *internet, bob, carol *probe) {
	for _, kind := range []place{home, symmetric} {
		machine := "behind-" + string(kind)
		net.namespace(machine)
		net.settle(machine, kind)
		inside := newProbe(t, machine, "0.0.0.0:4101")
		inside.send(bob.at, 1, 100)
		inside.send(carol.at, 1, 100)
		bob.numbers(silence / 2)
		carol.numbers(silence / 2)
		atBob, atCarol := bob.from(), carol.from()
		t.Logf("%s: %v for Bob and %v for Carol", kind, atBob, atCarol)
		if same := atBob == atCarol; same != (kind == home) {
			t.Errorf("a %s router shows one port to both: %v", kind, same)
		}
		bob.send(atBob, 1, 100)
		if len(inside.numbers(silence/2)) != 1 {
			t.Errorf("behind a %s router no answer came", kind)
		}
		for _, unasked := range []netip.AddrPort{netip.AddrPortFrom(atBob.Addr(), atBob.Port()+1), netip.AddrPortFrom(atBob.Addr(), 22)} {
			bob.send(unasked, 1, 100)
		}
		if came := len(inside.numbers(silence / 2)); came != 0 {
			t.Errorf("behind a %s router %d packets came unasked", kind, came)
		}
	}
}

// probe is a UDP socket on a machine, which counts.
type probe struct {
	testing.TB
	at     netip.AddrPort
	socket *net.UDPConn
	mu     sync.Mutex
	came   []uint32 // numbers of packets, in their order
	last   time.Time
	sender netip.AddrPort // of the last of them
	next   uint32
	news   chan struct{} // holds one token: something has come
}

func newProbe(t testing.TB, machine, at string) *probe {
	t.Helper()
	p := &probe{TB: t, at: netip.MustParseAddrPort(at), news: make(chan struct{}, 1)}
	err := inNamespace(machine, func() (err error) {
		p.socket, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(p.at))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.roomFor(8 << 20)
	var reader sync.WaitGroup
	reader.Go(p.read)
	t.Cleanup(func() { _ = p.socket.Close(); reader.Wait() })
	return p
}

// roomFor lets bytes wait in the socket, so that none are lost which the wire has delivered.
func (p *probe) roomFor(bytes int) {
	raw, err := p.socket.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) })
	}
	if err != nil {
		p.Fatal(err)
	}
}

func (p *probe) read() {
	packet := make([]byte, 1<<16)
	for {
		n, from, err := p.socket.ReadFromUDPAddrPort(packet)
		if err != nil {
			return
		}
		if strings.HasPrefix(string(packet[4:n]), "ping") {
			copy(packet[4:], "pong")
			_, _ = p.socket.WriteToUDPAddrPort(packet[:n], from)
			continue
		}
		p.mu.Lock()
		p.came, p.last, p.sender = append(p.came, binary.BigEndian.Uint32(packet)), time.Now(), from
		p.mu.Unlock()
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}

// send sends a number of IP packets of a size, each with the next number.
func (p *probe) send(to netip.AddrPort, packets, size int) { p.sendText(to, packets, size, "") }

func (p *probe) sendText(to netip.AddrPort, packets, size int, text string) {
	p.Helper()
	const headers = 28 // IPv4 and UDP
	for range packets {
		packet := make([]byte, size-headers)
		binary.BigEndian.PutUint32(packet, p.next)
		copy(packet[4:], text)
		p.next++
		if _, err := p.socket.WriteToUDPAddrPort(packet, to); err != nil {
			p.Fatal(err)
		}
	}
}

// numbers returns what has come since the last call, once nothing more does for a while.
func (p *probe) numbers(quiet time.Duration) (came []uint32) {
	for {
		select {
		case <-p.news:
			continue
		case <-time.After(quiet):
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		came, p.came = p.came, nil
		return came
	}
}

// from returns who has sent the last packet.
func (p *probe) from() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sender
}

// ping returns how long a packet takes there and back.
func (p *probe) ping(t *testing.T, other *probe) time.Duration {
	t.Helper()
	begin := time.Now()
	p.sendText(other.at, 1, 100, "ping")
	select {
	case <-p.news:
	case <-time.After(patience):
		t.Fatal("no answer came")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came = nil
	return p.last.Sub(begin)
}
