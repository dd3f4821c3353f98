package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"parley/chat"
	"parley/chat/cli/line/linetest"
)

// carol is somebody on the network of others whom only the inviter knows.
func (w *world) carol(inviter *person) *person {
	w.t.Helper()
	carol := w.person("Carol")
	carol.ok("init", "--name", "Carol", "--join", strings.TrimSpace(inviter.ok("net", "invite")), "-y")
	carol.up()
	carol.until(inviter.name, "contact", "list")
	return carol
}

// asks makes p ask other to be their contact, and waits until it has arrived.
func (p *person) asks(other *person) {
	p.Helper()
	p.ok("contact", "add", strings.TrimSpace(other.ok("contact", "link")))
	other.until(p.name, "contact", "requests")
}

// try runs the command that was said to help, as it stands.
func (p *person) follow(command string) {
	p.Helper()
	words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(command), "parley --home "+p.home+" "))
	if r := p.run("", words...); r.code != 0 {
		p.Errorf("%q ended with %d: %s", command, r.code, r.stderr)
	}
}

// hints returns the commands that a text says to run.
func hints(text string) []string {
	return regexp.MustCompile(`parley --home \S+ contact [^\n]*?(?:  |\n|$)`).FindAllString(text, -1)
}

// One mail brings Alice's card and an invite, quoted, and with talk about parley: every command finds the link that it can use.
func TestAMailWithTwoLinksServesEveryCommand(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	dave := w.person("Dave")
	card, invite := strings.TrimSpace(alice.ok("contact", "link")), strings.TrimSpace(alice.ok("net", "invite"))
	mail := func(first, second string) string {
		return "> Use parley: it's good!\n> " + first[:50] + "\n> " + first[50:] + "\n>\n> or parley: " + second + "\n"
	}
	if r := dave.run(mail(card, invite), "init", "--name", "Dave", "--join", "-", "-y"); r.code != 0 || !strings.Contains(r.stdout, "Alice is a contact") {
		t.Fatalf("init: %+v", r)
	}
	fresh := strings.TrimSpace(alice.ok("net", "invite"))
	dave.wantMistake(dave.run(mail(card, fresh), "net", "join", "-", "-y"), 8, "a member")
	dave.wantMistake(dave.run(mail(card, card), "net", "join", "-", "-y"), 2, "is for adding a contact")
	carol := w.carol(bob)
	if r := carol.run(mail(fresh, card), "contact", "add", "-"); r.code != 0 || !strings.HasPrefix(r.stdout, "Alice ") {
		t.Fatalf("contact add: %+v", r)
	}
	alice.until("Carol", "contact", "requests") // the card is for asking, and the invite would not have asked
}

func TestAStrangerAsksAndIsAnswered(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	carol := w.carol(alice)
	carol.asks(bob)
	if r := carol.run("", "send", "bob", "hi Bob\x1b[2J", "--wait", "delivered", "--timeout", "50ms"); r.code != 7 {
		t.Errorf("before Bob has answered: %+v", r)
	}
	bob.until("hi Bob", "contact", "requests")
	r := bob.run("", "contact", "requests")
	if !strings.HasPrefix(r.stdout, "Carol ") || !strings.Contains(r.stdout, "│ hi Bob\n") || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("requests: %q", r.stdout)
	}
	if out := bob.ok("recv"); out != "" {
		t.Errorf("a stranger's text came in: %q", out)
	}
	all := fields(t, bob.ok("contact", "requests", "--json"))["requests"].([]any)
	if one := all[0].(map[string]any); len(all) != 1 || one["name"] != "Carol" || one["state"] != "pending" || one["texts"].([]any)[0] != "hi Bob\x1b[2J" {
		t.Errorf("requests: %v", all)
	}
	if out := bob.ok("status"); !strings.Contains(out, "people     1 contact, 1 request\n") {
		t.Errorf("status: %s", out)
	}
	answers := hints(r.stderr)
	if len(answers) != 2 {
		t.Fatalf("the hints are %q", r.stderr)
	}
	bob.follow(answers[0])
	carol.until(`"state":"delivered"`, "history", "bob", "--json")
	if out := bob.ok("recv", "carol"); !strings.Contains(out, "hi Bob") {
		t.Errorf("Bob reads %q", out)
	}
	if r := bob.run("", "contact", "requests"); r.stdout != "" || !strings.Contains(r.stderr, "Nobody waits") {
		t.Errorf("in the end: %+v", r)
	}
}

