package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// block is a piece of shell in a document.
type block struct {
	line int // of its first line
	text string
	skip string // why it is not run; empty: it is
}

// blocksOf returns the blocks marked as sh of a document. One behind a comment "test: skip (why)" is not to be run.
func blocksOf(document string) (list []block) {
	var current *block
	skip := ""
	for i, line := range strings.Split(document, "\n") {
		switch text := strings.TrimSpace(line); {
		case current != nil && text == "```":
			list, current, skip = append(list, *current), nil, ""
		case current != nil:
			current.text += line + "\n"
		case text == "```sh":
			current = &block{line: i + 2, skip: skip}
		case strings.HasPrefix(text, "<!-- test: skip"):
			skip = strings.Trim(text, "<!-> ")
		case text != "":
			skip = ""
		}
	}
	return list
}

// prelude stands before the blocks of a document: a make that builds nothing again (its program keeps to loopback, and to the port
// of the home), demonstrates without a terminal, and does not run these tests from within these tests.
const prelude = `
set -eu
cat >loopback <<'END'
#!/bin/sh
port=$(sed -n 's/.*"port":[^0-9]*\([0-9]*\).*/\1/p' "$2/node.json" 2>/dev/null)
PARLEY_NODE_LISTEN=/ip4/127.0.0.1/tcp/${port:-0} exec "$PROGRAM" "$@"
END
chmod +x loopback
make() {
	command make -C "$ROOT" -n "$@" >/dev/null || return 1
	case $1 in
	build) mkdir -p bin && cp loopback bin/parley ;;
	demo) AUTO=1 PARLEY="$PROGRAM" sh "$ROOT/e2e/demo.sh" ;;
	test) ;;
	*) echo "make $1 has no stand-in here" >&2 && return 1 ;;
	esac
}
`

func TestReadmeWorksAsItIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	script := prelude
	for _, b := range blocksOf(read(t, root, "README.md")) {
		if b.skip == "" {
			script += fmt.Sprintf("echo 'README.md:%d'\n%s", b.line, b.text)
		}
	}
	script += "echo 'README.md: the end'\n"
	if err := os.WriteFile(filepath.Join(w.dir, "readme.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	reader := launch(t, w.env("ROOT="+root, "PROGRAM="+w.parley), "sh", "-c", `cd "$1" && . ./readme.sh`, "sh", w.dir)
	await(t, commandTime, "the README is through", func() bool { // its nodes go on until the test ends them
		return strings.Contains(reader.stdout.String(), "README.md: the end") || !reader.running()
	})
	reader.says(reader.stdout, "README.md: the end")
}

func TestReadmeShowsSomethingToRunAtOnce(t *testing.T) {
	blocks := blocksOf(read(t, "..", "README.md"))
	if len(blocks) < 2 {
		t.Fatalf("README.md has %d blocks of shell", len(blocks))
	}
	if blocks[0].line > 20 || blocks[0].skip != "" || !strings.HasPrefix(blocks[0].text, "make demo") {
		t.Errorf("line %d: %s", blocks[0].line, blocks[0].text)
	}
	if !strings.HasPrefix(blocks[1].text, "make test") {
		t.Errorf("line %d: %s", blocks[1].line, blocks[1].text)
	}
	for _, b := range blocks {
		if b.skip != "" && (!strings.Contains(b.skip, "(") || !strings.Contains(b.text, " chat")) {
			t.Errorf("line %d is not run (%s), and is no chat: %s", b.line, b.skip, b.text)
		}
	}
}

func TestShellBlocksAreFound(t *testing.T) {
	got := blocksOf("# x\n```sh\na\nb\n```\n```go\nno\n```\n<!-- test: skip (why) -->\n\n```sh\nc\n```\n<!-- test: skip (y) -->\ntext\n```sh\nd\n```\n")
	want := []block{{3, "a\nb\n", ""}, {12, "c\n", "test: skip (why)"}, {17, "d\n", ""}}
	if !slices.Equal(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
}
