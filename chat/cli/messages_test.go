package cli_test

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/chat"
)

func TestAliceSendsAndBobReads(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	sent := fields(t, alice.ok("send", "bob", "hi", "bob!", "--wait", "delivered", "--json"))
	if sent["state"] != "delivered" || len(sent) != 6 {
		t.Fatalf("send says %v", sent)
	}
	got := fields(t, bob.ok("recv", "--json"))
	for key, want := range map[string]any{
		"type": "message.received", "id": sent["id"], "conversation": sent["conversation"], "from_name": "Alice", "text": "hi bob!",
	} {
		if got[key] != want {
			t.Errorf("recv: %s is %v, want %v", key, got[key], want)
		}
	}
	if again := bob.ok("recv", "--json"); again != "" {
		t.Errorf("shown twice: %s", again)
	}
	bob.ok("send", "@alice", "hello", "--wait", "delivered")
	alice.until(`"state":"read"`, "history", "bob", "--json")
	if line := bob.ok("history", "Alice"); !strings.Contains(line, "Alice    │ hi bob!\n") || !strings.Contains(line, "you      │ hello\n") {
		t.Errorf("history says %q", line)
	}
}

func TestFlagsStandAnywhereAndTextsAreNeverFlags(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	alice.ok("send", "--wait", "delivered", "bob", "flags first")
	alice.ok("send", "bob", "--wait", "delivered", "flags", "between")
	alice.ok("send", "bob", "flags last", "--wait=delivered")
	alice.ok("send", "bob", "--wait", "delivered", "--", "--json", "-5", "help")
	alice.ok("send", "bob", "--wait", "delivered", "help")
	if out := bob.ok("recv"); strings.Count(out, "\n") != 6 || !strings.Contains(out, "│ flags between\n") || !strings.Contains(out, "│ --json -5 help\n") {
		t.Errorf("Bob reads %q", out)
	}
	alice.fails(2, "--urgent is no flag of parley send; a text that begins with a dash goes after --", "send", "bob", "--urgent")
	alice.fails(2, "did you mean --json?", "send", "bob", "hi", "--jsno")
	alice.fails(2, "-5 is no flag", "send", "bob", "-5")
	if out := bob.ok("recv"); out != "" {
		t.Errorf("a mistake was sent: %q", out)
	}
}

func TestTextComesFromStandardInput(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	for _, args := range [][]string{{"send", "bob", "-", "--wait", "delivered"}, {"send", "bob", "--wait", "delivered"}} {
		if r := alice.run("two\nlines\n", args...); r.code != 0 {
			t.Fatal(r)
		}
	}
	for range 2 {
		if got := fields(t, bob.ok("recv", "--max", "1", "--json")); got["text"] != "two\nlines" {
			t.Errorf("got %q", got["text"])
		}
	}
	whole := strings.Repeat("x", chat.MaxText)
	if r := alice.run(whole+"\n", "send", "bob", "--wait", "delivered"); r.code != 0 {
		t.Fatalf("the longest text: %s", r.stderr)
	}
	alice.wantMistake(alice.run(whole+"x", "send", "bob"), 9, "longer than 65536 bytes")
	alice.wantMistake(alice.run(whole+"x\n", "send", "bob"), 9, "longer than 65536 bytes")
	alice.wantMistake(alice.run(" \n", "send", "bob"), 2, "empty")
	alice.wantMistake(alice.run("\xff", "send", "bob", "-"), 2, "UTF-8")
	if out := bob.ok("recv", "--json"); strings.Count(out, "\n") != 1 {
		t.Errorf("Bob got %d messages", strings.Count(out, "\n"))
	}
}

func TestSendIsIdempotentUnderAClientID(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	first := fields(t, alice.ok("send", "bob", "once", "--id", "job-1", "--json", "--wait", "delivered"))
	second := fields(t, alice.ok("send", "bob", "once", "--id", "job-1", "--json", "--wait", "delivered"))
	if first["id"] != second["id"] {
		t.Errorf("two messages: %v and %v", first, second)
	}
	alice.fails(8, "job-1", "send", "bob", "another text", "--id", "job-1")
	if out := bob.ok("recv", "--json"); strings.Count(out, "\n") != 1 {
		t.Errorf("Bob got %q", out)
	}
}

func TestWhatCannotBeDeliveredIsQueuedWithExitCode7(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	down := bob.begin("recv", "--follow") // as good a client as any; only its node matters
	down.stop()
	w.net.Unplug(w.device(bob))
	r := alice.run("", "send", "bob", "are you there?", "--wait", "delivered", "--timeout", "50ms", "--json")
	alice.wantMistake(r, 7, "queued, not delivered within 50ms: ")
	if sent := fields(t, r.stdout); sent["state"] != "queued" {
		t.Errorf("send says %v", sent)
	}
	if !strings.Contains(r.stderr, "It will be sent automatically") || !strings.Contains(r.stderr, "  try: parley --home "+alice.home+" info ") {
		t.Errorf("it says %q", r.stderr)
	}
	if out := alice.ok("send", "bob", "no hurry"); out != "" {
		t.Errorf("standard output holds %q", out)
	}
}

