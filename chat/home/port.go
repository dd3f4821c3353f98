package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// choosePort picks the port that a new home keeps for ever, and saves it.
//
// A port of a home whose node is not running looks free. So every home of this user notes its port in the runtime folder, and a
// port is taken as long as the home that noted it still has it.
func choosePort(dir string) error {
	notes, unlock := portNotes()
	defer unlock()
	port, err := pickPort(func(port int) bool { return free(port) && !noted(notes, port, dir) })
	if err != nil {
		return err
	}
	if err := replaceJSON(dir, nodeFile, Node{Port: port}); err != nil {
		return err
	}
	if notes != "" {
		return os.WriteFile(filepath.Join(notes, strconv.Itoa(port)), []byte(dir), 0o600)
	}
	return nil
}

func pickPort(ok func(int) bool) (int, error) {
	port := PreferredPort
	for range portTries {
		if ok(port) {
			return port, nil
		}
		port = firstPort + rand.IntN(lastPort-firstPort+1)
	}
	return 0, errors.New("choose a port: none of those tried is free")
}

// portNotes locks the folder of the notes. Without one (a runtime folder that is not ours) homes may choose the same port; the
// second node then says so when it starts.
func portNotes() (dir string, unlock func()) {
	unlock = func() {}
	parent, err := runtimeFolder()
	if err != nil {
		return "", unlock
	}
	dir = filepath.Join(parent, "ports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", unlock
	}
	for range portTries {
		release, err := acquire(filepath.Join(dir, lockFile))
		if err == nil {
			return dir, func() { _ = release() }
		}
		time.Sleep(lockPoll)
	}
	return "", unlock
}

// noted reports whether another home keeps the port.
func noted(notes string, port int, dir string) bool {
	if notes == "" {
		return false
	}
	other, err := os.ReadFile(filepath.Join(notes, strconv.Itoa(port)))
	if err != nil || string(other) == dir {
		return false
	}
	data, err := readFile(string(other), nodeFile)
	var n Node
	return err == nil && json.Unmarshal(data, &n) == nil && n.Port == port
}

// free reports whether nobody listens on the port: TCP and UDP, IPv4 and IPv6, on all interfaces. It has to be asked here,
// because libp2p shares a taken port without a word.
func free(port int) bool {
	var lc net.ListenConfig
	ctx, host := context.Background(), fmt.Sprintf(":%d", port)
	for _, network := range []string{"tcp4", "tcp6"} {
		l, err := lc.Listen(ctx, network, host)
		if err == nil {
			err = l.Close()
		}
		if errors.Is(err, unix.EADDRINUSE) {
			return false
		}
	}
	for _, network := range []string{"udp4", "udp6"} {
		c, err := lc.ListenPacket(ctx, network, host)
		if err == nil {
			err = c.Close()
		}
		if errors.Is(err, unix.EADDRINUSE) {
			return false
		}
	}
	return true
}
