package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/harden"
	"parley/chat/cli/line"
	"parley/chat/cli/show"
	"parley/chat/home"
)

func (a *App) initCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Category: "SETUP", Usage: "make an identity, and make or join a network",
		Description: "Asks for what is missing where a person can answer. Without a terminal, -y answers with the defaults.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "what others see"},
			&cli.StringFlag{Name: "network", Usage: "make a private network called `NAME` (default: home)"},
			&cli.BoolFlag{Name: "no-psk", Usage: "make it without a pre-shared key, so that QUIC works: members alone are served, and strangers can see that a node is there"},
			&cli.StringFlag{Name: "invites", Usage: "who may invite to it: `WHO` is members (the default) or admins, which is this device alone"},
			&cli.StringFlag{Name: "join", Usage: "join the network of an invite `LINK`; - reads it from standard input"},
			passphraseFlag(),
			&cli.BoolFlag{Name: "keyring", Usage: "let the keyring of this system open the keys"},
			&cli.BoolFlag{Name: "no-passphrase", Usage: "do not seal the keys"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask: no passphrase, and join"},
		},
		Action: a.init,
	}
}

// setup is what init gathers before it writes anything.
type setup struct {
	c      *cli.Context
	asker  *line.Asker  // nil where nobody can answer
	invite *chat.Invite // nil: a network of our own
	params home.Params
}

func (a *App) init(c *cli.Context) error {
	if err := errors.Join(noWords(c), initConflicts(c)); err != nil {
		return err
	}
	if err := home.Vacant(dir(c)); err != nil {
		return occupied(c, err)
	}
	if err := harden.Process(); err != nil {
		fmt.Fprintln(a.Stderr, "parley:", err)
	}
	s := &setup{c: c}
	if err := a.gather(s); err != nil {
		return err
	}
	if err := s.identify(); err != nil {
		return err
	}
	h, err := home.Create(dir(c), s.params)
	clear(s.params.Seal.Passphrase)
	if err != nil {
		return err
	}
	a.introduce(h)
	if s.invite != nil {
		err = a.join(c, h, s.params.Identity, *s.invite)
	}
	if err == nil {
		a.next(c, s.invite)
	}
	return err
}

// occupied says what helps who has an invite and a home: the home can take it.
func occupied(c *cli.Context, err error) error {
	var e *chat.Error
	if _, broken := home.Open(dir(c)); broken == nil && c.IsSet("join") && errors.As(err, &e) {
		return &chat.Error{Code: e.Code, Detail: e.Detail, Try: try(c, "net join -")}
	}
	return err
}

func initConflicts(c *cli.Context) error {
	conflict := func(a, b string) error {
		return argv.Usage(fmt.Sprintf("--%s and --%s exclude each other", a, b), "parley init --help")
	}
	switch {
	case c.IsSet("join") && c.IsSet("network"):
		return conflict("join", "network")
	case c.IsSet("join") && c.IsSet("no-psk"):
		return conflict("join", "no-psk")
	case c.IsSet("join") && c.IsSet("invites"):
		return conflict("join", "invites")
	}
	if who := c.String("invites"); c.IsSet("invites") && who != "members" && who != "admins" {
		return argv.Usage(fmt.Sprintf("--invites %.40q: want members or admins", who), "parley init --help")
	}
	return exclusive(c, "passphrase-file", "keyring", "no-passphrase")
}

// gather settles everything that a person may be asked about.
func (a *App) gather(s *setup) error {
	if err := a.readInvite(s); err != nil {
		return err
	}
	if a.interactive() && !s.c.Bool("yes") {
		q, done, err := a.asker(s.c.Context)
		if err != nil {
			return err
		}
		defer done()
		s.asker = q
	}
	if s.invite != nil {
		if err := a.agree(s); err != nil {
			return err
		}
	}
	if err := s.name(); err != nil {
		return err
	}
	return s.passphrase()
}

