package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli/argv"
	"parley/chat/home"
)

// attached is a node to work with: one that runs already, or our own.
type attached struct {
	api.Backend
	home    *home.Home
	node    Node         // nil where the node runs in another process
	release func() error // gives the lock back
	client  *api.Client  // nil where the node is our own
}

// own reports whether the node ends with this command.
func (n *attached) own() bool { return n.node != nil }

// Close ends what attach began.
func (n *attached) Close() error {
	if !n.own() {
		n.client.Close()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	err := rememberJoined(ctx, n.home, n.node)
	return errors.Join(err, n.node.Stop(), n.release())
}

// attach connects to the node of the home, or runs one until Close. A node that is just starting or stopping is waited for.
func (a *App) attach(c *cli.Context) (*attached, error) {
	h, err := home.Open(dir(c))
	if err != nil {
		return nil, err
	}
	o, err := a.nodeOptions(c, h)
	if err != nil {
		return nil, err
	}
	return a.attachWith(c, h, o)
}

func (a *App) attachWith(c *cli.Context, h *home.Home, o NodeOptions) (*attached, error) {
	deadline := time.Now().Add(attachWait)
	for {
		if client, err := api.Dial(h.Socket()); err == nil {
			return &attached{Backend: client, home: h, client: client}, nil
		}
		release, err := h.Lock(c.Context, attachPoll)
		if err == nil {
			return a.startOwn(c, h, o, release)
		}
		if time.Now().After(deadline) || c.Err() != nil {
			return nil, err
		}
	}
}

func (a *App) startOwn(c *cli.Context, h *home.Home, o NodeOptions, release func() error) (*attached, error) {
	node, err := a.start(c, h, o)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return &attached{Backend: node, home: h, node: node, release: release}, nil
}

// start unlocks the home and runs a node on it, whose lock we hold.
func (a *App) start(c *cli.Context, h *home.Home, o NodeOptions) (Node, error) {
	u, err := a.unlock(c, h)
	if err != nil {
		return nil, err
	}
	o.Unlocked = u
	return a.Start(c.Context, h, o)
}

// dialed connects to the node of the home, and runs none. The home is returned also where no node runs.
func (a *App) dialed(c *cli.Context) (*home.Home, *api.Client, error) {
	h, err := home.Open(dir(c))
	if err != nil {
		return nil, nil, err
	}
	client, err := api.Dial(h.Socket())
	if err != nil {
		return h, nil, &chat.Error{
			Code:   chat.CodeUnavailable,
			Detail: "no node is running on " + h.Dir(),
			Try:    home.Command(h.Dir(), "up"),
		}
	}
	return h, client, nil
}

// reader returns the node of the home where one runs, and otherwise opens keys and database of the home.
func (a *App) reader(c *cli.Context) (Reader, error) {
	h, client, err := a.dialed(c)
	switch {
	case h == nil:
		return nil, err
	case err == nil:
		return running{client}, nil
	}
	u, err := a.unlock(c, h)
	if err != nil {
		return nil, err
	}
	return a.Offline(c.Context, h, u)
}

// running makes a node that runs in another process a Reader.
type running struct{ *api.Client }

// Close leaves the node as it is.
func (r running) Close() error {
	r.Client.Close()
	return nil
}

// rememberJoined notes in the home that a node of the network has answered, once one has.
func rememberJoined(ctx context.Context, h *home.Home, node api.Node) error {
	if h.Joined() {
		return nil
	}
	st, err := node.Status(ctx)
	if err != nil || !st.Network.Joined {
		return err
	}
	return h.SaveJoined()
}

// nodeOptions says how a node is to run: flag before environment before home before default. Only up has the flags.
func (a *App) nodeOptions(c *cli.Context, h *home.Home) (o NodeOptions, err error) {
	o = NodeOptions{
		Listen:   argv.Values(c, "listen", "PARLEY_NODE_LISTEN"),
		Announce: argv.Values(c, "announce", "PARLEY_NODE_ANNOUNCE"),
	}
	if o.Seed, err = argv.Enabled("PARLEY_NODE_SEED", false); err != nil {
		return o, err
	}
	if o.MDNS, err = argv.Enabled("PARLEY_NODE_MDNS", true); err != nil {
		return o, err
	}
	if o.PortMap, err = argv.Enabled("PARLEY_NODE_PORT_MAP", true); err != nil {
		return o, err
	}
	o.PortMap = o.PortMap && c.Command.Name == "up" && !c.Bool("no-port-map") // a router takes longer to answer than a single command to end
	o.Seed = o.Seed || c.Bool("seed")
	o.MDNS = o.MDNS && !c.Bool("no-mdns")
	o.OnlyCopy = c.Bool("only-copy")
	if o.Database, err = database(c, h); err != nil {
		return o, err
	}
	if err := o.mailbox(c, h); err != nil {
		return o, err
	}
	if o.MailboxLimits, err = a.mailboxLimits(c); err != nil {
		return o, err
	}
	if o.Trusted, err = prefixes(argv.Values(c, "trust-prefix", "PARLEY_NODE_TRUST_PREFIX")); err != nil {
		return o, err
	}
	if o.Metrics, err = metricsAt(c); err != nil {
		return o, err
	}
	o.Log, err = a.logOptions(c)
	return o, err
}

// mailbox says whether the node keeps messages for others, and where: a seed does, and so does the node that made a network without others,
// unless it is told not to.
func (o *NodeOptions) mailbox(c *cli.Context, h *home.Home) (err error) {
	if c.Bool("mailbox") && c.Bool("no-mailbox") {
		return argv.Usage("--mailbox and --no-mailbox exclude each other", "parley up --help")
	}
	if o.Mailbox, err = argv.Enabled("PARLEY_NODE_MAILBOX", o.Seed || len(h.Network().Seeds) == 0); err != nil {
		return err
	}
	o.Mailbox = (o.Mailbox || c.Bool("mailbox")) && !c.Bool("no-mailbox")
	o.MailboxDatabase, err = databaseURL(c, "mailbox-database", "PARLEY_MAILBOX_DATABASE_URL", "PARLEY_MAILBOX_DATABASE_URL_FILE")
	if err != nil {
		return err
	}
	said := ""
	switch {
	case o.Mailbox:
	case c.String("mailbox-database") != "":
		said = "a database for mailboxes is named"
	case len(c.StringSlice("mailbox-limits")) > 0:
		said = "limits of mailboxes are named"
	}
	if said != "" {
		return &chat.Error{Code: chat.CodeConfig, Detail: said + ", and this node keeps none", Try: "parley up --mailbox"}
	}
	return nil
}

// mailboxLimits says how much the node keeps for others at most.
func (a *App) mailboxLimits(c *cli.Context) (l chat.HostLimits, err error) {
	if said := argv.Values(c, "mailbox-limits", "PARLEY_MAILBOX_LIMITS"); said != nil {
		l, err = argv.Limits(said)
	}
	if err == nil {
		l, err = a.Limits(l)
	}
	if err != nil {
		return l, argv.Usage("mailbox limits: "+err.Error(), "parley up --help")
	}
	return l, nil
}

// database returns the URL of the home's database.
func database(c *cli.Context, h *home.Home) (string, error) {
	if url, err := databaseURL(c, "database", "PARLEY_DATABASE_URL", "PARLEY_DATABASE_URL_FILE"); url != "" || err != nil {
		return url, err
	}
	return h.Node().Database, nil
}

// databaseURL returns the URL that a flag or the environment names, or nothing. It may hold a password, so that it may also come from a file.
func databaseURL(c *cli.Context, flag, env, inFile string) (string, error) {
	if url := c.String(flag); url != "" {
		return url, nil
	}
	if url := os.Getenv(env); url != "" {
		return url, nil
	}
	if file := os.Getenv(inFile); file != "" {
		url, err := readSecret("the database URL", file)
		return string(url), err
	}
	return "", nil
}

// logOptions keeps a node quiet by default, and its log readable by whoever reads standard error.
func (a *App) logOptions(c *cli.Context) (LogOptions, error) {
	o := LogOptions{Level: "warn", Format: "json", Writer: a.Stderr}
	if a.isTerminal(a.Stderr) {
		o.Format = "text"
	}
	err := argv.Choose(&o.Level, c.String("log-level"), "PARLEY_LOG_LEVEL", "debug", "info", "warn", "error")
	return o, errors.Join(err, argv.Choose(&o.Format, c.String("log-format"), "PARLEY_LOG_FORMAT", "text", "json"))
}
