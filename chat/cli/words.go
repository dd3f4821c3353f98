package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"parley/chat/cli/argv"
)

// noWords refuses arguments of a command that takes none.
func noWords(c *cli.Context) error {
	if c.NArg() > 0 {
		return argv.Usage(fmt.Sprintf("%s takes no %q", c.Command.HelpName, c.Args().First()), c.Command.HelpName+" --help")
	}
	return nil
}

// oneWord returns the only argument of a command that takes one.
func oneWord(c *cli.Context, what string) (string, error) {
	switch {
	case c.NArg() == 0:
		return "", argv.Usage(what+" is missing", c.Command.HelpName+" --help")
	case c.NArg() > 1:
		return "", argv.Usage(fmt.Sprintf("%q after %s is one too many", c.Args().Get(1), what), c.Command.HelpName+" --help")
	}
	return c.Args().First(), nil
}
