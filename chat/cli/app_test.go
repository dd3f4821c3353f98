package cli_test

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"parley/chat"
	"parley/chat/cli"
	"parley/chat/cli/line/linetest"
)

func TestEveryCodeHasItsExitCode(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	for code, want := range map[chat.Code]int{
		chat.CodeInternal: 1, chat.CodeInvalid: 2, chat.CodeConfig: 3, chat.CodeUnavailable: 4, chat.CodeTarget: 5, chat.CodeIdentity: 6,
		chat.CodeNotReached: 7, chat.CodeRefused: 8, chat.CodeIDReused: 8, chat.CodeLimit: 9, chat.CodeLocked: 10, "of the future": 1,
	} {
		w.broken = &chat.Error{Code: code, Detail: "the disk\nis\x1b[2J full", Try: "rm -r\n/"}
		r := alice.fails(want, "parley: the disk is full", "up")
		if !strings.Contains(r.stderr, "  try: rm -r /\n") {
			t.Errorf("%s: %q", code, r.stderr)
		}
	}
}

// What a node tells others of itself is shown as text, whatever stands in it: a terminal is no place for it to work in.
func TestUpShowsAddressesAsText(t *testing.T) {
	w := newWorld(t)
	w.told = []string{"/dns/a\x1b[2Jb/tcp/1", "/dns/c\nparley: d/tcp/2"}
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	up := alice.up()
	up.stderr.expect(t, "(pid ")
	said := up.stderr.String()
	if !strings.Contains(said, "reachable at /dns/a") || strings.Contains(said, "\x1b") || strings.Contains(said, "\nparley: d") {
		t.Errorf("got %q", said)
	}
	for _, command := range []string{"status", "doctor"} {
		if r := alice.run("", command); strings.Contains(r.stdout+r.stderr, "\x1b") || !strings.Contains(r.stdout, "/dns/a") {
			t.Errorf("%s: %q, %q", command, r.stdout, r.stderr)
		}
	}
}

func TestHintsAreForTheHomeThatWasNamed(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	if r := alice.fails(5, "no contact", "send", "zoe", "hi"); !strings.HasSuffix(r.stderr, "try: parley --home "+alice.home+" contact list\n") {
		t.Errorf("got %q", r.stderr)
	}
	if r := alice.fails(2, "is no flag", "send", "--x"); !strings.HasSuffix(r.stderr, "try: parley send --help\n") {
		t.Errorf("got %q", r.stderr)
	}
}

func TestHelpForPeopleAndScripts(t *testing.T) {
	w := newWorld(t)
	nobody := w.person("Nobody")
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}, {"send", "--help"}, {"contact", "add", "-h"}, {"help", "send"}, {"net", "--help"}} {
		if r := nobody.run("", args...); r.code != 0 || !strings.Contains(r.stdout, "USAGE") || r.stderr != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for _, args := range [][]string{{}, {"net"}, {"contact"}} {
		hint := "\n  try: " + strings.Join(append([]string{"parley"}, args...), " ") + " --help\n"
		if r := nobody.run("", args...); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, "parley: no command was named") || !strings.HasSuffix(r.stderr, hint) {
			t.Errorf("%v in a script: %+v", args, r)
		}
	}
	if out := nobody.ok("help", "contact"); !strings.HasPrefix(out, "NAME:\n   parley contact - ") || !strings.Contains(out, "\n   add        add somebody by their link\n") {
		t.Errorf("help contact: %s", out)
	}
	if out := nobody.ok("net", "invite", "-h"); !strings.HasPrefix(out, "NAME:\n   parley net invite - ") {
		t.Errorf("net invite -h: %s", out)
	}
	if out := nobody.ok("net", "help"); out != nobody.ok("help", "net") {
		t.Errorf("net help: %s", out)
	}
	column := regexp.MustCompile(`(?m)^   [a-z-]+ +`)
	for _, group := range []string{"net", "contact", "mailbox"} {
		_, listed, _ := strings.Cut(nobody.ok(group, "--help"), "COMMANDS:")
		all := column.FindAllString(listed, -1)
		for _, one := range all {
			if len(one) != len(all[0]) {
				t.Errorf("%s: %q is out of the column", group, one)
			}
		}
	}
	nobody.fails(2, `no command "foo"`, "help", "net", "foo")
	screen := linetest.Open(t)
	for _, args := range [][]string{{}, {"net"}} {
		if code := nobody.at(t.Context(), screen.File, screen.File, screen.File, args...); code != 0 {
			t.Errorf("%v for a person ended with %d", args, code)
		}
	}
	screen.Expect("COMMANDS")
}