// readInvite checks the invite offline, so that nothing is written for one that cannot work.
func (a *App) readInvite(s *setup) error {
	if !s.c.IsSet("join") {
		return nil
	}
	invite, err := a.networkInvite(s.c.Context, s.c.String("join"))
	if err != nil {
		return err
	}
	s.invite, s.params.Join = &invite, invite.String()
	return invite.Check(time.Now(), chat.AccountID{})
}

// networkInvite reads an invite to a network from the command line, or from standard input for "-".
func (a *App) networkInvite(ctx context.Context, arg string) (chat.Invite, error) {
	link, err := a.link(ctx, arg)
	if err != nil {
		return chat.Invite{}, err
	}
	invite, err := chat.ParseInvite(link, chat.InviteNetwork)
	if err == nil && invite.Kind != chat.InviteNetwork {
		err = &chat.Error{
			Code:   chat.CodeInvalid,
			Detail: "that link is for adding a contact, and not for joining a network; ask for an invite",
			Try:    "parley contact add --help",
		}
	}
	return invite, err
}

// link returns a link from the command line, or for "-" from standard input, where a person is asked for it: who has the link is let in, and what is on
// the command line is for all to see.
func (a *App) link(ctx context.Context, arg string) (string, error) {
	switch {
	case arg != "-":
		return arg, nil
	case a.interactive():
		q, done, err := a.asker(ctx)
		if err != nil {
			return "", err
		}
		defer done()
		return q.Ask("The link: ")
	}
	b, err := io.ReadAll(io.LimitReader(a.Stdin, maxSecretFile))
	if err != nil {
		return "", fmt.Errorf("read the link: %w", err)
	}
	return string(b), nil
}

// yesToInvite answers what is asked about an invite.
func yesToInvite() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask before the invite is used"}
}

// agreeAlone is agree where nothing else is asked.
func (a *App) agreeAlone(c *cli.Context, invite chat.Invite) error {
	if c.Bool("yes") {
		return nil
	}
	s := &setup{c: c, invite: &invite}
	if a.interactive() {
		q, done, err := a.asker(c.Context)
		if err != nil {
			return err
		}
		defer done()
		s.asker = q
	}
	return a.agree(s)
}

// agree shows what an invite leads to and asks whether to follow it.
func (a *App) agree(s *setup) error {
	text := fmt.Sprintf("Invite    network %s · from %s · %s", s.invite.Network, inviter(*s.invite), show.Expiry(s.invite.Expires))
	switch {
	case s.asker != nil:
		s.asker.Say(text)
		yes, err := s.asker.Confirm(fmt.Sprintf("Join this network and add %s as a contact?", who(*s.invite)))
		if err == nil && !yes {
			err = &chat.Error{Code: chat.CodeRefused, Detail: "not joined; nothing was changed"}
		}
		return err
	case s.c.Bool("yes"):
		_, err := fmt.Fprintln(a.Stderr, text)
		return err
	}
	return argv.Usage("-y is missing to join "+s.invite.Network.String()+" without being asked; there is no terminal to ask on", s.c.Command.HelpName+" --help")
}

func inviter(i chat.Invite) string {
	if i.Name == "" {
		return i.Account.Short()
	}
	return show.Line(i.Name) + " " + i.Account.Short()
}

func who(i chat.Invite) string {
	if i.Name == "" {
		return i.Account.Short()
	}
	return show.Line(i.Name)
}

// missing is the error where a flag would be needed because nobody can be asked.
func missing(flag, why string) error {
	return argv.Usage(fmt.Sprintf("%s is missing %s; there is no terminal to ask on", flag, why), "parley init --help")
}

func (s *setup) name() (err error) {
	s.params.Name = s.c.String("name")
	switch {
	case s.params.Name != "":
		return chat.CheckName("name", s.params.Name)
	case s.asker == nil:
		return missing("--name NAME", "to say what others see")
	}
	for {
		if s.params.Name, err = s.asker.Ask("Your name, as others see it: "); err != nil {
			return err
		}
		if err = chat.CheckName("name", s.params.Name); err == nil {
			return nil
		}
		s.asker.Say(show.Line(err.Error()))
	}
}

