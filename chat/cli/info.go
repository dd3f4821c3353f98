package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

func (a *App) infoCommand() *cli.Command {
	return &cli.Command{
		Name: "info", Category: "CHAT", Usage: "say where a message is, and how it got there", ArgsUsage: "MESSAGE",
		Description: "MESSAGE is the id that send --json, recv --json and history --json print.\n" +
			"Attempts to reach a device, and when the next is, only the node knows that makes them.",
		Flags:  []cli.Flag{jsonFlag(), passphraseFlag()},
		Action: a.info,
	}
}

func (a *App) info(c *cli.Context) (err error) {
	word, err := oneWord(c, "the message")
	if err != nil {
		return err
	}
	id, err := chat.ParseMessageID(word)
	if err != nil {
		return argv.Usage(fmt.Sprintf("%.60q is no id of a message", word), "parley history NAME --json")
	}
	r, err := a.reader(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	found, err := r.Info(c.Context, id)
	if err != nil {
		return err
	}
	contacts, err := r.Contacts(c.Context)
	if err != nil {
		return err
	}
	info := show.OneInfo(found, contacts)
	if c.Bool("json") {
		return show.JSON(a.Stdout, info)
	}
	return show.WriteInfo(a.Stdout, info, time.Now())
}
