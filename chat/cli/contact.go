package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
	"parley/chat/home"
)

func (a *App) contactCommand() *cli.Command {
	return &cli.Command{
		Name: "contact", Category: "CONTACTS", Usage: "the people you know",
		Action: a.noCommand,
		Subcommands: []*cli.Command{
			{
				Name: "link", Usage: "print the link with which others ask to be your contacts",
				Flags: append(codeFlags(),
					&cli.BoolFlag{Name: "reset", Usage: "make a new one; older links and unused invites reach you no more"}, jsonFlag()),
				Action: a.contactLink,
			},
			{
				Name: "add", Usage: "add somebody by their link", ArgsUsage: "LINK|-",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "as", Usage: "call them `NAME`"},
					&cli.BoolFlag{Name: "replace", Usage: "give them a name that another contact has"},
					jsonFlag(), passphraseFlag(),
				},
				Action: a.contactAdd,
			},
			{
				Name: "list", Usage: "list your contacts",
				Flags:  []cli.Flag{jsonFlag(), passphraseFlag()},
				Action: a.contactList,
			},
			{
				Name: "show", Usage: "show one of them", ArgsUsage: "NAME",
				Flags:  []cli.Flag{jsonFlag(), passphraseFlag()},
				Action: a.contactShow,
			},
			{
				Name: "remove", Usage: "forget somebody and everything that was said, for good", ArgsUsage: "NAME",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}, passphraseFlag(),
				},
				Action: a.contactRemove,
			},
			a.requestsCommand(), a.acceptCommand(), a.rejectCommand(), a.blockCommand(), a.unblockCommand(), a.contactReceiptsCommand(),
			a.verifyCommand(), a.introduceCommand(),
		},
	}
}

func (a *App) contactLink(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	h, client, err := a.dialed(c)
	if h == nil {
		return err
	}
	if client != nil {
		defer client.Close()
	}
	_, err = a.linked(c, h.Network().Network, func() (chat.InviteLink, error) { return a.ownLink(c, h, client) })
	return err
}

// ownLink returns our contact link, as it is or renewed, of the node where one runs.
func (a *App) ownLink(c *cli.Context, h *home.Home, client *api.Client) (chat.InviteLink, error) {
	reset := c.Bool("reset")
	if reset {
		defer fmt.Fprintln(a.Stderr, "Links and unused invites from before reach you no more.")
	}
	switch {
	case client != nil && reset:
		return client.ResetContactLink(c.Context)
	case client != nil:
		return client.ContactLink(c.Context)
	case reset:
		release, err := h.Lock(c.Context, lockWait)
		if err != nil {
			return chat.InviteLink{}, err
		}
		if err := errors.Join(h.RenewLinks(), release()); err != nil {
			return chat.InviteLink{}, err
		}
	}
	return linkFromHome(h), nil
}

// linkFromHome makes our contact link without a node. It names the network's seeds; a node would name itself first.
func linkFromHome(h *home.Home) chat.InviteLink {
	p, n := h.Profile(), h.Network()
	card := chat.Invite{
		Kind: chat.InviteContact, Network: chat.Network{ID: n.ID}, Seeds: n.Seeds, Account: p.Account, Name: p.Name, Token: h.LinkKey().Contact(),
	}
	return chat.InviteLink{Link: card.String(), Network: n.Name}
}

func (a *App) contactAdd(c *cli.Context) (err error) {
	arg, err := oneWord(c, "the link")
	if err != nil {
		return err
	}
	link, err := a.link(c.Context, arg)
	if err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	add := node.AddContact
	if c.Bool("replace") {
		add = node.ReplaceContact
	}
	contact, err := add(c.Context, link, c.String("as"))
	if err != nil {
		return err
	}
	if err := a.printAdded(c, contact); err != nil {
		return err
	}
	if node.own() {
		linger(c.Context)
	}
	return nil
}

func (a *App) printAdded(c *cli.Context, contact chat.Contact) error {
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.OneContact(contact))
	}
	_, err := fmt.Fprintf(a.Stdout, "%s %s is a contact\n", show.Line(contact.Name), contact.Account.Short())
	return err
}

// linger gives a node of our own the time to hand over what was queued. What does not leave stays queued.
func linger(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(sendGrace):
	}
}

func (a *App) contactList(c *cli.Context) (err error) {
	if err := noWords(c); err != nil {
		return err
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
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.AllContacts(contacts))
	}
	if len(contacts) == 0 {
		_, err := fmt.Fprintf(a.Stderr, "No contacts yet. Add somebody by their link: %s\n", try(c, "contact add LINK"))
		return err
	}
	return show.WriteContacts(a.Stdout, contacts)
}

func (a *App) contactShow(c *cli.Context) error {
	contact, number, err := a.contactOf(c)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.OneContact(contact))
	}
	return show.WriteContact(a.Stdout, contact, number)
}

// contactOf returns the contact that the only argument names, and the safety number, of a node where one runs.
func (a *App) contactOf(c *cli.Context) (contact chat.Contact, n chat.Safety, err error) {
	target, err := oneWord(c, "the contact")
	if err != nil {
		return contact, "", err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return contact, "", err
	}
	r, err := a.reader(c)
	if err != nil {
		return contact, "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	contacts, err := r.Contacts(c.Context)
	if err != nil {
		return contact, "", err
	}
	contact, err = argv.Resolve(contacts, target)
	return contact, chat.SafetyNumber(h.Profile().Account, contact.Account), err
}

func (a *App) contactRemove(c *cli.Context) error {
	return a.withNode(c, "the contact", func(node *attached, target string) error {
		contact, err := resolve(c, node, target)
		if err != nil {
			return err
		}
		if err := a.sure(c, fmt.Sprintf("Forget %s %s and all messages? They cannot be had back.", show.Line(contact.Name), contact.Account.Short())); err != nil {
			return err
		}
		if err := node.RemoveContact(c.Context, contact.Account); err != nil {
			return err
		}
		fmt.Fprintf(a.Stderr, "parley: %s and everything that was said is forgotten\n", show.Line(contact.Name))
		return nil
	})
}
