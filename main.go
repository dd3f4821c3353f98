// Command parley is a messenger without servers. This file introduces its parts to each other: chat knows what a message is, node
// knows how bytes reach a peer, store knows where rows live; chat/cli is what people type, chat/api how programs get at a node.
package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli"
	"parley/chat/home"
	"parley/node"
	"parley/store"
)

const version = "0.1.0-dev"

func main() {
	app := &cli.App{
		Version: cli.Build(version), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Start: start, Offline: offline, Probe: probe,
	}
	os.Exit(app.Run(context.Background(), os.Args))
}

// start opens the database and the listeners, and runs a node on them.
func start(ctx context.Context, h *home.Home, o cli.NodeOptions) (cli.Node, error) {
	log := cli.NewLogger(o.Log)
	node.BridgeLogs(log.Core())
	db, err := store.Open(ctx, o.Database, store.Options{Logger: log.Named("store")})
	if err != nil {
		return nil, err
	}
	if err := db.Claim(ctx, o.Identity.Account(), o.Identity.Device()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	n, err := node.New(nodeConfig(h, o, db, log.Named("node")))
	if err != nil {
		return nil, errors.Join(listenError(h, err), db.Close())
	}
	r, err := run(ctx, h, o, db, n, log)
	if err != nil {
		return nil, errors.Join(err, n.Close(), db.Close())
	}
	return r, nil
}

// running is a node in this process. The order in which its parts stop does not matter, but for the database, which closes last.
type running struct {
	*chat.Messenger
	parts  *errgroup.Group
	ended  <-chan struct{}
	cancel context.CancelFunc
	close  func() error
}

// run makes the three parts that run, and returns when the last of them is ready.
func run(ctx context.Context, h *home.Home, o cli.NodeOptions, db *store.DB, n *node.Node, log *zap.Logger) (*running, error) {
	m := chat.New(chatConfig(h, o, db, n, log.Named("chat")))
	if err := m.Resume(ctx); err != nil {
		return nil, err
	}
	socket, removeSocket, err := h.ClaimSocket()
	if err != nil {
		return nil, err
	}
	srv := api.NewServer(m, api.ServerOptions{Socket: socket, Version: version, Logger: log.Named("api")})

	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Run(ctx, m) }) // m receives
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error { return srv.Run(ctx) })
	r := &running{m, g, ctx.Done(), cancel, sync.OnceValue(func() error { return errors.Join(removeSocket(), db.Close()) })}
	select {
	case <-srv.Ready():
	case <-ctx.Done(): // Stop says why
	}
	return r, nil
}

// Ended implements cli.Node.
func (r *running) Ended() <-chan struct{} { return r.ended }

// Stop implements cli.Node.
func (r *running) Stop() error {
	r.cancel()
	err := r.parts.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, r.close())
}

// offline is a messenger that only reads.
func offline(ctx context.Context, h *home.Home) (cli.Reader, error) {
	db, err := store.Open(ctx, h.Node().Database, store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return reader{chat.New(chat.Config{Account: h.Profile().Account, Network: h.Network().Network, Store: db}), db.Close}, nil
}

type reader struct {
	*chat.Messenger
	close func() error
}

// Close implements cli.Reader.
func (r reader) Close() error { return r.close() }

// probe tries once to reach a node of the home's network, under a key made for it: that needs no passphrase.
func probe(ctx context.Context, h *home.Home) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	node.BridgeLogs(zapcore.NewNopCore())
	return node.Probe(ctx, node.Config{Key: key, Network: network(h)})
}

func nodeConfig(h *home.Home, o cli.NodeOptions, db *store.DB, log *zap.Logger) node.Config {
	cfg := node.Config{
		Key: o.Identity.DeviceKey(), Network: network(h), Listen: o.Listen, Announce: o.Announce, Port: h.Node().Port,
		Seed: o.Seed, MDNS: o.MDNS, Peers: db.Peers(), Validators: map[string]node.Validator{}, Logger: log,
	}
	for noun, validate := range chat.Validators() {
		cfg.Validators[noun] = validate
	}
	return cfg
}

func chatConfig(h *home.Home, o cli.NodeOptions, db *store.DB, n *node.Node, log *zap.Logger) chat.Config {
	return chat.Config{
		Identity: o.Identity, Name: h.Profile().Name, Network: h.Network().Network, Seeds: h.Network().Seeds, Join: h.Invite(),
		Store: db, Database: db.Engine(), Transport: n, Directory: n, Logger: log,
		Health: func() (joined bool, trouble string) { return h.Joined() || n.Joined(), n.Warning() },
	}
}

func network(h *home.Home) node.Network {
	known := h.Network()
	n := node.Network{Name: known.Name, ID: known.ID, PSK: known.PSK}
	for _, s := range known.Seeds {
		seed := peer.AddrInfo{ID: s.Device}
		for _, a := range s.Addrs {
			if addr, err := ma.NewMultiaddr(a); err == nil {
				seed.Addrs = append(seed.Addrs, addr)
			}
		}
		n.Seeds = append(n.Seeds, seed)
	}
	return n
}

// listenError tells people why the node could not listen.
func listenError(h *home.Home, err error) error {
	var l *node.ListenError
	if !errors.As(err, &l) {
		return err
	}
	return &chat.Error{Code: chat.CodeConfig, Detail: "cannot listen: " + l.Reason, Try: home.Command(h.Dir(), "up --listen MULTIADDR")}
}