func (s *setup) passphrase() (err error) {
	file := passphraseFile(s.c)
	switch {
	case s.c.Bool("no-passphrase"):
	case s.c.Bool("keyring"):
		s.params.Seal.Keyring = true
	case file != "":
		s.params.Seal.Passphrase, err = readSecret("the passphrase", file)
	case s.c.Bool("yes"):
	case s.asker != nil:
		s.params.Seal.Passphrase, err = s.asker.NewPassphrase()
	default:
		err = missing("--no-passphrase or --passphrase-file FILE", "to say how to keep the keys")
	}
	return err
}

// identify makes the keys, and the network where none is joined.
func (s *setup) identify() (err error) {
	device, err := os.Hostname()
	if err != nil || chat.CheckName("device name", device) != nil {
		device = "device"
	}
	if s.params.Identity, err = chat.NewIdentity(device); err != nil {
		return err
	}
	if s.invite != nil {
		s.params.Network = home.Network{Network: s.invite.Network, Seeds: s.invite.Seeds}
		return nil
	}
	name := s.c.String("network")
	if name == "" {
		name = "home"
	}
	s.params.Network.Closed = s.c.String("invites") == "admins"
	s.params.Network.Network, s.params.Authority, err = chat.NewNetwork(name, !s.c.Bool("no-psk"))
	return err
}

func (a *App) introduce(h *home.Home) {
	p, n := h.Profile(), h.Network()
	access := "private: only invited nodes can connect"
	if n.PSK == nil {
		access = "no pre-shared key: only members are served, but anybody who knows its address can see that a node is there"
	}
	fmt.Fprintf(a.Stdout, "Identity  %-9s %-37s %s (0700)\n", p.Name, p.Account.Short(), shorten(h.Dir()))
	fmt.Fprintf(a.Stdout, "Network   %-9s %-37s %s\n", n.Name, "fingerprint "+n.Fingerprint(), access)
}

// shorten writes the user's own folder as people do.
func shorten(dir string) string {
	if own, err := os.UserHomeDir(); err == nil && strings.HasPrefix(dir, own+"/") {
		return "~" + strings.TrimPrefix(dir, own)
	}
	return dir
}

// join tries once to become a member of the network. It is no error when that is not possible now; when the invite is no good it is one.
func (a *App) join(c *cli.Context, h *home.Home, id *chat.Identity, invite chat.Invite) error {
	err := a.tryJoin(c, h, id)
	if err == nil {
		fmt.Fprintf(a.Stdout, "Joined    %s · %s is a contact\n", h.Network().Network, who(invite))
		return h.SaveJoined()
	}
	if c.Err() != nil {
		return context.Cause(c.Context)
	}
	if refused(err) {
		return &chat.Error{Code: chat.CodeRefused, Detail: show.Line(err.Error()) + "; ask " + who(invite) + " for a new one", Try: try(c, "net join -")}
	}
	fmt.Fprintf(a.Stdout, "Not joined yet: %s; parley up keeps trying\n", show.Line(err.Error()))
	return nil
}

// refused reports whether a node has said that asking again is of no use.
func refused(err error) bool {
	var answer interface{ Refused() bool }
	return errors.As(err, &answer) && answer.Refused()
}

// tryJoin connects once to the network of a home.
func (a *App) tryJoin(c *cli.Context, h *home.Home, id *chat.Identity) error {
	ctx, cancel := context.WithTimeout(c.Context, probeTime)
	defer cancel()
	err := a.Join(ctx, h, id)
	if ctx.Err() != nil && c.Err() == nil {
		return fmt.Errorf("no node answered within %v", probeTime)
	}
	return err
}

func (a *App) next(c *cli.Context, invite *chat.Invite) {
	if invite != nil {
		fmt.Fprintf(a.Stdout, "Next:  %s\n", try(c, "chat"))
		return
	}
	start, invitation := try(c, "chat"), try(c, "net invite")
	fmt.Fprintf(a.Stdout, "Next:  %-*s  start chatting (starts the node)\n", len(invitation), start)
	fmt.Fprintf(a.Stdout, "       %s  invite someone\n", invitation)
}
