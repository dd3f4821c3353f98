package api_test

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"parley/chat"
	"parley/chat/api"
)

// refusesToRun checks that a server does not start, and returns why.
func refusesToRun(t *testing.T, socket string) string {
	t.Helper()
	s := api.NewServer(newTown(t).alice, api.ServerOptions{Socket: socket})
	err := s.Run(soon(t))
	select {
	case <-s.Ready():
		t.Fatal("it was ready")
	default:
	}
	if chat.CodeOf(err) != chat.CodeConfig {
		t.Fatalf("got %v", err)
	}
	return err.Error()
}

func TestTheSocketIsOurs(t *testing.T) {
	for _, umask := range []int{0o000, 0o022, 0o777} {
		old := syscall.Umask(umask)
		r := serve(t, newTown(t).alice)
		syscall.Umask(old)
		info, err := os.Stat(r.socket)
		if err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("under umask %03o: %v %v", umask, info.Mode(), err)
		}
		r.stop()
		if _, err := os.Lstat(r.socket); !os.IsNotExist(err) {
			t.Errorf("after the stop the socket is still there: %v", err)
		}
	}
}

func TestTheSocketIsOursFromTheFirstMoment(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the folder guards the first moment")
	}
	defer syscall.Umask(syscall.Umask(0))
	socket := filepath.Join(socketDir(t), "api.sock")
	l, err := api.Bind(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(socket); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
}

func TestADeadSocketIsReplaced(t *testing.T) {
	socket := deadSocket(t, socketDir(t))
	if _, err := serveOn(t, socket, newTown(t).alice).dial().Status(soon(t)); err != nil {
		t.Fatal(err)
	}
}

func TestALiveSocketIsLeftInPeace(t *testing.T) {
	r := serve(t, newTown(t).alice)
	c := r.dial()
	if why := refusesToRun(t, r.socket); !strings.Contains(why, "listens on "+r.socket) {
		t.Fatalf("why: %s", why)
	}
	if _, err := c.Status(soon(t)); err != nil {
		t.Fatalf("the first node suffered: %v", err)
	}
	if _, err := r.dial().Status(soon(t)); err != nil {
		t.Fatalf("the first node lost its socket: %v", err)
	}
}

func TestWhatIsNoSocketIsLeftInPeace(t *testing.T) {
	file := filepath.Join(socketDir(t), "diary")
	if err := os.WriteFile(file, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	refusesToRun(t, file)
	if b, err := os.ReadFile(file); err != nil || string(b) != "dear diary" {
		t.Fatalf("the file holds %q, %v", b, err)
	}
}

func TestAFolderThatOthersWriteToIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o777, 0o770, 0o702} {
		dir := socketDir(t)
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		refusesToRun(t, filepath.Join(dir, "api.sock"))
	}
	refusesToRun(t, filepath.Join(socketDir(t), "none", "api.sock"))
}

func TestAPathThatIsTooLongIsRefused(t *testing.T) {
	dir := socketDir(t)
	long := filepath.Join(dir, strings.Repeat("x", api.MaxSocketPath-len(dir)-1))
	serveOn(t, long, newTown(t).alice).dial()
	if why := refusesToRun(t, long+"x"); !strings.Contains(why, "103") {
		t.Fatalf("why: %s", why)
	}
}

func TestANodeThatWasStoppedBeforeItRanListensNoMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	socket := filepath.Join(socketDir(t), "api.sock")
	_ = api.NewServer(newTown(t).alice, api.ServerOptions{Socket: socket}).Run(ctx) // nil or the context's error
	if _, err := api.Dial(socket); chat.CodeOf(err) != chat.CodeUnavailable {
		t.Fatalf("got %v", err)
	}
}

// strangerEnv tells the test binary, run again as another user, which socket to try.
const strangerEnv = "PARLEY_TEST_STRANGER_SOCKET"

// TestHelperStranger is what the other user runs: it asks for the status, and prints what comes.
func TestHelperStranger(t *testing.T) {
	socket := os.Getenv(strangerEnv)
	if socket == "" {
		t.Skip("only run by TestOtherUsersAreTurnedAway")
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /api/v1/status HTTP/1.1\r\nHost: parley\r\nConnection: close\r\n\r\n") // it may be closed already
	b, _ := io.ReadAll(c)                                                                                // the answer, or nothing
	t.Logf("answer=%q", b)
}

func TestOtherUsersAreTurnedAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
	r := serve(t, newTown(t).alice)
	dir := filepath.Dir(r.socket)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "stranger")
	copyProgram(t, program)
	const nobody = 65534
	if out, err := runAs(t, program, r.socket, nobody); err == nil || !strings.Contains(out, "permission denied") {
		t.Fatalf("the mode keeps nobody out: %v\n%s", err, out)
	}
	if err := os.Chmod(r.socket, 0o666); err != nil { // as if the mode had been lost
		t.Fatal(err)
	}
	if out, err := runAs(t, program, r.socket, nobody); err != nil || !strings.Contains(out, `answer=""`) {
		t.Fatalf("another user got an answer: %v\n%s", err, out)
	}
	if out, err := runAs(t, program, r.socket, 0); err != nil || !strings.Contains(out, "200 OK") {
		t.Fatalf("our own user got none: %v\n%s", err, out)
	}
}

// copyProgram puts this test binary where another user can run it.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func runAs(t *testing.T, program, socket string, uid uint32) (string, error) {
	cmd := exec.CommandContext(soon(t), program, "-test.run=^TestHelperStranger$", "-test.v")
	cmd.Dir = filepath.Dir(program)
	cmd.Env = []string{strangerEnv + "=" + socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
