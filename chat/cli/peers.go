package cli

import (
	"github.com/urfave/cli/v2"

	"parley/chat/cli/show"
)

func (a *App) peersCommand() *cli.Command {
	return &cli.Command{
		Name: "peers", Category: "NETWORK", Usage: "list the nodes that this one is connected to",
		Flags:  []cli.Flag{jsonFlag()},
		Action: a.peers,
	}
}

func (a *App) peers(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	_, client, err := a.dialed(c)
	if err != nil {
		return err
	}
	defer client.Close()
	peers, err := client.Peers(c.Context)
	if err != nil {
		return err
	}
	members, err := client.Members(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.AllPeers(peers, members))
	}
	return show.WritePeers(a.Stdout, peers, members)
}
