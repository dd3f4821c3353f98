package line

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// feed hands a terminal's bytes to keys in pieces and returns what the editor reads, with every sign expanded as in a line.
type feed struct {
	*keys
	focus []bool
	typed int
}

func newFeed() *feed {
	f := &feed{}
	f.keys = &keys{turn: newTurn(), onKey: func() { f.typed++ }, onFocus: func(in bool) { f.focus = append(f.focus, in) }}
	return f
}

func (f *feed) take(pieces ...string) string {
	for _, piece := range pieces {
		for _, b := range []byte(piece) {
			f.keys.take(b)
		}
	}
	seen := f.out.String()
	f.out.Reset()
	return seen
}

func TestKeysPassOrBecomeSigns(t *testing.T) {
	nl, tab := string(signNewline), string(signTab)
	for name, c := range map[string]struct{ typed, seen string }{
		"text":                   {"hi", "hi"},
		"several scripts":        {"ça 日本 🙂", "ça 日本 🙂"},
		"enter":                  {"hi\r", "hi\r"},
		"arrows":                 {"\x1b[A\x1b[D\x1bOC", "\x1b[A\x1b[D\x1bOC"},
		"delete":                 {"\x1b[3~", "\x1b[3~"},
		"alt-f":                  {"\x1bf", "\x1bf"},
		"alt-enter":              {"a\x1b\rb", "a" + nl + "b"},
		"suspend":                {"a\x1ab", "ab"},
		"focus":                  {"a\x1b[Ib\x1b[Oc", "abc"},
		"paste":                  {"\x1b[200~one\r\ntwo\rthree\nfour\n\x1b[201~", "one" + nl + "two" + nl + "three" + nl + "four"},
		"tab in a paste":         {"\x1b[200~a\tb\x1b[201~", "a" + tab + "b"},
		"empty paste":            {"\x1b[200~\x1b[201~", ""},
		"paste of a newline":     {"\x1b[200~\r\x1b[201~", ""},
		"controls in it":         {"\x1b[200~a\x03\x04\x1b[2Jb\x7f\x1b[201~", "a[2Jb"},
		"almost its end":         {"\x1b[200~a\x1b[201\x1b[20b\x1b[201~c", "a[201[20bc"},
		"paste in a paste":       {"\x1b[200~a\x1b[200~b\x1b[201~c", "a[200~bc"},
		"escape, then paste":     {"\x1b\x1b[200~a\x1b[201~", "\x1ba"},
		"bytes that are no text": {"\x1b[200~a\xffb\x1b[201~", "a\uFFFDb"},
	} {
		whole := newFeed()
		if seen := whole.take(c.typed); seen != c.seen {
			t.Errorf("%s: the editor sees %q, want %q", name, seen, c.seen)
		}
		for cut := range len(c.typed) {
			if seen := newFeed().take(c.typed[:cut], c.typed[cut:]); seen != c.seen {
				t.Errorf("%s, cut at %d: the editor sees %q", name, cut, seen)
			}
		}
	}
}

func TestReportsAreNoKeys(t *testing.T) {
	f := newFeed()
	f.take("\x1b[I\x1b[O\x1b[I")
	if f.typed != 0 || len(f.focus) != 3 || !f.focus[0] || f.focus[1] || !f.focus[2] {
		t.Errorf("%d keys, focus %v", f.typed, f.focus)
	}
	f.take("a")
	f.take("\x1b[200~b\x1b[201~")
	if f.typed != 2 {
		t.Errorf("%d keys, want 2", f.typed)
	}
}

