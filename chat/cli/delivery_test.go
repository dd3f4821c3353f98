package cli_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/chat"
	"parley/chat/chattest"
)

// Bob's node is down. What Alice sends is kept by the mailbox that he has chosen; send waits for that and for no more, info tells who has it,
// and when he is back all states come one after the other.
func TestSendWaitsForExactlyTheStateThatItNames(t *testing.T) {
	w := newWorld(t)
	host := w.host()
	alice, bob := w.aliceAndBob()
	bob.until(host.ID.String(), "mailbox", "list")
	bob.until("1 (1 drained)", "status")
	alice.ok("send", "bob", "before", "--wait", "delivered")
	bob.node.stop()
	bob.node.wait()

	sent := fields(t, alice.ok("send", "bob", "in your mailbox", "--wait", "sent", "--json"))
	if sent["state"] != "sent" {
		t.Errorf("it is %v", sent["state"])
	}
	r := alice.run("", "send", "bob", "and this", "--wait", "delivered", "--timeout", "2s", "--json")
	alice.wantMistake(r, 7, "sent, not delivered within 2s: the device is away, and its mailboxes keep it. Others keep it for the recipient's device until")
	id := fmt.Sprint(sent["id"])
	if out := alice.ok("info", id); !strings.Contains(out, "state    sent: another node holds it") || !strings.Contains(out, "held by "+host.ID.String()) ||
		!strings.Contains(out, "device   "+w.device(bob).String()+": sent, by mailbox") || !strings.Contains(out, "to       Bob\n") {
		t.Errorf("info says %s", out)
	}
	info := fields(t, alice.ok("info", id, "--json"))
	device := info["devices"].([]any)[0].(map[string]any)
	if info["state"] != "sent" || info["to_name"] != "Bob" || device["waits"] != true || device["route"] != "mailbox" || device["holders"].([]any)[0] != host.ID.String() {
		t.Errorf("info --json says %v", info)
	}
	bob.up()
	alice.until(`"state":"delivered"`, "info", id, "--json")
	waiting := alice.begin("send", "bob", "and read this", "--wait", "read", "--json")
	bob.until("and read this", "history", "alice")
	bob.ok("recv")
	if done := waiting.wait(); done.code != 0 || fields(t, done.stdout)["state"] != "read" {
		t.Errorf("send --wait read: %+v", done)
	}
	if out := bob.ok("info", id); !strings.Contains(out, "from     Alice, device "+w.device(alice).String()) || !strings.Contains(out, "it was shown here") {
		t.Errorf("Bob's info says %s", out)
	}
	bob.node.stop()
	bob.node.wait()
	if out := bob.ok("info", id); !strings.Contains(out, "from     Alice") {
		t.Errorf("without a node it says %s", out)
	}
}

func TestInfoOfNoMessage(t *testing.T) {
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	alice.fails(2, `"%1" is no id of a message`, "info", "%1")
	alice.fails(2, "the message is missing", "info")
	alice.fails(5, "no such message", "info", chat.MessageID{9}.String())
}

