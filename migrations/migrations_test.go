package migrations

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Both engines must hold the same tables with the same columns: one set of SQL speaks to both.
func TestEnginesAreTwins(t *testing.T) {
	for _, below := range []string{"", "/mailbox"} {
		areTwins(t, below)
	}
}

func areTwins(t *testing.T, below string) {
	t.Helper()
	lite, liteVersion := load(t, "sqlite"+below)
	post, postVersion := load(t, "postgres"+below)
	if liteVersion == 0 {
		t.Errorf("%q is empty", below)
	}
	if liteVersion != postVersion {
		t.Errorf("newest version: sqlite %d, postgres %d", liteVersion, postVersion)
	}
	for file, text := range lite {
		if got, want := columns(post[file]), columns(text); !slices.Equal(got, want) {
			t.Errorf("%s: postgres has\n%q\nsqlite has\n%q", file, got, want)
		}
	}
	if len(lite) != len(post) {
		t.Errorf("%d files for sqlite, %d for postgres", len(lite), len(post))
	}
}

func TestFilesAreNumberedWithoutGaps(t *testing.T) {
	for _, engine := range []string{"sqlite", "sqlite/mailbox", "postgres", "postgres/mailbox"} {
		texts, newest := load(t, engine)
		if int64(len(texts)) != newest {
			t.Errorf("%s: %d files, newest version %d", engine, len(texts), newest)
		}
		for name, text := range texts {
			if versionOf(name) == 0 {
				t.Errorf("%s/%s has no number", engine, name)
			}
			if !strings.Contains(text, "-- +goose Up") || strings.Contains(text, "-- +goose Down") {
				t.Errorf("%s/%s must go up and never down", engine, name)
			}
		}
	}
}

// What runs on PostgreSQL must run on its distributed relatives too.
func TestPostgresUsesNoExtension(t *testing.T) {
	texts, _ := load(t, "postgres")
	mailboxes, _ := load(t, "postgres/mailbox")
	for name, text := range mailboxes {
		texts["mailbox/"+name] = text
	}
	for name, text := range texts {
		for _, word := range []string{"EXTENSION", "SERIAL", "SEQUENCE ", "TRIGGER", "FUNCTION", "INHERITS"} {
			if strings.Contains(text, word) {
				t.Errorf("%s uses %s", name, word)
			}
		}
	}
}

func TestForUnknownEngine(t *testing.T) {
	if _, newest, err := For("oracle"); err == nil && newest != 0 {
		t.Errorf("oracle has version %d", newest)
	}
}

func load(t *testing.T, engine string) (map[string]string, int64) {
	t.Helper()
	fsys, newest, err := For(engine)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts, newest
}

// columns lists what is created, and each column, in the order of the file.
func columns(text string) []string {
	found := regexp.MustCompile(`(?m)^(?:CREATE [A-Z ]+(\w+)(?: ON (.*?)(?: WHERE.*)?;)?|    ([a-z_]+) .*)`).FindAllStringSubmatch(text, -1)
	names := make([]string, 0, len(found))
	for _, f := range found {
		names = append(names, f[1]+f[2]+f[3])
	}
	return names
}