func TestAStrangerIsTurnedAwayAndMayAskAgain(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	carol := w.carol(alice)
	carol.asks(bob)
	bob.fails(5, `nobody called "zoe" waits for an answer`, "contact", "accept", "zoe")
	bob.follow(hints(bob.run("", "contact", "requests").stderr)[1])
	if r := bob.run("", "contact", "requests", "--rejected"); !strings.Contains(r.stdout, "Carol ") {
		t.Errorf("turned away: %+v", r)
	}
	bob.fails(5, "nobody called", "contact", "reject", "carol")
	if r := alice.run("", "contact", "requests", "--rejected"); r.stdout != "" || !strings.Contains(r.stderr, "turned nobody away") {
		t.Errorf("Alice has turned away: %+v", r)
	}
	bob.ok("contact", "unblock", "carol")
	bob.until("Carol", "contact", "requests")
	if out := bob.ok("contact", "accept", "carol", "--as", "caro"); !strings.HasPrefix(out, "caro ") {
		t.Errorf("accepted: %q", out)
	}
	carol.ok("send", "bob", "thanks", "--wait", "delivered")
}

func TestABlockedContactIsSilent(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	bob.ok("contact", "block", "alice")
	r := bob.fails(8, "Alice is blocked", "send", "alice", "hi")
	if list := fields(t, bob.ok("contact", "list", "--json"))["contacts"].([]any); list[0].(map[string]any)["blocked"] != true {
		t.Errorf("contacts: %v", list)
	}
	if r := alice.run("", "send", "bob", "hello?", "--wait", "delivered", "--timeout", "50ms"); r.code != 7 {
		t.Errorf("writing to who blocks: %+v", r)
	}
	bob.follow(hints(r.stderr)[0])
	bob.ok("send", "alice", "here I am", "--wait", "delivered")
	bob.until("hello?", "history", "alice")
	bob.fails(5, "no contact", "contact", "block", "zoe")
	bob.fails(5, "no contact", "contact", "unblock", "zoe")
}

func TestVerifyPrintsTwelveGroupsAndNothingElse(t *testing.T) {
	alice, bob := newWorld(t).aliceAndBob()
	hers, his := alice.run("", "contact", "verify", "bob"), bob.run("", "contact", "verify", "alice")
	if hers.code != 0 || hers.stdout != his.stdout || hers.stderr != "" || !regexp.MustCompile(`^\d{5}( \d{5}){11}\n$`).MatchString(hers.stdout) {
		t.Errorf("Alice sees %+v, Bob %+v", hers, his)
	}
	alice.node.stop()
	alice.node.wait()
	if r := alice.run("", "contact", "verify", "bob"); r.stdout != hers.stdout {
		t.Errorf("without a node: %+v", r)
	}
	if v := fields(t, alice.ok("contact", "verify", "bob", "--json")); v["trust"] != "" || len(v["number"].([]any)) != 12 || v["name"] != "Bob" {
		t.Errorf("as JSON: %v", v)
	}
	alice.fails(2, "exclude each other", "contact", "verify", "bob", "--ok", "--mismatch")
	alice.fails(5, "no contact", "contact", "verify", "zoe")
}

func TestWhatCameOfComparing(t *testing.T) {
	alice, _ := newWorld(t).aliceAndBob()
	screen := linetest.Open(t)
	if code := alice.at(t.Context(), screen.File, screen.File, screen.File, "contact", "verify", "bob"); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	screen.Expect("█")
	screen.Expect("Another there?")
	screen.Expect("--mismatch\r\n")
	answers := hints(strings.ReplaceAll(screen.Shown(), "\r\n", "\n"))
	if len(answers) != 2 {
		t.Fatalf("it shows %q", screen.Shown())
	}
	alice.follow(answers[1])
	r := alice.fails(6, "your safety number with Bob did not match", "send", "bob", "hi")
	alice.follow(hints(r.stderr)[0])
	alice.follow(answers[0])
	alice.ok("send", "bob", "hi", "--wait", "delivered")
	if out := alice.ok("contact", "list"); !strings.Contains(out, "✔ verified") {
		t.Errorf("list: %s", out)
	}
	if out := alice.ok("contact", "show", "bob"); !strings.Contains(out, "notes    ✔ verified\nnumber   ") {
		t.Errorf("show: %s", out)
	}
	if v := fields(t, alice.ok("contact", "show", "bob", "--json")); v["trust"] != "verified" {
		t.Errorf("show: %v", v)
	}
	if out := alice.ok("status"); !strings.Contains(out, "1 contact, 1 verified ✔") {
		t.Errorf("status: %s", out)
	}
	if v := fields(t, alice.ok("contact", "verify", "bob", "--ok", "--json")); v["trust"] != "verified" {
		t.Errorf("verified: %v", v)
	}
}

