package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"parley/chat/cli/show"
)

// VersionInfo says what was built. Empty fields are not known.
type VersionInfo struct {
	Version string // "0.1.0"
	Commit  string
	Date    string // of the commit, RFC 3339
	Dirty   bool   // the tree had changes that are in no commit
	Go      string
	Libp2p  string
}

func (a *App) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Category: "SETUP", Usage: "say which parley this is",
		Flags:  []cli.Flag{jsonFlag()},
		Action: a.version,
	}
}

func (a *App) version(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	v := a.Version
	if c.Bool("json") {
		return show.JSON(a.Stdout, struct {
			V       int    `json:"v"`
			Version string `json:"version"`
			Commit  string `json:"commit,omitempty"`
			Date    string `json:"date,omitempty"`
			Dirty   bool   `json:"dirty"`
			Go      string `json:"go"`
			Libp2p  string `json:"libp2p,omitempty"`
		}{show.Version, v.Version, v.Commit, v.Date, v.Dirty, v.Go, v.Libp2p})
	}
	line := "parley " + v.Version
	if v.Commit != "" {
		line += fmt.Sprintf(" (commit %.12s", v.Commit)
		if v.Dirty {
			line += ", changed since"
		}
		line += ")"
	}
	_, err := fmt.Fprintln(a.Stdout, line, v.Go)
	return err
}
