package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// patience ends a wait for what should take no time at all; a busy machine with the race detector is slow.
	patience = 30 * time.Second
	// commandTime ends a command that should have ended by itself.
	commandTime = 90 * time.Second
	// shownOutput is how many bytes of a process's output are shown when its test fails: the last ones.
	shownOutput = 8 << 10
)

// await waits until a condition holds, and fails the test when it does not come to hold.
func await(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain until %s", within, what)
		}
	}
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// tail returns the end of the output.
func (o *output) tail() string {
	s := o.String()
	return s[max(0, len(s)-shownOutput):]
}

// process is a program that runs beside the test. It ends with the test at the latest.
type process struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{} // closed when it has ended
}

// launch starts a program. When the test fails, what it wrote is shown.
func launch(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = env, p.stdout, p.stderr, ownGroup()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the exit code is in cmd.ProcessState
	}()
	t.Cleanup(p.clear)
	return p
}

// clear ends what is left of a process, and looks for what must never happen.
func (p *process) clear() {
	p.kill()
	checkSane(p.t, p.cmd.Args, p.stderr.String())
	if p.t.Failed() {
		p.t.Logf("%s\n--- stdout\n%s\n--- stderr\n%s", p.cmd, p.stdout.tail(), p.stderr.tail())
	}
}

// checkSane fails a test whose program raced or panicked, whatever else happened.
func checkSane(t testing.TB, args []string, stderr string) {
	t.Helper()
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if at := strings.Index(stderr, sign); at >= 0 {
			t.Errorf("%s: %s", strings.Join(args[1:], " "), stderr[at:min(len(stderr), at+shownOutput)])
		}
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// running reports whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process, and what it has started, as a power cut would, and returns when it is gone.
func (p *process) kill() {
	if p.running() {
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // it may have ended by itself just now
	}
	<-p.ended
}

// freeze stops the process where it is: its connections stay, and nobody answers on them.
func (p *process) freeze() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
}

// wake lets a process that was stopped go on.
func (p *process) wake() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
}

// stop asks the process to end, and returns its exit code and how long it took.
func (p *process) stop() (code int, took time.Duration) {
	p.t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	return p.wait(), time.Since(begin)
}

// wait returns the exit code once the process has ended by itself.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(commandTime):
		p.t.Fatalf("%s did not end within %v", p.cmd, commandTime)
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until a stream of the process holds a text.
func (p *process) says(o *output, text string) {
	p.t.Helper()
	await(p.t, patience, fmt.Sprintf("%s says %q", p.cmd, text), func() bool {
		if strings.Contains(o.String(), text) {
			return true
		}
		if !p.running() && !strings.Contains(o.String(), text) {
			p.t.Fatalf("%s ended with %d before it said %q", p.cmd, p.wait(), text)
		}
		return false
	})
}

// result is what became of a command.
type result struct {
	args           []string
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%s: exit code %d after %v\n--- stdout\n%s\n--- stderr\n%s",
		strings.Join(r.args, " "), r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// command runs a program to its end.
func command(t testing.TB, env []string, stdin io.Reader, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = env, stdin, &stdout, &stderr, ownGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // what it started, too
	begin := time.Now()
	err := cmd.Run()
	r := result{args, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(begin)}
	checkSane(t, cmd.Args, r.stderr)
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, r)
	}
	return r
}
