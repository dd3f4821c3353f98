package cli

import (
	"context"
	"io"
	"net/netip"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli/argv"
	"parley/chat/home"
)

// App is the command line. The functions in it are how it gets at the parts of parley that it may not know.
type App struct {
	Version VersionInfo
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// Terminal says whether one of the three streams is a terminal. Nil: the system is asked.
	Terminal func(stream any) bool

	// Start runs a node in this process on a home whose lock we hold, until ctx ends or Stop. It returns when the node is ready:
	// database migrated, listeners and local API up.
	Start func(ctx context.Context, h *home.Home, o NodeOptions) (Node, error)
	// Offline opens the home's database for reading only, whether a node runs or not.
	Offline func(ctx context.Context, h *home.Home, u *home.Unlocked) (Reader, error)
	// Limits returns limits of what a node keeps for others, with what is usual in the place of what is zero. The error says what cannot be.
	Limits func(said chat.HostLimits) (chat.HostLimits, error)
	// Join tries once to become a member of the network that the home's invite leads to. The error is a line that says why it is none.
	Join func(ctx context.Context, h *home.Home, id *chat.Identity) error
}

// Node is a node that runs in this process.
type Node interface {
	api.Backend
	// Arranged is closed once others know where to leave something for this device, or nobody would keep it.
	Arranged() <-chan struct{}
	// Ended is closed when the node has ended, by itself or because it was asked to.
	Ended() <-chan struct{}
	// Stop ends the node, waits until it has, and returns why it ended where that was by itself. It may be called more than once.
	Stop() error
}

// Reader is what can be seen of a home without a node.
type Reader interface {
	Contacts(ctx context.Context) ([]chat.Contact, error)
	History(ctx context.Context, c chat.ConversationID, before chat.MessageID, limit int) ([]chat.Message, error)
	Info(ctx context.Context, id chat.MessageID) (chat.Info, error)
	Close() error
}

// NodeOptions is how a node is to run, with every default filled in.
type NodeOptions struct {
	*home.Unlocked
	Seed     bool     // serve the network as one of its seeds
	Listen   []string // multiaddrs; empty: every interface, on the home's port
	Announce []string // multiaddrs; empty: what the node finds out
	Database string   // "sqlite:PATH" or "postgres://…"
	MDNS     bool     // look for nodes on the local network
	PortMap  bool     // ask the router for a port that others can dial
	OnlyCopy bool     // no other copy of this device is at work: begin anew with everybody
	Mailbox  bool     // keep envelopes for devices of the network that are away
	Metrics  string   // where a Prometheus on this machine asks for figures, host:port or unix:PATH; empty: nowhere
	Log      LogOptions

	Trusted []netip.Prefix // networks that share one router, and may have many connections

	MailboxDatabase string // where they are kept, "sqlite:PATH" or "postgres://…"; empty: beside the home's own database
	MailboxLimits   chat.HostLimits
}

// LogOptions is where and how a node logs.
type LogOptions struct {
	Level  string // debug, info, warn or error
	Format string // text or json
	Writer io.Writer
}

// Run runs one command line, the program's name first, and returns the exit code. The first SIGINT or SIGTERM ends the command
// in an orderly way; the second ends the process.
func (a *App) Run(ctx context.Context, args []string) int {
	if argv.Completing(args) {
		return 0
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	root, at := a.root(), ""
	root.Before = func(c *cli.Context) error {
		at = c.String("home")
		return nil
	}
	args, err := argv.Arrange(root, args)
	if err == nil {
		err = root.RunContext(ctx, args)
	}
	return a.report(ctx, err, at)
}

func (a *App) root() *cli.App {
	return &cli.App{
		Name:                      "parley",
		Usage:                     "a messenger without servers",
		HideVersion:               true,
		HideHelp:                  true, // help.go; the library's shares a variable between runs
		DisableSliceFlagSeparator: true, // a comma in a value is part of it
		Reader:                    a.Stdin,
		Writer:                    a.Stdout,
		ErrWriter:                 a.Stderr,
		OnUsageError:              usageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // Run reports
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "home", Usage: "the folder of this device [$PARLEY_HOME]", DefaultText: "parley in the user's data folder"},
		},
		Action: a.noCommand,
		Commands: tamed([]*cli.Command{
			a.initCommand(), a.upCommand(), a.chatCommand(), a.statusCommand(), a.doctorCommand(), a.whoamiCommand(), a.passphraseCommand(), a.lockCommand(),
			a.versionCommand(),
			a.netCommand(), a.peersCommand(), a.mailboxCommand(),
			a.contactCommand(),
			a.sendCommand(), a.recvCommand(), a.historyCommand(), a.infoCommand(), a.receiptsCommand(),
			a.helpCommand(),
		}),
	}
}

// tamed makes commands do what ours do, and not what the library adds: a subcommand "help" to every one of them, although
// "parley send help" names somebody.
func tamed(commands []*cli.Command) []*cli.Command {
	for _, c := range commands {
		c.HideHelp = true
		c.OnUsageError = usageError
		for _, sub := range tamed(c.Subcommands) {
			sub.HelpName = "parley " + c.Name + " " + sub.Name
		}
	}
	return commands
}

func (a *App) isTerminal(stream any) bool {
	if a.Terminal != nil {
		return a.Terminal(stream)
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// dir returns the home that the command line names.
func dir(c *cli.Context) string {
	if d := c.String("home"); d != "" {
		return d
	}
	return home.Default()
}

// try returns the command line that runs parley on the same home.
func try(c *cli.Context, rest string) string { return home.Command(dir(c), rest) }

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "write JSON for programs"}
}
