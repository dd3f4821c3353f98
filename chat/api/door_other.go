//go:build !linux

package api

import (
	"net"
	"syscall"
)

// beforeBind does nothing: here the mode is set after bind, and the folder guards the moment between.
func beforeBind(_, _ string, _ syscall.RawConn) error { return nil }

// peerUser does not know here: the modes of socket and folder alone keep others out.
func peerUser(net.Conn) (uid int, known bool, err error) { return 0, false, nil }
