package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/show"
)

func (a *App) mailboxCommand() *cli.Command {
	change := []cli.Flag{passphraseFlag()}
	return &cli.Command{
		Name: "mailbox", Category: "NETWORK", Usage: "who keeps messages for this device while it is off",
		Action: a.noCommand,
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "list the hosts, and how each is doing", Flags: []cli.Flag{jsonFlag()}, Action: a.mailboxList},
			{
				Name: "add", Usage: "let a node keep them too, beside those there are", ArgsUsage: "HOST",
				Description: "HOST is a device id, an address that ends in one, or the last six characters or more of one that peers lists.\n" +
					"At most three hosts keep mailboxes. From then on they are what you say, until mailbox auto.",
				Flags: change, Action: a.mailboxAdd,
			},
			{Name: "remove", Usage: "let a node keep none any more", ArgsUsage: "HOST", Flags: change, Action: a.mailboxRemove},
			{Name: "auto", Usage: "let this node choose the hosts", Flags: change, Action: a.mailboxAuto},
		},
	}
}

func (a *App) mailboxList(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	_, client, err := a.dialed(c)
	if err != nil {
		return err
	}
	defer client.Close()
	boxes, err := client.Mailboxes(c.Context)
	switch {
	case err != nil:
		return err
	case c.Bool("json"):
		return show.JSON(a.Stdout, show.AllMailboxes(boxes))
	case len(boxes.Hosts) > 0:
		return show.WriteMailboxes(a.Stdout, boxes)
	}
	_, err = fmt.Fprintf(a.Stdout, "%s\n", show.NoMailboxes)
	if !boxes.Automatic {
		fmt.Fprintf(a.Stderr, "You have chosen that. Let the node choose: %s\n", try(c, "mailbox auto"))
	}
	return err
}

func (a *App) mailboxAdd(c *cli.Context) error {
	return a.withNode(c, "the host", func(node *attached, word string) error {
		boxes, err := node.Mailboxes(c.Context)
		if err != nil {
			return err
		}
		peers, err := node.Peers(c.Context)
		if err != nil {
			return err
		}
		host, err := findHost(word, hostsOf(boxes), peers)
		if err != nil {
			return err
		}
		hosts := hostsOf(boxes)
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
		if err := node.ChooseMailboxes(c.Context, hosts); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s keeps a mailbox for this device, as soon as it answers\n", host)
		return err
	})
}

func (a *App) mailboxRemove(c *cli.Context) error {
	return a.withNode(c, "the host", func(node *attached, word string) error {
		boxes, err := node.Mailboxes(c.Context)
		if err != nil {
			return err
		}
		host, err := findHost(word, hostsOf(boxes), nil)
		if err != nil {
			return err
		}
		hosts := hostsOf(boxes)
		if !slices.Contains(hosts, host) {
			return &chat.Error{Code: chat.CodeTarget, Detail: host.String() + " keeps no mailbox for this device", Try: "parley mailbox list"}
		}
		hosts = slices.DeleteFunc(hosts, func(h peer.ID) bool { return h == host })
		if err := node.ChooseMailboxes(c.Context, hosts); err != nil {
			return err
		}
		if len(hosts) == 0 {
			fmt.Fprintf(a.Stderr, "Mailboxes are now %s. Let the node choose others: %s\n", show.NoMailboxes, try(c, "mailbox auto"))
		}
		_, err = fmt.Fprintf(a.Stdout, "%s keeps no mailbox for this device any more\n", host)
		return err
	})
}

func (a *App) mailboxAuto(c *cli.Context) (err error) {
	if err := noWords(c); err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := node.ChooseMailboxes(c.Context, nil); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Stdout, "this node chooses who keeps mailboxes")
	return err
}

// hostsOf returns the hosts, and never nil, which would mean that the node chooses.
func hostsOf(m chat.Mailboxes) []peer.ID {
	hosts := []peer.ID{}
	for _, k := range m.Hosts {
		hosts = append(hosts, k.Host)
	}
	return hosts
}

// findHost returns the device that a word names: by its whole id, by an address that ends in the id or is that of a peer, or by how the id of
// one of the hosts or peers ends. It never picks.
func findHost(word string, hosts []peer.ID, peers []chat.Peer) (peer.ID, error) {
	for _, p := range peers {
		if p.Address == word {
			return p.ID, nil
		}
		if !slices.Contains(hosts, p.ID) {
			hosts = append(slices.Clip(hosts), p.ID)
		}
	}
	id := word[strings.LastIndex(word, "/")+1:]
	if host, err := peer.Decode(id); err == nil {
		return host, nil
	}
	var near []peer.ID
	for _, host := range hosts {
		if len(word) >= hostEnding && strings.HasSuffix(host.String(), word) {
			near = append(near, host)
		}
	}
	switch len(near) {
	case 1:
		return near[0], nil
	case 0:
		return "", &chat.Error{Code: chat.CodeTarget, Detail: fmt.Sprintf("%.80q names no node that is known here", word), Try: "parley peers"}
	}
	return "", &chat.Error{Code: chat.CodeTarget, Detail: fmt.Sprintf("more than one node's id ends in %q", word), Try: "parley peers"}
}
