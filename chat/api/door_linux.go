package api

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// beforeBind gives the socket its mode before it has a name: Linux makes the file with the mode of the open socket.
func beforeBind(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(err, failed)
}

// peerUser asks the kernel whose process connected.
func peerUser(c net.Conn) (uid int, known bool, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false, fmt.Errorf("%T is no unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return 0, false, err
	}
	return int(cred.Uid), true, nil
}
