package store

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"parley/chat"
	"parley/store/storetest"
)

// bulk writes messages of 64 KiB until the log has taken in n MiB.
func bulk(t *testing.T, db *DB, from, mib int) {
	t.Helper()
	for n := range mib * 4 {
		err := db.Update(bg(), func(tx chat.Tx) error {
			for i := range 4 {
				m := benchMessage(uint64(from + n*4 + i))
				m.Content = bytes.Repeat([]byte{byte(i)}, chat.MaxText)
				if err := tx.InsertMessage(m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The log is checkpointed beside the commits and used again: it does not grow with what is written.
func TestLogStaysBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 120 MiB")
	}
	url := storetest.SQLite(t)
	db := open(t, url)
	const written = 120 // MiB
	bulk(t, db, 1, written)
	info, err := os.Stat(strings.TrimPrefix(url, "sqlite:") + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const bound = maxWALPages*4120 + 8<<20 // and what one commit and one checkpoint add
	if info.Size() > bound {
		t.Errorf("after %d MiB the log has %d MiB, want at most %d", written, info.Size()>>20, bound>>20)
	}
}

// A commit never waits for a checkpoint that is started beside it, and Close does.
func TestCheckpointBesideTheCommits(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	e := db.engine.(*sqliteDB)
	bulk(t, db, 1, checkpointPages*4096>>20+2)
	await(t, "a checkpoint has run", func() bool { return !e.checkpointing.Load() })
	if e.checkpointed == 0 && e.logged >= checkpointPages {
		t.Errorf("%d pages in the log and no checkpoint", e.logged)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("close left the log: %v", err)
	}
}

func TestSettingsOfSQLite(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "query_only": "0"} {
		var got string
		err := db.update(bg(), func(tx *tx) error {
			return tx.session.conn.QueryRowContext(bg(), "PRAGMA "+pragma).Scan(&got)
		})
		if err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
		}
	}
}
