package road

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// segment returns the size of each packet of a write, in bytes: that in its control message, or that of the whole.
func segment(control []byte, whole int) int {
	for len(control) > 0 {
		header, body, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		if header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_SEGMENT && len(body) >= 2 {
			return int(binary.NativeEndian.Uint16(body))
		}
		control = rest
	}
	return whole
}

// persist lets the system repeat what was lost at an even pace, for six times, where little is under way, and wait no longer than RepeatMost in
// any case (Linux 6.15 and later). Else each loss doubles the wait for the next attempt, up to two minutes, and a talk over a bad line stands still for
// most of the time. Accepted connections have it from their listener.
func persist(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1)
	if unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(RepeatFor.Milliseconds())) == nil {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(RepeatMost.Milliseconds())) // older systems know nothing of it
	}
}

// acked returns how many bytes of ours the other side of a connection has said to have got.
func acked(c net.Conn) (bytes uint64) {
	raw := socket(c)
	if raw == nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // it fails where the connection is closed
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			bytes = info.Bytes_acked
		}
	})
	return bytes
}
