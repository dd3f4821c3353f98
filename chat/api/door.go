package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"parley/chat"
)

// listen makes the socket, for us alone. A socket that a dead node left behind is replaced; a live one is left in peace, and so
// is anything that is no socket.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, badSocket("", "the path of the API socket has %d bytes, more than %d: %s", len(path), maxSocketPath, path)
	}
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	c := net.ListenConfig{Control: beforeBind}
	l, err := c.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the API socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // for systems where beforeBind cannot see to it
		return nil, errors.Join(fmt.Errorf("open the API socket: %w", err), l.Close())
	}
	return l, nil
}

// checkFolder refuses a folder in which others could put a socket of theirs in the place of ours.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return badSocket("", "the API socket has no folder: %s", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return badSocket("chmod 700 "+dir, "other users may write to %s, where the API socket belongs", dir)
	}
	return nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an old API socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return badSocket("", "%s is in the way of the API socket, and is not a socket", path)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close() // nothing was said
		return badSocket("parley status", "a node listens on %s already", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("look for a node on the old API socket: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the old API socket: %w", err)
	}
	return nil
}

func badSocket(try, format string, args ...any) error {
	return &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf(format, args...), Try: try}
}

// door turns away connections of other users and connections beyond the limit, before a byte of them is read.
type door struct {
	log *zap.Logger

	mu     sync.Mutex
	open   int
	unused map[net.Conn]struct{} // open, and nothing was asked yet
}

func newDoor(log *zap.Logger) *door { return &door{log: log, unused: map[net.Conn]struct{}{}} }

// watch is an http.Server's ConnState: it hears of a connection before the server reads from it.
func (d *door) watch(c net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.unused, c)
	switch state {
	case http.StateNew:
		d.open++
		d.unused[c] = struct{}{}
		if err := d.admit(c); err != nil {
			d.log.Warn("connection to the API refused", zap.Error(err))
			_ = c.Close() // the server's read fails and ends it
		}
	case http.StateClosed, http.StateHijacked:
		d.open--
	}
}

func (d *door) admit(c net.Conn) error {
	if d.open > maxConnections {
		return fmt.Errorf("%d connections are open", maxConnections)
	}
	uid, known, err := peerUser(c)
	if err != nil {
		return fmt.Errorf("ask who connects: %w", err)
	}
	if known && uid != 0 && uid != os.Geteuid() { // root could be us anyway
		return fmt.Errorf("it belongs to the user %d", uid)
	}
	return nil
}

// closeUnused ends connections that asked nothing yet: clients keep spare ones, and a server that stops would wait for them.
func (d *door) closeUnused() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.unused {
		_ = c.Close()
	}
}
