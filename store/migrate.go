package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"

	"parley/migrations"
)

// versionTable is where goose notes what it has done; versionQuery asks it without goose, which would be slow at every start.
const (
	versionTable = goose.DefaultTablename
	versionQuery = `SELECT COALESCE(MAX(version_id), 0) FROM ` + versionTable
)

// newestVersion returns the version that this program brings tables to.
func newestVersion(engine string) (int64, error) {
	_, newest, err := migrations.For(engine)
	return newest, err
}

// migrateUp runs what is missing, each migration in a transaction of its own.
func migrateUp(ctx context.Context, db *sql.DB, dialect goose.Dialect, engine string) error {
	files, _, err := migrations.For(engine)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
