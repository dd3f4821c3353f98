package storetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// envChild makes a copy of this test binary start a server and wait to be killed.
const envChild = "PARLEY_STORETEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(envChild) != "" {
		s, err := start()
		if err != nil {
			os.Stdout.WriteString("error " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString(s.folder + "\n")
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	first, second := Postgres(t), Postgres(t)
	if first == second {
		t.Fatalf("both tests got %s", first)
	}
	for _, url := range []string{first, second} {
		if err := admin(url, "CREATE TABLE mine (x bigint)"); err != nil {
			t.Errorf("create a table in %s: %v", url, err)
		}
	}
}

func TestDatabaseGoesWithItsTest(t *testing.T) {
	var url string
	t.Run("inner", func(t *testing.T) { url = Postgres(t) })
	if err := admin(url, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("after its test the database answers %v", err)
	}
}

func TestServerStopsAndStartsWithItsData(t *testing.T) {
	s := StartServer(t)
	url := s.Database(t)
	if err := admin(url, "CREATE TABLE kept (x bigint)"); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	if err := admin(url, "SELECT 1"); err == nil {
		t.Error("a stopped server answers")
	}
	s.Start(t)
	if err := admin(url, "INSERT INTO kept VALUES (1)"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	s.Crash(t)
	s.Start(t)
	if err := until(url, "SELECT COUNT(*) = 1 FROM kept"); err != nil {
		t.Errorf("after a crash: %v", err)
	}
	log, err := os.ReadFile(filepath.Join(s.folder, "log"))
	if err != nil || !strings.Contains(string(log), "not properly shut down") {
		t.Errorf("the server has not crashed: %v", err)
	}
}

// What a pair has acknowledged is there when one of them is gone, and the same URL leads to the other.
func TestPairOutlivesItsPrimary(t *testing.T) {
	p := StartPair(t)
	url := p.Database(t)
	if err := admin(url, "CREATE TABLE kept (x bigint)"); err != nil {
		t.Fatal(err)
	}
	if err := admin(p.Standby.URL, "CREATE TABLE mine (x bigint)"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a standby that takes writes says %v", err)
	}
	p.Primary.Kill(t)
	if err := admin(url, "INSERT INTO kept VALUES (1)"); err == nil {
		t.Error("a pair takes writes while it has no primary")
	}
	p.Standby.Promote(t)
	if err := admin(url, "INSERT INTO kept VALUES (2)"); err != nil {
		t.Errorf("after the standby was promoted: %v", err)
	}
}

func TestServerOfThePersonIsUsed(t *testing.T) {
	server := StartServer(t)
	t.Setenv(EnvPostgres, server.URL)
	if url := Postgres(t); !strings.Contains(url, server.folder) {
		t.Errorf("%s is not on %s", url, server.URL)
	}
	t.Setenv(EnvPostgres, "postgres://nobody@127.0.0.1:1/nowhere")
	if v := judged(func(t testing.TB) { Postgres(t) }); v.failed == "" {
		t.Errorf("a server that is away: %+v, want a failure", v)
	}
}

// Whoever has no PostgreSQL is told in one line what to do, and builds that must not skip fail.
func TestWithoutAServer(t *testing.T) {
	missing := func(t testing.TB) { giveUp(t, errNoBinaries) }
	t.Setenv("CI", "")
	if v := judged(missing); v.failed != "" || !strings.Contains(v.skipped, "apt-get install postgresql") || strings.Contains(v.skipped, "\n") {
		t.Errorf("at home: %+v, want it skipped in one line", v)
	}
	t.Setenv("CI", "true")
	if v := judged(missing); v.skipped != "" || !strings.Contains(v.failed, EnvPostgres) {
		t.Errorf("in CI: %+v, want it failed", v)
	}
}

// verdict is how a test ended.
type verdict struct {
	testing.TB
	failed, skipped string
}

func (v *verdict) Helper() {}

func (v *verdict) Fatal(args ...any) {
	v.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

func (v *verdict) Skip(args ...any) {
	v.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

// judged runs a test whose end is nobody's.
func judged(test func(testing.TB)) (v verdict) {
	var done sync.WaitGroup
	done.Go(func() { test(&v) })
	done.Wait()
	return v
}

func TestServerNeverRunsAsRoot(t *testing.T) {
	s := StartServer(t)
	info, err := os.Stat(filepath.Join(s.folder, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 && s.login == nil {
		t.Error("the server runs as root")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		t.Errorf("data folder has mode %o", mode)
	}
}

// A test binary that is killed cannot clean up. The server has to notice by itself.
func TestKilledProcessLeavesNoServer(t *testing.T) {
	if _, err := findBinaries(); err != nil {
		giveUp(t, err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envChild+"=1")
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimSpace(string(line[:n]))
	if _, err := os.Stat(folder); err != nil {
		t.Fatalf("%s: %v", folder, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	await(t, "the server's folder goes", func() bool {
		_, err := os.Stat(folder)
		return os.IsNotExist(err)
	})
	config, err := pgx.ParseConfig("postgres://parley@/postgres?host=" + folder)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		conn.Close(t.Context())
		t.Error("the server of a killed process answers")
	}
}

func TestNewestReleaseWins(t *testing.T) {
	if majorOf("/usr/lib/postgresql/9/bin/initdb") >= majorOf("/usr/lib/postgresql/15/bin/initdb") {
		t.Error("9 is not newer than 15")
	}
}

func TestSQLiteIsAFreshPath(t *testing.T) {
	path, ok := strings.CutPrefix(SQLite(t), "sqlite:")
	if _, err := os.Stat(path); !ok || !os.IsNotExist(err) {
		t.Errorf("%s: %v", path, err)
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