func TestAnotherKeyUnderANameIsForPeopleToDecide(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	carol := w.carol(alice)
	link := strings.TrimSpace(carol.ok("contact", "link"))
	r := bob.fails(6, "the alice you know is ", "contact", "add", link, "--as", "alice")
	for _, says := range []string{"another key", "--as OTHER_NAME", "--as alice --replace"} {
		if !strings.Contains(r.stderr, says) {
			t.Errorf("it does not say %q: %s", says, r.stderr)
		}
	}
	if out := bob.ok("contact", "add", link, "--as", "alice", "--replace"); !strings.HasPrefix(out, "alice ") {
		t.Errorf("replaced: %s", out)
	}
	if out := bob.ok("contact", "list"); !strings.Contains(out, "Alice (") {
		t.Errorf("who had the name: %s", out)
	}
}

func TestAVerifiedContactIsIntroduced(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	carol := w.carol(alice)
	alice.ok("contact", "add", strings.TrimSpace(carol.ok("contact", "link")))
	r := alice.fails(6, "Carol is not verified here", "contact", "introduce", "carol", "bob")
	alice.follow(hints(r.stderr)[0])
	alice.ok("contact", "verify", "carol", "--ok")
	if out := alice.ok("contact", "introduce", "carol", "bob"); out != "Bob is told of Carol\n" {
		t.Errorf("introduced: %q", out)
	}
	bob.until("introduced by Alice (not verified)", "contact", "requests")
	bob.ok("contact", "verify", "alice", "--ok")
	bob.until("introduced by Alice (verified)", "contact", "requests")
	bob.ok("contact", "accept", "carol")
	if out := bob.ok("contact", "show", "carol"); !strings.Contains(out, "introduced by Alice (verified)") {
		t.Errorf("show: %s", out)
	}
	carol.until("Bob", "contact", "requests")
	carol.ok("contact", "accept", "bob")
	bob.ok("send", "carol", "hi", "--wait", "delivered")
	alice.fails(2, "two contacts are needed", "contact", "introduce", "carol")
	alice.fails(5, "no contact", "contact", "introduce", "zoe", "bob")
	alice.fails(5, "no contact", "contact", "introduce", "bob", "zoe")
}

func TestLinksAreRenewedWithAndWithoutANode(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	carol := w.carol(alice)
	seen := map[chat.Token]bool{}
	take := func(args ...string) string {
		t.Helper()
		link := strings.TrimSpace(bob.ok(append([]string{"contact", "link"}, args...)...))
		invite, err := chat.ParseInvite(link)
		if err != nil || invite.Token.IsZero() {
			t.Fatalf("%q: %v", link, err)
		}
		if seen[invite.Token] != (len(args) == 0 && len(seen) > 0) {
			t.Errorf("after %v the token is new: %v", args, !seen[invite.Token])
		}
		seen[invite.Token] = true
		return link
	}
	old := take()
	take()
	take("--reset")
	take()
	bob.node.stop()
	bob.node.wait()
	take()
	fresh := take("--reset")
	bob.up()
	take()
	carol.ok("contact", "add", old)
	alice.ok("send", "bob", "a moment later", "--wait", "delivered")
	if r := bob.run("", "contact", "requests"); r.stdout != "" {
		t.Errorf("an old link reaches Bob: %+v", r)
	}
	carol.ok("contact", "add", fresh)
	bob.until("Carol", "contact", "requests")
}

func TestWhoamiNeedsNoNode(t *testing.T) {
	w := newWorld(t)
	alice := w.person("Alice")
	alice.fails(3, "there is no parley home", "whoami")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	h := alice.opens()
	p, out := h.Profile(), alice.ok("whoami")
	for _, says := range []string{"Alice", p.Account.Short(), p.Account.String(), p.Device.String(), "home " + h.Network().Fingerprint(), h.Dir()} {
		if !strings.Contains(out, says) {
			t.Errorf("%q is not in %s", says, out)
		}
	}
	v := fields(t, alice.ok("whoami", "--json"))
	if v["name"] != "Alice" || v["account"] != p.Account.String() || v["short"] != p.Account.Short() || v["device"] != p.Device.String() ||
		v["home"] != h.Dir() || v["network"].(map[string]any)["fingerprint"] != h.Network().Fingerprint() {
		t.Errorf("got %v", v)
	}
	alice.fails(2, "takes no", "whoami", "x")
}
