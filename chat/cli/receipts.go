package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

func (a *App) receiptsCommand() *cli.Command {
	return &cli.Command{
		Name: "receipts", Category: "CHAT", Usage: "say whether others learn what you have read", ArgsUsage: "on|off",
		Description: "What you read while they are off is never told, and nobody is told that they are off. status says how it is.\n" +
			"contact receipts says it of one contact alone.",
		Flags:  []cli.Flag{passphraseFlag()},
		Action: a.receipts,
	}
}

func (a *App) contactReceiptsCommand() *cli.Command {
	return &cli.Command{
		Name: "receipts", Usage: "say whether somebody learns what you have read", ArgsUsage: "NAME on|off|default",
		Flags:  []cli.Flag{passphraseFlag()},
		Action: a.contactReceipts,
	}
}

func (a *App) receipts(c *cli.Context) error {
	return a.withNode(c, "on or off", func(node *attached, word string) error {
		set, ok := receiptWords()[word]
		if !ok || set == chat.ReceiptsDefault {
			return argv.Usage(fmt.Sprintf("%q: want on or off", word), "parley receipts --help")
		}
		if err := node.SetReceipts(c.Context, chat.AccountID{}, set); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.Stdout, "read receipts are %s\n", word)
		return err
	})
}

// receiptWords are what people call what they say of receipts.
func receiptWords() map[string]chat.Receipts {
	return map[string]chat.Receipts{"on": chat.ReceiptsOn, "off": chat.ReceiptsOff, "default": chat.ReceiptsDefault}
}

func (a *App) contactReceipts(c *cli.Context) (err error) {
	if c.NArg() != 2 {
		return argv.Usage("want a contact, and on, off or default", "parley contact receipts --help")
	}
	word := c.Args().Get(1)
	set, ok := receiptWords()[word]
	if !ok {
		return argv.Usage(fmt.Sprintf("%q: want on, off or default", word), "parley contact receipts --help")
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	contact, err := resolve(c, node, c.Args().First())
	if err != nil {
		return err
	}
	if err := node.SetReceipts(c.Context, contact.Account, set); err != nil {
		return err
	}
	if set == chat.ReceiptsDefault {
		word = "as for everybody"
	}
	_, err = fmt.Fprintf(a.Stdout, "read receipts to %s are %s\n", show.Line(contact.Name), word)
	return err
}
