package cli

import (
	"github.com/urfave/cli/v2"

	"parley/chat/cli/show"
	"parley/chat/home"
)

func (a *App) whoamiCommand() *cli.Command {
	return &cli.Command{
		Name: "whoami", Category: "SETUP", Usage: "say who you are, and where that is kept",
		Flags:  []cli.Flag{jsonFlag()},
		Action: a.whoami,
	}
}

func (a *App) whoami(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	p, n := h.Profile(), h.Network()
	who := show.Identity{
		V: show.Version, Name: p.Name, Account: p.Account.String(), Short: p.Account.Short(), Device: p.Device.String(),
		Network: show.NetworkInName{Name: n.Name, Fingerprint: n.Fingerprint()}, Home: h.Dir(),
	}
	if c.Bool("json") {
		return show.JSON(a.Stdout, who)
	}
	return show.WriteIdentity(a.Stdout, who)
}
