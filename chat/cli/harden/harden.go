// Package harden makes a process that holds keys hold them a little tighter: what it has in memory is written into no core dump, and,
// on Linux, read by no other process of the same user.
package harden

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Process hardens this process, for as long as it lives. Where that cannot be done it goes on as it is, and the error says why.
func Process() error {
	err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	if err = errors.Join(err, undumpable()); err != nil {
		return fmt.Errorf("turn core dumps off: %w", err)
	}
	return nil
}
