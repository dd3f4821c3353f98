package home

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"parley/chat"
)

// Socket returns the path of the unix socket on which a node on this home serves its local API, whether one runs or not.
func (h *Home) Socket() string {
	if addr, err := readFile(h.dir, addressFile); err == nil && len(addr) > 1 {
		return strings.TrimSpace(string(addr))
	}
	return h.socketPath()
}

// ClaimSocket returns the path of the socket for the node that holds Lock, and makes sure that others find it: where the path in
// the home is too long for a socket it lies in a private folder outside, and api.addr says where. A socket left over from a node
// that died is removed. Call remove when the node has stopped.
func (h *Home) ClaimSocket() (path string, remove func() error, err error) {
	path = h.socketPath()
	outside := filepath.Dir(path) != h.dir
	if outside {
		if _, err := runtimeFolder(); err != nil {
			return "", nil, err
		}
		if err := replaceFile(h.dir, addressFile, []byte(path+"\n")); err != nil {
			return "", nil, err
		}
	}
	remove = func() error {
		err := removeFile(path)
		if outside {
			err = errors.Join(err, removeFile(filepath.Join(h.dir, addressFile)))
		}
		return err
	}
	return path, remove, removeFile(path)
}

// socketPath returns where this process would put the socket.
func (h *Home) socketPath() string {
	path := filepath.Join(h.dir, socketFile)
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(h.dir))
	return filepath.Join(runtimePath(), hex.EncodeToString(sum[:8])+".sock")
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// runtimePath returns the folder for what must not outlive a boot and is not in the home.
func runtimePath() string {
	parent := os.Getenv("XDG_RUNTIME_DIR")
	if parent == "" {
		parent = os.TempDir()
	}
	return filepath.Join(parent, "parley-"+strconv.Itoa(os.Getuid()))
}

// runtimeFolder makes that folder. The one above may be open to all, so it has to be ours and closed to others.
func runtimeFolder() (string, error) {
	dir := runtimePath()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make the runtime folder: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return "", fmt.Errorf("look at %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Getuid() || st.Mode&0o077 != 0 {
		return "", &chat.Error{
			Code:   chat.CodeConfig,
			Detail: dir + " is not a folder of ours alone, so no socket can be put there",
			Try:    "ls -ld " + dir,
		}
	}
	return dir, nil
}
