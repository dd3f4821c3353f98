package cli_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/cli/line/linetest"
)

// refusal is what a node of the network answers to a joiner.
type refusal string

func (r refusal) Error() string { return string(r) }

// Refused says that asking again is of no use.
func (r refusal) Refused() bool { return true }

// A person is asked for the link, which stands in no list of processes then, and is shown where it leads before anything is written.
func TestAPersonIsAskedBeforeAnInviteIsUsed(t *testing.T) {
	t.Setenv("TERM", "xterm")
	w := newWorld(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	first, second := strings.TrimSpace(alice.ok("net", "invite")), strings.TrimSpace(alice.ok("net", "invite"))
	w.silence = errors.New("no seed answers: connection refused")
	bob.ok("init", "--name", "Bob", "--join", first, "--no-passphrase", "-y")
	w.silence = nil
	screen := linetest.Open(t)
	for _, c := range []struct {
		answer string
		code   int
	}{{"n\r", 8}, {"y\r", 0}} {
		done := make(chan int, 1)
		go func() { done <- bob.at(t.Context(), screen.File, screen.File, screen.File, "net", "join", "-") }()
		screen.Expect("The link: ")
		screen.Type(second + "\r")
		screen.Expect("Invite    network home")
		screen.Expect("Join this network and add Alice as a contact? [Y/n]")
		screen.Type(c.answer)
		if code := <-done; code != c.code {
			t.Fatalf("%q: net join ended with %d", c.answer, code)
		}
		if j, _ := bob.opens().Join(); j.Joined != (c.code == 0) || (j.Link == second) != (c.code == 0) {
			t.Fatalf("%q: the home has %+v", c.answer, j)
		}
	}
}

func TestAnInviteThatIsNoGoodIsSaidAtOnce(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.up()
	used, fresh := strings.TrimSpace(alice.ok("net", "invite")), strings.TrimSpace(alice.ok("net", "invite"))

	w.silence = refusal("the invite was used already")
	r := bob.run("", "init", "--name", "Bob", "--join", used, "-y")
	if r.code != 8 || !strings.Contains(r.stderr, "\nparley: the invite was used already; ask Alice for a new one\n  try: parley ") {
		t.Errorf("Bob: %+v", r)
	}
	if !strings.Contains(r.stderr, "net join -\n") || strings.Contains(r.stdout, "Next:") {
		t.Errorf("what to do next: %+v", r)
	}
	bob.wantMistake(bob.run("", "net", "join", "-y", used), 8, "the invite was used already")

	w.silence = refusal("the invite was revoked")
	bob.wantMistake(bob.run("", "net", "join", "-y", fresh), 8, "the invite was revoked")
	if j, _ := bob.opens().Join(); j.Link != used {
		t.Error("an invite that is no good has taken the place of the one that waits")
	}

	w.silence = nil
	bob.fails(2, "-y is missing to join home", "net", "join", fresh)
	if out := bob.run("look: "+fresh, "net", "join", "-y", "-"); out.code != 0 || !strings.HasPrefix(out.stdout, "Joined    home ") {
		t.Errorf("with another one: %+v", out)
	}
	h := bob.opens()
	if j, _ := h.Join(); j.Link != fresh || !j.Joined {
		t.Errorf("the home has %+v", j)
	}
	bob.wantMistake(bob.run("", "net", "join", "-y", fresh), 8, "is a member of home")
	carol := w.person("Carol")
	carol.ok("init", "--name", "Carol", "--no-passphrase")
	carol.wantMistake(carol.run("", "net", "join", "-y", fresh), 8, "and this device is on home")
	carol.fails(2, "the invite is missing", "net", "join")
	carol.fails(2, "for adding a contact", "net", "join", "-y", strings.TrimSpace(alice.ok("contact", "link")))
}

func TestInvitesAndMembersAreListed(t *testing.T) {
	w := newWorld(t)
	alice, _ := w.aliceAndBob()
	made := fields(t, alice.ok("net", "invite", "--for", "Dave", "--uses", "2", "--ttl", "1h", "--json"))
	id := made["id"].(string)
	if made["uses"] != 2.0 || len(id) != 16 {
		t.Errorf("made: %v", made)
	}
	lines := strings.Split(strings.TrimSpace(alice.ok("net", "invites", "--json")), "\n")
	last := fields(t, lines[len(lines)-1])
	if last["id"] != id || last["for"] != "Dave" || last["state"] != "open" || last["v"] != 1.0 {
		t.Errorf("listed: %v", last)
	}
	alice.ok("net", "revoke", id)
	if out := alice.ok("net", "invites"); !strings.Contains(out, "revoked") || !strings.HasPrefix(out, "ID ") {
		t.Errorf("listed: %s", out)
	}
	alice.fails(5, "was made here", "net", "revoke", "ffff")
	alice.fails(2, `"/" is no id of a message: nothing was sent`, "send", "Bob", "hello", "--id", "/")
	for _, none := range []string{"", "/", "fff", "all of them"} {
		r := alice.run("", "net", "revoke", none)
		alice.wantMistake(r, 5, " is no id of an invite: one has 16 characters")
		if !strings.Contains(r.stderr, "net invites\n") {
			t.Errorf("%q: %q does not say where they are", none, r.stderr)
		}
	}
	for says, args := range map[string][]string{
		"1 to 100 times, not -2":                            {"--uses", "-2"},
		"1 to 100 times, not 0":                             {"--uses", "0"},
		"from 1m to 2160h, not 0s":                          {"--ttl", "0"},
		"--ttl is \"foo\": want a time like 30m, 24h or 7d": {"--ttl", "foo"},
		"from 1m to 2160h, not 2184h":                       {"--ttl", "91d"},
		`the invitee's name "" cannot be used: it is empty`: {"--for", ""},
		"such that join or vary others":                     {"--for", "\U0001F468\u200d\U0001F469"},
		"it has 40 bytes, at most 32 fit":                   {"--for", strings.Repeat("x", 40)},
	} {
		alice.fails(2, says, append([]string{"net", "invite"}, args...)...)
	}
	if listed := alice.ok("net", "invites", "--json"); strings.Count(listed, "\n") != len(lines) {
		t.Errorf("an invite was made that nobody asked for: %s", listed)
	}
	if week := fields(t, alice.ok("net", "invite", "--ttl", "7d", "--json")); week["uses"] != 1.0 {
		t.Errorf("of a week: %v", week)
	}

	h := alice.opens()
	town := w.town(h.Dir(), nil, nil)
	device, err := chat.NewIdentity("phone")
	if err != nil {
		t.Fatal(err)
	}
	town.Meet(chat.MemberDevice{Device: device.Device(), Account: [32]byte{7}, Invite: [8]byte{1}, Since: time.Now()})
	stranger := chat.AccountID{7}
	out := alice.ok("net", "members")
	if !strings.Contains(out, "this device") || !strings.Contains(out, stranger.Short()) {
		t.Errorf("members: %s", out)
	}
	alice.fails(5, "names no member", "net", "revoke-member", "-y", "zoe")
	alice.fails(2, "-y is missing", "net", "revoke-member", stranger.Short())
	alice.fails(2, "who is to go is missing", "net", "revoke-member")
	alice.fails(8, "this account itself", "net", "revoke-member", "-y", "alice")
	if out := alice.ok("net", "revoke-member", "-y", stranger.Short(), "--with-invited"); !strings.Contains(out, "is no member of home") {
		t.Errorf("said: %s", out)
	}
	for _, line := range strings.Split(strings.TrimSpace(alice.ok("net", "members", "--json")), "\n") {
		if m := fields(t, line); m["revoked"] != (m["account"] == stranger.String()) || m["v"] != 1.0 {
			t.Errorf("member: %v", m)
		}
	}
}
