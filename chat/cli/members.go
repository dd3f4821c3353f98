package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/show"
)

func (a *App) membersCommand() *cli.Command {
	return &cli.Command{
		Name: "members", Usage: "list the devices that this one has let in or met on the network",
		Description: "With --json one object a line: name, account, device, invite, since, revoked.",
		Flags:       []cli.Flag{jsonFlag(), passphraseFlag()},
		Action:      a.members,
	}
}

func (a *App) revokeMemberCommand() *cli.Command {
	return &cli.Command{
		Name: "revoke-member", Usage: "throw somebody out of the network, for good", ArgsUsage: "NAME|ACCOUNT",
		Description: "Only the device that made the network can. Every device of the account that is known here is shut out by all members,\n" +
			"as soon as they hear of it. Whom it has invited stays, as far as this device has met them.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "with-invited", Usage: "throw out whom they invited too, and so on"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			passphraseFlag(),
		},
		Action: a.revokeMember,
	}
}

// listed does something with a list that a node has.
func (a *App) listed(c *cli.Context, do func(node *attached) error) (err error) {
	if err := noWords(c); err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	return do(node)
}

func (a *App) members(c *cli.Context) error {
	return a.listed(c, func(node *attached) error {
		members, err := node.Members(c.Context)
		if err != nil {
			return err
		}
		if !c.Bool("json") {
			k, err := node.KeyRotation(c.Context)
			if err != nil {
				return err
			}
			return show.WriteMembers(a.Stdout, members, k.Behind)
		}
		for _, m := range members {
			if err := show.JSON(a.Stdout, show.OneMember(m)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *App) revokeMember(c *cli.Context) error {
	return a.withNode(c, "who is to go", func(node *attached, word string) error {
		members, err := node.Members(c.Context)
		if err != nil {
			return err
		}
		account, err := findMember(word, members)
		if err != nil {
			return err
		}
		who, network := named(account, members), node.home.Network()
		question := fmt.Sprintf("Remove %s from %s for good?", who, network.Network)
		if c.Bool("with-invited") {
			question = fmt.Sprintf("Remove %s from %s for good, and whom they have invited, and so on?", who, network.Network)
		}
		if err := a.sure(c, question); err != nil {
			return err
		}
		if err := node.RevokeMember(c.Context, account, c.Bool("with-invited")); err != nil {
			return err
		}
		now, err := node.Members(c.Context)
		if err != nil {
			return err
		}
		for _, gone := range append([]string{who}, fallen(account, members, now)...) {
			fmt.Fprintf(a.Stdout, "%s is no member of %s any more, as soon as the others hear of it\n", gone, network.Network)
		}
		if node.own() {
			fmt.Fprintf(a.Stderr, "parley: the others hear of it once a node runs here: %s\n", try(c, "up"))
		}
		if network.PSK != nil {
			fmt.Fprintf(a.Stderr, "parley: they are shut out, and have the network's key still: %s makes it worthless\n", try(c, "net rotate-key"))
		}
		return nil
	})
}

// named writes an account, with the name that it has here.
func named(account chat.AccountID, members []chat.Member) string {
	for _, m := range members {
		if m.Account == account && m.Name != "" {
			return show.Line(m.Name) + " " + account.Short()
		}
	}
	return account.Short()
}

// fallen names whom somebody's removal has taken along.
func fallen(account chat.AccountID, before, now []chat.Member) (all []string) {
	for i, m := range now {
		same := func(other chat.Member) bool { return other.Account == m.Account && other.Revoked }
		if m.Revoked && m.Account != account && !slices.ContainsFunc(before, same) && !slices.ContainsFunc(now[:i], same) {
			all = append(all, named(m.Account, now))
		}
	}
	return all
}

// findMember returns the account that a word names: a name as we know it, or an account's id, in full or short. It never picks.
func findMember(word string, members []chat.Member) (chat.AccountID, error) {
	found := map[chat.AccountID]bool{}
	for _, m := range members {
		id := strings.ToLower(word)
		if m.Name != "" && strings.EqualFold(m.Name, word) || m.Account.String() == id || m.Account.Short() == id {
			found[m.Account] = true
		}
	}
	if len(found) > 1 {
		return chat.AccountID{}, &chat.Error{Code: chat.CodeTarget, Detail: fmt.Sprintf("more than one member is called %q", word), Try: "parley net members"}
	}
	for account := range found {
		return account, nil
	}
	return chat.AccountID{}, &chat.Error{Code: chat.CodeTarget, Detail: fmt.Sprintf("%.80q names no member that is known here", word), Try: "parley net members"}
}

func (a *App) invites(c *cli.Context) error {
	return a.listed(c, func(node *attached) error {
		invites, err := node.Invites(c.Context)
		if err != nil {
			return err
		}
		if !c.Bool("json") {
			members, err := node.Members(c.Context)
			if err != nil {
				return err
			}
			return show.WriteInvites(a.Stdout, invites, members)
		}
		for _, i := range invites {
			if err := show.JSON(a.Stdout, show.OneInvite(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *App) revokeInvite(c *cli.Context) error {
	if word := c.Args().First(); c.NArg() == 1 {
		if err := chat.CheckInviteID(word); err != nil {
			return err
		}
	}
	return a.withNode(c, "the invite's id", func(node *attached, id string) error {
		if err := node.RevokeInvite(c.Context, id); err != nil {
			return err
		}
		_, err := fmt.Fprintln(a.Stdout, "that invite lets nobody in any more")
		return err
	})
}
