package reach

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watchSystem has the kernel say when a link or an address of this machine changes: there is something to read then.
func watchSystem() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch addresses: %w", err)
	}
	groups := unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: uint32(groups)}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch addresses: %w", err)
	}
	return os.NewFile(uintptr(fd), "addresses"), nil
}
