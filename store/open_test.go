package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"parley/chat"
	"parley/store/storetest"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, url string
		words     []string
	}{
		{"no scheme", "parley.db", []string{"unknown scheme", "sqlite:PATH"}},
		{"nothing", "", []string{"unknown scheme"}},
		{"unknown scheme", "mysql://root:hunter2@db/parley", []string{"unknown scheme", `"mysql"`}},
		{"no path", "sqlite:", []string{"names no file"}},
		{"a host", "sqlite://host/parley.db", []string{"names a host"}},
		{"no folder", "sqlite:" + dir + "/none/parley.db", []string{"none does not exist"}},
		{"a folder", "sqlite:" + dir, []string{"is a directory"}},
		{"a file as folder", "sqlite:" + garbage + "/parley.db", []string{"not a directory"}},
		{"no database", "sqlite:" + garbage, []string{"is not a parley database"}},
		{"no URL", "postgres://alice:hunter2@ho st/parley", []string{"cannot be read"}},
		{"slash in the password", "postgres://alice:hunter2/x@host/parley", []string{"cannot be read"}},
		{"bad option of several", "postgres://alice:hunter2@one:5432,two:5432/parley?sslmode=hunter2", []string{"database URL cannot be"}},
		{"bad option", "postgres://alice:hunter2@host/parley?sslmode=hunter2", []string{"cannot be used", "sslmode"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, err := Open(bg(), c.url, Options{})
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			toldAs(t, err, chat.CodeConfig, c.words...)
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "hunter2") {
				t.Errorf("shows the password: %v", err)
			}
		})
	}
}

func TestOpenPostgresRefuses(t *testing.T) {
	url := storetest.Postgres(t)
	_, err := Open(bg(), strings.Replace(url, "/parley_", "/nowhere_", 1), Options{})
	toldAs(t, err, chat.CodeConfig, "nowhere_", "does not exist")
	_, err = Open(bg(), strings.Replace(url, "parley", "mallory", 1), Options{})
	toldAs(t, err, chat.CodeConfig, "refuses user", "mallory")
}

func TestOpenPostgresWrongPassword(t *testing.T) {
	rules := filepath.Join("/tmp", filepath.Base(t.TempDir())+t.Name()+".hba")
	if err := os.WriteFile(rules, []byte("local all parley trust\nlocal all all scram-sha-256\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(rules)
	server := storetest.StartServer(t, "hba_file="+rules)
	_, err := Open(bg(), strings.Replace(server.URL, "parley@", "alice:hunter2@", 1), Options{})
	toldAs(t, err, chat.CodeConfig, "wrong user or password")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("shows the password: %v", err)
	}
}

func TestOpenServerAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	_, err = Open(bg(), "postgres://alice:hunter2@"+address+"/parley", Options{})
	toldAs(t, err, chat.CodeConfig, "127.0.0.1 port "+port, "connection refused")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("shows the password: %v", err)
	}
}

func TestOpenAfterANewerParley(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		err := db.update(bg(), func(tx *tx) error {
			_, err := tx.exec(`UPDATE ` + versionTable + ` SET version_id = 99 WHERE version_id = 1`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		for _, o := range []Options{{}, {ReadOnly: true}} {
			_, err = Open(bg(), url, o)
			toldAs(t, err, chat.CodeConfig, "made by a newer parley")
		}
	})
}

func TestOpenAgainFindsEverything(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		if err := write(db, 1); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, url)
		if !has(t, again, 1) {
			t.Error("the message is gone")
		}
		if err := again.Ping(bg()); err != nil {
			t.Error(err)
		}
	})
}

// What is in these files is private, whatever the umask says.
func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	path := strings.TrimPrefix(storetest.SQLite(t), "sqlite:")
	db := open(t, "sqlite://"+path)
	if err := write(db, 1); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(path+suffix), info.Mode().Perm())
		}
	}
}

func TestRelativeAndOddPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"parley.db", "a b?c#d%20e&vfs=x;y+z.db", "ünï.db"} {
		db := open(t, "sqlite:"+name)
		if err := write(db, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

func TestReadOnlyBesideTheOwner(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		node := open(t, url)
		if err := write(node, 1); err != nil {
			t.Fatal(err)
		}
		look, err := Open(bg(), url, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer look.Close()
		if !has(t, look, 1) {
			t.Error("a reader does not see what was committed")
		}
		if err := write(look, 2); !errors.Is(err, errReadOnly) {
			t.Errorf("a reader wrote: %v", err)
		}
		if err := write(node, 3); err != nil || !has(t, look, 3) {
			t.Errorf("the node beside a reader: %v", err)
		}
	})
}

func TestReadOnlyMakesAnEmptyDatabase(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		look, err := Open(bg(), url, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer look.Close()
		if has(t, look, 1) {
			t.Error("an empty database has a message")
		}
		open(t, url) // the reader did not keep the lock
	})
}

func TestOpenWarnsOfAServerThatForgets(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	db, err := Open(bg(), storetest.Postgres(t), Options{Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if logs.FilterMessageSnippet("fsync").Len() != 1 {
		t.Errorf("warned %d times that fsync is off", logs.Len())
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		leaks := goleak.IgnoreCurrent()
		db := open(t, url)
		if err := write(db, 1); err != nil {
			t.Fatal(err)
		}
		has(t, db, 1)
		for range 2 {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		goleak.VerifyNone(t, leaks)
		if err := write(db, 2); !errors.Is(err, errClosed) {
			t.Errorf("update after close: %v", err)
		}
		if err := db.Ping(bg()); !errors.Is(err, errClosed) {
			t.Errorf("ping after close: %v", err)
		}
	})
}

func TestEngineNames(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		if got := open(t, url).Engine(); got != filepath.Base(t.Name()) {
			t.Errorf("engine %q", got)
		}
	})
}

func TestReasonsAreShort(t *testing.T) {
	long := errors.New("first line\nsecond line")
	for _, c := range []struct {
		err  error
		want string
	}{
		{&pgconn.PgError{Message: "the database system is starting up", Code: "57P03"}, "the database system is starting up"},
		{&os.PathError{Op: "open", Path: "/x", Err: os.ErrPermission}, "open /x: permission denied"},
		{fmt.Errorf("dial: %w", os.ErrDeadlineExceeded), "dial: i/o timeout"},
		{fmt.Errorf("wrapped: %w", context.DeadlineExceeded), "no answer in time"},
		{long, "first line"},
	} {
		if got := reason(c.err); got != c.want {
			t.Errorf("reason(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}
