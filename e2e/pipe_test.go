package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// everyCommand are command lines that end by themselves, of every command there is. up is among them because Alice's node runs.
func everyCommand() []string {
	return []string{
		"", "--help", "help", "version", "version --json", "whoami", "whoami --json",
		"init", "init --name Alice", "up", "chat", "chat bob", "doctor", "doctor --json", "status", "status --json", "peers", "peers --json",
		"net", "net show", "net show --json", "net invite", "net invite --json", "net invites", "net invites --json", "net revoke ffff",
		"net members", "net members --json", "net revoke-member nobody", "net rotate-key", "net rotate-key --status",
		"net rotate-key --status --json", "net rotate-key --now", "net join", "net join nonsense",
		"contact", "contact link", "contact link --json", "contact list", "contact list --json", "contact add", "contact add -",
		"contact requests", "contact requests --json", "contact accept", "contact accept nobody", "contact reject nobody", "contact verify bob",
		"contact show bob", "contact show bob --json", "contact remove bob", "contact receipts bob on", "passphrase", "lock",
		"info", "info 0", "receipts", "receipts on", "mailbox", "mailbox list", "mailbox list --json", "mailbox add", "mailbox remove nobody",
		"send", "send bob", "send bob -", "send bob hi", "send bob hi --json", "send bob hi --wait delivered",
		"recv", "recv bob", "recv --json", "recv --since 0", "recv --max 1 --timeout 1s", "recv --follow --timeout 1s",
		"history", "history bob", "history bob --json --limit 500", "nonsense", "--generate-bash-completion",
	}
}

func TestEveryCommandEndsWithoutATerminalAndPrintsNoEscape(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, alice, bob := w.aliceAndBob(engines()["sqlite"])
	bob.ok("send", "alice", "colour \x1b[31m me", "--wait", "delivered")
	nobody := w.person("Nobody")
	for _, p := range []*person{alice, nobody} {
		for _, line := range everyCommand() {
			p.pipes(t, line)
			if len(line) > 0 && !strings.Contains(line, "-") {
				p.pipes(t, line+" --help")
			}
		}
	}
	for _, name := range strings.Fields(commandNames(t, alice)) {
		if !strings.Contains(strings.Join(everyCommand(), "\n"), "\n"+name) {
			t.Errorf("no command line with %s", name)
		}
	}
}

// pipes runs a command line as a script does: nothing to read, and a pipe to write to. A command that goes on fails the test.
func (p *person) pipes(t *testing.T, line string) {
	t.Helper()
	script := fmt.Sprintf("'%s' --home '%s' %s </dev/null 2>&1 | cat", p.parley, p.home, line)
	r := command(t, p.env(), nil, "sh", "-c", script)
	if strings.Contains(r.stdout, "\x1b") {
		t.Errorf("%s: parley %s prints an escape: %q", p.name, line, r.stdout)
	}
}

// commandNames returns the commands that the help names.
func commandNames(t testing.TB, p *person) string {
	t.Helper()
	var names []string
	_, list, _ := strings.Cut(p.ok("--help"), "COMMANDS:\n")
	list, _, _ = strings.Cut(list, "GLOBAL OPTIONS:")
	for line := range strings.Lines(list) {
		if words := strings.Fields(line); len(words) > 1 && strings.HasPrefix(line, "     ") {
			names = append(names, strings.TrimSuffix(words[0], ","))
		}
	}
	if len(names) < 8 {
		t.Errorf("the help names %q only", names)
	}
	return strings.Join(names, " ")
}

// Whoever reads our output may go away at any time; that is no error worth a word.
func TestReaderThatGoesAwayIsNoError(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"], inArrivalOrder)
	converse(t, alice, bob, 300, 0).finish(burstTime)
	script := fmt.Sprintf("'%s' --home '%s' history alice --limit 0 | head -1", bob.parley, bob.home)
	r := command(t, bob.env(), nil, "sh", "-c", script)
	if r.stderr != "" || strings.Count(r.stdout, "\n") != 1 {
		t.Error(r)
	}
}
