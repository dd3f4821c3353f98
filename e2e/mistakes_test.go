package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/chat"
)

// rootNote is what up says to root beside everything else.
const rootNote = "parley: running as root, which a node never needs\n"

// placeholder is a word in a hint that people have to replace: NAME, MULTIADDR.
var placeholder = regexp.MustCompile(`(^|[ :/=])[A-Z][A-Z-]{2,}($|[ /=])`)

// isOneLine checks the shape of a mistake: one line that says what and why, at most one with what to run next, nothing else.
func (r result) isOneLine(t testing.TB, says string) {
	t.Helper()
	lines := r.diagnostics()
	if len(lines) == 0 {
		t.Fatalf("nothing is said: %s", r)
	}
	what, why, two := strings.Cut(strings.TrimPrefix(lines[0], "parley: "), ": ")
	switch {
	case r.stdout != "":
		t.Errorf("standard output is not empty: %s", r)
	case !strings.HasPrefix(lines[0], "parley: ") || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "  try: "):
		t.Errorf("not one line with a hint: %s", r)
	case !strings.Contains(lines[0], says):
		t.Errorf("it does not say %q: %s", says, r)
	case what == "" || two && why == "":
		t.Errorf("half a line: %s", r)
	}
}

// diagnostics returns the lines of standard error without what a node logs and what it says to root.
func (r result) diagnostics() (lines []string) {
	for line := range strings.Lines(r.stderr) {
		if line != rootNote && !strings.HasPrefix(line, "{") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// hint returns the command that a mistake says to run, or nothing.
func (r result) hint() string {
	_, hint, _ := strings.Cut(r.stderr, "\n  try: ")
	return strings.TrimSpace(hint)
}

// follows runs the hint of a mistake as it stands, as somebody whose PARLEY_HOME is this home, where it is complete.
func (p *person) follows(r result) {
	p.Helper()
	hint := r.hint()
	if hint == "" || placeholder.MatchString(hint) || !strings.HasPrefix(hint, "parley ") {
		return
	}
	env := p.world.env("PARLEY_HOME="+p.home, "PARLEY_NODE_LISTEN="+p.listen(), "PATH="+filepath.Dir(p.parley)+":"+os.Getenv("PATH"))
	if strings.HasSuffix(hint, " up") {
		node := launch(p, env, "sh", "-c", "exec "+hint)
		node.says(node.stderr, "parley: ready")
		node.stop()
		return
	}
	if r := command(p, env, nil, "sh", "-c", hint); r.code != 0 {
		p.Errorf("the hint does not work: %s", r)
	}
}

// A mistake is a command line that cannot work, what it must say and with which exit code it must end.
type mistake struct {
	args  []string
	stdin string
	code  int
	says  string
}

func TestMistakesAreToldInOneLineWithAHintThatWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, alice, bob := w.aliceAndBob(engines()["sqlite"])
	link := alice.invite()

	for name, m := range map[string]mistake{
		"unknown target":          {args: []string{"send", "zoe", "hi"}, code: 5, says: "zoe"},
		"almost a target":         {args: []string{"history", "bobb"}, code: 5, says: "bobb"},
		"unknown sender":          {args: []string{"recv", "zoe"}, code: 5, says: "zoe"},
		"empty text":              {args: []string{"send", "bob", ""}, code: 2, says: "empty"},
		"blank text":              {args: []string{"send", "bob", " \n\t "}, code: 2, says: "empty"},
		"empty standard input":    {args: []string{"send", "bob", "-"}, code: 2, says: "empty"},
		"oversized text":          {args: []string{"send", "bob", "-"}, stdin: strings.Repeat("x", 64<<10+1), code: 9, says: "65536"},
		"text that is not text":   {args: []string{"send", "bob", "-"}, stdin: "\xff\xfe", code: 2, says: "UTF-8"},
		"flag as text":            {args: []string{"send", "bob", "--urgent"}, code: 2, says: "--urgent"},
		"unknown state":           {args: []string{"send", "bob", "hi", "--wait", "soon"}, code: 2, says: "soon"},
		"unknown command":         {args: []string{"sned", "bob", "hi"}, code: 2, says: "sned"},
		"unknown flag":            {args: []string{"status", "--jsno"}, code: 2, says: "--jsno"},
		"flag without its value":  {args: []string{"recv", "--max"}, code: 2, says: "--max"},
		"too many words":          {args: []string{"history", "bob", "seed"}, code: 2, says: "seed"},
		"client id of another":    {args: []string{"send", "bob", "changed", "--id", "taken"}, code: 8, says: "taken"},
		"damaged contact link":    {args: []string{"contact", "add", damage(alice.ok("contact", "link"))}, code: 2, says: "damaged"},
		"no link":                 {args: []string{"contact", "add", "-"}, stdin: "hello", code: 2, says: "no parley link"},
		"own link":                {args: []string{"contact", "add", alice.ok("contact", "link")}, code: 8, says: "your own link"},
		"link of another network": {args: []string{"contact", "add", w.stranger().ok("contact", "link")}, code: 8, says: "network"},
		"answer to nobody":        {args: []string{"contact", "accept", "zoe"}, code: 5, says: "zoe"},
		"both outcomes at once":   {args: []string{"contact", "verify", "bob", "--ok", "--mismatch"}, code: 2, says: "exclude"},
		"vouching unverified":     {args: []string{"contact", "introduce", "bob", "seed"}, code: 6, says: "not verified"},
		"info of no id":           {args: []string{"info", "%1"}, code: 2, says: "no id of a message"},
		"info of no message":      {args: []string{"info", strings.Repeat("0", 52)}, code: 5, says: "no such message"},
		"unknown mailbox host":    {args: []string{"mailbox", "add", "zoe"}, code: 5, says: "zoe"},
		"no mailbox of ours":      {args: []string{"mailbox", "remove", bob.status().Device}, code: 5, says: "keeps no mailbox"},
		"own mailbox":             {args: []string{"mailbox", "add", alice.status().Device}, code: 2, says: "this device"},
		"odd word on receipts":    {args: []string{"receipts", "maybe"}, code: 2, says: "on or off"},
		"receipts to nobody":      {args: []string{"contact", "receipts", "zoe", "off"}, code: 5, says: "zoe"},
		"half of a choice":        {args: []string{"contact", "receipts", "bob"}, code: 2, says: "on, off or default"},
		"lines and a text":        {args: []string{"send", "--lines", "bob", "hi"}, code: 2, says: "standard input"},
		"lines under one id":      {args: []string{"send", "--lines", "bob", "--id", "x"}, code: 2, says: "exclude"},
		"a line that is no text":  {args: []string{"send", "--lines", "bob"}, stdin: "\xff\n", code: 2, says: "line 1"},
		"both about mailboxes":    {args: []string{"up", "--mailbox", "--no-mailbox"}, code: 2, says: "exclude"},
		"no limit of mailboxes":   {args: []string{"up", "--mailbox", "--mailbox-limits", "mailboxes=1GiB"}, code: 2, says: `no limit "mailboxes", but contact`},
		"limit that cannot be":    {args: []string{"up", "--mailbox", "--mailbox-limits", "host=1GiB,sure=1GiB"}, code: 2, says: "more than host has"},
		"second up":               {args: []string{"up"}, code: 3, says: "running"},
		"chat without a terminal": {args: []string{"chat", "bob"}, code: 2, says: "terminal"},
	} {
		t.Run(name, func(t *testing.T) { alice.makes(t, m) })
	}
	t.Run("ambiguous target", func(t *testing.T) {
		carol := w.person("Carol")
		carol.ok("init", "--name", "Carol", "--join", link, "--no-passphrase", "-y")
		begin := bob.status().Short[:len("7q3k-m2fd")] // somebody's name may look like the beginning of somebody else's id
		alice.ok("contact", "add", carol.ok("contact", "link"), "--as", strings.ToUpper(begin))
		alice.makes(t, mistake{args: []string{"send", begin, "hi"}, code: 5, says: "more than one contact"})
	})
	t.Run("blocked, and another key", func(t *testing.T) {
		alice.ok("contact", "verify", "bob", "--mismatch")
		alice.makes(t, mistake{args: []string{"send", "bob", "hi"}, code: 6, says: "did not match"})
		alice.ok("contact", "block", "bob")
		alice.makes(t, mistake{args: []string{"send", "bob", "hi"}, code: 8, says: "blocked"}) // its hint ends that
		twin := w.person("Twin")
		twin.ok("init", "--name", "Bob", "--join", link, "--no-passphrase", "-y")
		alice.makes(t, mistake{args: []string{"contact", "add", twin.ok("contact", "link")}, code: 6, says: "another key"})
	})
	bob.node.kill()
	t.Run("no node", func(t *testing.T) {
		bob.makes(t, mistake{args: []string{"status"}, code: 4, says: "no node is running"})
		bob.makes(t, mistake{args: []string{"peers"}, code: 4, says: "no node is running"})
	})
}

// makes plays a mistake, and follows its hint.
func (p *person) makes(t *testing.T, m mistake) {
	t.Helper()
	if m.code == 8 && m.says == "taken" {
		p.ok("send", "bob", "the first", "--id", "taken")
	}
	r := p.runWith(strings.NewReader(m.stdin), m.args...)
	if r.code != m.code {
		t.Errorf("want exit code %d: %s", m.code, r)
	}
	r.isOneLine(t, m.says)
	p.follows(r)
}

// damage changes one letter in the middle of a link.
func damage(link string) string {
	at := len(link) / 2
	other := "A"
	if link[at] == 'A' {
		other = "B"
	}
	return link[:at] + other + link[at+1:]
}

// expired returns an invite as it would have been a while ago.
func expired(t testing.TB, link string) string {
	t.Helper()
	invite, err := chat.ParseInvite(link)
	if err != nil {
		t.Fatal(err)
	}
	invite.Expires = time.Now().Add(-time.Hour)
	return invite.String()
}

// stranger returns somebody with a network of their own.
func (w *world) stranger() *person {
	w.Helper()
	s := w.person("Stranger")
	s.ok("init", "--name", s.name, "--network", "elsewhere", "--no-passphrase")
	return s
}

func TestMistakesBeforeThereIsAHomeWriteNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := w.seed().invite()
	for name, m := range map[string]mistake{
		"no name":                   {args: []string{"init", "--no-passphrase"}, code: 2, says: "--name"},
		"no answer on a passphrase": {args: []string{"init", "--name", "Alice"}, code: 2, says: "--no-passphrase"},
		"no answer on a join":       {args: []string{"init", "--name", "Alice", "--join", link, "--no-passphrase"}, code: 2, says: "-y"},
		"name with a control sign":  {args: []string{"init", "--name", "Al\x1b[31mice", "--no-passphrase"}, code: 2, says: "name"},
		"name with two lines":       {args: []string{"init", "--name", "Alice\nBob", "--no-passphrase"}, code: 2, says: "name"},
		"name too long":             {args: []string{"init", "--name", strings.Repeat("A", 33), "--no-passphrase"}, code: 2, says: "name"},
		"name of a network":         {args: []string{"init", "--name", "Alice", "--network", "a\tb", "--no-passphrase"}, code: 2, says: "name"},
		"damaged invite":            {args: []string{"init", "--name", "Alice", "--join", damage(link), "--no-passphrase", "-y"}, code: 2, says: "damaged"},
		"half an invite":            {args: []string{"init", "--name", "Alice", "--join", link[:40], "--no-passphrase", "-y"}, code: 2, says: "damaged"},
		"expired invite":            {args: []string{"init", "--name", "Alice", "--join", expired(t, link), "--no-passphrase", "-y"}, code: 8, says: "expired"},
		"contact link to join":      {args: []string{"init", "--name", "Alice", "--join", w.stranger().ok("contact", "link"), "--no-passphrase", "-y"}, code: 2, says: "contact"},
		"join and make":             {args: []string{"init", "--name", "Alice", "--join", link, "--network", "x", "--no-passphrase"}, code: 2, says: "exclude"},
		"status without a home":     {args: []string{"status"}, code: 3, says: "no parley home"},
		"up without a home":         {args: []string{"up"}, code: 3, says: "no parley home"},
		"send without a home":       {args: []string{"send", "bob", "hi"}, code: 3, says: "no parley home"},
	} {
		t.Run(name, func(t *testing.T) {
			nobody := w.person("Nobody")
			nobody.makes(t, m)
			if _, err := os.Stat(nobody.home); !os.IsNotExist(err) {
				t.Errorf("there is a home now: %v", err)
			}
		})
	}
}

