package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli/show"
	"parley/chat/home"
)

func (a *App) upCommand() *cli.Command {
	return &cli.Command{
		Name: "up", Category: "SETUP", Usage: "run the node in the foreground",
		Description: "Says \"parley: ready\" on standard error once the node works. SIGTERM stops it, a second one at once.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "seed", Usage: "serve the network as a seed [$PARLEY_NODE_SEED]"},
			&cli.StringSliceFlag{Name: "listen", Usage: "listen on `MULTIADDR` instead of all interfaces [$PARLEY_NODE_LISTEN]"},
			&cli.StringSliceFlag{Name: "announce", Usage: "tell others to reach us at `MULTIADDR` [$PARLEY_NODE_ANNOUNCE]"},
			&cli.StringFlag{Name: "database", Usage: "keep everything at `URL`, now and later [$PARLEY_DATABASE_URL, $PARLEY_DATABASE_URL_FILE]"},
			&cli.BoolFlag{Name: "mailbox", Usage: "keep messages for others who are away; a seed does without being told [$PARLEY_NODE_MAILBOX]"},
			&cli.BoolFlag{Name: "no-mailbox", Usage: "keep none, also as a seed [$PARLEY_NODE_MAILBOX=false]"},
			&cli.StringFlag{
				Name: "mailbox-database", DefaultText: "beside the home's own database",
				Usage: "keep them at `URL` [$PARLEY_MAILBOX_DATABASE_URL, $PARLEY_MAILBOX_DATABASE_URL_FILE]",
			},
			&cli.StringSliceFlag{
				Name: "mailbox-limits", DefaultText: "status shows them",
				Usage: "keep no more than `LIMITS`, as in mailbox=64MiB,mailbox-boxes=10000,owners=256,life=30d: of one contact, link or mailbox, of " +
					"open (all strangers of one mailbox), of the host; what is sure for each; how many owners; for how long [$PARLEY_MAILBOX_LIMITS]",
			},
			&cli.BoolFlag{Name: "no-port-map", Usage: "do not ask the router for a port that others can dial [$PARLEY_NODE_PORT_MAP=false]"},
			&cli.BoolFlag{Name: "no-mdns", Usage: "do not look for nodes on the local network [$PARLEY_NODE_MDNS=false]"},
			&cli.StringSliceFlag{
				Name:  "trust-prefix",
				Usage: "let the addresses in `NETWORK`, as 203.0.113.7/32, connect as often as they like: an office behind one router [$PARLEY_NODE_TRUST_PREFIX]",
			},
			&cli.StringFlag{
				Name: "metrics", DefaultText: "nowhere",
				Usage: "show figures to a Prometheus of this machine at `ADDRESS`, 127.0.0.1:9464 or unix:PATH [$PARLEY_METRICS_LISTEN]",
			},
			&cli.BoolFlag{Name: "only-copy", Usage: "begin anew with every contact, because no other copy of this device is at work any more"},
			&cli.StringFlag{Name: "log-level", Usage: "debug, info, warn or error [$PARLEY_LOG_LEVEL]", DefaultText: "warn"},
			&cli.StringFlag{Name: "log-format", Usage: "text or json [$PARLEY_LOG_FORMAT]", DefaultText: "text on a terminal"},
			passphraseFlag(),
		},
		Action: a.up,
	}
}

func (a *App) up(c *cli.Context) (err error) {
	if err := noWords(c); err != nil {
		return err
	}
	h, err := home.Open(dir(c))
	if err != nil {
		return err
	}
	o, err := a.nodeOptions(c, h)
	if err != nil {
		return err
	}
	release, err := take(c, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	node, err := a.start(c, h, o)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		fmt.Fprintln(a.Stderr, "parley: running as root, which a node never needs")
	}
	return errors.Join(a.serve(c.Context, h, o, node), node.Stop())
}

// take locks the home. A node that runs there is given a moment to end, and one that serves nobody any more the time that it takes.
func take(c *cli.Context, h *home.Home) (release func() error, err error) {
	if release, err = h.Lock(c.Context, lockWait); err == nil || c.Err() != nil {
		return release, err
	}
	if client, unserved := api.Dial(h.Socket()); unserved == nil {
		client.Close()
		return nil, err
	}
	return h.Lock(c.Context, attachWait)
}

// serve says how the node is doing until it ends.
func (a *App) serve(ctx context.Context, h *home.Home, o NodeOptions, node Node) error {
	if o.Database != h.Node().Database {
		if err := h.SaveDatabase(o.Database); err != nil {
			return err
		}
	}
	if err := a.announceReady(ctx, h, node); err != nil && ctx.Err() == nil {
		return err
	}
	err := a.watchJoin(ctx, h, node)
	a.watchKey(ctx, h, node)
	<-node.Ended()
	return err
}

// announceReady says that the node works, once others can leave something for it, if there are any who would keep it.
func (a *App) announceReady(ctx context.Context, h *home.Home, node Node) error {
	select {
	case <-node.Arranged():
	case <-node.Ended():
	case <-time.After(chat.MailboxFirst):
	}
	st, err := node.Status(ctx)
	if err != nil {
		return err
	}
	at := "no address"
	if len(st.Addresses) > 0 {
		at = strings.Join(st.Addresses, " ")
	}
	ready := fmt.Sprintf("parley: ready: %s on %s, reachable at %s (pid %d)", h.Profile().Name, h.Network().Network, at, os.Getpid())
	_, err = fmt.Fprintln(a.Stderr, show.Line(ready))
	return err
}

// watchJoin says that the network has not answered yet, and that it has, and returns then, or when the node ends.
func (a *App) watchJoin(ctx context.Context, h *home.Home, node Node) error {
	if h.Joined() {
		return nil
	}
	look := time.NewTicker(joinPoll)
	defer look.Stop()
	said := ""
	for {
		st, err := node.Status(ctx)
		if err == nil && st.Network.Joined {
			fmt.Fprintf(a.Stderr, "parley: joined %s\n", h.Network().Network)
			return h.SaveJoined()
		}
		if now := trying(h, st); err == nil && now != said {
			said = now
			fmt.Fprintln(a.Stderr, said)
		}
		select {
		case <-node.Ended():
			return nil
		case <-look.C:
		}
	}
}

// watchKey says that the network's key was changed while this device was away, or that it is no member any more, once for each time. It looks often until the
// node has a peer, or has had time to find one, and then now and again, until the node ends.
func (a *App) watchKey(ctx context.Context, h *home.Home, node Node) {
	begin, said := time.Now(), false
	for {
		every := keyLook
		if st, err := node.Status(ctx); err == nil {
			lost := st.Network.Joined && out(st)
			if lost && !said {
				fmt.Fprintf(a.Stderr, "parley: %s\n  try: %s\n", show.Line(st.Trouble), home.Command(h.Dir(), "net join -"))
			}
			if said = lost; st.Peers == 0 && time.Since(begin) < keyWatch {
				every = joinPoll
			}
		}
		select {
		case <-node.Ended():
			return
		case <-time.After(every):
		}
	}
}

func trying(h *home.Home, st chat.Status) string {
	why := "nobody has answered"
	if st.Trouble != "" {
		why = show.Why(st.Trouble)
	}
	if st.Network.WaitsFor == chat.WaitsForInvite {
		why += "; still trying, and ask a member for a new invite\n  try: " + home.Command(h.Dir(), "net join -")
	} else {
		why += "; still trying"
	}
	return fmt.Sprintf("parley: not joined %s yet: %s", h.Network().Network, why)
}
