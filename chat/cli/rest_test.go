package cli_test

import (
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"parley/chat/cli/line/linetest"
	"parley/chat/home"
)

// sealing returns what opens the person's keys.
func (p *person) sealing() home.Sealing {
	p.Helper()
	h := p.opens()
	how, err := h.Sealing()
	if err != nil {
		p.Fatal(err)
	}
	return how
}

func TestPassphraseIsSetChangedAndRemoved(t *testing.T) {
	keyring.MockInit()
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	one, two := file(t, "one horse\n"), file(t, "two horses\n")
	for _, step := range []struct {
		args []string
		want home.Sealing
	}{
		{[]string{"--new-passphrase-file", one}, home.ByPassphrase},
		{[]string{"--passphrase-file", one, "--new-passphrase-file", two}, home.ByPassphrase},
		{[]string{"--passphrase-file", two, "--keyring"}, home.ByKeyring},
		{[]string{"--new-passphrase-file", one}, home.ByPassphrase},
		{[]string{"--passphrase-file", one, "--no-passphrase"}, home.Unsealed},
		{[]string{"--keyring"}, home.ByKeyring},
		{[]string{"--no-passphrase"}, home.Unsealed},
	} {
		alice.ok(append([]string{"passphrase"}, step.args...)...)
		if how := alice.sealing(); how != step.want {
			t.Fatalf("after passphrase %q the keys are sealed by %c, want %c", step.args, how, step.want)
		}
		if step.want != home.ByPassphrase {
			alice.ok("contact", "list")
		}
	}
	alice.fails(2, "--new-passphrase-file FILE, --keyring or --no-passphrase is missing", "passphrase")
	alice.fails(2, "exclude each other", "passphrase", "--keyring", "--no-passphrase")
	alice.ok("passphrase", "--new-passphrase-file", one)
	alice.fails(10, "wrong passphrase", "passphrase", "--passphrase-file", two, "--no-passphrase")
	alice.fails(10, "no passphrase was given", "passphrase", "--no-passphrase")
	if alice.sealing() != home.ByPassphrase {
		t.Error("a refusal changed the keys")
	}
}

func TestPassphraseAsksAPerson(t *testing.T) {
	t.Setenv("TERM", "xterm")
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--passphrase-file", file(t, "one horse"))
	screen := linetest.Open(t)
	done := make(chan int, 1)
	go func() { done <- alice.at(t.Context(), screen.File, screen.File, screen.File, "passphrase") }()
	screen.Expect("Passphrase: ")
	screen.Type("one horse\r")
	screen.Expect("Passphrase for your key (empty = none): ")
	screen.Type("two horses\r")
	screen.Expect("again: ")
	screen.Type("two horses\r")
	screen.Expect("the new passphrase opens the keys")
	if code := <-done; code != 0 || strings.Contains(screen.Shown(), "horse") {
		t.Errorf("it ended with %d: %s", code, screen.Shown())
	}
	alice.ok("contact", "list", "--passphrase-file", file(t, "two horses"))
}

// Who presses ^C instead of giving a passphrase has interrupted the command, on every terminal; ^D is no answer.
func TestAPassphraseMayBeInterrupted(t *testing.T) {
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--passphrase-file", file(t, "one horse"))
	for _, terminal := range []string{"xterm", "dumb"} {
		t.Setenv("TERM", terminal)
		for key, code := range map[string]int{"\x03": 130, "\x04": 2} {
			screen := linetest.Open(t)
			done := make(chan int, 1)
			go func() { done <- alice.at(t.Context(), screen.File, screen.File, screen.File, "net", "invite") }()
			screen.Expect("Passphrase: ")
			screen.Type(key)
			if got := <-done; got != code || strings.Contains(screen.Shown(), "interrupted") != (code == 130) {
				t.Errorf("%s, %q: it ended with %d: %s", terminal, key, got, screen.Shown())
			}
		}
	}
}

