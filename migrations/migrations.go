// Package migrations holds the SQL that makes and changes the tables, one folder per engine, in the format of goose.
//
// Both engines have the same tables, columns and versions; a file differs from its twin in the names of types and in what an
// engine does to keep rows small. A file that was released is never changed: the next change is the next number. There is no way
// down, because it would lose messages.
package migrations

import (
	"embed"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

//go:embed sqlite/*.sql sqlite/mailbox/*.sql postgres/*.sql postgres/mailbox/*.sql
var files embed.FS

// For returns the migrations in a folder: that of an engine, "sqlite" or "postgres", or its mailboxes' ("sqlite/mailbox"); and the version
// that a database has after the last of them.
func For(folder string) (fsys fs.FS, newest int64, err error) {
	fsys, err = fs.Sub(files, folder)
	if err != nil {
		return nil, 0, err
	}
	names, err := fs.Glob(fsys, "*.sql")
	for _, name := range names {
		newest = max(newest, versionOf(name))
	}
	return fsys, newest, err
}

// versionOf returns the number before the first underscore, and 0 where there is none.
func versionOf(name string) int64 {
	number, _, _ := strings.Cut(path.Base(name), "_")
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0
	}
	return v
}
