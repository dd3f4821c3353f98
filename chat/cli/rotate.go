package cli

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/show"
	"parley/chat/home"
)

func (a *App) rotateKeyCommand() *cli.Command {
	return &cli.Command{
		Name: "rotate-key", Usage: "put a new key in the place of the network's, because a link with the old one leaked or somebody was removed",
		Description: "Only the device that made the network can. Members that are connected have the new key at once, all others as soon as they meet one\n" +
			"that has it, within the grace. Who comes later needs a new invite, and loses nothing: parley net join -. Who was removed is never\n" +
			"told the new key.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "grace", Usage: "how long the old key is good, from 1s to 2160h", Value: chat.KeyGrace, DefaultText: "168h"},
			&cli.BoolFlag{Name: "now", Usage: "end the grace of the last change now"},
			&cli.BoolFlag{Name: "status", Usage: "say how far it is, and who has not followed; change nothing"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			jsonFlag(), passphraseFlag(),
		},
		Action: a.rotateKey,
	}
}

func (a *App) rotateKey(c *cli.Context) error {
	if err := exclusive(c, "grace", "now", "status"); err != nil {
		return err
	}
	if err := chat.CheckKeyGrace(c.Duration("grace")); err != nil {
		return err
	}
	return a.listed(c, func(node *attached) error {
		network := node.home.Network().Network
		k, err := node.KeyRotation(c.Context)
		switch {
		case err != nil:
			return err
		case c.Bool("status"):
			return a.writeKey(c, network, k)
		case c.Bool("now"):
			err = a.agreeToKey(c, k.Grace(time.Now()) && k.Own, fmt.Sprintf("End the grace of the old key of %s now? %s no new key yet and will need a new invite.", network, haveNot(k)))
			if err == nil {
				k, err = node.EndKeyGrace(c.Context)
			}
		default:
			err = a.agreeToKey(c, k.Private && k.Own && !k.Grace(time.Now()), fmt.Sprintf("Change the key of %s? Members have %v to be there once; who comes later needs a new invite, and links from before end with it.",
				network, c.Duration("grace")))
			if err == nil {
				k, err = node.RotateKey(c.Context, c.Duration("grace"))
			}
		}
		if err != nil {
			return err
		}
		if node.own() {
			fmt.Fprintf(a.Stderr, "parley: the others hear of it once a node runs here: %s\n", try(c, "up"))
		}
		return a.writeKey(c, network, k)
	})
}

func haveNot(k chat.KeyRotation) string {
	if len(k.Behind) == 1 {
		return "1 device has"
	}
	return show.Count(len(k.Behind), "device") + " have"
}

// agreeToKey asks a question, unless the node will refuse anyway.
func (a *App) agreeToKey(c *cli.Context, may bool, question string) error {
	if !may {
		return nil
	}
	return a.sure(c, question)
}

func (a *App) writeKey(c *cli.Context, n chat.Network, k chat.KeyRotation) error {
	if c.Bool("json") {
		return show.JSON(a.Stdout, show.OneKey(k, time.Now()))
	}
	return show.WriteKey(a.Stdout, n, k, time.Now())
}

// joinAgain takes an invite where this device is a member, or was. It changes what whoever answers has shown: a device that has no certificate, or no good one any
// more, becomes a member again; of another key the one is kept that the network's authority has given; and seeds that moved are found again. A link by itself changes
// nothing, whoever has made it, and neither does the word of a node.
func (a *App) joinAgain(c *cli.Context, h *home.Home, invite chat.Invite) (err error) {
	same := bytes.Equal(invite.Network.PSK, h.Network().PSK)
	if same && a.stands(c, h) {
		return member(h)
	}
	if err := a.agreeAlone(c, invite); err != nil {
		return err
	}
	keys, release, err := a.replace(c, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	trial, anew, err := a.tryAgain(c, h, invite, keys.Identity)
	switch {
	case anew && removed(err):
		return &chat.Error{
			Code:   chat.CodeRefused,
			Detail: "this account was removed from " + h.Network().Network.String() + " for good, or who made the invite was; nothing was changed",
			Try:    "come as somebody else: parley --home DIR init --join -",
		}
	case err != nil:
		return a.notAgain(c, err)
	case same && !anew && a.tryJoin(c, h, keys.Identity) == nil: // by the seeds that it has
		return member(h)
	}
	kept, err := trial.Keep()
	if err == nil && !kept {
		err = &chat.Error{
			Code:   chat.CodeRefused,
			Detail: "who answered knows no key of " + h.Network().Network.String() + " that is newer than this device's; nothing was changed",
			Try:    "on the side of another member: parley net invite",
		}
	}
	if err != nil {
		return err
	}
	what := "key"
	if same {
		what = "seeds"
	}
	if anew {
		_, err = fmt.Fprintf(a.Stdout, "Joined    %s again · %s is a contact\n", h.Network().Network, who(invite))
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "Renewed   the %s of %s, of which this device is a member as before\n", what, h.Network().Network)
	return err
}

// tryAgain connects with the key and the seeds of an invite, and with the invite too where who answers says that this device is no member without: it was removed, or
// has no certificate to show and asks to be let in by the invite that it joined with.
func (a *App) tryAgain(c *cli.Context, h *home.Home, invite chat.Invite, id *chat.Identity) (trial *home.Home, anew bool, err error) {
	trial = h.WithKey(invite)
	if err = a.tryJoin(c, trial, id); removed(err) || invited(err) {
		trial, anew = h.WithInvite(invite), true
		err = a.tryJoin(c, trial, id)
	}
	return trial, anew, err
}

// stands reports whether this device is a member for all that is known here without asking others: it has made the network, or a node runs that is in it.
func (a *App) stands(c *cli.Context, h *home.Home) bool {
	if _, invited := h.Join(); !invited {
		return true
	}
	_, client, err := a.dialed(c)
	if err != nil {
		return false
	}
	defer client.Close()
	st, err := client.Status(c.Context)
	return err == nil && !out(st) && !alone(st)
}

// member says that an invite is of no use to a member.
func member(h *home.Home) error {
	return &chat.Error{Code: chat.CodeRefused, Detail: fmt.Sprintf("this device is a member of %s already", h.Network().Network), Try: "parley net members"}
}

// removed reports whether a node has said that this device is no member any more.
func removed(err error) bool {
	var answer interface{ Removed() bool }
	return errors.As(err, &answer) && answer.Removed()
}

// invited reports whether a node has said something of the invite that this device joined with.
func invited(err error) bool {
	var answer interface{ Invited() bool }
	return errors.As(err, &answer) && answer.Invited()
}

// notAgain says why an invite did not help, and whether it may later.
func (a *App) notAgain(c *cli.Context, err error) error {
	if chat.CodeOf(err) == chat.CodeConfig {
		return err // about this home, whatever the invite is
	}
	why := show.Line(err.Error()) + "; nothing was changed"
	if refused(err) {
		return &chat.Error{Code: chat.CodeRefused, Detail: why}
	}
	return &chat.Error{Code: chat.CodeUnavailable, Detail: "the invite does not help now: " + why, Try: try(c, "net join -")}
}
