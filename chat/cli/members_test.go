package cli_test

import (
	"strings"
	"testing"
	"time"

	"parley/chat"
)

// refusal is what a node of the network answers to a joiner.
type refusal string

func (r refusal) Error() string { return string(r) }

// Refused says that asking again is of no use.
func (r refusal) Refused() bool { return true }

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
	if !strings.Contains(r.stderr, "net join LINK") || strings.Contains(r.stdout, "Next:") {
		t.Errorf("what to do next: %+v", r)
	}
	bob.wantMistake(bob.run("", "net", "join", used), 8, "the invite was used already")

	w.silence = nil
	if out := bob.run("look: "+fresh, "net", "join", "-"); out.code != 0 || !strings.HasPrefix(out.stdout, "Joined    home ") {
		t.Errorf("with another one: %+v", out)
	}
	h := bob.opens()
	if j, _ := h.Join(); j.Link != fresh || !j.Joined {
		t.Errorf("the home has %+v", j)
	}
	bob.wantMistake(bob.run("", "net", "join", fresh), 8, "is a member of home")
	carol := w.person("Carol")
	carol.ok("init", "--name", "Carol", "--no-passphrase")
	carol.wantMistake(carol.run("", "net", "join", fresh), 8, "and this device is on home")
	carol.fails(2, "the invite is missing", "net", "join")
	carol.fails(2, "for adding a contact", "net", "join", strings.TrimSpace(alice.ok("contact", "link")))
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
	alice.fails(2, "1 to 100", "net", "invite", "--uses", "-2")

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
	alice.fails(5, "names no member", "net", "revoke-member", "zoe")
	alice.fails(8, "this account itself", "net", "revoke-member", "alice")
	if out := alice.ok("net", "revoke-member", stranger.Short(), "--with-invited"); !strings.Contains(out, "is no member of home") {
		t.Errorf("said: %s", out)
	}
	for _, line := range strings.Split(strings.TrimSpace(alice.ok("net", "members", "--json")), "\n") {
		if m := fields(t, line); m["revoked"] != (m["account"] == stranger.String()) || m["v"] != 1.0 {
			t.Errorf("member: %v", m)
		}
	}
}
