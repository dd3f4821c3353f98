package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

func (a *App) requestsCommand() *cli.Command {
	return &cli.Command{
		Name: "requests", Usage: "list who wants to be your contact, and what they wrote",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "rejected", Usage: "list those whom you turned away"},
			jsonFlag(), passphraseFlag(),
		},
		Action: a.requests,
	}
}

func (a *App) acceptCommand() *cli.Command {
	return &cli.Command{
		Name: "accept", Usage: "make a contact of who asks", ArgsUsage: "ID|NAME",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "as", Usage: "call them `NAME`"}, jsonFlag(), passphraseFlag()},
		Action: a.accept,
	}
}

func (a *App) rejectCommand() *cli.Command {
	return &cli.Command{
		Name: "reject", Usage: "turn who asks away, without a word", ArgsUsage: "ID|NAME",
		Flags:  []cli.Flag{passphraseFlag()},
		Action: a.reject,
	}
}

func (a *App) blockCommand() *cli.Command {
	return &cli.Command{
		Name: "block", Usage: "silence a contact; they are not told", ArgsUsage: "NAME",
		Flags:  []cli.Flag{passphraseFlag()},
		Action: a.block,
	}
}

func (a *App) unblockCommand() *cli.Command {
	return &cli.Command{
		Name: "unblock", Usage: "let somebody write again whom you blocked or turned away", ArgsUsage: "ID|NAME",
		Flags:  []cli.Flag{passphraseFlag()},
		Action: a.unblock,
	}
}

// withNode does something with a node and the only argument of a command. A node of our own stays for a moment after it.
func (a *App) withNode(c *cli.Context, what string, do func(node *attached, target string) error) (err error) {
	target, err := oneWord(c, what)
	if err == nil && c.Value("yes") != nil { // a command that asks
		err = a.answerable(c)
	}
	if err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := do(node, target); err != nil {
		return err
	}
	if node.own() {
		linger(c.Context)
	}
	return nil
}

func (a *App) requests(c *cli.Context) (err error) {
	if err := noWords(c); err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	all, err := node.Requests(c.Context)
	if err != nil {
		return err
	}
	wanted := chat.RequestPending
	if c.Bool("rejected") {
		wanted = chat.RequestRejected
	}
	var requests []chat.Request
	for _, r := range all {
		if r.State == wanted {
			requests = append(requests, r)
		}
	}
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.AllRequests(requests))
	}
	return a.printRequests(c, wanted, requests)
}

func (a *App) printRequests(c *cli.Context, state chat.RequestState, requests []chat.Request) error {
	for _, r := range requests {
		if _, err := fmt.Fprint(a.Stdout, a.style(false).Request(r)); err != nil {
			return err
		}
	}
	switch {
	case len(requests) == 0 && state == chat.RequestPending:
		fmt.Fprintln(a.Stderr, "Nobody waits for an answer.")
	case len(requests) == 0:
		fmt.Fprintln(a.Stderr, "You have turned nobody away.")
	case state == chat.RequestPending:
		id := requests[0].Account.Short()
		fmt.Fprintf(a.Stderr, "Answer with: %s\n        or:  %s\n", try(c, "contact accept "+id), try(c, "contact reject "+id))
	}
	return nil
}

func (a *App) accept(c *cli.Context) error {
	return a.withNode(c, "who asks", func(node *attached, target string) error {
		r, err := asking(c, node, chat.RequestPending, target)
		if err != nil {
			return err
		}
		contact, err := node.AcceptRequest(c.Context, r.Account, c.String("as"))
		if err != nil {
			return err
		}
		return a.printAdded(c, contact)
	})
}

// asking finds who asked to be a contact.
func asking(c *cli.Context, node *attached, state chat.RequestState, target string) (chat.Request, error) {
	requests, err := node.Requests(c.Context)
	if err != nil {
		return chat.Request{}, err
	}
	return argv.ResolveRequest(requests, state, target)
}

func (a *App) reject(c *cli.Context) error {
	return a.withNode(c, "who asks", func(node *attached, target string) error {
		r, err := asking(c, node, chat.RequestPending, target)
		if err != nil {
			return err
		}
		if err := node.RejectRequest(c.Context, r.Account); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s is turned away\n", r.Account.Short())
		return err
	})
}

func (a *App) block(c *cli.Context) error {
	return a.withNode(c, "the contact", func(node *attached, target string) error {
		contact, err := resolve(c, node, target)
		if err != nil {
			return err
		}
		if contact, err = node.Block(c.Context, contact.Account); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s %s is blocked\n", show.Line(contact.Name), contact.Account.Short())
		return err
	})
}

// resolve finds a contact.
func resolve(c *cli.Context, node *attached, target string) (chat.Contact, error) {
	contacts, err := node.Contacts(c.Context)
	if err != nil {
		return chat.Contact{}, err
	}
	return argv.Resolve(contacts, target)
}

func (a *App) unblock(c *cli.Context) error {
	return a.withNode(c, "who is blocked", func(node *attached, target string) error {
		contact, err := resolve(c, node, target)
		account := contact.Account
		if chat.CodeOf(err) == chat.CodeTarget {
			if r, e := asking(c, node, chat.RequestRejected, target); e == nil {
				account, err = r.Account, nil
			}
		}
		if err != nil {
			return err
		}
		if err := node.Unblock(c.Context, account); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s may write to you\n", account.Short())
		return err
	})
}
