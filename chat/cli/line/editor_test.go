package line_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"parley/chat/cli/line"
	"parley/chat/cli/line/linetest"
)

// scene is Alice at her terminal.
type scene struct {
	*linetest.Terminal
	t      *testing.T
	editor line.Editor
	keys   atomic.Int32
	focus  chan bool
}

func sit(t *testing.T) *scene {
	t.Helper()
	t.Setenv("TERM", "xterm")
	return sitAt(t)
}

func sitAt(t *testing.T) *scene {
	t.Helper()
	s := &scene{Terminal: linetest.Open(t), t: t, focus: make(chan bool, 8)}
	var err error
	s.editor, err = line.Open(line.Options{
		In: s.File, Out: s.File,
		OnKey:    func() { s.keys.Add(1) },
		OnFocus:  func(in bool) { s.focus <- in },
		Complete: func(string) []string { return []string{"/open", "/quit"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.editor.Close() })
	s.editor.SetPrompt("bob > ")
	return s
}

// line reads one line in the background.
func (s *scene) line() <-chan string {
	result := make(chan string, 1)
	s.t.Cleanup(func() { <-result })
	go func() {
		defer close(result)
		text, err := s.editor.Readline()
		if err != nil {
			text = "error: " + err.Error()
		}
		result <- text
	}()
	return result
}

func TestTypedLineIsReturned(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("hi bob!\r")
	if text := <-got; text != "hi bob!" {
		t.Fatalf("typed hi bob!, got %q", text)
	}
}

// A thousand messages arrive while Alice types, in four scripts. Not one of her characters may be lost or change its place.
func TestTypedTextSurvivesAThousandLines(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	const typed = "hello Bob, ça va? 日本語のテキスト 🙂🚀 שלום "
	want := strings.Repeat(typed, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 1000 {
			s.editor.Print(fmt.Sprintf("10:34 carol │ line %d 中文 🙂", i))
		}
	}()
	for _, r := range want {
		s.Type(string(r))
	}
	<-done
	s.Expect("line 999")
	s.Type("\x1b[D\x1b[D\x1b[C\x1b[C.\r")
	if text := <-got; text != want+"." {
		t.Fatalf("typed\n%q, got\n%q", want+".", text)
	}
	for i := range 1000 {
		if !strings.Contains(s.Shown(), fmt.Sprintf("line %d ", i)) {
			t.Fatalf("line %d was not shown", i)
		}
	}
}

func TestPasteIsOneLine(t *testing.T) {
	for _, lines := range []int{2, 3, 10, 11, 50, 500} {
		t.Run(fmt.Sprint(lines, " lines"), func(t *testing.T) {
			s := sit(t)
			got := s.line()
			s.Expect("bob > ")
			text := strings.Repeat("pasted\tline 日本\n", lines)
			s.Type("look: ")
			s.Paste(strings.ReplaceAll(text, "\n", "\r"))
			s.Type(" end\r")
			want := "look: " + strings.TrimSuffix(text, "\n") + " end"
			if text := <-got; text != want {
				t.Fatalf("pasted %d lines, got %q", lines, text)
			}
		})
	}
}

func TestPasteHoldsNothingThatControls(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Paste("a\x03b\x1b[2Jc\x04d\x1b[201e")
	s.Type("\r")
	if text := <-got; text != "ab[2Jcd[201e" {
		t.Fatalf("got %q", text)
	}
}

func TestAltEnterIsALineBreak(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("one\x1b\rtwo\r")
	if text := <-got; text != "one\ntwo" {
		t.Fatalf("got %q", text)
	}
}

func TestInterruptAndEndOfInputDiffer(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("half a line\x03")
	if text := <-got; text != "error: "+line.ErrInterrupt.Error() {
		t.Fatalf("^C gave %q", text)
	}
	got = s.line()
	s.Expect("bob > ")
	s.Type("\x04")
	if text := <-got; text != "error: "+io.EOF.Error() {
		t.Fatalf("^D gave %q", text)
	}
}

// Closing must not hand over what was half typed: it would be sent.
func TestCloseDropsTheUnfinishedLine(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("do not send this")
	s.Expect("this")
	if err := s.editor.Close(); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "error: "+io.EOF.Error() {
		t.Fatalf("closing gave %q", text)
	}
}

func TestLostTerminalDropsTheUnfinishedLine(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("do not send this")
	s.Expect("this")
	s.HangUp()
	if text := <-got; text != "error: "+io.EOF.Error() {
		t.Fatalf("a closed window gave %q", text)
	}
}

func TestModesAreRestored(t *testing.T) {
	s := sit(t)
	if !s.Raw() {
		t.Fatal("the terminal edits lines itself while the editor is open")
	}
	if err := s.editor.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.editor.Close(); err != nil {
		t.Fatal("closing twice:", err)
	}
	if s.Raw() {
		t.Fatal("the terminal is in raw mode after Close")
	}
	s.Expect("\x1b[?2004h")
	s.Expect("\x1b[?2004l")
	shown := s.Shown()
	for _, mode := range []string{"?2004", "?1004"} {
		on, off := strings.Count(shown, "\x1b["+mode+"h"), strings.Count(shown, "\x1b["+mode+"l")
		if on != 1 || off != 1 {
			t.Errorf("mode %s was switched on %d times and off %d times", mode, on, off)
		}
	}
}

// A terminal that never answers where its cursor is must not stop the prompt: we never ask.
func TestTerminalIsAskedNothing(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("x\r")
	<-got
	if strings.Contains(s.Shown(), "\x1b[6n") {
		t.Fatal("the terminal was asked for its cursor")
	}
}

func TestFocusAndKeysAreTold(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	if n := s.keys.Load(); n != 0 {
		t.Fatalf("%d keys before any was pressed", n)
	}
	s.Type("\x1b[I")
	if !<-s.focus {
		t.Fatal("focus in was told as out")
	}
	s.Type("\x1b[O")
	if <-s.focus {
		t.Fatal("focus out was told as in")
	}
	if n := s.keys.Load(); n != 0 {
		t.Fatalf("a report of the terminal was taken for %d keys", n)
	}
	s.Type("x\r")
	if text := <-got; text != "x" {
		t.Fatalf("got %q", text)
	}
	if s.keys.Load() == 0 {
		t.Fatal("the key was not told")
	}
}

func TestPromptChangesUnderTypedText(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("half")
	s.Expect("half")
	s.editor.SetPrompt("bob ++ > ")
	s.Expect("bob ++ > ")
	s.Expect("half")
	s.Type(" done\r")
	if text := <-got; text != "half done" {
		t.Fatalf("got %q", text)
	}
}

func TestTabCompletesCommands(t *testing.T) {
	s := sit(t)
	got := s.line()
	s.Expect("bob > ")
	s.Type("/op\tbob\r")
	if text := <-got; text != "/open bob" {
		t.Fatalf("got %q", text)
	}
}

func TestSecretIsNotShown(t *testing.T) {
	s := sit(t)
	s.editor.Hide(true)
	got := s.line()
	s.Expect("bob > ")
	s.Type("correct horse\r")
	if text := <-got; text != "correct horse" {
		t.Fatalf("got %q", text)
	}
	s.editor.Hide(false)
	got = s.line()
	s.Expect("bob > ")
	s.Type("\x1b[Ashown\r") // the secret is not in the history either
	if text := <-got; text != "shown" {
		t.Fatalf("got %q", text)
	}
	s.Expect("shown")
	if strings.Contains(s.Shown(), "horse") {
		t.Fatalf("the secret was shown: %q", s.Shown())
	}
}

func TestDumbTerminalJustReadsAndPrints(t *testing.T) {
	t.Setenv("TERM", "dumb")
	s := sitAt(t)
	got := s.line()
	s.Expect("bob > ")
	s.editor.Print("10:34 bob | hey")
	s.Expect("10:34 bob | hey")
	s.Type("hi\n")
	if text := <-got; text != "hi" {
		t.Fatalf("got %q", text)
	}
	if strings.Contains(s.Shown(), "\x1b") {
		t.Fatalf("an escape sequence went to a dumb terminal: %q", s.Shown())
	}
	got = s.line()
	_ = s.editor.Close()
	if text := <-got; text != "error: EOF" {
		t.Fatalf("closing gave %q", text)
	}
}

func TestDumbTerminalHidesSecrets(t *testing.T) {
	t.Setenv("TERM", "dumb")
	s := sitAt(t)
	asker := line.NewAsker(s.editor)
	got := make(chan string, 1)
	go func() {
		secret, err := asker.Secret("Passphrase: ")
		got <- fmt.Sprint(string(secret), err)
	}()
	s.Expect("Passphrase: ")
	s.Type("tr0ub4dor\n")
	if text := <-got; text != "tr0ub4dor<nil>" {
		t.Fatalf("got %q", text)
	}
	if strings.Contains(s.Shown(), "tr0ub4dor") {
		t.Fatal("the secret was shown")
	}
}

func TestOpenNeedsATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := line.Open(line.Options{In: r, Out: w}); err == nil {
		t.Fatal("a pipe was taken for a terminal")
	}
}

func TestAskerAsksUntilTheAnswerIsClear(t *testing.T) {
	s := sit(t)
	asker := line.NewAsker(s.editor)
	got := make(chan string, 1)
	go func() {
		yes, err := asker.Confirm("Join?")
		got <- fmt.Sprint(yes, err)
		pass, err := asker.NewPassphrase()
		got <- fmt.Sprint(string(pass), err)
		_, err = asker.Ask("Name: ")
		got <- fmt.Sprint(errors.Is(err, io.EOF), err)
		_, err = asker.Ask("Name: ")
		got <- fmt.Sprint(errors.Is(err, line.ErrInterrupt))
	}()
	s.Expect("Join? [Y/n]")
	s.Type("perhaps\r")
	s.Expect("Join? [Y/n]")
	s.Type("\r")
	if text := <-got; text != "true<nil>" && text != "true <nil>" {
		t.Fatalf("Enter gave %q", text)
	}
	s.Expect("empty = none")
	s.Type("one\r")
	s.Expect("again")
	s.Type("two\r")
	s.Expect("differ")
	s.Expect("empty = none")
	s.Type("one\r")
	s.Expect("again")
	s.Type("one\r")
	if text := <-got; text != "one<nil>" && text != "one <nil>" {
		t.Fatalf("the passphrase is %q", text)
	}
	s.Expect("Name: ")
	s.Type("\x04")
	if text := <-got; !strings.Contains(text, "no answer") {
		t.Fatalf("^D gave %q", text)
	}
	s.Expect("Name: ")
	s.Type("half a na\x03")
	if text := <-got; text != "true" {
		t.Fatalf("^C gave another error than its own")
	}
}
