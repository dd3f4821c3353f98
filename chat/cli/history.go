package cli

import (
	"bufio"
	"errors"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
	"parley/chat/cli/talk"
)

func (a *App) historyCommand() *cli.Command {
	return &cli.Command{
		Name: "history", Category: "CHAT", Usage: "show what was said, oldest first", ArgsUsage: "TARGET",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "limit", Usage: "show the last `N` messages; 0 shows all", Value: historyDefault},
			jsonFlag(), passphraseFlag(),
		},
		Action: a.history,
	}
}

func (a *App) history(c *cli.Context) (err error) {
	target, err := oneWord(c, "the contact")
	if err != nil {
		return err
	}
	if c.Int("limit") < 0 {
		return argv.Usage("--limit is negative", "parley history --help")
	}
	r, err := a.reader(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	contacts, err := r.Contacts(c.Context)
	if err != nil {
		return err
	}
	contact, err := argv.Resolve(contacts, target)
	if err != nil {
		return err
	}
	messages, err := talk.Last(c.Context, r, contact.Conversation, c.Int("limit"))
	if err != nil {
		return err
	}
	return a.printHistory(c, contacts, messages)
}

func (a *App) printHistory(c *cli.Context, contacts []chat.Contact, messages []chat.Message) error {
	lines := show.NewMessages(contacts, a.style(false))
	w := bufio.NewWriter(a.Stdout)
	for _, m := range messages {
		var err error
		if c.Bool("json") {
			err = show.JSON(w, lines.Kept(m))
		} else {
			_, err = w.WriteString(lines.Lines(m))
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}
