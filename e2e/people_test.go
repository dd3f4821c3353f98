package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parley/store/storetest"
)

// world is where the people of one scene live. It speaks to loopback only, and nothing of it outlives the test.
type world struct {
	testing.TB
	dir    string
	parley string // the program
	loud   bool   // nodes log everything
	logs   []*process
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return &world{TB: t, dir: dir, parley: program(t)}
}

// env is what every process of a world finds in its environment; nothing of ours gets in.
func (w *world) env(more ...string) []string {
	level := "warn"
	if w.loud {
		level = "debug"
	}
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "XDG_RUNTIME_DIR=" + os.TempDir(), "TMPDIR=" + w.dir, "TZ=UTC", "LANG=C.UTF-8",
		"GORACE=atexit_sleep_ms=0", // the race detector would end every process a second late
		"PARLEY_NODE_MDNS=false", "PARLEY_LOG_LEVEL=" + level,
	}, more...)
}

// person has a home, a port and perhaps a running node.
type person struct {
	*world
	name     string
	home     string
	under    []string // a command that every command of theirs is run under
	address  string   // listens there; empty: wherever a node listens by itself
	port     int
	quic     bool     // listens with QUIC instead of TCP
	database string   // URL, given to the first up and remembered by the home; empty: the default
	options  []string // further flags of up
	environ  []string // further environment
	node     *process // nil before start
}

// person returns somebody who has nothing yet but a name.
func (w *world) person(name string) *person {
	w.Helper()
	return &person{world: w, name: name, home: filepath.Join(w.dir, strings.ToLower(name)), address: "127.0.0.1", port: freePort(w)}
}

// seed returns the owner of a new network, whose node serves it. The node runs.
func (w *world) seed(options ...string) *person {
	w.Helper()
	s := w.person("Seed")
	s.options = append([]string{"--seed"}, options...)
	s.ok("init", "--name", s.name, "--network", "home", "--no-passphrase")
	s.start()
	return s
}

// joins gives a person a home on the network of an invite, and no running node yet.
func (p *person) joins(link string) *person {
	p.Helper()
	p.ok("init", "--name", p.name, "--join", link, "--no-passphrase", "-y")
	return p
}

// invite returns a link to the network that makes its users and p contacts.
func (p *person) invite() string {
	p.Helper()
	return p.ok("net", "invite", "--uses", "9")
}

// inArrivalOrder is for the seed where texts must come in the order in which they were said: what a mailbox keeps for a moment, because a busy
// machine takes long to acknowledge, may be overtaken by what is said after it.
const inArrivalOrder = "--no-mailbox"

// aliceAndBob returns two people who know each other, on the network of a seed, which may have options; all three run. Alice and Bob have a
// database of the engine each.
func (w *world) aliceAndBob(engine func(testing.TB) string, options ...string) (seed, alice, bob *person) {
	w.Helper()
	seed = w.seed(options...)
	alice, bob = w.person("Alice"), w.person("Bob")
	alice.database, bob.database = engine(w), engine(w)
	alice.joins(seed.invite()).start()
	bob.joins(alice.invite()).start()
	alice.knows("Bob") // once his card has arrived
	return seed, alice, bob
}

// knows waits until somebody is a contact.
func (p *person) knows(name string) {
	p.Helper()
	await(p, patience, p.name+" knows "+name, func() bool {
		return strings.Contains(p.ok("contact", "list", "--json"), `"name":"`+name+`"`)
	})
}

// accepts waits until somebody asks to be a contact, and says yes.
func (p *person) accepts(name string) {
	p.Helper()
	await(p, patience, name+" asks "+p.name, func() bool {
		return strings.Contains(p.ok("contact", "requests", "--json"), `"name":"`+name+`"`)
	})
	p.ok("contact", "accept", name)
}

// engines are the databases that scenes run on.
func engines() map[string]func(testing.TB) string {
	return map[string]func(testing.TB) string{
		"sqlite":   func(testing.TB) string { return "" },
		"postgres": storetest.Postgres,
	}
}

// onBothEngines plays a scene on each database.
func onBothEngines(t *testing.T, scene func(t *testing.T, engine func(testing.TB) string)) {
	for name, engine := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene(t, engine)
		})
	}
}

// listen is the address of a person's node.
func (p *person) listen() string {
	if p.quic {
		return fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", p.address, p.port)
	}
	return fmt.Sprintf("/ip4/%s/tcp/%d", p.address, p.port)
}

