package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/show"
)

func (a *App) statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Category: "SETUP", Usage: "say how the node is doing",
		Flags:  []cli.Flag{jsonFlag()},
		Action: a.status,
	}
}

func (a *App) status(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	_, client, err := a.dialed(c)
	if err != nil {
		return err
	}
	defer client.Close()
	st, err := client.Status(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.OneStatus(st))
	}
	if err = show.WriteStatus(a.Stdout, st); err == nil && st.Network.WaitsFor == chat.WaitsForInvite {
		_, err = fmt.Fprintf(a.Stdout, "try        %s\n", try(c, "net join -"))
	}
	return err
}