// Nothing is listed that does not exist, and everything that exists is listed.
func TestHelpListsTheCommands(t *testing.T) {
	out := newWorld(t).person("Nobody").ok("--help")
	for _, name := range []string{"init", "up", "chat", "status", "whoami", "version", "net", "peers", "contact", "send", "recv", "history"} {
		if !strings.Contains(out, "\n     "+name+" ") && !strings.Contains(out, "\n   "+name+" ") {
			t.Errorf("%s is not in\n%s", name, out)
		}
	}
}

func TestUnknownCommandsAreNotRun(t *testing.T) {
	nobody := newWorld(t).person("Nobody")
	nobody.fails(2, `"sned" is no command of parley; did you mean send?`, "sned", "bob", "hi")
	nobody.fails(2, `"lst" is no command of parley contact; did you mean list?`, "contact", "lst")
	nobody.fails(2, "--hom is no flag of parley; did you mean --home?", "--hom", "x", "status")
	nobody.fails(2, "invalid value", "history", "bob", "--limit", "many")
}

func TestShellCompletionRunsNothing(t *testing.T) {
	nobody := newWorld(t).person("Nobody")
	if r := nobody.run("", "init", "--name", "Nobody", "-y", "--generate-bash-completion"); r.code != 0 || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
	if _, err := os.Stat(nobody.home); !os.IsNotExist(err) {
		t.Error("the command was run")
	}
}

func TestVersion(t *testing.T) {
	nobody := newWorld(t).person("Nobody")
	if out := nobody.ok("version"); out != "parley 0.1.0 go1.26\n" {
		t.Errorf("got %q", out)
	}
	if v := fields(t, nobody.ok("version", "--json")); v["version"] != "0.1.0" || v["dirty"] != false {
		t.Errorf("got %v", v)
	}
	nobody.fails(2, "takes no", "version", "please")
	if v := cli.Build("1.2.3"); v.Version != "1.2.3" || v.Go == "" {
		t.Errorf("got %+v", v)
	}
}

func TestCommandsWithoutAHomeSaySo(t *testing.T) {
	nobody := newWorld(t).person("Nobody")
	for _, args := range [][]string{
		{"up"},
		{"status"},
		{"peers"},
		{"net", "invite"},
		{"net", "show"},
		{"contact", "link"},
		{"contact", "list"},
		{"contact", "add", "x"},
		{"send", "bob", "hi"},
		{"recv"},
		{"history", "bob"},
	} {
		r := nobody.fails(3, "there is no parley home in "+nobody.home, args...)
		if !strings.Contains(r.stderr, "init --name NAME") {
			t.Errorf("%v: %q", args, r.stderr)
		}
	}
}

func TestExcessWordsAreRefused(t *testing.T) {
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "-y")
	for _, args := range [][]string{{"net", "invite", "x"}, {"net", "show", "x"}, {"contact", "link", "x"}, {"contact", "list", "x"}, {"status", "x"}, {"peers", "x"}} {
		alice.fails(2, `takes no "x"`, args...)
	}
	alice.fails(2, "the contact is missing", "history")
	alice.fails(2, "the contact is missing", "send")
	alice.fails(2, "want none, sent, delivered or read", "send", "bob", "hi", "--wait", "soon")
}

