// Package linetest gives tests a terminal: a pseudo-terminal with a person's hands and eyes at its other end.
package linetest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for something to appear before it fails.
const patience = 20 * time.Second

// Terminal is a pseudo-terminal of 24 lines and 80 columns.
type Terminal struct {
	// File is the end that a program takes for its terminal.
	File *os.File

	t       testing.TB
	person  *os.File
	reading sync.WaitGroup

	mu    sync.Mutex
	shown strings.Builder
	from  int           // where Expect looks on
	more  chan struct{} // closed when more was shown
}

// Open returns a terminal that lives as long as the test. Where the system has none the test is skipped, and says so.
func Open(t testing.TB) *Terminal {
	t.Helper()
	person, program, err := pair()
	if err != nil {
		t.Skipf("no pseudo-terminal can be had here: %v", err)
	}
	x := &Terminal{File: program, t: t, person: person, more: make(chan struct{})}
	x.reading.Go(x.read)
	t.Cleanup(x.close)
	return x
}

func pair() (person, program *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	person = os.NewFile(uintptr(fd), "/dev/ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		_ = person.Close()
	}
	return person, program, err
}

func (x *Terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.person.Read(buf)
		x.mu.Lock()
		x.shown.Write(buf[:n])
		close(x.more)
		x.more = make(chan struct{})
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Type sends what a person types.
func (x *Terminal) Type(text string) {
	x.t.Helper()
	if _, err := x.person.WriteString(text); err != nil {
		x.t.Fatalf("type %q: %v", text, err)
	}
}

// Paste sends what a terminal makes of a paste when it was asked to mark them.
func (x *Terminal) Paste(text string) { x.Type("\x1b[200~" + text + "\x1b[201~") }

// Expect waits until a text is shown after the one that was expected last.
func (x *Terminal) Expect(text string) {
	x.t.Helper()
	deadline := time.After(patience)
	for {
		x.mu.Lock()
		rest, more := x.shown.String()[x.from:], x.more
		if i := strings.Index(rest, text); i >= 0 {
			x.from += i + len(text)
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			x.t.Fatalf("waited for %q to be shown; since the last it was\n%q", text, rest)
		}
	}
}

// Shown returns everything that was shown so far, escape sequences too.
func (x *Terminal) Shown() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

// Raw reports whether the terminal leaves the editing of lines to the program.
func (x *Terminal) Raw() bool {
	x.t.Helper()
	state, err := unix.IoctlGetTermios(int(x.File.Fd()), unix.TCGETS)
	if err != nil {
		x.t.Fatalf("ask the terminal for its mode: %v", err)
	}
	return state.Lflag&unix.ICANON == 0
}

// HangUp takes the person away, as when the terminal's window is closed.
func (x *Terminal) HangUp() {
	_ = x.person.Close()
	x.reading.Wait()
}

func (x *Terminal) close() {
	x.HangUp()
	_ = x.File.Close()
}
