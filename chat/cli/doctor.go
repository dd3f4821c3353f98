package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli/doctor"
	"parley/chat/cli/show"
	"parley/chat/home"
)

func (a *App) doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Category: "SETUP", Usage: "say what is well, what is not, and which command helps",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "strict", Usage: "end with 1 where there are warnings only"},
			jsonFlag(),
		},
		Action: a.doctor,
	}
}

func (a *App) doctor(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	facts, err := gather(c, h)
	if err != nil {
		return err
	}
	findings := doctor.Examine(facts)
	for i := range findings {
		if findings[i].Try != "" {
			findings[i].Try = home.Command(h.Dir(), findings[i].Try)
		}
	}
	if c.Bool("json") {
		err = show.JSON(a.Stdout, doctor.AllOf(findings))
	} else {
		err = doctor.Write(a.Stdout, findings)
	}
	if err != nil {
		return err
	}
	switch worst := doctor.Worst(findings); {
	case worst == doctor.Fail:
		return &chat.Error{Code: chat.CodeConfig, Detail: "something does not work"}
	case worst == doctor.Warn && c.Bool("strict"):
		return errors.New("there are warnings")
	}
	return nil
}

// gather asks the node, where one runs, and the machine.
func gather(c *cli.Context, h *home.Home) (f doctor.Facts, err error) {
	f.Now = time.Now()
	if f.Sealing, err = h.Sealing(); err != nil {
		return f, err
	}
	var disk unix.Statfs_t
	var files unix.Rlimit
	if err := errors.Join(unix.Statfs(h.Dir(), &disk), unix.Getrlimit(unix.RLIMIT_NOFILE, &files)); err != nil {
		return f, fmt.Errorf("look at the machine: %w", err)
	}
	f.Free, f.Files = disk.Bavail*uint64(disk.Bsize), files.Cur
	client, err := api.Dial(h.Socket())
	if err != nil {
		return f, nil // no node runs, which is what it says
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.Context, doctorTime)
	defer cancel()
	var err1, err2, err3, err4 error
	f.Status, err1 = client.Status(ctx)
	f.Peers, err2 = client.Peers(ctx)
	f.Own, err3 = client.Mailboxes(ctx)
	f.Key, err4 = client.KeyRotation(ctx)
	err = errors.Join(err1, err2, err3, err4)
	if f.Silent = err != nil && ctx.Err() != nil && c.Err() == nil; f.Silent {
		err = nil
	}
	f.Up = !f.Silent
	return f, err
}
