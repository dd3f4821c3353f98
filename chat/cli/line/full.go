package line

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ergochat/readline"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const (
	modesOn  = "\x1b[?2004h\x1b[?1004h" // tell where pastes begin and end; tell the focus
	modesOff = "\x1b[?1004l\x1b[?2004l"

	askCursor    = "\x1b[6n"   // where is the cursor?
	cursorAtLeft = "\x1b[1;1R" // in the first column
)

// full is the editor for terminals that can move their cursor.
type full struct {
	rl     *readline.Instance
	in     *input
	keys   *keys
	out    *screen
	term   *os.File
	state  *term.State
	resize chan os.Signal
	sized  atomic.Pointer[func()]
	once   sync.Once
	gone   sync.WaitGroup
}

func openFull(o Options) (Editor, error) {
	in, err := newInput(o.In)
	if err != nil {
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	e := &full{in: in, term: o.In, resize: make(chan os.Signal, 1)}
	e.keys = &keys{in: in, turn: newTurn(), onKey: o.OnKey, onFocus: o.OnFocus}
	e.out = &screen{file: o.Out, keys: e.keys}
	if e.state, err = term.MakeRaw(int(o.In.Fd())); err != nil {
		return nil, errors.Join(fmt.Errorf("open the terminal: %w", err), in.close())
	}
	if e.rl, err = readline.NewFromConfig(e.config(o)); err != nil {
		return nil, errors.Join(fmt.Errorf("open the terminal: %w", err), term.Restore(int(o.In.Fd()), e.state), in.close())
	}
	_, _ = e.out.Write([]byte(modesOn)) // a terminal that is gone shows at the first read
	signal.Notify(e.resize, unix.SIGWINCH)
	e.gone.Go(e.watchSize)
	return e, nil
}

// config hands the library our own terminal: raw mode lasts from Open to Close, so that what is typed while nobody reads is
// neither echoed nor lost.
func (e *full) config(o Options) *readline.Config {
	nothing := func() error { return nil }
	c := &readline.Config{
		Stdin: e.keys, Stdout: e.out, Stderr: e.out,
		Painter:            paint(o.ASCII),
		FuncIsTerminal:     func() bool { return true },
		FuncMakeRaw:        nothing,
		FuncExitRaw:        nothing,
		FuncGetSize:        e.size,
		FuncOnWidthChanged: func(f func()) { e.sized.Store(&f) },
	}
	if o.Complete != nil {
		c.AutoComplete = completer(o.Complete)
	}
	return c
}

func (e *full) size() (width, height int) {
	width, height, err := term.GetSize(int(e.out.file.Fd()))
	if err != nil || width <= 0 {
		return fallbackWidth, 24
	}
	return width, height
}

func (e *full) watchSize() {
	for range e.resize {
		if changed := e.sized.Load(); changed != nil {
			(*changed)()
		}
	}
}

func (e *full) Readline() (string, error) {
	text, err := e.rl.ReadLine()
	e.keys.turn.end()
	if errors.Is(err, readline.ErrInterrupt) {
		err = ErrInterrupt
	}
	// The library returns what was typed so far when its input ends, as if Enter had been pressed.
	return closedOr(e.in.isEnded(), e.keys.expand(text), err)
}

func (e *full) Print(text string) {
	if text != Wipe {
		text = endLine(text)
	}
	e.keys.turn.between(func() { _, _ = e.rl.Write([]byte(text)) })
}

func (e *full) SetPrompt(prompt string) {
	e.keys.turn.between(func() {
		if e.rl.GetConfig().Prompt != prompt {
			e.rl.SetPrompt(prompt)
			e.rl.Refresh()
		}
	})
}

func (e *full) Hide(secret bool) {
	e.keys.turn.between(func() {
		c := e.rl.GetConfig()
		c.EnableMask, c.MaskRune, c.DisableAutoSaveHistory = secret, '*', secret
		_ = e.rl.SetConfig(c) // it fails only for what was not set up yet
	})
}

func (e *full) Close() (err error) {
	e.once.Do(func() {
		signal.Stop(e.resize)
		close(e.resize)
		e.gone.Wait()
		err = e.in.close()
		close(e.keys.turn.over)
		err = errors.Join(err, e.rl.Close())
		_, _ = e.out.Write([]byte("\r\x1b[K" + modesOff))
		err = errors.Join(err, term.Restore(int(e.term.Fd()), e.state))
	})
	return err
}

// screen is what the library draws on: a terminal in raw mode, where a line end has to bring the cursor back by itself.
type screen struct {
	file *os.File
	keys *keys
}

// Write draws p. The question where the cursor is, which the library asks before each prompt, never reaches the terminal: all
// that we print ends with a line end, so the answer is known, and a terminal that does not answer cannot stop the chat.
func (s *screen) Write(p []byte) (int, error) {
	if string(p) == askCursor {
		s.keys.inject(cursorAtLeft)
		return len(p), nil
	}
	if _, err := s.file.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// completer offers words for the last one of the line.
type completer func(line string) []string

// Do implements readline.AutoCompleter.
func (c completer) Do(line []rune, pos int) (ends [][]rune, length int) {
	typed := string(line[:pos])
	last := []rune(typed[strings.LastIndexByte(typed, ' ')+1:])
	for _, word := range c(typed) {
		if w := []rune(word); len(w) >= len(last) && string(w[:len(last)]) == string(last) {
			ends = append(ends, append(w[len(last):], ' '))
		}
	}
	return ends, len(last)
}