// A person presses ^C, or the system stops the program: the command ends in an orderly way and says by its exit code why. The signal
// reaches everything in this process, in no order, so Alice's command runs a node of her own: with one beside it, either could be
// the first to hear.
func TestSignalsEndCommands(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		alice.node.stop()
		alice.node.wait()
		b := alice.begin("recv", "--max", "5", "--json")
		bob.ok("send", "alice", "one")
		b.stdout.expect(t, "one")
		if err := syscall.Kill(os.Getpid(), signal); err != nil {
			t.Fatal(err)
		}
		if r := b.wait(); r.code != want {
			t.Errorf("%v: it ended with %d: %q", signal, r.code, r.stderr)
		}
		bob.node.wait() // the signal has ended it too, in an orderly way
		alice.up()
		bob.up()
	}
}

func TestNoCommandWithoutATerminalWritesEscapes(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	bob.ok("send", "alice", "--wait", "delivered", "red \x1b[31malert\x1b[0m \x07\u009b2J")
	for _, args := range [][]string{
		{"recv", "--since", "0"},
		{"recv", "--since", "0", "--json"},
		{"history", "bob"},
		{"history", "bob", "--json"},
		{"contact", "list"},
		{"status"},
		{"peers"},
		{"net", "show"},
		{"net", "invite"},
		{"send", "bob", "hi"},
		{"send", "--help"},
		{"chat"},
		{"version"},
		{"nonsense\x1b[2J"},
		{"history", "\x1b[2J"},
	} {
		r := alice.run("", args...)
		if strings.ContainsAny(r.stdout+r.stderr, "\x1b\x07\u009b") {
			t.Errorf("%q writes %q", args, r.stdout+r.stderr)
		}
	}
}

func TestChatNeedsATerminal(t *testing.T) {
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "-y")
	alice.fails(2, "chat needs a terminal; scripts use send and recv", "chat")
	alice.fails(2, "one too many", "chat", "bob", "carol")
}

func TestChatRunsANodeAndEndsIt(t *testing.T) {
	t.Setenv("TERM", "xterm")
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	carol := w.person("Carol")
	carol.ok("init", "--name", "Carol", "--join", strings.TrimSpace(alice.ok("net", "invite")), "-y")
	screen := linetest.Open(t)
	done := make(chan int, 1)
	go func() { done <- carol.at(t.Context(), screen.File, screen.File, newBuffer(), "chat", "Alice") }()
	screen.Expect("parley 0.1.0 · home")
	screen.Expect("this chat runs the node, and the node ends with it")
	screen.Expect("Alice › ")
	screen.Type("hello from the chat\r")
	screen.Expect("✓✓ ›")
	if out := alice.ok("recv", "--json"); !strings.Contains(out, "hello from the chat") {
		t.Errorf("Alice reads %q", out)
	}
	screen.Expect("✓✓ read ›")
	alice.ok("send", "Carol", "hello back")
	screen.Expect("│ hello back")
	screen.Type("/quit\r")
	screen.Expect("0 messages waiting. (This chat ran the node: it stops now. Keep one running with: parley --home " + carol.home + " up)")
	if code := <-done; code != 0 {
		t.Errorf("it ended with %d", code)
	}
	if screen.Raw() {
		t.Error("the terminal is left in raw mode")
	}
	carol.fails(4, "no node is running", "status")
	_ = bob
}

func TestChatIsGivenBackOnSIGTERM(t *testing.T) {
	t.Setenv("TERM", "xterm")
	alice, _ := newWorld(t).aliceAndBob()
	screen := linetest.Open(t)
	done := make(chan int, 1)
	go func() { done <- alice.at(t.Context(), screen.File, screen.File, newBuffer(), "chat", "bob") }()
	screen.Expect("Bob › ")
	screen.Type("half a line")
	screen.Expect("half a line")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 {
		t.Errorf("it ended with %d", code)
	}
	screen.Expect("\x1b[?1004l\x1b[?2004l") // what the chat had switched on
	if screen.Raw() {
		t.Error("the terminal is left in raw mode")
	}
	if out := alice.ok("history", "bob"); out != "" {
		t.Errorf("the unfinished line was sent: %q", out)
	}
}
