package home

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/chat"
)

// TestMain lets a test run this program again as another process that holds a lock.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PARLEY_TEST_HOLD"); dir != "" {
		os.Exit(hold(dir))
	}
	os.Exit(m.Run())
}

// hold takes the lock, says so, and keeps it until standard input ends.
func hold(dir string) int {
	h, err := Open(dir)
	if err != nil {
		return 1
	}
	if _, err := h.Lock(context.Background(), 0); err != nil {
		return 2
	}
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

// otherNode is another process that runs a node on the home.
type otherNode struct {
	*exec.Cmd
	end func()
}

func otherOn(t *testing.T, h *Home) *otherNode {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PARLEY_TEST_HOLD="+h.Dir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the other process said %q (%v)", line, err)
	}
	n := &otherNode{Cmd: cmd, end: func() { _ = in.Close(); _ = cmd.Wait() }}
	t.Cleanup(n.end)
	return n
}

func TestLockNamesWhoHoldsIt(t *testing.T) {
	h := created(t, alice(t))
	other := otherOn(t, h)
	_, err := h.Lock(t.Context(), 0)
	wantError(t, err, chat.CodeConfig, "a node is running on this home already (pid "+strconv.Itoa(other.Process.Pid), "status")
}

func TestLockWaitsForTheOtherToEnd(t *testing.T) {
	h := created(t, alice(t))
	other := otherOn(t, h)
	go other.end()
	release, err := h.Lock(t.Context(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

func TestLockVanishesWithAKilledProcess(t *testing.T) {
	h := created(t, alice(t))
	other := otherOn(t, h)
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	release, err := h.Lock(t.Context(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release() }()
	if pid := holder(filepath.Join(h.Dir(), lockFile)); pid != strconv.Itoa(os.Getpid()) {
		t.Fatalf("the lock says it is held by %s", pid)
	}
}

func TestLockGivesUpWithItsContext(t *testing.T) {
	h := created(t, alice(t))
	release, err := h.Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("^C")
	cancel(stop)
	if _, err := h.Lock(ctx, time.Hour); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, err = h.Lock(t.Context(), 0)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	_ = release()
}

func TestSocketLiesInTheHome(t *testing.T) {
	h := created(t, alice(t))
	path, remove, err := h.ClaimSocket()
	if err != nil {
		t.Fatal(err)
	}
	if len(path) <= maxSocketPath && path != filepath.Join(h.Dir(), "api.sock") || h.Socket() != path {
		t.Fatalf("the socket is at %s, others look at %s", path, h.Socket())
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
}

func TestLongHomeHasItsSocketOutside(t *testing.T) {
	alone(t)
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	h, err := Create(dir, alice(t))
	if err != nil {
		t.Fatal(err)
	}
	path, remove, err := h.ClaimSocket()
	if err != nil {
		t.Fatal(err)
	}
	if len(path) > 107 || strings.HasPrefix(path, h.Dir()) {
		t.Fatalf("the socket is at %s", path)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder has mode %v (%v)", info.Mode(), err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // as a node that listens
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir()) // a client with another environment
	again, err := Open(dir)
	if err != nil || again.Socket() != path {
		t.Errorf("others look at %s (%v)", again.Socket(), err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{path, filepath.Join(h.Dir(), addressFile)} {
		if _, err := os.Stat(left); !os.IsNotExist(err) {
			t.Errorf("%s is left", left)
		}
	}
}

func TestSocketIsNotPutIntoAFolderOfOthers(t *testing.T) {
	alone(t)
	if err := os.Mkdir(runtimePath(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(runtimePath(), 0o777); err != nil {
		t.Fatal(err)
	}
	h, err := Create(filepath.Join(t.TempDir(), strings.Repeat("deep/", 30)), alice(t))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = h.ClaimSocket()
	wantError(t, err, chat.CodeConfig, "not a folder of ours alone", "ls -ld")
}

func TestStaleSocketIsRemoved(t *testing.T) {
	h := created(t, alice(t))
	if err := os.WriteFile(h.Socket(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path, _, err := h.ClaimSocket()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("a dead node's socket is left at %s", path)
	}
}

// A node that waits for another one to end starts with what that has left: the network's key, and how it joined.
func TestWhoHasTheLockKnowsWhatTheOtherChanged(t *testing.T) {
	h := created(t, alice(t))
	other, err := Open(h.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.SaveKey([32]byte{7}, []byte("signed")), other.SaveDatabase("sqlite:elsewhere.db")); err != nil {
		t.Fatal(err)
	}
	release, err := h.Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release() }()
	if n := h.Network(); n.PSK[0] != 7 || string(n.Rotation) != "signed" || h.Node().Database != "sqlite:elsewhere.db" {
		t.Errorf("it has the key %v with %q, and %q", n.PSK, n.Rotation, h.Node().Database)
	}
}