// Alice lets the node choose, then chooses herself: another host beside the first, that one alone, nobody, and again the node.
func TestPeopleChooseWhoKeepsTheirMailbox(t *testing.T) {
	w := newWorld(t)
	first := w.host()
	alice, bob := w.aliceAndBob()
	alice.until("the node", "mailbox", "list")
	hosts := func() (automatic bool, ids []string) {
		list := fields(t, alice.ok("mailbox", "list", "--json"))
		for _, m := range list["mailboxes"].([]any) {
			ids = append(ids, m.(map[string]any)["host"].(string))
		}
		return list["automatic"].(bool), ids
	}
	want := func(what string, automatic bool, want ...string) {
		t.Helper()
		if auto, ids := hosts(); auto != automatic || fmt.Sprint(ids) != fmt.Sprint(want) {
			t.Errorf("%s: %v by the node: %t, want %v", what, ids, auto, want)
		}
	}
	device := w.device(bob).String()
	want("in the beginning", true, first.ID.String())
	alice.ok("mailbox", "add", "/ip4/10.0.0.1/tcp/4101/p2p/"+device)
	want("with Bob's", false, first.ID.String(), device)
	alice.ok("mailbox", "add", device)
	want("again", false, first.ID.String(), device)
	if out := alice.ok("mailbox", "list"); strings.Count(out, "people") != 2 {
		t.Errorf("the table is %s", out)
	}
	alice.fails(2, "that is this device", "mailbox", "add", w.device(alice).String())
	two := []*chattest.MailHost{w.host(), w.host()}
	alice.ok("mailbox", "add", two[0].ID.String())
	alice.fails(9, "4 mailboxes, at most 3 fit", "mailbox", "add", two[1].ID.String())
	alice.fails(5, `"bob" names no node that is known here`, "mailbox", "add", "bob")
	alice.fails(5, two[1].ID.String()+" keeps no mailbox for this device", "mailbox", "remove", two[1].ID.String())
	alice.fails(2, "the host is missing", "mailbox", "add")
	alice.ok("mailbox", "remove", two[0].ID.String())
	alice.ok("mailbox", "remove", first.ID.String()[len(first.ID.String())-8:])
	want("Bob's alone", false, device)
	if r := alice.run("", "mailbox", "remove", device); r.code != 0 || !strings.Contains(r.stderr, "none: messages to this device wait at their senders") {
		t.Errorf("removing the last: %+v", r)
	}
	want("nobody", false)
	if r := alice.run("", "mailbox", "list"); r.code != 0 || !strings.HasPrefix(r.stdout, "none: ") || !strings.Contains(r.stderr, "mailbox auto") {
		t.Errorf("the empty table: %+v", r)
	}
	alice.ok("mailbox", "auto")
	alice.until("the node", "mailbox", "list")
	bob.node.stop()
	bob.node.wait()
	bob.fails(4, "no node is running", "mailbox", "list")
}

func TestReceiptsAreOnOrOffForAllAndForOne(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	reads := func(text string) string {
		alice.ok("send", "bob", text, "--wait", "delivered")
		bob.ok("recv")
		return fmt.Sprintf(`"text":"%s"`, text)
	}
	if out := bob.ok("receipts", "off"); out != "read receipts are off\n" {
		t.Errorf("it says %q", out)
	}
	if st := fields(t, bob.ok("status", "--json")); st["receipts"] != "off" {
		t.Errorf("the status says %v", st["receipts"])
	}
	bob.until("receipts   off: others do not learn", "status")
	reads("for his eyes")
	bob.ok("contact", "receipts", "alice", "on")
	bob.until("read receipts on", "contact", "list")
	bob.until(`"receipts":"on"`, "contact", "list", "--json")
	reads("for both")
	alice.until(`"state":"read"`, "history", "bob", "--json", "--limit", "1")
	if out := alice.ok("history", "bob", "--json"); strings.Count(out, `"state":"read"`) != 1 || strings.Count(out, `"state":"delivered"`) != 1 {
		t.Errorf("Alice knows %s", out)
	}
	if out := bob.ok("contact", "receipts", "alice", "default"); !strings.Contains(out, "as for everybody") {
		t.Errorf("it says %q", out)
	}
	bob.ok("receipts", "on")
	reads("for both again")
	alice.until(`"state":"read"`, "history", "bob", "--json", "--limit", "1")
	bob.fails(2, `"default": want on or off`, "receipts", "default")
	bob.fails(2, "on or off is missing", "receipts")
	bob.fails(2, `"never": want on, off or default`, "contact", "receipts", "alice", "never")
	bob.fails(2, "want a contact, and on, off or default", "contact", "receipts", "alice")
	bob.fails(5, `no contact "zoe"`, "contact", "receipts", "zoe", "off")
}

