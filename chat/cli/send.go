package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

func (a *App) sendCommand() *cli.Command {
	return &cli.Command{
		Name: "send", Category: "CHAT", Usage: "send a message", ArgsUsage: "TARGET [TEXT…|-]",
		Description: "The text is what follows TARGET, or standard input. Text that begins with a dash goes after --.\n" +
			"The message is kept until it is delivered, whether a node runs or not; where none runs, one runs for up to 2 s.\n" +
			"With --lines all of them are queued before --wait and --timeout begin to count, for all together; blank lines are passed over.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "wait", Usage: "wait until it is `none|sent|delivered|read`", Value: "none"},
			&cli.DurationFlag{Name: "timeout", Usage: "how long to wait; then exit with 7", Value: waitDefault},
			&cli.StringFlag{Name: "id", Usage: "a `CLIENT_ID` of your own: the same one is never sent twice"},
			&cli.BoolFlag{Name: "lines", Usage: "send each line of standard input as a message; prints JSON for each once it is queued"},
			jsonFlag(), passphraseFlag(),
		},
		Action: a.send,
	}
}

func (a *App) send(c *cli.Context) (err error) {
	wait, err := waitState(c.String("wait"))
	if err != nil {
		return err
	}
	if c.Bool("lines") {
		return a.sendLines(c, wait)
	}
	text, err := a.text(c)
	if err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	to, err := resolve(c, node, c.Args().First())
	if err != nil {
		return err
	}
	m, err := node.Send(c.Context, chat.Draft{Conversation: to.Conversation, Text: text, ClientID: c.String("id")})
	if err != nil {
		return err
	}
	m, err = follow(c, node, m, wait)
	return errors.Join(a.printSent(c, to, m), explain(c, node, to, m, wait, err))
}

func waitState(s string) (chat.State, error) {
	switch state := chat.State(s); state {
	case "none":
		return "", nil
	case chat.StateSent, chat.StateDelivered, chat.StateRead:
		return state, nil
	}
	return "", argv.Usage(fmt.Sprintf("--wait %s: want none, sent, delivered or read", s), "parley send --help")
}

// text returns the message: the arguments behind the target, or standard input.
func (a *App) text(c *cli.Context) (string, error) {
	if c.NArg() == 0 {
		return "", argv.Usage("the contact is missing", "parley send --help")
	}
	words := c.Args().Tail()
	text := strings.Join(words, " ")
	switch {
	case slices.Equal(words, []string{"-"}), len(words) == 0 && !a.isTerminal(a.Stdin):
		b, err := io.ReadAll(io.LimitReader(a.Stdin, chat.MaxText+2)) // a line end more than may be sent, and one byte to tell
		if err != nil {
			return "", fmt.Errorf("read the text: %w", err)
		}
		text = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	case len(words) == 0:
		return "", argv.Usage("the text is missing", "parley send --help")
	}
	return text, argv.CheckText(text)
}

// follow waits for the state that was asked for. Where none was, a node of our own still gets a moment to hand the message over.
func follow(c *cli.Context, node *attached, m chat.Message, wait chat.State) (chat.Message, error) {
	timeout := c.Duration("timeout")
	if wait == "" {
		if !node.own() {
			return m, nil
		}
		wait, timeout = chat.StateSent, sendGrace
	}
	ctx, cancel := context.WithTimeout(c.Context, timeout)
	defer cancel()
	now, err := node.Wait(ctx, m.ID, wait)
	if now.ID.IsZero() { // the node went away; what we know is what it said first
		return m, err
	}
	return now, err
}

// explain turns the end of follow into what people need to know: that the message is safe, and what it waits for.
func explain(c *cli.Context, node *attached, to chat.Contact, m chat.Message, wait chat.State, err error) error {
	if err == nil || chat.CodeOf(err) == chat.CodeRefused {
		return err
	}
	if wait == "" { // it was queued durably, which is all that was asked for
		return nil
	}
	if chat.CodeOf(err) != chat.CodeNotReached && c.Err() == nil {
		return err
	}
	why := fmt.Sprintf("%s has not answered", to.Name)
	if m.Reason != "" {
		why = m.Reason
	}
	next, helps := "It will be sent automatically while a node runs", "up"
	if !node.own() {
		next, helps = "It will be sent automatically", "info "+m.ID.String()
		if st, err := node.Status(c.Context); err == nil && out(st) {
			next, helps = "It will be sent once this device is on its network again", "doctor"
		}
	}
	if m.State == chat.StateSent {
		next = "Others keep it for the recipient's device until that fetches it"
	}
	return &chat.Error{
		Code:   chat.CodeNotReached,
		Detail: fmt.Sprintf("%s, not %s %s: %s. %s", m.State, wait, within(c), why, next),
		Try:    try(c, helps),
	}
}

func (a *App) printSent(c *cli.Context, to chat.Contact, m chat.Message) error {
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.SentMessage(m))
	}
	if a.isTerminal(a.Stderr) {
		fmt.Fprintf(a.Stderr, "%s to %s\n", m.State, show.Line(to.Name))
	}
	return nil
}
