package line

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// input reads from a terminal until close, which also ends a read that waits: the terminal belongs to somebody else then.
type input struct {
	file  *os.File
	fds   [2]int32    // the terminal's and the pipe's, kept so that waiting does not touch the files
	wake  [2]*os.File // a pipe: what is written into it wakes the reader
	mu    sync.Mutex
	ended bool
}

func newInput(f *os.File) (*input, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &input{file: f, fds: [2]int32{int32(f.Fd()), int32(r.Fd())}, wake: [2]*os.File{r, w}}, nil
}

// Read returns io.EOF after close, and when the terminal has gone away; and nothing, without an error, after wakeUp.
func (in *input) Read(p []byte) (int, error) {
	if in.isEnded() {
		return 0, io.EOF
	}
	ready, err := in.wait()
	switch {
	case in.isEnded():
		return 0, io.EOF
	case err != nil:
		return 0, in.end()
	case !ready:
		return 0, nil
	}
	n, err := in.file.Read(p)
	if n == 0 || err != nil {
		return 0, in.end()
	}
	return n, nil
}

// wait returns when the terminal has something to read (ready), or somebody woke us.
func (in *input) wait() (ready bool, err error) {
	fds := []unix.PollFd{
		{Fd: in.fds[0], Events: unix.POLLIN},
		{Fd: in.fds[1], Events: unix.POLLIN},
	}
	if _, err := unix.Poll(fds, -1); err != nil {
		if errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return false, err
	}
	if fds[1].Revents != 0 {
		_, err := in.wake[0].Read(make([]byte, 64))
		return false, err
	}
	return fds[0].Revents != 0, nil
}

// wakeUp makes a Read that waits, or the next one, return.
func (in *input) wakeUp() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.ended {
		_, _ = in.wake[1].Write([]byte{0}) // it cannot fail while both ends are open
	}
}

func (in *input) isEnded() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.ended
}

// end marks the input as ended and returns io.EOF.
func (in *input) end() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	return io.EOF
}

// close ends the input. Whoever reads returns at once.
func (in *input) close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	return in.wake[1].Close()
}