func TestLongPastesAreOneSignAndComeBackWhole(t *testing.T) {
	f := newFeed()
	var line, want strings.Builder
	for i := range 5 {
		text := strings.Repeat(string(rune('a'+i)), maxInline+1)
		line.WriteString(f.take("x", pasteStart+text+pasteEnd))
		want.WriteString("x" + text)
	}
	if n := utf8.RuneCountInString(line.String()); n != 10 {
		t.Errorf("the line has %d signs, want 10", n)
	}
	if f.expand(line.String()) != want.String() {
		t.Error("the pastes do not come back whole")
	}
	shown := string(paint(false)([]rune(line.String()), 0))
	if shown != strings.Repeat("x▤", 5) {
		t.Errorf("it is shown as %q", shown)
	}
}

// A paste over the limit keeps one byte more than a message may have, so that it is refused and not cut.
func TestHugePasteStaysTooLong(t *testing.T) {
	f := newFeed()
	got := f.expand(f.take(pasteStart + strings.Repeat("x", 10*maxPaste) + pasteEnd))
	if len(got) != maxPaste {
		t.Errorf("%d bytes are left, want %d", len(got), maxPaste)
	}
}

func TestSignsAreShownAsWideAsTheyAre(t *testing.T) {
	line := []rune{'a', signNewline, signTab, signPaste, signPasteLast, '日'}
	for ascii, want := range map[bool]string{false: "a⏎ ▤▤日", true: "a| ##日"} {
		got := paint(ascii)(line, 0)
		if string(got) != want || len(got) != len(line) {
			t.Errorf("ASCII %v: shown as %q, want %q", ascii, string(got), want)
		}
	}
	if line[1] != signNewline {
		t.Error("the line itself was changed")
	}
}

// Whatever stands in a paste, the editor gets it without anything that would end the line or do something else, and what is typed
// before and after it is whole.
func FuzzPaste(f *testing.F) {
	for _, seed := range []string{"", "one\ntwo", "\x1b[201", "\x1b[200~", "\r\r\r", "\x00\x03\x04\x1a\x7f", "日本\xff", strings.Repeat("x\n", 50)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, pasteEnd) || strings.ContainsFunc(text, func(r rune) bool { return r >= signTab && r <= signPasteLast }) {
			t.Skip("it ends itself, or holds signs of ours")
		}
		feed := newFeed()
		seen := feed.take("before", pasteStart, text, pasteEnd, "after")
		body, ok := strings.CutPrefix(seen, "before")
		body, ok2 := strings.CutSuffix(body, "after")
		if !ok || !ok2 {
			t.Fatalf("typed text is gone: %q", seen)
		}
		if strings.ContainsFunc(body, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			t.Fatalf("the paste would do something: %q", body)
		}
		want := cleanPaste(text)
		if len(text) < maxPaste && feed.expand(body) != want {
			t.Fatalf("pasted %q, got %q", want, feed.expand(body))
		}
	})
}

func TestInputEndsWithItsEditor(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	in, err := newInput(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("key"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, err := in.Read(buf); err != nil || string(buf[:n]) != "key" {
		t.Fatalf("read %q (%v)", buf[:n], err)
	}
	in.wakeUp()
	if n, err := in.Read(buf); n != 0 || err != nil {
		t.Fatalf("woken up with %d bytes (%v)", n, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := in.Read(buf)
		ended <- err
	}()
	if err := in.close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != io.EOF {
		t.Fatalf("a read that waited got %v", err)
	}
	if _, err := in.Read(buf); err != io.EOF {
		t.Fatalf("a later read got %v", err)
	}
	in.wakeUp() // harmless now
}

func TestLineIsTouchedByTurns(t *testing.T) {
	turn := newTurn()
	turn.begin()
	printed := make(chan bool)
	go turn.between(func() { close(printed) })
	select {
	case <-printed:
		t.Fatal("printed while the library worked on a key")
	case <-time.After(20 * time.Millisecond):
	}
	turn.end()
	<-printed
	turn.end() // nobody's turn: nothing happens
	turn.begin()
	close(turn.over)
	turn.begin()
	done := false
	turn.between(func() { done = true })
	if !done {
		t.Error("nothing is printed after the end")
	}
}
