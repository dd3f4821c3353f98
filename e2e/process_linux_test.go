package e2e

import "syscall"

// ownGroup starts a process away from our terminal's Ctrl-C, and lets it die with us, however we die.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
