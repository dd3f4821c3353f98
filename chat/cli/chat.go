package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"parley/chat/cli/argv"
	"parley/chat/cli/line"
	"parley/chat/cli/talk"
	"parley/chat/home"
)

func (a *App) chatCommand() *cli.Command {
	return &cli.Command{
		Name: "chat", Category: "SETUP", Usage: "chat; attaches to the running node, or runs one", ArgsUsage: "[TARGET]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "ascii", Usage: "draw with ASCII signs only"},
			passphraseFlag(),
		},
		Action: a.chat,
	}
}

func (a *App) chat(c *cli.Context) (err error) {
	if c.NArg() > 1 {
		return argv.Usage(fmt.Sprintf("%q after the contact is one too many", c.Args().Get(1)), "parley chat --help")
	}
	in, out, err := a.screen()
	if err != nil {
		return err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	o, err := a.nodeOptions(c, h)
	if err != nil {
		return err
	}
	logs := &logLines{}
	logs.to.Store(&a.Stderr)
	o.Log.Writer = logs
	node, err := a.attachWith(c, h, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	s, err := talk.New(c.Context, talk.Options{
		Node: node, Own: node.own(), Up: try(c, "up"), Version: a.Version.Version, Target: c.Args().First(),
		Style: a.style(c.Bool("ascii")), In: in, Out: out,
	})
	if err != nil {
		return err
	}
	defer logs.to.Store(&a.Stderr) // runs after the terminal is given back
	return s.Run(c.Context, logs.above)
}

// screen returns the terminal to chat on. Without one there is nobody to chat with.
func (a *App) screen() (in, out *os.File, err error) {
	in, ok1 := a.Stdin.(*os.File)
	out, ok2 := a.Stdout.(*os.File)
	if !ok1 || !ok2 || !a.isTerminal(in) || !a.isTerminal(out) {
		return nil, nil, argv.Usage("chat needs a terminal; scripts use send and recv", "parley recv --help")
	}
	return in, out, nil
}

// logLines is where the chat's own node logs: above the prompt, once there is one.
type logLines struct {
	to atomic.Pointer[io.Writer]
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) { return (*l.to.Load()).Write(p) }

// above sends what is logged from now on above a prompt.
func (l *logLines) above(e line.Editor) {
	var w io.Writer = printer{e}
	l.to.Store(&w)
}

// printer is an editor that can be written to.
type printer struct{ line.Editor }

// Write implements io.Writer.
func (p printer) Write(text []byte) (int, error) {
	p.Print(string(text))
	return len(text), nil
}
