package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/line"
	"parley/chat/cli/show"
	"parley/chat/home"
)

// exitCode returns the exit code of an error's code. They are part of the interface to scripts: never change one.
func exitCode(code chat.Code) int {
	switch code {
	case chat.CodeInvalid:
		return 2
	case chat.CodeConfig:
		return 3
	case chat.CodeUnavailable:
		return 4
	case chat.CodeTarget:
		return 5
	case chat.CodeIdentity:
		return 6
	case chat.CodeNotReached:
		return 7
	case chat.CodeRefused, chat.CodeIDReused:
		return 8
	case chat.CodeLimit:
		return 9
	case chat.CodeLocked:
		return 10
	}
	return 1
}

// report prints an error as people read it and returns the exit code. What it says to run is for the home that was named.
func (a *App) report(ctx context.Context, err error, named string) int {
	if err == nil {
		return 0
	}
	cause, by := context.Cause(ctx), interruption{}
	if errors.Is(err, line.ErrInterrupt) { // ^C at a question: a terminal that we have taken over sends no signal
		cause = interruption{unix.SIGINT}
	}
	if errors.As(cause, &by) && chat.CodeOf(err) != chat.CodeNotReached {
		fmt.Fprintln(a.Stderr, "parley:", by)
		return 128 + int(by.signal)
	}
	fmt.Fprintln(a.Stderr, "parley:", show.Line(err.Error()))
	var e *chat.Error
	if errors.As(err, &e) && e.Try != "" {
		fmt.Fprintln(a.Stderr, "  try:", show.Line(onHome(e.Try, named)))
	}
	return exitCode(chat.CodeOf(err))
}

// onHome makes a command line one for the home that was named, as far as it is one of ours and needs a home.
func onHome(command, named string) string {
	rest, ours := strings.CutPrefix(command, "parley ")
	if named == "" || !ours || strings.HasPrefix(rest, "--home ") || strings.HasSuffix(rest, "--help") {
		return command
	}
	return home.Command(named, rest)
}

// usageError takes what the library says about a flag's value.
func usageError(c *cli.Context, err error, _ bool) error {
	return argv.Usage(err.Error(), strings.TrimSpace(c.Command.HelpName+" --help"))
}

// interruption is why a context ended when somebody sent a signal.
type interruption struct{ signal unix.Signal }

func (i interruption) Error() string {
	if i.signal == unix.SIGINT {
		return "interrupted"
	}
	return "terminated"
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM. The second one has its usual effect. Call stop when
// the command is done.
func untilSignal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	var watch sync.WaitGroup
	watch.Go(func() {
		if s, ok := (<-signals).(unix.Signal); ok {
			signal.Stop(signals)
			cancel(interruption{s})
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		watch.Wait()
		cancel(nil)
	}
}
