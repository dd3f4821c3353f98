package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/chattest"
	"parley/chat/cli"
	"parley/chat/home"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// world is where people have homes and nodes: real messengers behind real sockets, on a network and stores in memory.
type world struct {
	t   *testing.T
	net *chattest.Network

	mu      sync.Mutex
	stores  map[string]chat.Store
	members map[string]*chattest.Members
	asked   []cli.NodeOptions // what nodes were started with
	broken  error             // what Start returns
	silence error             // what Join returns
	told    []string          // addresses that nodes tell others; none: what their network says
	// hands is what who answers Join hands on to the home before.
	hands func(*home.Home) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Setenv("PARLEY_HOME", filepath.Join(t.TempDir(), "nobody"))
	return &world{t: t, net: chattest.NewNetwork(1), stores: make(map[string]chat.Store), members: make(map[string]*chattest.Members)}
}

func (w *world) store(dir string) chat.Store {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stores[dir] == nil {
		w.stores[dir] = chattest.NewMemStore()
	}
	return w.stores[dir]
}

// town returns what the node on a home knows of its network.
func (w *world) town(dir string, id *chat.Identity, psk []byte) *chattest.Members {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.members[dir] == nil {
		w.members[dir] = chattest.NewMembers(id)
		w.members[dir].First = psk
	}
	return w.members[dir]
}

// started returns the options that the last node was started with.
func (w *world) started() cli.NodeOptions {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[len(w.asked)-1]
}

// port is where a node is on the network, and what it tells others of that.
type port struct {
	*chattest.Port
	told []string
}

// Addresses implements chat.Transport.
func (p port) Addresses() (addrs []string, reachable bool) {
	if len(p.told) > 0 {
		return p.told, true
	}
	return p.Port.Addresses()
}

// node is a messenger and its socket, running.
type node struct {
	*chat.Messenger
	ended  <-chan struct{}
	cancel context.CancelFunc
	parts  *errgroup.Group
}

// Ended implements cli.Node.
func (n *node) Ended() <-chan struct{} { return n.ended }

// Stop implements cli.Node.
func (n *node) Stop() error {
	n.cancel()
	if err := n.parts.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// fill stands for what a node makes of limits.
func fill(l chat.HostLimits) (chat.HostLimits, error) {
	if l.Quota.Host.Boxes == 1 {
		return l, errors.New("host has room for 1 boxes")
	}
	if l.Quota.Mailbox.Bytes == 0 {
		l.Quota.Mailbox.Bytes = 64 << 20
	}
	return l, nil
}

func hosting(o cli.NodeOptions) *chat.HostLimits {
	if !o.Mailbox {
		return nil
	}
	return &o.MailboxLimits
}

func (w *world) start(ctx context.Context, h *home.Home, o cli.NodeOptions) (cli.Node, error) {
	w.mu.Lock()
	w.asked = append(w.asked, o)
	broken := w.broken
	w.mu.Unlock()
	if broken != nil {
		return nil, broken
	}
	port, device := port{w.net.Port(o.Identity.Device()), w.told}, o.Identity.Device()
	m := chat.New(chat.Config{
		Identity: o.Identity, Name: h.Profile().Name, Network: h.Network().Network, Seeds: h.Network().Seeds, Join: h.Invite(), Links: h,
		Store: w.store(h.Dir()), Keys: o.Unlocked, Instance: o.Unlocked, OnlyCopy: o.OnlyCopy, Database: "memory", Transport: port, Directory: port,
		Members: w.town(h.Dir(), o.Identity, h.Network().PSK), NetKey: w.town(h.Dir(), o.Identity, nil), Hosts: port,
		Health: func() chat.Health { return chat.Health{Joined: h.Joined() || len(port.Peers()) > 0} }, Hosting: hosting(o),
	})
	if err := m.Resume(ctx); err != nil {
		return nil, err
	}
	socket, remove, err := h.ClaimSocket()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	srv := api.NewServer(m, api.ServerOptions{Socket: socket, Shutdown: cancel})
	g, ctx := errgroup.WithContext(ctx)
	n := &node{m, ctx.Done(), cancel, g}
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error { return errors.Join(srv.Run(ctx), remove()) })
	w.net.Plug(device, m)
	context.AfterFunc(ctx, func() { w.net.Unplug(device) })
	<-srv.Ready()
	return n, nil
}

type reader struct{ *chat.Messenger }

// Close implements cli.Reader.
func (reader) Close() error { return nil }

func (w *world) app() *cli.App {
	return &cli.App{
		Version: cli.VersionInfo{Version: "0.1.0", Go: "go1.26"},
		Start:   w.start,
		Limits:  fill,
		Offline: func(_ context.Context, h *home.Home, u *home.Unlocked) (cli.Reader, error) {
			return reader{chat.New(chat.Config{Identity: u.Identity, Network: h.Network().Network, Join: h.Invite(), Store: w.store(h.Dir()), Keys: u})}, nil
		},
		Join: func(_ context.Context, h *home.Home, _ *chat.Identity) error {
			if w.hands != nil {
				if err := w.hands(h); err != nil {
					return err
				}
			}
			return w.silence
		},
	}
}

