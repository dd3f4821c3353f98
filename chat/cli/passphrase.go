package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli/argv"
	"parley/chat/cli/harden"
	"parley/chat/home"
)

func (a *App) passphraseCommand() *cli.Command {
	return &cli.Command{
		Name: "passphrase", Category: "SETUP", Usage: "set, change or remove the passphrase of the keys",
		Description: "Asks for the old and the new one where a person can answer. A node that runs goes on.",
		Flags: []cli.Flag{
			passphraseFlag(),
			&cli.StringFlag{Name: "new-passphrase-file", Usage: "read the new passphrase from `FILE`"},
			&cli.BoolFlag{Name: "keyring", Usage: "let the keyring of this system open the keys instead"},
			&cli.BoolFlag{Name: "no-passphrase", Usage: "do not seal the keys any more"},
		},
		Action: a.reseal,
	}
}

func (a *App) lockCommand() *cli.Command {
	return &cli.Command{
		Name: "lock", Category: "SETUP", Usage: "end the node, so that the keys need their passphrase again",
		Action: a.lock,
	}
}

// unlock opens the keys of a home, in a process that leaves no core dump of them.
func (a *App) unlock(c *cli.Context, h *home.Home) (*home.Unlocked, error) {
	if err := harden.Process(); err != nil {
		fmt.Fprintln(a.Stderr, "parley:", err)
	}
	return h.Unlock(a.passphrase(c))
}

// replace is unlock for who gets the home into its network: nobody else works on it until release. A node that runs on it and is out of the network, or
// alone, is ended for that, as release says once more; one that is in goes on, and the home is its own.
func (a *App) replace(c *cli.Context, h *home.Home) (keys *home.Unlocked, release func() error, err error) {
	if keys, err = a.unlock(c, h); err != nil {
		return nil, nil, err
	}
	wait := lockWait
	if client, err := api.Dial(h.Socket()); err == nil {
		defer client.Close()
		if st, err := client.Status(c.Context); err == nil && (out(st) || alone(st)) {
			if err := client.Shutdown(c.Context); err != nil {
				return nil, nil, err
			}
			fmt.Fprintln(a.Stderr, "parley: the node that ran here ends for this")
			wait = attachWait
		}
	}
	unlock, err := h.Lock(c.Context, wait)
	return keys, func() error {
		if wait == attachWait {
			fmt.Fprintf(a.Stderr, "parley: the node that ran here is off; start it again: %s\n", try(c, "up"))
		}
		return unlock()
	}, err
}

// out reports whether a node is out of its network as far as it knows.
func out(st chat.Status) bool {
	return !st.Network.Joined || st.Network.Removed || st.Network.OtherKey
}

// alone reports whether a node looks for others and sees nobody.
func alone(st chat.Status) bool { return st.Peers == 0 && st.Network.WaitsFor != "" }

func (a *App) reseal(c *cli.Context) error {
	if err := errors.Join(noWords(c), exclusive(c, "new-passphrase-file", "keyring", "no-passphrase")); err != nil {
		return err
	}
	named := c.IsSet("new-passphrase-file") || c.IsSet("keyring") || c.IsSet("no-passphrase")
	if !named && !a.interactive() {
		return argv.Usage("--new-passphrase-file FILE, --keyring or --no-passphrase is missing; there is no terminal to ask on", "parley passphrase --help")
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	u, err := a.unlock(c, h)
	if err != nil {
		return err
	}
	to, err := a.newSeal(c, named)
	if err != nil {
		return err
	}
	defer clear(to.Passphrase)
	if err := u.Reseal(to); err != nil {
		return err
	}
	fmt.Fprintln(a.Stderr, "parley:", told(to))
	return nil
}

// newSeal returns what the keys are to be sealed with.
func (a *App) newSeal(c *cli.Context, named bool) (to home.Seal, err error) {
	to.Keyring = c.Bool("keyring")
	switch file := c.String("new-passphrase-file"); {
	case file != "":
		to.Passphrase, err = readSecret("the new passphrase", file)
	case !named:
		q, done, err := a.asker(c.Context)
		if err != nil {
			return to, err
		}
		defer done()
		to.Passphrase, err = q.NewPassphrase()
		return to, err
	}
	return to, err
}

// told says what opens the keys from now on.
func told(to home.Seal) string {
	switch {
	case to.Keyring:
		return "the keyring of this system opens the keys from now on"
	case len(to.Passphrase) > 0:
		return "the new passphrase opens the keys from now on"
	}
	return "the keys are not sealed any more: whoever can read the home has them"
}

// exclusive refuses more than one of some flags.
func exclusive(c *cli.Context, flags ...string) error {
	first := ""
	for _, flag := range flags {
		switch {
		case !c.IsSet(flag):
		case first != "":
			return argv.Usage(fmt.Sprintf("--%s and --%s exclude each other", first, flag), c.Command.HelpName+" --help")
		default:
			first = flag
		}
	}
	return nil
}

// lock ends the node of a home whose keys are sealed. It returns when the node has ended.
func (a *App) lock(c *cli.Context) error {
	if err := noWords(c); err != nil {
		return err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	how, err := h.Sealing()
	if err != nil {
		return err
	}
	if how == home.Unsealed {
		return &chat.Error{
			Code:   chat.CodeConfig,
			Detail: "the keys of " + h.Profile().Name + " have no passphrase, so nothing would be locked",
			Try:    home.Command(h.Dir(), "passphrase"),
		}
	}
	client, err := api.Dial(h.Socket())
	if err == nil {
		defer client.Close()
		if err := client.Shutdown(c.Context); err != nil {
			return err
		}
	}
	release, err := h.Lock(c.Context, attachWait) // the node gives it back when it has ended
	if err != nil {
		return err
	}
	opens := "the passphrase opens it"
	if how == home.ByKeyring {
		opens = "the keyring of this system opens it, for as long as that is open itself"
	}
	fmt.Fprintf(a.Stderr, "parley: %s is locked: no node runs on it, and %s\n", h.Profile().Name, opens)
	return release()
}
