package e2e

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var wireSeed = flag.Uint64("wire.seed", 1, "what the weather on the wire is played by")

// wire is an internet with weather: the kernel at hand has no netem, so each machine on it has a TUN link, whose packets are read here, and
// written to the link of the machine that they are for when their time has come.
type wire struct {
	testing.TB
	mu      sync.Mutex
	seed    uint64
	plugs   map[string]*plug     // by machine
	homes   map[netip.Addr]*plug // whoever has used an address last
	all     weather              // where special says nothing
	special map[[2]string]weather
	cuts    map[[2]string]bool // from one machine to another nothing passes
	ways    map[[2]string]*way
	road    parcels
	count   tally
	opened  map[string]time.Time // handshakes that were seen, and when first
	changed chan struct{}        // holds one token: the road has another first parcel
	closed  chan struct{}
	workers sync.WaitGroup
}

// plug is the link of one machine.
type plug struct {
	machine string
	tun     *os.File
}

// tally is what became of all packets so far.
type tally struct {
	fates [fates]int
	cut   int
	twice int
}

func (c tally) String() string {
	return fmt.Sprintf("%d packets arrived, %d of them twice; %d were lost, %d cut off, %d too large, for %d there was no room",
		c.fates[arrives], c.twice, c.fates[lost], c.cut, c.fates[tooLarge], c.fates[noRoom])
}

// parcel is a packet on its way.
type parcel struct {
	at     time.Time
	number int // of those at the same time the first goes first
	to     *plug
	packet []byte
}

type parcels []parcel

func (p parcels) Len() int { return len(p) }
func (p parcels) Less(i, j int) bool {
	return p[i].at.Before(p[j].at) || p[i].at.Equal(p[j].at) && p[i].number < p[j].number
}
func (p parcels) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *parcels) Push(x any)   { *p = append(*p, x.(parcel)) }
func (p *parcels) Pop() any {
	old := *p
	last := old[len(old)-1]
	*p = old[:len(old)-1]
	return last
}

// weathered puts a wire under the internet: machines that are plugged from now on are on it.
func (n *internet) weathered(w weather) *wire {
	n.Helper()
	n.wire = &wire{
		TB: n.TB, seed: *wireSeed, plugs: map[string]*plug{}, homes: map[netip.Addr]*plug{}, all: w, special: map[[2]string]weather{},
		cuts: map[[2]string]bool{}, ways: map[[2]string]*way{}, opened: map[string]time.Time{}, changed: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	n.wire.workers.Go(n.wire.deliver)
	n.Cleanup(n.wire.close)
	return n.wire
}

func (w *wire) close() {
	close(w.closed)
	w.mu.Lock()
	for _, p := range w.plugs {
		_ = p.tun.Close()
	}
	w.mu.Unlock()
	w.workers.Wait()
}

// plug gives a machine a link with an address that looks public.
func (w *wire) plug(n *internet, machine, link string, address netip.Addr) {
	w.Helper()
	var tun *os.File
	err := inNamespace(machine, func() (err error) {
		tun, err = openTUN(link)
		return err
	})
	if err != nil {
		w.Fatalf("plug %s in: %v", machine, err)
	}
	n.ip("-n", machine, "link", "set", link, "txqueuelen", "10000")
	n.ip("-n", machine, "addr", "add", address.String()+"/8", "dev", link)
	n.ip("-n", machine, "link", "set", link, "up")
	p := &plug{machine, tun}
	w.mu.Lock()
	w.plugs[machine], w.homes[address] = p, p
	w.mu.Unlock()
	w.workers.Go(func() { w.read(p) })
}

// inNamespace does something in the network of a machine. Sockets that it opens stay there.
func inNamespace(machine string, do func() error) error {
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := os.Open("/run/netns/" + machine)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = do()
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// openTUN makes a link whose packets we carry, in the network of this thread.
func openTUN(link string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(link)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), link), nil
}

// read takes what a machine sends, until its link is gone.
func (w *wire) read(from *plug) {
	packet := make([]byte, 1<<16)
	for {
		n, err := from.tun.Read(packet)
		if err != nil {
			return
		}
		if n >= 20 && packet[0]>>4 == 4 {
			w.take(from, time.Now(), packet[:n])
		}
	}
}

