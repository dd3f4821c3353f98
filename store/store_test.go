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
