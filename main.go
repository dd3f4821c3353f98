// Command parley is a messenger without servers. This file introduces its parts to each other: chat knows what a message is, node
// knows how bytes reach a peer, store knows where rows live; chat/cli is what people type, chat/api how programs get at a node.
package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli"
	"parley/chat/home"
	"parley/chat/scrape"
	"parley/node"
	"parley/store"
)

const version = "0.1.0-dev"

func main() {
	app := &cli.App{Version: cli.Build(version), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	app.Start, app.Offline, app.Join, app.Limits = start, offline, join, node.MailboxLimits
	os.Exit(app.Run(context.Background(), os.Args))
}

// start opens the database and the listeners and runs a node on them.
func start(ctx context.Context, h *home.Home, o cli.NodeOptions) (cli.Node, error) {
	log := cli.NewLogger(o.Log)
	node.BridgeLogs(log.Core())
	zap.RedirectStdLog(log) // some libraries write there
	db, err := store.Open(ctx, o.Database, store.Options{Logger: log.Named("store")})
	if err != nil {
		return nil, err
	}
	boxes, err := (*store.Mailbox)(nil), db.Claim(ctx, o.Identity.Account(), o.Identity.Device())
	if err == nil && o.Mailbox {
		boxes, err = db.Mailboxes(ctx, o.MailboxDatabase, store.Options{Logger: log.Named("store")})
	}
	var n *node.Node
	if err == nil {
		n, err = node.New(nodeConfig(h, o, db, boxes, log.Named("node")))
	}
	if l := (*node.ListenError)(nil); errors.As(err, &l) {
		err = &chat.Error{Code: chat.CodeConfig, Detail: "cannot " + l.Error(), Try: home.Command(h.Dir(), "up "+l.Instead())}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	r, err := run(ctx, h, o, db, n, log)
	if err != nil {
		return nil, errors.Join(err, n.Close(), db.Close())
	}
	return r, nil
}

// run makes the three parts that run, and returns when the last of them is ready. The database closes last.
func run(ctx context.Context, h *home.Home, o cli.NodeOptions, db *store.DB, n *node.Node, log *zap.Logger) (*cli.Running, error) {
	m := chat.New(chatConfig(h, o, db, n, log.Named("chat")))
	if err := m.Resume(ctx); err != nil {
		return nil, err
	}
	socket, removeSocket, err := h.ClaimSocket()
	if err != nil {
		return nil, err
	}
	figures, err := scrape.Listen(ctx, o.Metrics, n.Figures(), m.Figures())
	if err != nil {
		err = &chat.Error{Code: chat.CodeConfig, Detail: "metrics (PARLEY_METRICS_LISTEN): cannot " + err.Error(), Try: home.Command(h.Dir(), "up --metrics 127.0.0.1:9464")}
		return nil, errors.Join(err, removeSocket())
	}
	ctx, cancel := context.WithCancel(ctx)
	srv := api.NewServer(m, api.ServerOptions{Socket: socket, Version: version, Shutdown: cancel, Logger: log.Named("api")})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Run(ctx, m) }) // m receives
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error { return srv.Run(ctx) })
	g.Go(func() error { return figures.Run(ctx) })
	r := &cli.Running{
		Messenger: m, Parts: g, Over: ctx.Done(), Cancel: cancel, Close: sync.OnceValue(func() error { return errors.Join(removeSocket(), db.Close()) }),
	}
	for _, ready := range []<-chan struct{}{n.Serving(), srv.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done(): // Stop says why
		}
	}
	return r, nil
}

// offline is a messenger that only reads.
func offline(ctx context.Context, h *home.Home, u *home.Unlocked) (cli.Reader, error) {
	db, err := store.Open(ctx, h.Node().Database, store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return reader{chat.New(chat.Config{Identity: u.Identity, Network: h.Network().Network, Join: h.Invite(), Store: db, Keys: u}), db}, nil
}

type reader struct {
	*chat.Messenger
	io.Closer
}

// join tries once to become a member of the home's network.
func join(ctx context.Context, h *home.Home, id *chat.Identity) error {
	node.BridgeLogs(zapcore.NewNopCore())
	return node.Join(ctx, node.Config{Key: id.DeviceKey(), Network: network(h), Member: membership(h, id, nil)})
}

func membership(h *home.Home, id *chat.Identity, authority ed25519.PrivateKey) node.Membership {
	return node.Membership{
		IDOf: chat.NetworkID, Proven: chat.CheckMemberProof, Account: id.Account(), Proof: id.MemberProof(h.Network().ID),
		Authority: authority, Closed: h.Network().Closed, Issuer: h.Invite().Issuer(), Token: h.Invite().MemberToken(), Expires: h.Invite().Until(), Anew: h.Anew(), Vault: h.Ledger(), Keys: h,
	}
}

func nodeConfig(h *home.Home, o cli.NodeOptions, db *store.DB, boxes *store.Mailbox, log *zap.Logger) node.Config {
	return node.Config{
		Key: o.Identity.DeviceKey(), Network: network(h), Member: membership(h, o.Identity, o.Authority()), Listen: o.Listen, Announce: o.Announce, Port: h.Node().Port,
		Seed: o.Seed, MDNS: o.MDNS, PortMap: o.PortMap, Peers: db.Peers(), Mailboxes: boxes.Store(), MailboxShared: boxes.Shared(),
		MailboxLimits: o.MailboxLimits, Trusted: o.Trusted, Validators: chat.Validators(), Logger: log,
	}
}

func network(h *home.Home) node.Network {
	n := h.Network()
	return node.Network{Name: n.Name, ID: n.ID, PSK: n.PSK, Rotation: n.Rotation, Seeds: node.Places(n.Seeds)}
}

func chatConfig(h *home.Home, o cli.NodeOptions, db *store.DB, n *node.Node, log *zap.Logger) chat.Config {
	return chat.Config{
		Identity: o.Identity, Name: h.Profile().Name, Network: h.Network().Network, Seeds: h.Network().Seeds, Join: h.Invite(),
		Links: h, Store: db, Keys: o.Unlocked, Instance: o.Unlocked, OnlyCopy: o.OnlyCopy, Database: db.Engine(),
		Transport: n, Directory: n, Members: n, NetKey: n, Hosts: n, Hosting: n.Hosting(), Logger: log,
		Health: func() chat.Health {
			return chat.Health{
				Joined: h.Joined() || n.Joined(), Trouble: n.Warning(), Refused: n.Refused(), OtherKey: n.OtherKey(), Removed: n.Removed(),
				WaitsFor: n.WaitsFor(), Reach: n.Reach(),
			}
		},
	}
}
