package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/cli"
	"parley/chat/cli/line/linetest"
	"parley/chat/home"
)

func TestInitMakesANetworkAndSaysWhatComesNext(t *testing.T) {
	alice := newWorld(t).person("Alice")
	out := alice.ok("init", "--name", "Alice", "--network", "club", "--no-passphrase")
	h, err := home.Open(alice.home)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Identity  Alice     " + h.Profile().Account.Short(), alice.home + " (0700)\n",
		"Network   club      fingerprint " + h.Network().Fingerprint(), "private: only invited nodes can connect\n",
		"Next:  parley --home " + alice.home + " chat", "       parley --home " + alice.home + " net invite  invite someone\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if h.Network().PSK == nil || h.Network().ID == [16]byte{} || !h.Joined() {
		t.Error("the network is not private and ours")
	}
	if show := fields(t, alice.ok("net", "show", "--json")); show["name"] != "club" || show["made_here"] != true || show["private"] != true {
		t.Errorf("net show: %v", show)
	}
	alice.fails(3, "already initialised as Alice ("+h.Profile().Account.Short()+") in "+alice.home, "init", "--name", "A", "-y")
}

func TestInitWithoutAPreSharedKey(t *testing.T) {
	alice := newWorld(t).person("Alice")
	out := alice.ok("init", "--name", "Alice", "--no-psk", "-y")
	if !strings.Contains(out, "no pre-shared key: only members are served, but anybody who knows its address can see that a node is there\n") {
		t.Errorf("who may come in: %s", out)
	}
	if out := alice.ok("net", "rotate-key", "--status"); out != alice.opens().Network().Network.String()+" has no pre-shared key\n" {
		t.Errorf("its key: %s", out)
	}
	if show := alice.ok("net", "show"); !strings.Contains(show, "network      home\n") || !strings.Contains(show, "pre-shared   no\n") {
		t.Errorf("net show: %s", show)
	}
}

func TestInitJoinsOrKeepsTheInvite(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	link := alice.ok("net", "invite")

	r := bob.run("Alice says: come in! "+link, "init", "--name", "Bob", "--join", "-", "-y")
	if r.code != 0 || !strings.Contains(r.stdout, "Joined    home") || !strings.Contains(r.stdout, "Alice is a contact") {
		t.Fatalf("Bob: %+v", r)
	}
	if !strings.Contains(r.stderr, "Invite    network home") || !strings.Contains(r.stderr, "from Alice ") {
		t.Errorf("what the invite leads to is not shown: %q", r.stderr)
	}
	if show := fields(t, bob.ok("net", "show", "--json")); show["joined"] != true || show["made_here"] != false {
		t.Errorf("net show: %v", show)
	}

	r = bob.run("", "init", "--name", "Bob", "--join", strings.TrimSpace(link), "-y")
	bob.wantMistake(r, 3, "already initialised as Bob")
	if !strings.HasSuffix(r.stderr, "parley --home "+bob.home+" net join -\n") {
		t.Errorf("what helps who has an invite: %q", r.stderr)
	}
	w.silence = errors.New("connection refused")
	r = carol.run("", "init", "--name", "Carol", "--join", strings.TrimSpace(link), "-y")
	if r.code != 0 || !strings.Contains(r.stdout, "Not joined yet: connection refused; parley up keeps trying\n") {
		t.Fatalf("Carol: %+v", r)
	}
	if show := fields(t, carol.ok("net", "show", "--json")); show["joined"] != false {
		t.Errorf("net show: %v", show)
	}
	up := carol.up()
	up.stderr.expect(t, "joined home")
	carol.until(`"joined":true`, "net", "show", "--json")
}

func TestInitNeverAsksWithoutATerminal(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	invite := strings.TrimSpace(alice.ok("net", "invite"))
	contact := strings.TrimSpace(alice.ok("contact", "link"))
	for says, args := range map[string][]string{
		"--name NAME is missing":         {"--no-passphrase"},
		"--no-passphrase or":             {"--name", "Bob"},
		"-y is missing":                  {"--name", "Bob", "--no-passphrase", "--join", invite},
		"exclude each other":             {"--name", "Bob", "-y", "--join", invite, "--network", "x"},
		"--join and --no-psk":            {"--name", "Bob", "-y", "--join", invite, "--no-psk"},
		"--join and --invites":           {"--name", "Bob", "-y", "--join", invite, "--invites", "admins"},
		"want members or admins":         {"--name", "Bob", "-y", "--invites", "nobody"},
		"--passphrase-file and":          {"--name", "Bob", "--no-passphrase", "--passphrase-file", "x"},
		"that link is for adding":        {"--name", "Bob", "-y", "--join", contact},
		"there is no parley link":        {"--name", "Bob", "-y", "--join", "hello"},
		"the link is damaged":            {"--name", "Bob", "-y", "--join", invite[:len(invite)-9]},
		"it is empty":                    {"--name", " ", "-y"},
		"such that do not print":         {"--name", "Bob\x1b[2J", "-y"},
		`the network name "a\nb" cannot`: {"--name", "Bob", "--network", "a\nb", "-y"},
		`"extra"`:                        {"extra", "--name", "Bob", "-y"},
	} {
		bob := w.person("Bob")
		bob.fails(2, says, append([]string{"init"}, args...)...)
		if _, err := os.Stat(bob.home); !os.IsNotExist(err) {
			t.Errorf("%v left a home behind", args)
		}
	}
}

