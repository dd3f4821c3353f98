package cli

import (
	"errors"
	"fmt"
	"time"

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
				Flags: append(codeFlags(),
					&cli.StringFlag{Name: "for", Usage: "note whom it is for: `NAME` is not in the link"},
					&cli.DurationFlag{Name: "ttl", Usage: "how long it may be used, from 1m to 2160h", Value: chat.InviteLifetime, DefaultText: "24h"},
					&cli.IntFlag{Name: "uses", Usage: "how many devices it lets in, 1 to 100", Value: 1},
					jsonFlag(), passphraseFlag(),
				),
				Action: a.netInvite,
			},
			{
				Name: "invites", Usage: "list the invites that were made here, and whom they let in",
				Flags: []cli.Flag{jsonFlag(), passphraseFlag()}, Action: a.invites,
			},
			{
				Name: "revoke", Usage: "make an invite worthless; whom it has let in stays in", ArgsUsage: "ID",
				Flags: []cli.Flag{passphraseFlag()}, Action: a.revokeInvite,
			},
			{
				Name: "join", Usage: "join with another invite to the same network, where the first one came to nothing, its seeds have moved, its key was changed, or who invited was removed", ArgsUsage: "LINK|-",
				Description: "With - the link is read from standard input, and stands in no list of processes. A node that runs here and is out of the network, or sees nobody, is ended first.",
				Flags:       []cli.Flag{yesToInvite(), passphraseFlag()}, Action: a.netJoin,
			},
			a.membersCommand(), a.revokeMemberCommand(), a.rotateKeyCommand(),
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
	options, err := inviteOptions(c)
	if err != nil {
		return err
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	network := node.home.Network().Network
	if st, err := node.Status(c.Context); err == nil && st.Network.OtherKey {
		fmt.Fprintf(a.Stderr, "parley: seeds of %s seem to have another key than this device; if they do, this link leads nowhere: %s\n", network, try(c, "doctor"))
	}
	link, err := a.linked(c, network, func() (chat.InviteLink, error) {
		link, err := node.Invite(c.Context, options)
		if err == nil && !link.Reachable {
			fmt.Fprintln(a.Stderr, "parley: none of this node's addresses is public: the link works on this machine or local network only")
			fmt.Fprintln(a.Stderr, "  try:", try(c, announcing(node.home)))
		}
		return link, err
	})
	if err != nil || c.Bool("json") {
		return err
	}
	fmt.Fprintf(a.Stderr, "Invite to %s, makes you contacts, %s, %s (its id: %s). Whoever uses it first joins: give it to nobody else.\n",
		network, show.Expiry(link.Expires), show.Devices(link.Uses), link.ID)
	if node.own() {
		fmt.Fprintf(a.Stderr, "Keep a node running for them: %s\n", try(c, "up"))
	}
	return nil
}

// announcing is how a node is started that others can dial from anywhere: where a network begins, as its seed.
func announcing(h *home.Home) string {
	if len(h.Network().Seeds) == 0 {
		return "up --seed --announce /ip4/PUBLIC-ADDRESS/tcp/PORT"
	}
	return "up --announce /ip4/PUBLIC-ADDRESS/tcp/PORT"
}

// inviteOptions reads what an invite shall be like, and refuses what is none: to a node, what is zero was left open.
func inviteOptions(c *cli.Context) (o chat.InviteOptions, err error) {
	o = chat.InviteOptions{For: c.String("for"), Uses: c.Int("uses"), TTL: c.Duration("ttl")}
	if err = chat.CheckInvite(o.Uses, o.TTL); err == nil && c.IsSet("for") {
		err = chat.CheckInvitee(o.For)
	}
	return o, err
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
	_, invited := h.Join()
	made, joined := !invited, h.Joined()
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.OneNetwork(n.Network, n.Seeds, made, joined))
	}
	return show.WriteNetwork(a.Stdout, n.Network, n.Seeds, made, joined)
}

// netJoin takes another invite in place of the one that this home was made with, or what is in it, where this device is or was a member.
func (a *App) netJoin(c *cli.Context) (err error) {
	word, err := oneWord(c, "the invite")
	if err != nil {
		return err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	invite, err := a.networkInvite(c.Context, word)
	if err != nil {
		return err
	}
	if err := anotherInvite(h, invite); err != nil {
		return err
	}
	if h.Joined() {
		return a.joinAgain(c, h, invite)
	}
	if err := a.agreeAlone(c, invite); err != nil {
		return err
	}
	keys, release, err := a.replace(c, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if h.Joined() { // the node that ran here until now has brought that about
		return member(h)
	}
	return a.exchange(c, h, keys.Identity, invite)
}

// exchange joins with an invite in the place of the one that came to nothing so far. Where a node refuses it for good, the one of before stays.
func (a *App) exchange(c *cli.Context, h *home.Home, id *chat.Identity, invite chat.Invite) error {
	former := h.Invite()
	if err := h.SaveInvite(invite); err != nil {
		return err
	}
	err := a.join(c, h, id, invite)
	if err == nil && !h.Joined() {
		return &chat.Error{Code: chat.CodeUnavailable, Detail: "the invite is kept, and a node that runs here goes on trying", Try: try(c, "up")}
	}
	if err == nil || chat.CodeOf(err) != chat.CodeRefused || former == nil {
		return err
	}
	return errors.Join(err, h.SaveInvite(*former))
}

// anotherInvite says why an invite cannot take the place of the one that a home has.
func anotherInvite(h *home.Home, invite chat.Invite) error {
	ours := h.Network().Network
	switch {
	case invite.Network.ID != ours.ID:
		return &chat.Error{
			Code:   chat.CodeRefused,
			Detail: fmt.Sprintf("the invite is to %s, and this device is on %s", invite.Network, ours),
			Try:    "join it in a home of its own: parley --home DIR init --join LINK",
		}
	case (invite.Network.PSK == nil) != (ours.PSK == nil):
		return &chat.Error{
			Code:   chat.CodeRefused,
			Detail: fmt.Sprintf("the invite and this device do not agree on whether %s has a pre-shared key; nothing was changed", ours),
			Try:    "on the side of another member: parley net invite",
		}
	}
	return invite.Check(time.Now(), h.Profile().Account)
}
