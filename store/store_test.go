package store

import (
	"testing"

	"parley/chat"
	"parley/chat/chattest"
	"parley/store/storetest"
)

func TestStoreOnSQLite(t *testing.T) {
	chattest.TestStore(t, func(t *testing.T) chat.Store { return open(t, storetest.SQLite(t)) })
}

func TestStoreOnPostgres(t *testing.T) {
	chattest.TestStore(t, func(t *testing.T) chat.Store { return open(t, storetest.Postgres(t)) })
}

// open opens a database that is closed when the test ends.
func open(t testing.TB, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}