// words are those of a whole command line.
func (p *person) words(args ...string) (name string, rest []string) {
	all := slices.Concat(p.under, []string{p.parley, "--home", p.home}, args)
	return all[0], all[1:]
}

func (p *person) env() []string {
	if p.address == "" {
		return p.world.env(p.environ...)
	}
	return p.world.env(append([]string{"PARLEY_NODE_LISTEN=" + p.listen()}, p.environ...)...)
}

// run runs a command to its end.
func (p *person) run(args ...string) result {
	p.Helper()
	return p.runWith(nil, args...)
}

func (p *person) runWith(stdin io.Reader, args ...string) result {
	p.Helper()
	name, words := p.words(args...)
	return command(p, p.env(), stdin, name, words...)
}

// ok runs a command that must succeed, and returns what it printed.
func (p *person) ok(args ...string) string {
	p.Helper()
	r := p.run(args...)
	if r.code != 0 {
		p.Fatal(r)
	}
	return strings.TrimSpace(r.stdout)
}

// fails runs a command that must end with an exit code.
func (p *person) fails(code int, args ...string) result {
	p.Helper()
	r := p.run(args...)
	if r.code != code {
		p.Errorf("want exit code %d: %s", code, r)
	}
	return r
}

// background starts a command that goes on.
func (p *person) background(args ...string) *process {
	p.Helper()
	name, words := p.words(args...)
	process := launch(p, p.env(), name, words...)
	p.logs = append(p.logs, process)
	return process
}

// up starts the node, and does not wait for it.
func (p *person) up(more ...string) *process {
	p.Helper()
	args := append([]string{"up", "--no-mdns"}, p.options...)
	if p.database != "" && p.node == nil {
		args = append(args, "--database", p.database)
	}
	p.node = p.background(append(args, more...)...)
	return p.node
}

// start starts the node and returns when it is ready.
func (p *person) start(more ...string) *process {
	p.Helper()
	node := p.up(more...)
	node.says(node.stderr, "parley: ready")
	return node
}

// status returns what the node says of itself.
func (p *person) status() (s statusJSON) {
	p.Helper()
	if err := json.Unmarshal([]byte(p.ok("status", "--json")), &s); err != nil {
		p.Fatal(err)
	}
	return s
}

// statusJSON is what the tests read of status --json.
type statusJSON struct {
	Device  string
	Ready   bool   `json:"ready"`
	Peers   int    `json:"peers"`
	Queued  *int   `json:"queued"`
	Account string `json:"account"`
	Short   string `json:"short"`
	Trouble string `json:"trouble"`
	Network struct {
		Name   string `json:"name"`
		Joined bool   `json:"joined"`
	} `json:"network"`
}

// messageJSON is what recv, history and send print of a message.
type messageJSON struct {
	V            int    `json:"v"`
	Seq          uint64 `json:"seq"`
	Type         string `json:"type"`
	ID           string `json:"id"`
	Conversation string `json:"conversation"`
	From         string `json:"from"`
	Text         string `json:"text"`
	At           string `json:"at"`
	State        string `json:"state"`
	Missing      uint64 `json:"missing"` // how many of its device right before it have not come in yet
}

// messages reads one message a line.
func messages(t testing.TB, lines string) []messageJSON {
	t.Helper()
	var list []messageJSON
	d := json.NewDecoder(strings.NewReader(lines))
	d.DisallowUnknownFields()
	for {
		var m struct {
			messageJSON
			FromName string `json:"from_name"`
			Reason   string `json:"reason"`
		}
		switch err := d.Decode(&m); err {
		case nil:
			list = append(list, m.messageJSON)
		case io.EOF:
			return list
		default:
			t.Fatalf("read messages: %v in\n%s", err, lines)
		}
	}
}

// texts returns what was said.
func texts(list []messageJSON) []string {
	said := make([]string, len(list))
	for i, m := range list {
		said[i] = m.Text
	}
	return said
}

// The ports that tests give to nodes: behind those that a home chooses for itself, and below those of outgoing connections, so that they stay
// free while a node is down. nodetest has its own.
const firstPort, ports = 30_000, 2_700

// portsGiven counts the ports that were given, from one on that differs from process to process.
var portsGiven atomic.Int64

// freePort returns a port that nobody listens on, and that was given to nobody else lately.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := firstPort + (61*os.Getpid()+int(portsGiven.Add(1)))%ports
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