func TestRecvFiltersBoundsAndRepeats(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	carol := w.person("Carol")
	carol.ok("init", "--name", "Carol", "--join", strings.TrimSpace(alice.ok("net", "invite")), "-y")
	carol.up()
	carol.until("Alice", "contact", "list")
	alice.until("Carol", "contact", "list")
	for i := range 3 {
		bob.ok("send", "alice", "--wait", "delivered", "from bob", fmt.Sprint(i))
	}
	carol.ok("send", "alice", "--wait", "delivered", "from carol")

	if out := alice.ok("recv", "carol", "--json"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "from carol") {
		t.Errorf("carol alone: %q", out)
	}
	if out := alice.ok("recv", "--max", "2"); !strings.Contains(out, "from bob 0") || !strings.Contains(out, "from bob 1") || strings.Contains(out, "from bob 2") {
		t.Errorf("two at most: %q", out)
	}
	alice.wantMistake(alice.run("", "recv", "--max", "2", "--timeout", "300ms"), 7, "1 of 2 messages came within 300ms")
	if out := alice.ok("recv", "--since", "0", "--json"); strings.Count(out, "\n") != 4 {
		t.Errorf("everything again: %q", out)
	}
	if out := alice.ok("recv", "bob", "carol", "--since", "0", "--max", "4"); !strings.Contains(out, "from carol") || !strings.Contains(out, "from bob 2") {
		t.Errorf("both: %q", out)
	}
	seq := fields(t, firstLine(alice.ok("recv", "--since", "0", "--json")))["seq"]
	if out := alice.ok("recv", "--since", fmt.Sprint(seq), "--json"); strings.Count(out, "\n") != 3 {
		t.Errorf("after the first: %q", out)
	}
	if out := alice.ok("recv", "--timeout", "10ms"); out != "" {
		t.Errorf("nothing is new: %q", out)
	}
	for _, args := range [][]string{{"--max", "0"}, {"--timeout", "-1s"}, {"--since", "x"}} {
		if r := alice.run("", append([]string{"recv"}, args...)...); r.code != 2 {
			t.Errorf("%v ended with %d: %s", args, r.code, r.stderr)
		}
	}
	alice.fails(5, `no contact "zoe"`, "recv", "zoe")
}

func firstLine(s string) string { line, _, _ := strings.Cut(s, "\n"); return line }

func TestRecvFollowsUntilItIsStopped(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	bob.ok("send", "alice", "--wait", "delivered", "before")
	follow := alice.begin("recv", "--follow", "--json")
	follow.stdout.expect(t, "before")
	for i := range 20 {
		bob.ok("send", "alice", fmt.Sprintf("message %d.", i))
	}
	follow.stdout.expect(t, "message 19.")
	follow.stop()
	if r := follow.wait(); r.code != 0 || strings.Count(r.stdout, "\n") != 21 {
		t.Fatalf("it ended with %d after %d lines: %s", r.code, strings.Count(r.stdout, "\n"), r.stderr)
	}
	if out := alice.ok("recv"); out != "" {
		t.Errorf("shown, and not marked as read: %q", out)
	}
	bob.until(`message 19.","at"`, "history", "alice", "--json")
	bob.until(`"state":"read"`, "history", "alice", "--json", "--limit", "1")
}

// brokenPipe is a reader that went away.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWhatNobodyReadStaysUnread(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	bob.ok("send", "alice", "--wait", "delivered", "important")
	errs := newBuffer()
	if code := alice.at(t.Context(), strings.NewReader(""), brokenPipe{}, errs, "recv"); code != 1 {
		t.Errorf("recv into a broken pipe ended with %d: %s", code, errs)
	}
	if out := alice.ok("recv"); !strings.Contains(out, "important") {
		t.Fatal("the message was marked as read, and nobody read it")
	}
}

func TestHistoryPagesThroughEverything(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	const n = 2*chat.MaxPage + 50
	for i := range n {
		if r := alice.run("", "send", "bob", fmt.Sprintf("n%d.", i)); r.code != 0 {
			t.Fatal(r)
		}
	}
	check := func(p *person, limit string, want int) {
		t.Helper()
		scan := bufio.NewScanner(strings.NewReader(p.ok("history", "bob", "--json", "--limit", limit)))
		lines := 0
		for ; scan.Scan(); lines++ {
			if text := fields(t, scan.Text())["text"]; text != fmt.Sprintf("n%d.", n-want+lines) {
				t.Fatalf("limit %s: line %d is %s", limit, lines, text)
			}
		}
		if lines != want {
			t.Errorf("limit %s: %d lines, want %d", limit, lines, want)
		}
	}
	for limit, want := range map[string]int{"0": n, "1": 1, "200": 200, "201": 201, "100000": n, "50": 50} {
		check(alice, limit, want)
	}
	if lines := strings.Count(alice.ok("history", "bob"), "│"); lines != 50 {
		t.Errorf("%d messages without --limit", lines)
	}
	alice.fails(2, "negative", "history", "bob", "--limit", "-1")
	alice.fails(5, "did you mean Bob?", "history", "Bobb")
	if out := bob.ok("history", "alice", "--limit", "1", "--json"); fields(t, out)["type"] != "message.received" {
		t.Errorf("Bob's side: %s", out)
	}
}

func TestHistoryAndContactsNeedNoNode(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	up := alice.up()
	bob.ok("init", "--name", "Bob", "--join", strings.TrimSpace(alice.ok("net", "invite")), "-y")
	alice.ok("contact", "add", strings.TrimSpace(bob.ok("contact", "link")))
	alice.ok("send", "bob", "kept")
	up.stop()
	if r := up.wait(); r.code != 0 {
		t.Fatalf("up ended with %d: %s", r.code, r.stderr)
	}
	if out := alice.ok("history", "bob", "--json"); fields(t, out)["state"] != "queued" {
		t.Errorf("history: %s", out)
	}
	if out := alice.ok("contact", "list"); !strings.Contains(out, "Bob") {
		t.Errorf("contacts: %s", out)
	}
	if link, err := chat.ParseInvite(alice.ok("contact", "link")); err != nil || link.Name != "Alice" || link.Kind != chat.InviteContact {
		t.Errorf("link: %+v (%v)", link, err)
	}
	alice.fails(4, "no node is running on "+alice.home, "status")
	alice.fails(4, "no node is running on "+alice.home, "peers")
}
