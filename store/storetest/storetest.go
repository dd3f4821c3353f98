package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// EnvPostgres names the variable that holds the URL of a server to test on. Its user must be allowed to create databases.
	EnvPostgres = "PARLEY_TEST_POSTGRES_URL"
	// adviseInstall is the one line for people whose machine has no PostgreSQL.
	adviseInstall = "install PostgreSQL server binaries, e.g. apt-get install postgresql, or set " + EnvPostgres
	// adminTimeout ends the creation of one database: it takes 34 ms, and much longer on a machine that is busy with tests.
	adminTimeout = time.Minute
)

// SQLite returns the URL of a database that does not exist yet, in a folder that goes with the test.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "parley.db")
}

// Postgres returns the URL of a fresh database that goes with the test. Without a server the test is skipped, or fails where CI
// is set.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv(EnvPostgres)
	if server == "" {
		s, err := shared()
		if err != nil {
			giveUp(t, err)
		}
		server = s.URL
	}
	return create(t, server)
}

// shared starts the server of this test process. It ends with the process.
var shared = sync.OnceValues(func() (*Server, error) { return start() })

// giveUp ends a test that cannot have a server.
func giveUp(t testing.TB, err error) {
	t.Helper()
	switch {
	case !errors.Is(err, errNoBinaries):
		t.Fatal(err)
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// create creates a database on a server, and drops it when the test ends.
func create(t testing.TB, server string) string {
	t.Helper()
	name := "parley_" + strings.ToLower(rand.Text()[:12])
	if err := admin(server, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Logf("drop test database: %v", err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// admin runs one statement on a server.
func admin(server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