func TestWrongDatabaseURLIsToldInOneLine(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	for url, says := range map[string]string{
		"mysql://localhost/parley":       "mysql",
		"nonsense":                       "database",
		"postgres://%zz":                 "database URL",
		"sqlite:":                        "names no file",
		"sqlite:/no/such/folder/x.db":    "does not exist",
		"sqlite:" + alice.home + "/lock": "not a parley database",
	} {
		alice.makes(t, mistake{args: []string{"up", "--database", url}, code: 3, says: says})
	}
	alice.start() // nothing of this was remembered
}

// An address that is announced is blamed on the option that announces, whichever way it was given, and nothing starts.
func TestAnAddressThatNobodyCanDialIsNotAnnounced(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	for address, says := range map[string]string{
		"seed.example.org:4101":         `cannot announce "seed.example.org:4101": not a multiaddr`,
		"/ip4/1.2.3.4":                  `cannot announce "/ip4/1.2.3.4": it has no port`,
		"/ip4/1.2.3.4/udp/4101/quic-v1": `cannot announce "/ip4/1.2.3.4/udp/4101/quic-v1": QUIC cannot be used`,
		"/dns/a\x1b[2Jb/tcp/4101":       `cannot announce "/dns/a\x1b[2Jb/tcp/4101": a name has`,
	} {
		alice.environ = []string{"PARLEY_NODE_ANNOUNCE=" + address}
		for _, up := range [][]string{{"up"}, {"up", "--announce", address}} {
			r := alice.fails(3, up...)
			if r.isOneLine(t, says); !strings.HasSuffix(r.hint(), "up --announce /dns/NAME/tcp/PORT") {
				t.Errorf("it helps by %s", r.hint())
			}
		}
	}
	alice.environ = nil
	r := alice.fails(3, "up", "--listen", "nonsense")
	if r.isOneLine(t, `cannot listen on "nonsense": not a multiaddr`); !strings.HasSuffix(r.hint(), "up --listen MULTIADDR") {
		t.Errorf("it helps by %s", r.hint())
	}
	alice.start()
}

func TestDamagedHomeSaysWhichFile(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"keys", "profile.json", "network.json", "node.json"} {
		t.Run(file, func(t *testing.T) {
			alice := newWorld(t).person("Alice")
			alice.ok("init", "--name", "Alice", "--no-passphrase")
			path := filepath.Join(alice.home, file)
			for _, damaged := range []string{"", "garbage", read(t, path)[:12]} {
				if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
					t.Fatal(err)
				}
				alice.makes(t, mistake{args: []string{"up"}, code: 3, says: file})
			}
		})
	}
}

func TestKeysThatOthersCanReadAreRefused(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	if err := os.Chmod(filepath.Join(alice.home, "keys"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := alice.fails(3, "up")
	r.isOneLine(t, "keys")
	if r := command(t, alice.env(), nil, "sh", "-c", r.hint()); r.code != 0 {
		t.Errorf("the hint does not work: %s", r)
	}
	alice.start()
}

func TestLockedKeysAreSaidToBeLocked(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	secret := filepath.Join(alice.dir, "secret")
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alice.ok("init", "--name", "Alice", "--passphrase-file", secret)
	alice.fails(10, "up").isOneLine(t, "passphrase")
	alice.start("--passphrase-file", secret)
}
