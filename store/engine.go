package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// engine is what differs between SQLite and PostgreSQL.
type engine interface {
	dialect() dialect
	// pool is for migrations, which want connections of their own.
	pool() *sql.DB
	connections
	interpreter
}

type connections interface {
	// writer opens the connection that writes. It holds the owner's lock until it is closed.
	writer(ctx context.Context) (*session, error)
	// reader lends a connection for one view; done takes it back.
	reader(ctx context.Context) (*session, error)
	done(*session)
	// committed is told after every commit.
	committed()
	close() error
}

type interpreter interface {
	// judge says what an error on a session means for its transaction.
	judge(s *session, err error) verdict
	// suspects reports whether no connection is to be trusted any more, so that the one that writes has to be replaced.
	suspects() bool
	// explain makes an error for people of what can happen to anybody at any time (a full disk); others it returns as they are.
	explain(err error) error
	// explainOpen makes an error for people of what opening has met.
	explainOpen(err error) error
}

// dialect is what differs in words.
type dialect struct {
	name      string // "sqlite" or "postgres"
	where     string // the database for people, without a secret
	begin     string // starts a transaction that writes
	beginView string // starts one that reads
	hasTable  string // counts the tables of the name that follows
	lock      string // ends a SELECT whose rows (of the table m) nobody else may change before the transaction ends
	goose     goose.Dialect
}

// tables is a set of tables with migrations of their own. In the version table goose notes what it has done.
type tables struct {
	folder  string // below the engine's
	version string
}

const (
	versionTable        = "goose_db_version"
	mailboxVersionTable = "mailbox_version"
)

var (
	messengerTables = tables{version: versionTable}
	mailboxTables   = tables{folder: "mailbox", version: mailboxVersionTable} // of their own, because another database may hold them
)

// version returns the version of a set of tables, 0 where there are none. It does not ask goose, which would be slow at every start.
func (d dialect) version(ctx context.Context, s *session, set tables) (int64, error) {
	if n, err := s.number(ctx, d.hasTable+"'"+set.version+"'"); err != nil || n == 0 {
		return 0, err
	}
	return s.number(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM `+set.version)
}

// migrate runs what is missing, each migration in a transaction of its own.
func (d dialect) migrate(ctx context.Context, db *sql.DB, set tables, files fs.FS) error {
	provider, err := goose.NewProvider(d.goose, db, files,
		goose.WithTableName(set.version), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
