package line

import (
	"bufio"
	"errors"
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
	secret, prompt := e.secret, e.prompt
	e.mu.Unlock()
	read := e.read
	if secret {
		read = e.readSecret
	}
	text, err := read(prompt)
	if err != nil {
		return "", err
	}
	e.onKey()
	return closedOr(e.in.isEnded(), text, nil)
}

func (e *plain) read(prompt string) (string, error) {
	e.write(prompt)
	text, err := e.lines.ReadString('\n')
	if err != nil {
		return "", io.EOF
	}
	return strings.TrimRight(text, "\r\n"), nil
}

// readSecret reads a line that the terminal does not echo: it is in raw mode from before the question until after the answer.
func (e *plain) readSecret(prompt string) (text string, err error) {
	fd := int(e.in.file.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(fd, state)) }()
	e.write(prompt)
	defer e.write("\r\n")
	var typed []rune
	for {
		r, _, err := e.lines.ReadRune()
		switch {
		case err != nil, r == '\x04' && len(typed) == 0:
			return "", io.EOF
		case r == '\x03':
			return "", ErrInterrupt
		case r == '\r' || r == '\n':
			return string(typed), nil
		case r == '\x7f' || r == '\b':
			typed = typed[:max(0, len(typed)-1)]
		default:
			typed = append(typed, r)
		}
	}
}

func (e *plain) write(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprint(e.out, text)
}

func (e *plain) Hide(secret bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secret = secret
}

func (e *plain) Print(text string) {
	if text != Wipe { // a screen that cannot move its cursor cannot be emptied
		e.write(endLine(text))
	}
}

func (e *plain) SetPrompt(prompt string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prompt = prompt
}

func (e *plain) Close() (err error) {
	e.once.Do(func() { err = e.in.close() })
	return err
}