func TestInitAsksAPerson(t *testing.T) {
	t.Setenv("TERM", "xterm")
	w := newWorld(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	link := strings.TrimSpace(alice.ok("net", "invite"))
	screen := linetest.Open(t)
	done := make(chan int, 1)
	go func() { done <- bob.at(t.Context(), screen.File, screen.File, screen.File, "init", "--join", "-") }()
	screen.Expect("The link: ")
	screen.Type(link + "\r")
	screen.Expect("Invite    network home")
	screen.Expect("Join this network and add Alice as a contact? [Y/n]")
	screen.Type("y\r")
	screen.Expect("Your name")
	screen.Type("\r")
	screen.Expect("cannot be used: it is empty")
	screen.Type("@bob\r")
	screen.Expect("would read as a flag")
	screen.Type("Bob\r")
	screen.Expect("Passphrase for your key (empty = none): ")
	screen.Type("correct horse\r")
	screen.Expect("again: ")
	screen.Type("correct horse\r")
	screen.Expect("Joined    home")
	if code := <-done; code != 0 {
		t.Fatalf("init ended with %d", code)
	}
	if strings.Contains(screen.Shown(), "horse") || screen.Raw() {
		t.Error("the passphrase was shown, or the terminal is left in raw mode")
	}
	go func() { done <- bob.at(t.Context(), screen.File, newBuffer(), screen.File, "net", "invite") }()
	screen.Expect("Passphrase: ")
	screen.Type("correct horse\r")
	if code := <-done; code != 0 {
		t.Fatalf("net invite ended with %d: %s", code, screen.Shown())
	}
}

func TestInitTakesNoForAnAnswer(t *testing.T) {
	t.Setenv("TERM", "xterm")
	w := newWorld(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	link := strings.TrimSpace(alice.ok("net", "invite"))
	for answer, says := range map[string]string{"n\r": "not joined; nothing was changed", "\x04": "no answer; nothing was changed", "\x03": "parley: interrupted"} {
		screen := linetest.Open(t)
		done := make(chan int, 1)
		go func() { done <- bob.at(t.Context(), screen.File, screen.File, screen.File, "init", "--join", link) }()
		screen.Expect("[Y/n]")
		screen.Type(answer)
		screen.Expect(says)
		if code := <-done; code == 0 {
			t.Errorf("%q: it ended well", answer)
		}
		if _, err := os.Stat(bob.home); !os.IsNotExist(err) {
			t.Errorf("%q: there is a home", answer)
		}
	}
}

// Every command says the same about a home that others may write to, and does nothing; what it says to run helps.
func TestNoCommandWorksOnAHomeThatOthersMayWriteTo(t *testing.T) {
	alice, _ := newWorld(t).aliceAndBob()
	alice.node.stop()
	alice.node.wait()
	if err := os.Chmod(alice.home, 0o777); err != nil {
		t.Fatal(err)
	}
	alice.wantMistake(alice.begin("up").wait(), 3, "other people can write to the home "+alice.home)
	for _, command := range []string{"net invite", "whoami", "status", "contact list", "send bob hi", "init --name Alice", "init --name Alice --join -", "lock"} {
		r := alice.fails(3, "other people can write to the home "+alice.home+" (mode 0777)", strings.Fields(command)...)
		if !strings.HasSuffix(r.stderr, "\n  try: chmod 700 "+alice.home+"\n") || r.stdout != "" {
			t.Errorf("%s: %+v", command, r)
		}
	}
	if err := os.Chmod(alice.home, 0o700); err != nil {
		t.Fatal(err)
	}
	alice.ok("net", "invite")
}

func TestSealedKeysAreUnlockedFromAFile(t *testing.T) {
	alice := newWorld(t).person("Alice")
	secret := file(t, "correct horse\n")
	alice.ok("init", "--name", "Alice", "--passphrase-file", secret)
	alice.fails(10, "sealed and no passphrase was given", "up")
	alice.fails(10, "wrong passphrase", "up", "--passphrase-file", file(t, "wrong"))
	alice.fails(3, "cannot read the passphrase", "up", "--passphrase-file", filepath.Join(t.TempDir(), "none"))
	alice.fails(3, "is empty", "up", "--passphrase-file", file(t, "\n"))
	up := alice.up("--passphrase-file", secret)
	alice.ok("send", "--help")
	up.stop()
	up.wait()
	t.Setenv("PARLEY_PASSPHRASE_FILE", secret)
	alice.up()
}

func TestUpTakesFlagsBeforeEnvironmentBeforeHome(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	run := func(args ...string) cli.NodeOptions {
		t.Helper()
		up := alice.up(args...)
		up.stop()
		if r := up.wait(); r.code != 0 {
			t.Fatal(r)
		}
		return w.started()
	}
	o := run()
	if o.Seed || !o.MDNS || !o.PortMap || o.Listen != nil || o.Announce != nil || o.Log.Level != "warn" || o.Log.Format != "json" {
		t.Errorf("defaults: %+v", o)
	}
	if want := "sqlite:" + filepath.Join(alice.home, "parley.db"); o.Database != want {
		t.Errorf("the database is %s, want %s", o.Database, want)
	}
	t.Setenv("PARLEY_NODE_LISTEN", "/ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2")
	t.Setenv("PARLEY_NODE_ANNOUNCE", "/dns4/seed.example.org/tcp/4101")
	t.Setenv("PARLEY_NODE_SEED", "true")
	t.Setenv("PARLEY_NODE_TRUST_PREFIX", "203.0.113.7/32,2a00:1:2::/48")
	t.Setenv("PARLEY_METRICS_LISTEN", "127.0.0.1:9464")
	t.Setenv("PARLEY_NODE_MDNS", "false")
	t.Setenv("PARLEY_LOG_LEVEL", "debug")
	t.Setenv("PARLEY_DATABASE_URL_FILE", file(t, "postgres://alice@localhost/file\n"))
	o = run()
	if len(o.Trusted) != 2 || o.Trusted[0].String() != "203.0.113.7/32" || o.Metrics != "127.0.0.1:9464" {
		t.Errorf("environment: trusted %v, figures at %q", o.Trusted, o.Metrics)
	}
	if !o.Seed || o.MDNS || len(o.Listen) != 2 || o.Announce[0] != "/dns4/seed.example.org/tcp/4101" || o.Log.Level != "debug" || o.Database != "postgres://alice@localhost/file" {
		t.Errorf("environment: %+v", o)
	}
	o = run("--listen", "/ip4/127.0.0.1/tcp/3", "--log-level", "error", "--log-format", "text", "--database", "postgres://alice@localhost/flag")
	if len(o.Listen) != 1 || o.Log.Level != "error" || o.Log.Format != "text" || o.Database != "postgres://alice@localhost/flag" {
		t.Errorf("flags: %+v", o)
	}
	t.Setenv("PARLEY_DATABASE_URL_FILE", "")
	if o = run("--no-mdns", "--no-port-map"); o.Database != "postgres://alice@localhost/flag" || o.MDNS || o.PortMap {
		t.Errorf("the database was not remembered: %+v", o)
	}
	t.Setenv("PARLEY_DATABASE_URL", "sqlite:/elsewhere")
	if o = run(); o.Database != "sqlite:/elsewhere" {
		t.Errorf("the environment does not beat the home: %+v", o)
	}
}

func TestUpRefusesWrongSettings(t *testing.T) {
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.fails(2, `"loud" is none of debug, info, warn, error`, "up", "--log-level", "loud")
	alice.fails(2, `"xml" is none of text, json`, "up", "--log-format", "xml")
	alice.fails(2, "takes no", "up", "now")
	alice.fails(2, "can be reached from elsewhere", "up", "--metrics", "0.0.0.0:9464")
	for _, wrong := range []string{"203.0.113.7", "203.0.113.7/24", "0.0.0.0/0", "office"} {
		alice.fails(2, "not a network: "+wrong, "up", "--trust-prefix", wrong)
	}
	for env, value := range map[string]string{"PARLEY_NODE_SEED": "maybe", "PARLEY_NODE_MDNS": "2", "PARLEY_DATABASE_URL_FILE": "/none"} {
		t.Setenv(env, value)
		alice.fails(3, map[bool]string{true: "cannot read the database URL", false: env}[env == "PARLEY_DATABASE_URL_FILE"], "up")
		t.Setenv(env, "")
	}
}

func TestUpForgetsADatabaseThatDidNotOpen(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	w.broken = &chat.Error{Code: chat.CodeUnavailable, Detail: "database unreachable: connection refused"}
	alice.fails(4, "database unreachable: connection refused", "up", "--database", "postgres://nowhere/x")
	w.broken = nil
	up := alice.up()
	up.stop()
	up.wait()
	if o := w.started(); !strings.HasPrefix(o.Database, "sqlite:") {
		t.Errorf("it remembers %s", o.Database)
	}
}

func TestSecondUpIsRefusedAfterAMoment(t *testing.T) {
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	first := alice.up()
	begun := time.Now()
	alice.fails(3, "a node is running on this home already (pid ", "up")
	if waited := time.Since(begun); waited < 2*time.Second {
		t.Errorf("it waited %v only for the first to end", waited)
	}
	second := alice.begin("up")
	first.stop()
	first.wait()
	second.stderr.expect(t, "parley: ready")
}

// Where no node runs, commands that need one run their own, at the same time too, and leave nothing running.
func TestCommandsRunANodeWhereNoneRuns(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	link := strings.TrimSpace(alice.ok("contact", "link"))
	carol := w.person("Carol")
	carol.ok("init", "--name", "Carol", "--join", strings.TrimSpace(alice.ok("net", "invite")), "-y")
	if out := carol.ok("contact", "add", link, "--as", "boss"); !strings.Contains(out, "is a contact") {
		t.Errorf("contact add: %s", out)
	}
	name := "Alice" // the invite had made them contacts already
	if strings.Contains(carol.ok("contact", "list"), "boss") {
		name = "boss"
	}
	if out := fields(t, carol.ok("send", name, "hi from carol", "--json")); out["state"] != "delivered" {
		t.Errorf("it had a moment to leave, and is %v", out["state"])
	}
	carol.ok("send", name, "waited for", "--wait", "delivered")
	if out := alice.ok("recv", "--json"); strings.Count(out, "\n") != 2 {
		t.Errorf("Alice reads %q", out)
	}
	alice.ok("send", "Carol", "while you were away")
	both := []*background{carol.begin("recv", "--json"), carol.begin("net", "invite")}
	for _, b := range both {
		if r := b.wait(); r.code != 0 {
			t.Errorf("at the same time: %+v", r)
		}
	}
	if out := both[0].stdout.String(); !strings.Contains(out, "while you were away") {
		t.Errorf("recv did not wait for what Alice keeps: %q", out)
	}
	carol.fails(4, "no node is running", "status")
	_ = bob
}

func TestStatusAndPeers(t *testing.T) {
	alice, _ := newWorld(t).aliceAndBob()
	status := fields(t, alice.ok("status", "--json"))
	for _, key := range []string{"ready", "peers", "network", "queued"} {
		if _, ok := status[key]; !ok {
			t.Errorf("status has no %s: %v", key, status)
		}
	}
	if status["ready"] != true || status["network"].(map[string]any)["name"] != "home" {
		t.Errorf("status: %v", status)
	}
	if out := alice.ok("status"); !strings.Contains(out, "identity   Alice ") {
		t.Errorf("status: %s", out)
	}
	if peers := fields(t, alice.ok("peers", "--json"))["peers"].([]any); len(peers) != 1 {
		t.Errorf("peers: %v", peers)
	}
	if out := alice.ok("peers"); strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, "NAME  DEVICE ") {
		t.Errorf("peers: %s", out)
	}
}

func TestLinksAreAloneOnStandardOutput(t *testing.T) {
	alice, _ := newWorld(t).aliceAndBob()
	r := alice.run("", "net", "invite")
	if invite, err := chat.ParseInvite(r.stdout); err != nil || invite.String()+"\n" != r.stdout {
		t.Errorf("standard output is %q (%v)", r.stdout, err)
	}
	if !strings.Contains(r.stderr, "none of this node's addresses is public") || !strings.Contains(r.stderr, "Invite to home") {
		t.Errorf("standard error is %q", r.stderr)
	}
	link := fields(t, alice.ok("net", "invite", "--json"))
	if link["network"] != "home" || link["reachable"] != false || link["link"] == "" {
		t.Errorf("got %v", link)
	}
	if link := fields(t, alice.ok("contact", "link", "--json")); !strings.HasPrefix(strings.ToLower(link["link"].(string)), "parley:c") {
		t.Errorf("got %v", link)
	}
}

func TestContactsAreAddedOnce(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	link := bob.ok("contact", "link")
	for range 2 {
		if r := alice.run(link, "contact", "add", "-", "--json"); r.code != 0 || fields(t, r.stdout)["name"] != "Bob" {
			t.Fatalf("got %+v", r)
		}
	}
	if list := fields(t, alice.ok("contact", "list", "--json"))["contacts"].([]any); len(list) != 1 {
		t.Errorf("contacts: %v", list)
	}
	alice.fails(8, "your own link", "contact", "add", strings.TrimSpace(alice.ok("contact", "link")))
	alice.fails(2, "the link is missing", "contact", "add")
	alice.fails(2, "one too many", "contact", "add", "a", "b")
	nobody := w.person("Nobody")
	nobody.ok("init", "--name", "Nobody", "-y")
	if r := nobody.run("", "contact", "list"); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "No contacts yet") {
		t.Errorf("an empty address book: %+v", r)
	}
}
