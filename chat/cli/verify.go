package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

func (a *App) verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "show the safety number that you compare with a contact, or say what came of it", ArgsUsage: "NAME",
		Description: "Compare it by voice or in person: it is the same on both sides, or somebody sits in between.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "ok", Usage: "it is the same: they are verified"},
			&cli.BoolFlag{Name: "mismatch", Usage: "it is not: nothing is sent to them until it is"},
			jsonFlag(), passphraseFlag(),
		},
		Action: a.verify,
	}
}

func (a *App) verify(c *cli.Context) error {
	if c.Bool("ok") && c.Bool("mismatch") {
		return argv.Usage("--ok and --mismatch exclude each other", "parley contact verify --help")
	}
	if c.Bool("ok") || c.Bool("mismatch") {
		return a.verified(c)
	}
	contact, number, err := a.contactOf(c)
	switch {
	case err != nil:
		return err
	case c.Bool("json"):
		return show.JSON(a.Stdout, show.OneSafety(contact, number))
	case !a.isTerminal(a.Stdout):
		_, err = fmt.Fprintln(a.Stdout, number)
		return err
	}
	return a.printSafety(c, contact, number)
}

// printSafety shows a safety number to a person.
func (a *App) printSafety(c *cli.Context, contact chat.Contact, number chat.Safety) error {
	var b strings.Builder
	name, groups := show.Line(contact.Name), number.Groups()
	fmt.Fprintf(&b, "Safety number for you and %s; compare it by voice or in person:\n\n", name)
	for i := 0; i < len(groups); i += 4 {
		fmt.Fprintf(&b, "   %s\n", strings.Join(groups[i:i+4], " "))
	}
	if style := a.style(false); !style.ASCII {
		code, err := show.QR(number.Code(), style)
		if err != nil {
			return err
		}
		b.WriteString("\n" + code)
	}
	verify := "contact verify " + contact.Account.Short()
	fmt.Fprintf(&b, "\nThe same on both sides?  %s --ok\nAnother there?           %s --mismatch\n", try(c, verify), try(c, verify))
	_, err := fmt.Fprint(a.Stdout, b.String())
	return err
}

// verified notes what a person found out.
func (a *App) verified(c *cli.Context) error {
	return a.withNode(c, "the contact", func(node *attached, target string) error {
		contact, err := resolve(c, node, target)
		if err != nil {
			return err
		}
		trust, outcome := chat.TrustVerified, "is verified on this device"
		if c.Bool("mismatch") {
			trust, outcome = chat.TrustMismatch, "is not who they seem: nothing is sent to them until the numbers match"
		}
		if contact, err = node.SetTrust(c.Context, contact.Account, trust); err != nil {
			return err
		}
		if c.Bool("json") {
			return show.JSON(a.Stdout, show.OneContact(contact))
		}
		_, err = fmt.Fprintf(a.Stdout, "%s %s %s\n", show.Line(contact.Name), contact.Account.Short(), outcome)
		return err
	})
}

func (a *App) introduceCommand() *cli.Command {
	return &cli.Command{
		Name: "introduce", Usage: "tell one contact of another, whom you have verified", ArgsUsage: "NAME TO",
		Flags:  []cli.Flag{passphraseFlag()},
		Action: a.introduceContact,
	}
}

func (a *App) introduceContact(c *cli.Context) (err error) {
	if c.NArg() != 2 {
		return argv.Usage("two contacts are needed: whom to introduce, and to whom", "parley contact introduce --help")
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	who, err := resolve(c, node, c.Args().Get(0))
	if err != nil {
		return err
	}
	to, err := resolve(c, node, c.Args().Get(1))
	if err != nil {
		return err
	}
	if err := node.Introduce(c.Context, who.Account, to.Account); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.Stdout, "%s is told of %s\n", show.Line(to.Name), show.Line(who.Name)); err != nil {
		return err
	}
	if node.own() {
		linger(c.Context)
	}
	return nil
}
