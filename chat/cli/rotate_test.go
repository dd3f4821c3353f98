package cli_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/cli/line/linetest"
	"parley/chat/home"
)

func TestAPersonIsAskedBeforeTheKeyIsChanged(t *testing.T) {
	t.Setenv("TERM", "xterm")
	w := newWorld(t)
	alice, _ := w.aliceAndBob()
	asked := func(answer string, code int, question string, args ...string) {
		t.Helper()
		screen := linetest.Open(t)
		done := make(chan int, 1)
		go func() { done <- alice.at(t.Context(), screen.File, screen.File, screen.File, args...) }()
		screen.Expect(question)
		screen.Type(answer)
		if got := <-done; got != code {
			t.Errorf("%v, %q: it ended with %d: %s", args, answer, got, screen.Shown())
		}
	}
	const change, end = "who comes later needs a new invite", " now? 0 devices have no new key yet"
	asked("\r", 8, change, "net", "rotate-key")
	asked("n\r", 8, change, "net", "rotate-key")
	alice.fails(2, "-y is missing", "net", "rotate-key")
	if out := alice.ok("net", "rotate-key", "--status", "--json"); fields(t, out)["state"] != "first" {
		t.Errorf("it was changed: %s", out)
	}
	asked("y\r", 0, change, "net", "rotate-key", "--grace", "1h")
	asked("\r", 8, end, "net", "rotate-key", "--now")
	if out := alice.ok("net", "rotate-key", "--status", "--json"); fields(t, out)["state"] != "grace" || fields(t, out)["own"] != true {
		t.Errorf("it was not changed: %s", out)
	}
	asked("yes\r", 0, end, "net", "rotate-key", "--now")
	if out := alice.ok("net", "rotate-key", "--status", "--json"); fields(t, out)["state"] != "changed" {
		t.Errorf("the grace goes on: %s", out)
	}
	alice.fails(8, "no grace to end", "net", "rotate-key", "--now", "--yes")
	alice.fails(2, "exclude each other", "net", "rotate-key", "--now", "--status")
	alice.fails(2, "from 1s to 2160h", "net", "rotate-key", "--yes", "--grace", "2161h")
	alice.fails(2, "not 0s; to leave nobody any time, change the key and end its grace with --now", "net", "rotate-key", "--yes", "--grace", "0")
}

func TestWhoIsBehindIsShown(t *testing.T) {
	w := newWorld(t)
	alice, _ := w.aliceAndBob()
	h := alice.opens()
	phone, err := chat.NewIdentity("phone")
	if err != nil {
		t.Fatal(err)
	}
	town := w.town(h.Dir(), nil, nil)
	town.Meet(chat.MemberDevice{Device: phone.Device(), Account: [32]byte{7}, Invite: [8]byte{1}, Since: time.Now()})
	before := alice.ok("net", "invite")
	out := alice.ok("net", "rotate-key", "-y")
	if !strings.Contains(out, "1 of 2 devices known here have the new one\nhas not  -") || !strings.Contains(out, "\nhas      Alice") {
		t.Errorf("said: %s", out)
	}
	alice.fails(8, "once at a time", "net", "rotate-key", "-y")
	if out := alice.ok("net", "members"); !strings.Contains(out, "has not the new network key") {
		t.Errorf("members: %s", out)
	}
	old, err1 := chat.ParseInvite(before)
	fresh, err2 := chat.ParseInvite(alice.ok("net", "invite"))
	if err := errors.Join(err1, err2); err != nil || bytes.Equal(old.Network.PSK, fresh.Network.PSK) {
		t.Errorf("the invites have one key: %v", err)
	}
}

