//go:build unix && !linux

package e2e

import "syscall"

// ownGroup starts a process away from our terminal's Ctrl-C.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
