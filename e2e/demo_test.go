package e2e

import (
	"os"
	ossignal "os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// demo starts the demo without a terminal, with everything it writes below a folder.
func demo(w *world, parley string, more ...string) *process {
	w.Helper()
	return launch(w, append(w.env("AUTO=1", "PARLEY="+parley), more...), "sh", "demo.sh")
}

// leavesNothing checks that no file of the demo is left, nor a process that works in its folder.
func leavesNothing(w *world) {
	w.Helper()
	left, err := filepath.Glob(filepath.Join(w.dir, "parley-demo.*"))
	if err != nil || len(left) > 0 {
		w.Errorf("the demo leaves %q (%v)", left, err)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(commands) == 0 {
		w.Skip("this system does not show its processes")
	}
	for _, path := range commands {
		line, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(line), filepath.Join(w.dir, "parley-demo.")) {
			w.Errorf("the demo leaves %s: %q", path, line)
		}
	}
}

func TestDemoPlaysItsSceneAndLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	play := demo(w, w.parley)
	if code := play.wait(); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	for _, line := range []string{"alice$ parley send bob hello Bob", "bob$ parley history alice", "kept by both"} {
		if !strings.Contains(play.stdout.String(), line) {
			t.Errorf("the transcript has no %q", line)
		}
	}
	leavesNothing(w)
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "terminated": syscall.SIGTERM, "hung up": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if ossignal.Ignored(signal) {
				t.Skip("whoever started these tests made them deaf to it, and so is every shell below")
			}
			w := newWorld(t)
			play := demo(w, w.parley)
			await(t, commandTime, "the demo is under way", func() bool { return strings.Contains(play.stdout.String(), "alice$ ") || !play.running() })
			play.says(play.stdout, "alice$ ")
			if err := syscall.Kill(-play.pid(), signal); err != nil { // the whole group, as a terminal does
				t.Fatal(err)
			}
			if code := play.wait(); code != 128+int(signal) {
				t.Errorf("the demo ended with %d", code)
			}
			leavesNothing(w)
		})
	}
}

// A demo that is not lived up to has to say so: here Bob's answers get lost.
func TestDemoFailsWhenAnAnswerDoesNotCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mute := filepath.Join(w.dir, "parley")
	script := "#!/bin/sh\ncase \"$*\" in *'send alice'*) exit 0 ;; esac\nexec '" + w.parley + "' \"$@\"\n"
	if err := os.WriteFile(mute, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	play := demo(w, mute)
	if code := play.wait(); code != 1 {
		t.Errorf("the demo ended with %d", code)
	}
	if said := play.stderr.String(); !strings.Contains(said, "Bob's answer did not come") {
		t.Errorf("the demo says %q", said)
	}
	leavesNothing(w)
}

func TestDemoWithoutATerminalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := command(t, w.env("PARLEY="+w.parley), nil, "sh", "demo.sh")
	if r.code != 2 || !strings.Contains(r.stderr, "AUTO=1") {
		t.Error(r)
	}
	leavesNothing(w)
}