// Two thousand lines are two thousand messages, in their order, each told as it is queued.
func TestEachLineIsAMessage(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	const n = 2000
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "line %d\r\n", i)
		if i%100 == 0 {
			in.WriteString(" \n\n")
		}
	}
	in.WriteString(strings.Repeat("x", chat.MaxText)) // no line end
	r := alice.run(in.String(), "send", "--lines", "bob", "--wait", "delivered")
	if r.code != 0 || r.stderr != "" || strings.Count(r.stdout, "\n") != n+1 {
		t.Fatalf("it ended with %d after %d lines: %s", r.code, strings.Count(r.stdout, "\n"), r.stderr)
	}
	var ids []any
	for line := range strings.Lines(r.stdout) {
		sent := fields(t, line)
		if sent["state"] != "queued" || len(sent) != 6 {
			t.Fatalf("it says %v", sent)
		}
		ids = append(ids, sent["id"])
	}
	i := 0
	for line := range strings.Lines(bob.ok("recv", "--json")) {
		got := fields(t, line)
		if want := fmt.Sprintf("line %d", i); i < n && got["text"] != want || got["id"] != ids[i] {
			t.Fatalf("message %d is %v %v, want %s %v", i, got["id"], got["text"], want, ids[i])
		}
		i++
	}
	if i != n+1 {
		t.Errorf("Bob got %d", i)
	}
}

func TestLinesAreQueuedAsFarAsTheyAreMessages(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	for name, bad := range map[string]struct {
		in, says string
		code     int
	}{
		"no text":  {"one\ntwo\n\xff\nfour\n", "2 messages queued, then: line 3: the message is not UTF-8 text", 2},
		"too long": {"one\ntwo\n" + strings.Repeat("x", chat.MaxText+1) + "\nfour\n", "2 messages queued, then: ", 9},
		"longer":   {"one\ntwo\n" + strings.Repeat("x", 3*chat.MaxText) + "\nfour\n", "2 messages queued, then: the next line is longer than 65536 bytes", 9},
		"a zero":   {"one\ntwo\nth\x00ree\n", "2 messages queued, then: line 3: ", 2},
	} {
		r := alice.run(bad.in, "send", "--lines", "bob")
		alice.wantMistake(r, bad.code, bad.says)
		if strings.Count(r.stdout, "\n") != 2 {
			t.Errorf("%s: it printed %s", name, r.stdout)
		}
	}
	if r := alice.run("", "send", "--lines", "bob", "--wait", "read"); r.code != 0 || r.stdout != "" {
		t.Errorf("no lines: %+v", r)
	}
	alice.until(`"state":"delivered"`, "history", "bob", "--json", "--limit", "1")
	w.net.Unplug(w.device(bob))
	r := alice.run("a\nb\nc\n", "send", "--lines", "bob", "--wait", "sent", "--timeout", "100ms")
	alice.wantMistake(r, 7, "0 of 3 sent within 100ms: 3 queued")
	alice.wantMistake(alice.run("a\n", "send", "--lines", "bob", "text"), 2, "--lines wants a contact alone")
	alice.wantMistake(alice.run("a\n", "send", "--lines"), 2, "--lines wants a contact alone")
	alice.wantMistake(alice.run("a\n", "send", "--lines", "bob", "--id", "x"), 2, "exclude each other")
	alice.wantMistake(alice.run("a\n", "send", "--lines", "zoe"), 5, `no contact "zoe"`)
	alice.ok("contact", "block", "bob")
	alice.wantMistake(alice.run("a\n", "send", "--lines", "bob"), 8, "0 messages queued, then: Bob is blocked")
}

