package cli

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"parley/chat/cli/argv"
)

// groupHelp is the help about a command that has others below it.
const groupHelp = `NAME:
   {{.HelpName}} - {{.Usage}}

USAGE:
   {{.HelpName}} COMMAND [command options]

COMMANDS:{{range .Subcommands}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}
`

func (a *App) helpCommand() *cli.Command {
	return &cli.Command{
		Name: "help", Category: "SETUP", Usage: "say what there is, or more about a command", ArgsUsage: "[COMMAND]",
		Action: func(c *cli.Context) error { return a.help(c, a.Stdout, c.Args().Slice()) },
	}
}

// noCommand is what parley and its groups do when no command is named: help a person, and tell a script of its mistake.
func (a *App) noCommand(c *cli.Context) error {
	var group []string
	name := "parley"
	if len(c.Lineage()) > 2 {
		group = []string{c.Command.Name}
		name += " " + c.Command.Name
	}
	if a.isTerminal(a.Stdout) {
		return a.help(c, a.Stdout, group)
	}
	if err := a.help(c, a.Stderr, group); err != nil {
		return err
	}
	return argv.Usage("no command was named", name+" --help")
}

// help writes help about a command, or about all for none.
func (a *App) help(c *cli.Context, w io.Writer, path []string) error {
	if len(path) == 0 {
		cli.HelpPrinter(w, cli.AppHelpTemplate, c.App)
		return nil
	}
	var about *cli.Command
	among := c.App.Commands
	for _, name := range path {
		about = nil
		for _, candidate := range among {
			if candidate.HasName(name) {
				about = candidate
			}
		}
		if about == nil {
			return argv.Usage(fmt.Sprintf("there is no command %q to help with", name), "parley --help")
		}
		among = about.Subcommands
	}
	template := cli.CommandHelpTemplate
	if len(about.Subcommands) > 0 {
		template = groupHelp
	}
	cli.HelpPrinter(w, template, about)
	return nil
}