// person is somebody with a home, who types commands.
type person struct {
	*testing.T
	w    *world
	name string
	home string
	node *background // what up began last
}

// opens returns what is in the home now.
func (p *person) opens() *home.Home {
	p.Helper()
	h, err := home.Open(p.home)
	if err != nil {
		p.Fatal(err)
	}
	return h
}

// result is what became of a command.
type result struct {
	code           int
	stdout, stderr string
}

// person returns somebody who has no home yet.
func (w *world) person(name string) *person {
	return &person{T: w.t, w: w, name: name, home: filepath.Join(w.t.TempDir(), strings.ToLower(name))}
}

// at runs a command with these streams.
func (p *person) at(ctx context.Context, in io.Reader, out, errs io.Writer, args ...string) int {
	app := p.w.app()
	app.Stdin, app.Stdout, app.Stderr = in, out, errs
	return app.Run(ctx, append([]string{"parley", "--home", p.home}, args...))
}

// run runs a command without a terminal, with text on its standard input.
func (p *person) run(stdin string, args ...string) result {
	var out, errs bytes.Buffer
	code := p.at(p.Context(), strings.NewReader(stdin), &out, &errs, args...)
	return result{code, out.String(), errs.String()}
}

// ok runs a command that has to work and returns what it printed.
func (p *person) ok(args ...string) string {
	p.Helper()
	r := p.run("", args...)
	if r.code != 0 {
		p.Fatalf("%s: parley %q ended with %d: %s", p.name, args, r.code, r.stderr)
	}
	return r.stdout
}

// fails runs a command that has to end with a code and words, in the form that all errors have.
func (p *person) fails(code int, says string, args ...string) result {
	p.Helper()
	r := p.run("", args...)
	p.wantMistake(r, code, says)
	return r
}

func (p *person) wantMistake(r result, code int, says string) {
	p.Helper()
	lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
	if r.code != code || !strings.Contains(lines[0], says) {
		p.Errorf("want %d and %q, got %d and %q", code, says, r.code, r.stderr)
	}
	if !strings.HasPrefix(lines[0], "parley: ") || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "  try: ") {
		p.Errorf("not one line and one hint: %q", r.stderr)
	}
}

// background is a command that runs on.
type background struct {
	*testing.T
	stop   context.CancelFunc
	ended  chan result
	stdout *buffer
	stderr *buffer
}

// begin runs a command beside the test, until it ends or stop.
func (p *person) begin(args ...string) *background {
	p.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{T: p.T, stop: cancel, ended: make(chan result, 1), stdout: newBuffer(), stderr: newBuffer()}
	go func() {
		code := p.at(ctx, strings.NewReader(""), b.stdout, b.stderr, args...)
		b.ended <- result{code, b.stdout.String(), b.stderr.String()}
	}()
	p.Cleanup(func() { cancel(); b.wait() })
	return b
}

// wait returns the result once the command has ended.
func (b *background) wait() result {
	b.Helper()
	select {
	case r := <-b.ended:
		b.ended <- r
		return r
	case <-time.After(patience):
		b.Fatalf("it does not end; so far it said %q and %q", b.stdout.String(), b.stderr.String())
		return result{}
	}
}

// up runs the person's node.
func (p *person) up(args ...string) *background {
	p.Helper()
	b := p.begin(append([]string{"up"}, args...)...)
	b.stderr.expect(p.T, "parley: ready")
	p.node = b
	return b
}

// buffer is a stream that can be waited on.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newBuffer() *buffer { return &buffer{more: make(chan struct{})} }

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.more)
	b.more = make(chan struct{})
	return b.text.Write(p)
}

// String returns everything written so far.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *buffer) expect(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		now, more := b.text.String(), b.more
		b.mu.Unlock()
		if strings.Contains(now, text) {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("waited for %q, got %q", text, now)
		}
	}
}

// aliceAndBob are on one network, with running nodes, and know each other.
func (w *world) aliceAndBob() (alice, bob *person) {
	w.t.Helper()
	alice, bob = w.person("Alice"), w.person("Bob")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	link := strings.TrimSpace(alice.ok("net", "invite"))
	bob.ok("init", "--name", "Bob", "--join", link, "-y")
	bob.up()
	bob.until("Alice", "contact", "list")
	alice.until("Bob", "contact", "list")
	return alice, bob
}

// until runs a command again and again until it prints a text.
func (p *person) until(text string, args ...string) {
	p.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for {
		out := p.ok(args...)
		if strings.Contains(out, text) {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			p.Fatalf("parley %q does not print %q but %q", args, text, out)
		}
	}
}

// fields reads one JSON object.
func fields(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if v["v"] != 1.0 {
		t.Fatalf("no version in %q", text)
	}
	return v
}

// file writes a file and returns its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// host puts a mailbox host on line.
func (w *world) host() *chattest.MailHost {
	w.t.Helper()
	identity, err := chat.NewIdentity("a host")
	if err != nil {
		w.t.Fatal(err)
	}
	return w.net.AddHost(identity.Device())
}

// device returns the id of somebody's device.
func (w *world) device(p *person) peer.ID {
	w.t.Helper()
	h, err := home.Open(p.home)
	if err != nil {
		w.t.Fatal(err)
	}
	return h.Profile().Device
}