func TestASeedKeepsMailboxesUnlessItIsTold(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	secret := file(t, "postgres://user:secret@localhost/mail\n")
	for _, test := range []struct {
		args, env []string
		keeps     bool
		database  string
	}{
		{nil, nil, true, ""}, // her network has nobody else yet
		{[]string{"--no-mailbox"}, nil, false, ""},
		{[]string{"--mailbox"}, nil, true, ""},
		{[]string{"--seed"}, nil, true, ""},
		{[]string{"--seed", "--no-mailbox"}, nil, false, ""},
		{nil, []string{"PARLEY_NODE_SEED", "true"}, true, ""},
		{[]string{"--seed"}, []string{"PARLEY_NODE_MAILBOX", "false"}, false, ""},
		{nil, []string{"PARLEY_NODE_MAILBOX", "true"}, true, ""},
		{[]string{"--no-mailbox"}, []string{"PARLEY_NODE_MAILBOX", "true"}, false, ""},
		{[]string{"--mailbox", "--mailbox-database", "sqlite:/x"}, []string{"PARLEY_MAILBOX_DATABASE_URL", "sqlite:/y"}, true, "sqlite:/x"},
		{[]string{"--mailbox"}, []string{"PARLEY_MAILBOX_DATABASE_URL", "sqlite:/y"}, true, "sqlite:/y"},
		{[]string{"--mailbox"}, []string{"PARLEY_MAILBOX_DATABASE_URL_FILE", secret}, true, "postgres://user:secret@localhost/mail"},
		{[]string{"--no-mailbox"}, []string{"PARLEY_MAILBOX_DATABASE_URL", "sqlite:/y"}, false, "sqlite:/y"}, // of a command beside a node with --mailbox
	} {
		t.Run(fmt.Sprint(test.args, test.env), func(t *testing.T) {
			if test.env != nil {
				t.Setenv(test.env[0], test.env[1])
			}
			alice.up(test.args...)
			if o := w.started(); o.Mailbox != test.keeps || o.MailboxDatabase != test.database {
				t.Errorf("it was started with %t and %q", o.Mailbox, o.MailboxDatabase)
			}
			alice.node.stop()
			alice.node.wait()
		})
	}
	alice.fails(2, "--mailbox and --no-mailbox exclude each other", "up", "--mailbox", "--no-mailbox")
	alice.fails(3, "a database for mailboxes is named, and this node keeps none", "up", "--no-mailbox", "--mailbox-database", "sqlite:/x")
	t.Setenv("PARLEY_NODE_MAILBOX", "perhaps")
	alice.fails(3, "PARLEY_NODE_MAILBOX", "up")
	t.Setenv("PARLEY_NODE_MAILBOX", "true")
	t.Setenv("PARLEY_MAILBOX_DATABASE_URL_FILE", "/none")
	alice.fails(3, "cannot read the database URL", "up")
}

// TestLimitsOfMailboxes says what may be kept here, with a flag before the environment, and shows it.
func TestLimitsOfMailboxes(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	for _, test := range []struct {
		args  []string
		env   string
		shows string
	}{
		{nil, "", "64MiB in 0 boxes for each"},
		{nil, "mailbox=1GiB,life=36h", "1GiB in 0 boxes for each, for 36h"},
		{[]string{"--mailbox-limits", "mailbox-boxes=7, owners=1", "--mailbox-limits", "host=1TiB"}, "mailbox=1GiB", "1TiB in 0 boxes for 1 device at most, 64MiB in 7 boxes for each"},
	} {
		t.Setenv("PARLEY_MAILBOX_LIMITS", test.env)
		alice.up(test.args...)
		if status := alice.ok("status"); !strings.Contains(status, test.shows) {
			t.Errorf("%q, %q: %s", test.args, test.env, status)
		}
		alice.node.stop()
		alice.node.wait()
	}
	t.Setenv("PARLEY_MAILBOX_LIMITS", "host-boxes=1")
	alice.fails(2, "mailbox limits: host has room for 1 boxes", "up")
	alice.fails(2, "mailbox limits: mailbox is", "up", "--mailbox-limits", "mailbox=64MB")
	t.Setenv("PARLEY_MAILBOX_LIMITS", "")
	alice.fails(3, "limits of mailboxes are named, and this node keeps none", "up", "--no-mailbox", "--mailbox-limits", "life=1d")
}
