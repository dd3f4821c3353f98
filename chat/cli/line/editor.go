package line

import (
	"errors"
	"io"
	"os"
)

// ErrInterrupt is returned by Readline when the person pressed ^C; what was typed is gone.
var ErrInterrupt = errors.New("interrupted")

// Wipe is what Print takes for an empty screen.
const Wipe = "\x1b[H\x1b[J"

// Editor reads lines and prints others in between. Print, SetPrompt and Close may be called while Readline waits, from any
// goroutine; Readline from one only.
type Editor interface {
	// Readline returns the next line without its end. It returns ErrInterrupt at ^C, and io.EOF at ^D on an empty line, when the
	// terminal goes away, and after Close: a line that was not finished is never returned.
	Readline() (string, error)
	// Print writes text above the prompt. It ends the last line where the text does not. Wipe empties the screen instead.
	Print(text string)
	// SetPrompt changes what stands before the typed text, at once.
	SetPrompt(prompt string)
	// Hide says whether what is typed from now on is a secret: it is not shown, and not kept in the history.
	Hide(secret bool)
	// Close gives the terminal back as it was. It may be called more than once.
	Close() error
}

// Options says where lines come from and what to tell.
type Options struct {
	In, Out *os.File
	// OnKey is called when something was typed, OnFocus when the terminal's window gets or loses the focus, on terminals that
	// tell. Both are called by the goroutine that reads, and must not wait.
	OnKey   func()
	OnFocus func(bool)
	// Complete returns the words that may stand for the last one of a half-typed line.
	Complete func(line string) []string
	// ASCII keeps the signs for pasted text to ASCII.
	ASCII bool
}

// Open takes over the terminal.
func Open(o Options) (Editor, error) {
	if o.OnKey == nil {
		o.OnKey = func() {}
	}
	if o.OnFocus == nil {
		o.OnFocus = func(bool) {}
	}
	if os.Getenv("TERM") == "dumb" {
		return openPlain(o)
	}
	return openFull(o)
}

// endLine returns text with a line end.
func endLine(text string) string {
	if text == "" || text[len(text)-1] != '\n' {
		text += "\n"
	}
	return text
}

var _, _ Editor = (*full)(nil), (*plain)(nil)

// closedOr returns io.EOF where the editor or its input ended, whatever the library made of what was typed so far.
func closedOr(ended bool, text string, err error) (string, error) {
	if ended {
		return "", io.EOF
	}
	return text, err
}
