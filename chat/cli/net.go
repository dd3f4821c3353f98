package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/show"
	"parley/chat/home"
)

func (a *App) netCommand() *cli.Command {
	return &cli.Command{
		Name: "net", Category: "NETWORK", Usage: "the private network",
		Action: a.noCommand,
		Subcommands: []*cli.Command{
			{
				Name: "invite", Usage: "make a link that lets somebody join; it is alone on standard output",
				Flags:  []cli.Flag{jsonFlag(), passphraseFlag()},
				Action: a.netInvite,
			},
			{
				Name: "show", Usage: "say which network this is",
				Flags:  []cli.Flag{jsonFlag()},
				Action: a.netShow,
			},
		},
	}
}

func (a *App) netInvite(c *cli.Context) (err error) {
	if err := noWords(c); err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	link, err := node.Invite(c.Context)
	if err != nil {
		return err
	}
	network := node.home.Network().Network
	if err := a.printLink(c, link, network); err != nil || c.Bool("json") {
		return err
	}
	fmt.Fprintf(a.Stderr, "Invite to %s, makes you contacts, %s. Whoever holds it can join: give it to one person.\n",
		network, show.Expiry(link.Expires))
	if node.own() {
		fmt.Fprintf(a.Stderr, "Keep a node running for them: %s\n", try(c, "up"))
	}
	return nil
}

// printLink writes a link alone to standard output, and a warning where few can use it.
func (a *App) printLink(c *cli.Context, l chat.InviteLink, n chat.Network) error {
	if !l.Reachable {
		fmt.Fprintln(a.Stderr, "parley: none of this node's addresses is public: the link works on this machine or local network only")
		fmt.Fprintln(a.Stderr, "  try:", try(c, "up --announce /ip4/PUBLIC-ADDRESS/tcp/PORT"))
	}
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.OneLink(l, n))
	}
	_, err := fmt.Fprintln(a.Stdout, l.Link)
	return err
}

func (a *App) netShow(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	n := h.Network()
	made, joined := n.Authority != nil, h.Joined()
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.OneNetwork(n.Network, n.Seeds, made, joined))
	}
	return show.WriteNetwork(a.Stdout, n.Network, n.Seeds, made, joined)
}
