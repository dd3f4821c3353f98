//go:build !unix

package road

import (
	"net"
	"syscall"
)

// share and narrow leave a socket as the system makes it.
func share(_, _ string, _ syscall.RawConn) error  { return nil }
func narrow(_, _ string, _ syscall.RawConn) error { return nil }

// ListenUDP returns a socket for QUIC as the system makes it.
func ListenUDP(kind string, at *net.UDPAddr) (net.PacketConn, error) { return net.ListenUDP(kind, at) }

// acked returns 0: the system does not say, or not in the same way.
func acked(net.Conn) uint64 { return 0 }