func TestInitLeavesTheKeysToTheKeyring(t *testing.T) {
	keyring.MockInit()
	w := newWorld(t)
	alice := w.person("Alice")
	alice.fails(2, "exclude each other", "init", "--name", "Alice", "--keyring", "--no-passphrase")
	alice.ok("init", "--name", "Alice", "--keyring")
	if alice.sealing() != home.ByKeyring {
		t.Errorf("the keys are sealed by %c", alice.sealing())
	}
	alice.up()
	alice.ok("status")
}

func TestLockEndsTheNodeAndTheKeysAreNeededAgain(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.fails(3, "have no passphrase, so nothing would be locked", "lock")
	secret := file(t, "one horse")
	alice.ok("passphrase", "--new-passphrase-file", secret)
	node := alice.up("--passphrase-file", secret)
	alice.ok("contact", "list")
	for range 2 { // a second time there is nothing left to end
		if r := alice.run("", "lock"); r.code != 0 || !strings.Contains(r.stderr, "Alice is locked: no node runs on it") {
			t.Fatalf("lock: %d %s", r.code, r.stderr)
		}
		if r := node.wait(); r.code != 0 {
			t.Errorf("the node ended with %d: %s", r.code, r.stderr)
		}
	}
	for _, command := range [][]string{
		{"contact", "list"}, {"history", "bob"}, {"send", "bob", "x"}, {"recv"}, {"net", "invite"}, {"up"}, {"contact", "remove", "bob", "-y"},
	} {
		alice.fails(10, "no passphrase was given", command...)
	}
	alice.fails(10, "wrong passphrase", "contact", "list", "--passphrase-file", file(t, "another"))
	alice.ok("contact", "list", "--passphrase-file", secret)
	alice.ok("contact", "link")
	alice.ok("net", "show")
}

func TestRemoveForgetsAContact(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	alice.ok("send", "bob", "do you remember?", "--wait", "delivered")
	bob.ok("send", "alice", "I do", "--wait", "delivered")
	alice.fails(2, "-y is missing", "contact", "remove", "bob")
	alice.fails(5, "zoe", "contact", "remove", "zoe", "-y")
	alice.fails(2, "the contact is missing", "contact", "remove", "-y")
	alice.fails(2, "the contact is missing", "contact", "remove")
	if r := alice.run("", "contact", "remove", "bob", "-y"); r.code != 0 || !strings.Contains(r.stderr, "Bob and everything that was said is forgotten") {
		t.Fatalf("remove: %d %s", r.code, r.stderr)
	}
	if out := alice.ok("contact", "list") + alice.ok("recv", "--since", "0"); out != "" {
		t.Errorf("left is %q", out)
	}
	alice.fails(5, "bob", "history", "bob")
	alice.node.stop()
	alice.node.wait()
	alice.fails(5, "bob", "history", "bob")
	alice.up()
	alice.ok("contact", "add", strings.TrimSpace(bob.ok("contact", "link")))
	alice.ok("send", "bob", "hello, who are you?", "--wait", "delivered")
}

func TestRemoveAsksAPerson(t *testing.T) {
	t.Setenv("TERM", "xterm")
	w := newWorld(t)
	alice, _ := w.aliceAndBob()
	for _, try := range []struct {
		answer string
		code   int
	}{{"n\r", 8}, {"\r", 8}, {"\x04", 2}, {"\x03", 130}, {"y\r", 0}} {
		screen := linetest.Open(t)
		done := make(chan int, 1)
		go func() {
			done <- alice.at(t.Context(), screen.File, screen.File, screen.File, "contact", "remove", "bob")
		}()
		screen.Expect("and all messages? They cannot be had back. [y/N]")
		screen.Type(try.answer)
		if got := <-done; got != try.code {
			t.Errorf("%q: it ended with %d: %s", try.answer, got, screen.Shown())
		}
	}
}