// take decides what becomes of a packet.
func (w *wire) take(from *plug, now time.Time, packet []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.homes[netip.AddrFrom4([4]byte(packet[12:16]))] = from
	to := w.homes[netip.AddrFrom4([4]byte(packet[16:20]))]
	if to == nil {
		return
	}
	w.noteHandshake(now, packet)
	pair := [2]string{from.machine, to.machine}
	if w.cuts[pair] {
		w.count.cut++
		return
	}
	fate, times := w.way(pair).send(now, len(packet))
	w.count.fates[fate]++
	w.count.twice += max(0, len(times)-1)
	for _, at := range times {
		heap.Push(&w.road, parcel{at, w.count.fates[arrives] + w.count.twice, to, append([]byte(nil), packet...)})
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// way returns one direction between two machines. Each has chances of its own, so that what others send changes nothing.
func (w *wire) way(pair [2]string) *way {
	if w.ways[pair] == nil {
		number := uint64(0)
		for _, b := range strings.Join(pair[:], " to ") {
			number = number*31 + uint64(b)
		}
		w.ways[pair] = newWay(w.weatherOf(pair), w.seed, number)
	}
	return w.ways[pair]
}

func (w *wire) weatherOf(pair [2]string) weather {
	if special, ok := w.special[pair]; ok {
		return special
	}
	return w.all
}

// noteHandshake notes what begins a connection: a SYN of TCP or an Initial of QUIC. One that is sent again is known by its number.
func (w *wire) noteHandshake(now time.Time, packet []byte) {
	const tcp, udp = 6, 17
	segment := packet[min(len(packet), int(packet[0]&0xf)*4):]
	var number []byte
	switch {
	case packet[9] == tcp && len(segment) >= 20 && segment[13]&0x12 == 0x02:
		number = segment[4:8]
	case packet[9] == udp && len(segment) >= 50 && segment[8]&0xf0 == 0xc0 && binary.BigEndian.Uint32(segment[9:]) == 1:
		at := 14 + int(segment[13]) // behind the id of the other side is that of this one
		if at >= len(segment) || at+1+int(segment[at]) > len(segment) {
			return
		}
		number = segment[at+1 : at+1+int(segment[at])]
	default:
		return
	}
	name := fmt.Sprintf("%v:%d to %v:%d, number %x", net.IP(packet[12:16]), binary.BigEndian.Uint16(segment), net.IP(packet[16:20]),
		binary.BigEndian.Uint16(segment[2:]), number)
	if _, again := w.opened[name]; !again {
		w.opened[name] = now
	}
}

// handshakes returns the beginnings of connections that were seen since a moment, and how long after it.
func (w *wire) handshakes(since time.Time) (seen []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, at := range w.opened {
		if after := at.Sub(since); after > 0 {
			seen = append(seen, fmt.Sprintf("after %v %s", after.Round(time.Millisecond), name))
		}
	}
	return seen
}

// deliver hands over what is on the road, each at its time.
func (w *wire) deliver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, wait := w.due(time.Now())
		for _, p := range due {
			_, _ = p.to.tun.Write(p.packet) // a machine that is gone misses it
		}
		if len(due) > 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-w.changed:
		case <-w.closed:
			return
		}
	}
}

// due takes from the road what has arrived, or says how long nothing will.
func (w *wire) due(now time.Time) (due []parcel, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.road) > 0 && !w.road[0].at.After(now) {
		due = append(due, heap.Pop(&w.road).(parcel))
	}
	if len(w.road) == 0 {
		return due, time.Hour
	}
	return due, w.road[0].at.Sub(now)
}

// turns changes the weather everywhere.
func (w *wire) turns(to weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all, w.special = to, map[[2]string]weather{}
	for _, way := range w.ways {
		way.weather = to
	}
}

// turnsBetween changes the weather between two machines, both ways.
func (w *wire) turnsBetween(a, b string, to weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		w.special[pair] = to
		w.way(pair).weather = to
	}
}

// cut lets nothing more pass from some machines to others; what is on the road arrives. The other direction stays as it is.
func (w *wire) cut(from, to []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range from {
		for _, b := range to {
			w.cuts[[2]string{a, b}] = true
		}
	}
}

// part cuts both directions.
func (w *wire) part(some, others []string) {
	w.cut(some, others)
	w.cut(others, some)
}

// heal ends all cuts.
func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
}

// tally returns what became of all packets so far.
func (w *wire) tally() tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}
