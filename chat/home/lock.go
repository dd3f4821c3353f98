package home

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parley/chat"
)

// errHeld means that another process holds a lock.
var errHeld = errors.New("held by another process")

// Lock makes this process the only one that runs a node on the home, until release or its death. Where another one does, it
// waits that long, and then returns a *chat.Error with CodeConfig that names the other process. What that one has changed, the network's key for one, is
// read again: a node must not start with the key of before.
func (h *Home) Lock(ctx context.Context, wait time.Duration) (release func() error, err error) {
	path := filepath.Join(h.dir, lockFile)
	deadline := time.After(wait)
	for {
		release, err := acquire(path)
		switch {
		case err == nil:
			if err := h.reread(); err != nil {
				return nil, errors.Join(err, release())
			}
			return release, nil
		case !errors.Is(err, errHeld):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-deadline:
			return nil, &chat.Error{
				Code:   chat.CodeConfig,
				Detail: fmt.Sprintf("a node is running on this home already (pid %s, %s)", holder(path), h.dir),
				Try:    Command(h.dir, "status"),
			}
		case <-time.After(lockPoll):
		}
	}
}

// reread takes over what another process has changed since Open.
func (h *Home) reread() error {
	now, err := Open(h.dir)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.network, h.join, h.node, h.links = now.network, now.join, now.node, now.links
	return nil
}

// acquire takes the lock on a file and writes our process id into it, for people. The file stays when the lock goes: removing it
// would let two processes lock two files of one name.
func acquire(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil // closing gives the lock back
}

// alone makes this process the only one that changes the key file, until release: a node may run meanwhile.
func (h *Home) alone() (release func() error, err error) {
	f, err := os.Open(h.dir)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		if errors.Is(err, errHeld) {
			err = &chat.Error{Code: chat.CodeConfig, Detail: "another process changes the passphrase of " + h.dir + " right now"}
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return errHeld
		}
		return err
	}
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder returns the process id in a lock file, as far as there is one.
func holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 20))
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}
