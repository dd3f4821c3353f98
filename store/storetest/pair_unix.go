//go:build unix

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pair is a PostgreSQL and its replica, as an operator sets them up who must not lose what was acknowledged: every commit waits until both
// have it.
type Pair struct {
	Primary, Standby *Server
}

// StartPair starts a primary and a standby that follows it synchronously. Both end with the test.
func StartPair(t testing.TB) *Pair {
	t.Helper()
	primary := StartServer(t)
	standby, err := startFrom(primary.copyTo)
	p := &Pair{Primary: primary, Standby: kept(t, standby, err)}
	if err := errors.Join(
		admin(primary.URL, "ALTER SYSTEM SET synchronous_standby_names = '*'"),
		admin(primary.URL, "SELECT pg_reload_conf()"),
		until(primary.URL, "SELECT COUNT(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'"),
	); err != nil {
		t.Fatalf("replicate PostgreSQL: %v", err)
	}
	return p
}

// Database creates a database on both, and returns a URL that leads to whichever of them takes writes.
func (p *Pair) Database(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(p.Primary.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{
		"host": {p.Primary.folder + "," + p.Standby.folder}, "target_session_attrs": {"read-write"},
	}.Encode()
	return u.String()
}

// copyTo makes the data of a standby that follows this server.
func (s *Server) copyTo(standby *Server) error {
	out, err := standby.command(filepath.Join(s.binaries, "pg_basebackup"),
		"-d", "host="+s.folder+" user=parley", "-D", filepath.Join(standby.folder, "data"),
		"--write-recovery-conf", "--checkpoint=fast", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// Kill ends the server as kill -9 does. It does not start again.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil || pid <= 1 {
		t.Fatalf("the server has process %q", line)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Promote makes a standby take writes, as an operator or a watchdog does when its primary is gone.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if err := until(s.URL, "SELECT NOT pg_is_in_recovery() OR pg_promote(true, 60)"); err != nil {
		t.Fatalf("promote PostgreSQL: %v", err)
	}
}

// until asks a server again and again until it says true.
func until(server, query string) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for yes := false; ; {
		if err := conn.QueryRow(ctx, query).Scan(&yes); err != nil || yes {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%q: %w", query, ctx.Err())
		}
	}
}
