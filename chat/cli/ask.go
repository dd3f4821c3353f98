package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/line"
)

// interactive reports whether somebody can be asked.
func (a *App) interactive() bool { return a.isTerminal(a.Stdin) && a.isTerminal(a.Stderr) }

// asker takes over the terminal until close.
func (a *App) asker(ctx context.Context) (_ *line.Asker, close func(), err error) {
	in, ok1 := a.Stdin.(*os.File)
	out, ok2 := a.Stderr.(*os.File)
	if !ok1 || !ok2 {
		return nil, nil, errors.New("open the terminal: the streams are no files")
	}
	e, err := line.Open(line.Options{In: in, Out: out})
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = e.Close() })
	return line.NewAsker(e), func() { stop(); _ = e.Close() }, nil
}

// answerable says what is missing where sure could not ask. Commands that run a node for their question look first.
func (a *App) answerable(c *cli.Context) error {
	if c.Bool("yes") || a.interactive() {
		return nil
	}
	return argv.Usage("-y is missing: there is no terminal to ask on", c.Command.HelpName+" --help")
}

// sure asks whether to do what cannot be taken back, unless -y has answered.
func (a *App) sure(c *cli.Context, question string) error {
	if err := a.answerable(c); err != nil || c.Bool("yes") {
		return err
	}
	q, done, err := a.asker(c.Context)
	if err != nil {
		return err
	}
	defer done()
	answer, err := q.Ask(question + " [y/N] ")
	if answer = strings.ToLower(answer); err == nil && answer != "y" && answer != "yes" {
		err = &chat.Error{Code: chat.CodeRefused, Detail: "nothing was changed"}
	}
	return err
}

func passphraseFlag() cli.Flag {
	return &cli.StringFlag{Name: "passphrase-file", Usage: "read the passphrase of the keys from `FILE` [$PARLEY_PASSPHRASE_FILE]"}
}

// passphraseFile returns the file that holds the passphrase, if one was named.
func passphraseFile(c *cli.Context) string {
	if file := c.String("passphrase-file"); file != "" {
		return file
	}
	return os.Getenv("PARLEY_PASSPHRASE_FILE")
}

// passphrase returns how to get the passphrase of the keys: from the file that was named, or from a person; nil where there is
// neither.
func (a *App) passphrase(c *cli.Context) func() ([]byte, error) {
	if file := passphraseFile(c); file != "" {
		return func() ([]byte, error) { return readSecret("the passphrase", file) }
	}
	if !a.interactive() {
		return nil
	}
	return func() ([]byte, error) {
		q, done, err := a.asker(c.Context)
		if err != nil {
			return nil, err
		}
		defer done()
		return q.Secret("Passphrase: ")
	}
}

// readSecret returns what a file holds, without the line end.
func readSecret(what, file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf("cannot read %s: %v", what, err)}
	}
	defer f.Close()
	secret, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return nil, &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf("cannot read %s: %v", what, err)}
	}
	secret = bytes.TrimRight(secret, "\r\n")
	if len(secret) == 0 {
		return nil, &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf("cannot read %s: %s is empty", what, file)}
	}
	return secret, nil
}
