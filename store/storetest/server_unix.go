//go:build unix

package storetest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var errNoBinaries = errors.New(adviseInstall)

// keeper runs one server for as long as its standard input is open. A line on it stops the server and keeps the folder; its end
// removes the folder too. Arguments: the folder with PostgreSQL's programs, our folder, settings.
const keeper = `
cd "$2" || exit 1
"$1/pg_ctl" start -w -t 60 -s -D "$2/data" -l "$2/log" -o "-k $2 -c listen_addresses= $3" || exit 1
echo ready
read line || line=gone
mode=fast
[ "$line" != crash ] || mode=immediate
"$1/pg_ctl" stop -w -s -m $mode -D "$2/data"
[ "$line" != gone ] || rm -rf "$2"
`

// Server is a PostgreSQL of the test's own, which it may stop and start.
type Server struct {
	// URL leads to the database "postgres". It is the same after a restart.
	URL string

	folder   string // data, log and socket
	settings string // as options of the server
	binaries string
	login    *syscall.Credential // nil: our own
	keeper   *exec.Cmd
	hold     io.WriteCloser // the keeper's standard input
}

// StartServer starts a server that ends with the test. It does not sync unless the settings ("fsync=on") say so. Where there are
// no binaries, the test is skipped, or fails where CI is set.
func StartServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := start(settings...)
	return kept(t, s, err)
}

// kept returns a server that ends with the test, if it has started.
func kept(t testing.TB, s *Server, err error) *Server {
	t.Helper()
	if err != nil {
		giveUp(t, err)
	}
	t.Cleanup(func() {
		s.release("")
		os.RemoveAll(s.folder)
	})
	return s
}

// Database creates a database that goes with the test, and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	return create(t, s.URL)
}

// Stop ends the server, as an administrator would: connections break.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.release("stop\n"); err != nil {
		t.Fatalf("stop PostgreSQL: %v", err)
	}
}

// Crash ends the server in the middle of everything: it writes nothing more, and recovers from its log at the next start.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	if err := s.release("crash\n"); err != nil {
		t.Fatalf("crash PostgreSQL: %v", err)
	}
}

// Start starts the server again after Stop or Crash, with its data and under the same URL.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
}

// start starts a server with tables of its own.
func start(settings ...string) (*Server, error) {
	return startFrom((*Server).initialise, settings...)
}

// startFrom starts a server whose data somebody makes.
func startFrom(make func(*Server) error, settings ...string) (*Server, error) {
	binaries, err := findBinaries()
	if err != nil {
		return nil, err
	}
	// Not TMPDIR: the path of a socket holds 108 bytes, and another user must be able to get there.
	folder, err := os.MkdirTemp("/tmp", "parley-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, binaries: binaries, URL: "postgres://parley@/postgres?host=" + folder}
	for _, setting := range append([]string{"fsync=off", "full_page_writes=off"}, settings...) {
		s.settings += " -c " + setting
	}
	if err := s.prepare(make); err != nil {
		os.RemoveAll(folder)
		return nil, fmt.Errorf("start PostgreSQL from %s: %w", binaries, err)
	}
	return s, nil
}

func (s *Server) prepare(make func(*Server) error) error {
	if err := s.giveUpRoot(); err != nil {
		return err
	}
	if err := make(s); err != nil {
		return err
	}
	return s.run()
}

// findBinaries returns the folder that holds initdb: from PATH, where it may be a link, or the newest of Debian's.
func findBinaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		return filepath.Dir(path), err
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errNoBinaries
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(majorOf(a), majorOf(b)) })
	return filepath.Dir(newest), nil
}

// majorOf returns the number in /usr/lib/postgresql/15/bin/initdb.
func majorOf(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// giveUpRoot chooses another user where we are root, which PostgreSQL refuses to run as.
func (s *Server) giveUpRoot() error {
	if os.Geteuid() != 0 {
		return nil
	}
	other, err := user.Lookup("postgres")
	if err != nil {
		if other, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err1 := strconv.ParseUint(other.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(other.Gid, 10, 32)
	s.login = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return errors.Join(err1, err2, os.Chown(s.folder, int(uid), int(gid)))
}

// command prepares a program to run as the server's user, away from our terminal and its Ctrl-C.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + s.folder}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.login, Setsid: true}
	return cmd
}

func (s *Server) initialise() error {
	out, err := s.command(filepath.Join(s.binaries, "initdb"),
		"-D", filepath.Join(s.folder, "data"), "-U", "parley", "-A", "trust", "-E", "UTF8", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// run starts the keeper, and returns when the server is ready.
func (s *Server) run() (err error) {
	s.keeper = s.command("/bin/sh", "-c", keeper, "sh", s.binaries, s.folder, s.settings)
	if s.hold, err = s.keeper.StdinPipe(); err != nil {
		return err
	}
	out, err := s.keeper.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.keeper.Start(); err != nil {
		return err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "ready" {
		log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
		return errors.Join(errors.New("the server did not get ready"), s.keeper.Wait(), errors.New(string(log)))
	}
	return nil
}

// release says a last word to the keeper and waits until the server has stopped. Without a word the folder goes, too.
func (s *Server) release(word string) error {
	if s.hold == nil {
		return nil
	}
	_, err := io.WriteString(s.hold, word)
	err = errors.Join(err, s.hold.Close(), s.keeper.Wait())
	s.hold = nil
	return err
}
