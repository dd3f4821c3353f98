//go:build unix

package road

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// share prepares a socket for a port that others use, too: those that listen at it, and those that dial from it.
func share(kind, address string, c syscall.RawConn) (err error) {
	failed := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return narrow(kind, address, c)
}

// narrow bounds the segments of a socket, both ways: what it is sent by what it says in its first packet. A system that does not let us is no
// worse than before.
func narrow(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, MaxSegment)
		persist(int(fd))
	})
}

// ListenUDP returns a socket for QUIC that takes no packets larger than [MaxDatagram]: to QUIC it is as if our own link said so, and it goes on
// with smaller ones.
func ListenUDP(kind string, at *net.UDPAddr) (net.PacketConn, error) {
	c, err := net.ListenUDP(kind, at)
	if err != nil {
		return nil, err
	}
	return &datagrams{c}, nil
}

// datagrams is what QUIC writes its packets to.
type datagrams struct{ *net.UDPConn }

// WriteMsgUDP sends a packet, or several of the size that the control message names.
func (d *datagrams) WriteMsgUDP(b, control []byte, to *net.UDPAddr) (n, controlled int, err error) {
	if len(b) > MaxDatagram && segment(control, len(b)) > MaxDatagram {
		return 0, 0, unix.EMSGSIZE
	}
	return d.UDPConn.WriteMsgUDP(b, control, to)
}