// Bob is a member, and takes the key with which a new invite leads to a node that lets him in, once that has told him that the network's authority has signed it. What
// was before stays where it does not, seeds included, whatever it has told him until then, and where it tells him nothing.
func TestAMemberRenewsTheKey(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	open := func() *home.Home {
		h := bob.opens()
		if err := h.SaveJoined(); err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := open()
	alice.ok("net", "rotate-key", "-y")
	link := strings.TrimSpace(alice.ok("net", "invite"))
	bob.node.stop()
	bob.node.wait()
	unchanged := func(what any) {
		t.Helper()
		if n := open().Network(); !bytes.Equal(n.PSK, first.Network().PSK) || n.Rotation != nil || !reflect.DeepEqual(n.Seeds, first.Network().Seeds) {
			t.Errorf("%v: the home was changed", what)
		}
	}
	tells := func(h *home.Home) error { return h.SaveKey([32]byte(h.Network().PSK), []byte("signed")) }
	for answer, code := range map[error]int{
		errors.New("no seed answers: connection refused"): 4, refusal("this device was removed from the network"): 8,
	} {
		for _, w.hands = range []func(*home.Home) error{nil, tells} {
			w.silence = answer
			bob.wantMistake(bob.run("", "net", "join", "-y", link), code, answer.Error()+"; nothing was changed")
			unchanged(answer)
		}
	}
	w.silence, w.hands = nil, nil
	bob.wantMistake(bob.run("", "net", "join", "-y", link), 8, "knows no key of home")
	unchanged("a key of the link alone")
	bare, err := chat.ParseInvite(link)
	if err != nil {
		t.Fatal(err)
	}
	bare.Network.PSK = nil
	bob.wantMistake(bob.run("", "net", "join", "-y", bare.String()), 8, "do not agree on whether home")
	unchanged("a link without a key")
	w.hands = tells
	if r := bob.run("", "net", "join", "-y", link); r.code != 0 || !strings.HasPrefix(r.stdout, "Renewed   the key of home ") {
		t.Fatalf("renewing: %+v", r)
	}
	invite, err := chat.ParseInvite(link)
	if err != nil {
		t.Fatal(err)
	}
	h := open()
	before, _ := first.Join()
	if after, _ := h.Join(); !bytes.Equal(h.Network().PSK, invite.Network.PSK) || after != before || h.Profile() != first.Profile() {
		t.Errorf("the home has %+v", after)
	}
	bob.fails(8, "is a member of home", "net", "join", "-y", link)
}

// gone is what a node of the network answers to who is no member any more.
type gone string

func (g gone) Error() string { return string(g) }
func (gone) Refused() bool   { return true }
func (gone) Removed() bool   { return true }

// Who has invited Bob was thrown out with all whom she had let in. Alice invites him anew: he is asked nothing, is in again once she has answered, and keeps the new
// link, and his own key where she tells him none: that in the link may be older than his. While she is away, or where she does not want him, his home stays as it was.
func TestWhoWasRemovedJoinsAgain(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	if err := bob.opens().SaveJoined(); err != nil {
		t.Fatal(err)
	}
	first := bob.opens()
	before, _ := first.Join()
	link := strings.TrimSpace(alice.ok("net", "invite"))
	const outside = gone("this device was removed from the network, or who invited it was")
	answers := func(to error, told []byte) {
		w.hands = func(h *home.Home) error {
			if !h.Anew() {
				return outside
			}
			if to == nil && told != nil {
				return h.SaveKey([32]byte(h.Network().PSK), told)
			}
			return to
		}
	}
	unchanged := func(what any) {
		t.Helper()
		if j, _ := bob.opens().Join(); j != before || !bytes.Equal(bob.opens().Network().PSK, first.Network().PSK) || !reflect.DeepEqual(bob.opens().Network().Seeds, first.Network().Seeds) {
			t.Errorf("%v: the home was changed", what)
		}
	}
	bob.fails(8, "is a member of home", "net", "join", "-y", link) // says a node that runs, and that nobody has told otherwise
	bob.node.stop()
	bob.node.wait()
	for answer, code := range map[error]int{errors.New("who made the invite is not connected now, and has to be"): 4, errors.New("no seed answers: connection refused"): 4, refusal("the invite was used already"): 8, outside: 8} {
		answers(answer, nil)
		says := answer.Error()
		if answer == error(outside) {
			says = " for good, or who made the invite was"
		}
		bob.wantMistake(bob.run("", "net", "join", "-y", link), code, says+"; nothing was changed")
		unchanged(answer)
	}
	answers(nil, nil)
	alice.ok("net", "rotate-key", "-y")
	other := strings.TrimSpace(alice.ok("net", "invite"))
	if r := bob.run("", "net", "join", "-y", link); r.code != 0 || !strings.HasPrefix(r.stdout, "Joined    home ") || !strings.Contains(r.stdout, " again · Alice is a contact\n") {
		t.Fatalf("again: %+v", r)
	}
	if j, _ := bob.opens().Join(); j.Link != link || !j.Joined || !bytes.Equal(bob.opens().Network().PSK, first.Network().PSK) {
		t.Errorf("the home has %+v", j)
	}
	if r := bob.run("", "net", "join", "-y", other); r.code != 0 || !strings.Contains(r.stdout, " again · ") {
		t.Fatalf("with a key that nobody tells him: %+v", r)
	}
	if j, _ := bob.opens().Join(); j.Link != other || !bytes.Equal(bob.opens().Network().PSK, first.Network().PSK) {
		t.Errorf("with a key that nobody tells him, the home has %+v", j)
	}
	answers(nil, []byte("signed"))
	if r := bob.run("", "net", "join", "-y", other); r.code != 0 || !strings.Contains(r.stdout, " again · ") {
		t.Fatalf("with a key: %+v", r)
	}
	invite, err := chat.ParseInvite(other)
	if err != nil {
		t.Fatal(err)
	}
	if j, _ := bob.opens().Join(); j.Link != other || !bytes.Equal(bob.opens().Network().PSK, invite.Network.PSK) || string(bob.opens().Network().Rotation) != "signed" {
		t.Errorf("the home has %+v", j)
	}
	w.hands = nil
	bob.wantMistake(bob.run("", "net", "join", "-y", other), 8, "is a member of home")
}

// forgotten is what a node answers to a device that shows an invite, because it has lost its certificate.
type forgotten struct{ gone }

func (forgotten) Removed() bool { return false }
func (forgotten) Invited() bool { return true }

// goesAway ends the node of a member.
func (p *person) goesAway() {
	p.Helper()
	if err := p.opens().SaveJoined(); err != nil {
		p.Fatal(err)
	}
	p.node.stop()
	p.node.wait()
}

// Bob has lost his list of members, and Alice knows the invite no more that let him in. A new one does.
func TestWhoLostTheCertificateJoinsAgain(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	bob.goesAway()
	link := strings.TrimSpace(alice.ok("net", "invite"))
	asked := 0
	w.hands = func(h *home.Home) error {
		if asked++; h.Anew() {
			return nil
		}
		return forgotten{"the invite is not known to who made it any more"}
	}
	if r := bob.run("", "net", "join", "-y", link); r.code != 0 || !strings.HasPrefix(r.stdout, "Joined ") || !strings.Contains(r.stdout, " again · Alice") {
		t.Fatalf("joining again: %+v", r)
	}
	if j, _ := bob.opens().Join(); j.Link != link || !j.Joined || asked != 2 {
		t.Errorf("asked %d times; the home has %+v", asked, j)
	}
}

// All seeds that Bob knows are somewhere else now. Their places are in a new link, which he keeps once it has led him there, and not while the old ones do.
func TestSeedsThatMovedAreFoundAgain(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.aliceAndBob()
	bob.goesAway()
	invite, err := chat.ParseInvite(strings.TrimSpace(alice.ok("net", "invite")))
	if err != nil {
		t.Fatal(err)
	}
	const here = "/ip4/127.0.0.9/tcp/4101"
	invite.Seeds[0].Addrs = []string{here}
	link, before := invite.String(), bob.opens().Network().Seeds
	bob.fails(8, "is a member of home", "net", "join", "-y", link) // both places answer
	if after := bob.opens().Network().Seeds; !reflect.DeepEqual(after, before) {
		t.Errorf("its seeds are %v", after)
	}
	w.hands = func(h *home.Home) error {
		if h.Network().Seeds[0].Addrs[0] != here {
			return errors.New("no seed answers: connection refused")
		}
		return nil
	}
	if r := bob.run("", "net", "join", "-y", link); r.code != 0 || !strings.HasPrefix(r.stdout, "Renewed   the seeds of home ") {
		t.Fatalf("finding them: %+v", r)
	}
	if after := bob.opens().Network().Seeds; after[0].Addrs[0] != here || len(after) != len(before) {
		t.Errorf("its seeds are %v", after)
	}
}
