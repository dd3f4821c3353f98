package line

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// plain is the editor for terminals that cannot move their cursor: the terminal itself edits the line.
type plain struct {
	in     *input
	lines  *bufio.Reader
	onKey  func()
	mu     sync.Mutex // guards out and prompt
	out    *os.File
	prompt string
	secret bool
	once   sync.Once
}

func openPlain(o Options) (Editor, error) {
	in, err := newInput(o.In)
	if err != nil {
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	return &plain{in: in, lines: bufio.NewReader(in), onKey: o.OnKey, out: o.Out}, nil
}

func (e *plain) Readline() (string, error) {
	e.mu.Lock()
	fmt.Fprint(e.out, e.prompt)
	e.mu.Unlock()
	text, err := e.read()
	if err != nil {
		return "", io.EOF
	}
	e.onKey()
	return closedOr(e.in.isEnded(), strings.TrimRight(text, "\r\n"), nil)
}

// read reads a line, with the terminal's echo off for a secret.
func (e *plain) read() (string, error) {
	e.mu.Lock()
	secret := e.secret
	e.mu.Unlock()
	if !secret {
		return e.lines.ReadString('\n')
	}
	b, err := term.ReadPassword(int(e.in.file.Fd()))
	e.Print("")
	return string(b), err
}

func (e *plain) Hide(secret bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secret = secret
}

func (e *plain) Print(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprint(e.out, endLine(text))
}

func (e *plain) SetPrompt(prompt string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prompt = prompt
}

func (e *plain) Clear() {}

func (e *plain) Close() (err error) {
	e.once.Do(func() { err = e.in.close() })
	return err
}
