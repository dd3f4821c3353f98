//go:build linux

package road

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sys/unix"
)

func newHost(t *testing.T, listen string) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.Transport(NewTCP), libp2p.ListenAddrStrings(listen), libp2p.DisableMetrics(), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// port returns the TCP port of an address.
func port(t *testing.T, a ma.Multiaddr) string {
	t.Helper()
	p, err := a.ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A host dials from the port that it listens on, wherever it listens: so a router shows others the port that leads to it.
func TestDialsFromWhereItListens(t *testing.T) {
	bob := newHost(t, "/ip4/127.0.0.1/tcp/0")
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/0"} {
		alice := newHost(t, listen)
		if err := alice.Connect(context.Background(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
			t.Fatal(err)
		}
		want := port(t, alice.Network().ListenAddresses()[0])
		if got := port(t, bob.Network().ConnsToPeer(alice.ID())[0].RemoteMultiaddr()); got != want {
			t.Errorf("listening on %s it dials from port %s, and not from %s", listen, got, want)
		}
	}
}

// Where that port leads nowhere, because the same two ports are connected already, it dials from another one.
func TestDialsFromAnyPortWhereItsOwnIsTaken(t *testing.T) {
	d, bob := openDoors(t), openDoors(t)
	address := bob.only().at.String()
	first, err := d.DialContext(context.Background(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := d.DialContext(context.Background(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if own := d.only().at.String(); first.LocalAddr().String() != own || second.LocalAddr().String() == own {
		t.Errorf("it listens at %s, and dialled from %s and %s", own, first.LocalAddr(), second.LocalAddr())
	}
}

// Whoever is closed is dialled from no more.
func TestAClosedDoorIsNoWayOut(t *testing.T) {
	d := openDoors(t)
	address := d.only().at.String()
	if from := d.from(t.Context(), "tcp4", address); from == nil || from.String() != address {
		t.Errorf("it dials from %v, and listens at %s", from, address)
	}
	if from := d.from(t.Context(), "tcp6", "[::1]:1"); from != nil {
		t.Errorf("IPv6 is dialled from %v", from)
	}
	d.only().Close()
	if from := d.from(t.Context(), "tcp4", address); from != nil {
		t.Errorf("it still dials from %v", from)
	}
}

// openDoors listens at one address of loopback.
func openDoors(t *testing.T) *doors {
	t.Helper()
	tr, err := NewTCP(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tr.listen(ma.StringCast("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return tr.doors
}

func (d *doors) only() (one *door) {
	for door := range d.open {
		one = door
	}
	return one
}

// Both sides of a connection send small segments where one of them is ours: also what a stranger sends to us.
func TestSegmentsAreSmallBothWays(t *testing.T) {
	d := openDoors(t)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := d.only().Accept()
		if err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	stranger, err := net.Dial("tcp4", d.only().at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	ours := <-accepted
	if ours == nil {
		t.Fatal("nobody was accepted")
	}
	defer ours.Close()
	for who, c := range map[string]net.Conn{"the stranger": stranger, "who listens": ours} {
		if got := option(t, c, unix.TCP_MAXSEG); got > MaxSegment {
			t.Errorf("%s sends segments of %d bytes", who, got)
		}
	}
}

// Whoever was called and whoever calls repeats at an even pace, and soon, what was lost: an accepted connection has that from its listener. Of a wait that is
// bounded older systems know nothing.
func TestWhatIsLostIsRepeatedSoon(t *testing.T) {
	ours, bob := openDoors(t), openDoors(t)
	dialled, err := ours.DialContext(t.Context(), "tcp4", bob.only().at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	accepted, err := bob.only().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for who, c := range map[string]net.Conn{"who calls": dialled, "who was called": accepted} {
		if option(t, c, unix.TCP_THIN_LINEAR_TIMEOUTS) != 1 {
			t.Errorf("%s waits ever longer", who)
		}
		if got := option(t, c, unix.TCP_USER_TIMEOUT); got != int(RepeatFor.Milliseconds()) {
			t.Errorf("%s gives up after %d ms", who, got)
		}
		if most, err := getOption(c, unix.TCP_RTO_MAX_MS); err == nil && most != int(RepeatMost.Milliseconds()) {
			t.Errorf("%s waits up to %d ms", who, most)
		} else if err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
			t.Error(err)
		}
	}
}

// Somebody who listens hears that something moves when a word has come, and somebody who has sent one when the other side has it: not before, however
// often he writes.
func TestWhatMovesIsKnown(t *testing.T) {
	whatMovesIsKnown(t, newHost(t, "/ip4/127.0.0.1/tcp/0"), newHost(t, "/ip4/127.0.0.1/tcp/0"))
	whatMovesIsKnown(t, webHost(t), webHost(t))
}

func whatMovesIsKnown(t *testing.T, alice, bob host.Host) {
	quiet := make(chan network.Stream, 1)
	bob.SetStreamHandler("/story", func(s network.Stream) { quiet <- s })
	if err := alice.Connect(t.Context(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s, err := alice.NewStream(t.Context(), bob.ID(), "/story")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("once upon a time")); err != nil {
		t.Fatal(err)
	}
	heard := <-quiet
	for who, c := range map[string]network.Conn{"Alice": s.Conn(), "Bob": heard.Conn()} {
		if Moved(c) == 0 {
			t.Errorf("%s does not know that anything moves", who)
		}
	}
}

// option reads an option of a TCP connection.
func option(t *testing.T, c net.Conn, name int) int {
	t.Helper()
	value, err := getOption(c, name)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func getOption(c net.Conn, name int) (value int, err error) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name) })
	return value, errors.Join(failed, err)
}

// asked counts connections that the resource manager was asked about.
type asked struct {
	network.ResourceManager
	inbound atomic.Int32
	full    atomic.Bool
}

func (a *asked) OpenConnection(dir network.Direction, usefd bool, at ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir == network.DirInbound {
		a.inbound.Add(1)
		if a.full.Load() {
			return nil, network.ErrResourceLimitExceeded
		}
	}
	return a.ResourceManager.OpenConnection(dir, usefd, at)
}

// With sockets of ours QUIC still asks whether there is room for a connection, and leaves its port when the host ends.
func TestQUICAsksAndLeaves(t *testing.T) {
	resources := &asked{ResourceManager: &network.NullResourceManager{}}
	quic := func(listen string) host.Host {
		h, err := libp2p.New(libp2p.Transport(quic.NewTransport), libp2p.QUICReuse(NewQUIC), libp2p.ListenAddrStrings(listen),
			libp2p.DisableMetrics(), libp2p.DisableRelay(), libp2p.ResourceManager(resources))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	alice, bob := quic("/ip4/127.0.0.1/udp/0/quic-v1"), quic("/ip4/127.0.0.1/udp/0/quic-v1")
	if err := alice.Connect(context.Background(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if n := resources.inbound.Load(); n != 1 {
		t.Errorf("the resource manager was asked about %d connections", n)
	}
	resources.full.Store(true)
	carol := quic("/ip4/127.0.0.1/udp/0/quic-v1")
	err := carol.Connect(context.Background(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()})
	if err == nil || !strings.Contains(err.Error(), "CONNECTION_REFUSED") {
		t.Errorf("without room Carol was not refused before the handshake: %v", err)
	}
	port, err := bob.Addrs()[0].ValueForProtocol(ma.P_UDP)
	if err != nil {
		t.Fatal(err)
	}
	bob.Close()
	c, err := net.ListenPacket("udp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A datagram that is too large is refused as if the link did it; several small ones in one write are not.
func TestDatagramsAreSmall(t *testing.T) {
	c, err := ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := c.LocalAddr().(*net.UDPAddr)
	write := func(bytes, each int) error {
		var control []byte
		if each > 0 {
			control = make([]byte, unix.CmsgSpace(2))
			header := unix.Cmsghdr{Level: unix.IPPROTO_UDP, Type: unix.UDP_SEGMENT}
			header.SetLen(unix.CmsgLen(2))
			if _, err := binary.Encode(control, binary.NativeEndian, header); err != nil {
				t.Fatal(err)
			}
			binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], uint16(each))
		}
		_, _, err := c.(*datagrams).WriteMsgUDP(make([]byte, bytes), control, to)
		return err
	}
	for _, w := range []struct {
		bytes, each int
		want        error
	}{{MaxDatagram, 0, nil}, {MaxDatagram + 1, 0, unix.EMSGSIZE}, {3 * MaxDatagram, MaxDatagram, nil}, {3 * MaxDatagram, MaxDatagram + 1, unix.EMSGSIZE}} {
		if err := write(w.bytes, w.each); !errors.Is(err, w.want) {
			t.Errorf("%d bytes, %d each: %v", w.bytes, w.each, err)
		}
	}
}
