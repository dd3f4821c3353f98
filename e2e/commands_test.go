package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSendWaitsNoLongerThanAskedAndTheMessageArrivesLater(t *testing.T) {
	t.Parallel()
	seed, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	bob.ok("send", "alice", "hello", "--wait", "delivered")
	bob.node.stop()
	seed.node.stop() // which would keep it for Bob

	r := alice.fails(7, "send", "bob", "when you are back", "--wait", "delivered", "--timeout", "1s", "--json")
	if m := messages(t, r.stdout); len(m) != 1 || m[0].State != "queued" || !strings.Contains(r.stderr, "within 1s") {
		t.Errorf("send says %s", r)
	}
	if r.took > 5*time.Second {
		t.Errorf("it took %v", r.took)
	}
	if s := alice.status(); *s.Queued != 1 {
		t.Errorf("%d messages wait", *s.Queued)
	}
	seed.start()
	bob.start()
	got := messages(t, bob.ok("recv", "alice", "--json", "--max", "1", "--timeout", "60s"))
	if said := texts(got); !slices.Equal(said, []string{"when you are back"}) {
		t.Errorf("Bob got %q", said)
	}
	await(t, patience, "Alice has nothing queued", func() bool { return *alice.status().Queued == 0 })
}

func TestSendTwiceWithOneIDIsOneMessage(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	var ids []string
	for range 3 {
		m := messages(t, alice.ok("send", "bob", "only once", "--id", "backup-7", "--wait", "delivered", "--json"))
		ids = append(ids, m[0].ID)
	}
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("one client id made the messages %q", ids)
	}
	alice.ok("send", "bob", "and this", "--wait", "delivered")
	if said := texts(messages(t, bob.ok("recv", "--json"))); !slices.Equal(said, []string{"only once", "and this"}) {
		t.Errorf("Bob got %q", said)
	}
}

func TestReadIsToldToTheAuthor(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"], inArrivalOrder)
	waiting := alice.background("send", "bob", "did you see this?", "--wait", "read", "--timeout", "60s", "--json")
	bob.ok("recv", "--max", "1", "--timeout", "60s")
	if code := waiting.wait(); code != 0 {
		t.Fatalf("send ended with %d", code)
	}
	if m := messages(t, waiting.stdout.String()); m[0].State != "read" {
		t.Errorf("the message is %s", m[0].State)
	}
}

func TestRecvFollowsAndNeverShowsAMessageTwice(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"], inArrivalOrder)
	var want []string
	say := func(n int) {
		for range n {
			text := fmt.Sprintf("text %d", len(want))
			want = append(want, text)
			alice.ok("send", "bob", text)
		}
	}
	say(3)
	await(t, patience, "Bob has three", func() bool { return strings.Count(bob.ok("recv", "--since", "0", "--json"), "\n") == 2 })
	reader := bob.background("recv", "alice", "--follow", "--json")
	say(1)
	reader.says(reader.stdout, `"text 3"`)
	say(2)
	reader.says(reader.stdout, `"text 5"`)
	if code, _ := reader.stop(); code != 0 {
		t.Errorf("recv --follow ended with %d", code)
	}
	if got := reader.stdout.String(); strings.Contains(got, `"text 2"`) {
		t.Errorf("recv shows again what --since has shown: %s", got)
	}
	all := messages(t, bob.ok("recv", "--since", "0", "--json"))
	if said := texts(all); !slices.Equal(said, want) {
		t.Errorf("since the beginning there were %q, want %q", said, want)
	}
	after := messages(t, bob.ok("recv", "--since", fmt.Sprint(all[3].Seq), "--json"))
	if said := texts(after); !slices.Equal(said, want[4:]) {
		t.Errorf("after event %d there were %q", all[3].Seq, said)
	}
	if rest := bob.ok("recv", "--json"); rest != "" {
		t.Errorf("recv shows again: %s", rest)
	}
}

func TestRecvEndsAfterMaxAndSaysWhenFewerCame(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"], inArrivalOrder)
	for _, text := range []string{"one", "two", "three"} {
		alice.ok("send", "bob", text, "--wait", "delivered")
	}
	for _, want := range []string{"one", "two"} {
		if said := texts(messages(t, bob.ok("recv", "--max", "1", "--json"))); !slices.Equal(said, []string{want}) {
			t.Errorf("recv --max 1 shows %q, want %q", said, want)
		}
	}
	r := bob.fails(7, "recv", "--max", "2", "--timeout", "500ms", "--json")
	if said := texts(messages(t, r.stdout)); !slices.Equal(said, []string{"three"}) {
		t.Errorf("recv --max 2 shows %q", said)
	}
}

func TestHistoryIsAsLongAsAskedFor(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"], inArrivalOrder)
	const said = 450
	converse(t, alice, bob, said, 0).finish(burstTime)
	for _, limit := range []int{1, 5, 200, 201, 450, 1000} {
		list := messages(t, bob.ok("history", "alice", "--json", "--limit", fmt.Sprint(limit)))
		if len(list) != min(limit, said) {
			t.Errorf("--limit %d shows %d", limit, len(list))
		}
		for i, m := range list {
			if want := fmt.Sprintf("alice-%04d", said-len(list)+i); idOf(m.Text) != want || m.State == "" {
				t.Fatalf("--limit %d: at %d is %+v, want %s", limit, i, m, want)
			}
		}
	}
}

func TestFlagsMayStandAnywhereAndTextIsNeverAFlag(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	alice.ok("send", "--wait", "delivered", "bob", "flags", "first")
	alice.ok("send", "bob", "flags last", "--wait=delivered", "--timeout", "60s")
	alice.ok("send", "bob", "--wait", "delivered", "in", "the", "middle")
	alice.ok("send", "--wait", "delivered", "bob", "--", "--json", "-5", "--", "is text")
	alice.fails(2, "send", "bob", "--urgent", "never sent")
	alice.fails(2, "send", "bob", "-5")
	if r := alice.runWith(strings.NewReader("from a pipe\nwith two lines\n"), "send", "bob", "-", "--wait", "delivered"); r.code != 0 {
		t.Error(r)
	}
	want := []string{"flags first", "flags last", "in the middle", "--json -5 -- is text", "from a pipe\nwith two lines"}
	if said := texts(messages(t, bob.ok("recv", "--json"))); !slices.Equal(said, want) {
		t.Errorf("Bob got %q, want %q", said, want)
	}
	if r := command(t, alice.env(), nil, alice.parley, "history", "bob", "--home", alice.home, "--limit=1"); r.code != 0 || !strings.Contains(r.stdout, "with two lines") {
		t.Errorf("--home after the command: %s", r)
	}
}

func TestCommandsWithoutANodeRunOneForAsLongAsTheyNeed(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	bob.ok("send", "alice", "while you are up", "--wait", "delivered")
	bob.node.stop()
	alice.ok("send", "bob", "while you are down")
	if said := texts(messages(t, bob.ok("recv", "--json", "--max", "1", "--timeout", "60s"))); !slices.Equal(said, []string{"while you are down"}) {
		t.Errorf("recv without a node shows %q", said)
	}
	bob.ok("send", "alice", "from nobody's node", "--wait", "delivered")
	if list := bob.ok("contact", "list"); !strings.Contains(list, "Alice") {
		t.Errorf("contact list without a node shows %s", list)
	}
	if said := texts(messages(t, bob.ok("history", "alice", "--json"))); len(said) != 3 {
		t.Errorf("history without a node shows %q", said)
	}
}

// What programs read has a version and the fields that are promised.
func TestJSONHoldsThePromisedFields(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	sent := alice.ok("send", "bob", "hello", "--wait", "delivered", "--json")
	for line, fields := range map[string]string{
		sent:                                  "v id conversation state seq at",
		bob.ok("recv", "--json"):              "v seq type id conversation from text at",
		alice.ok("history", "bob", "--json"):  "v seq type id conversation from text at state",
		alice.ok("status", "--json"):          "v ready peers network queued",
		alice.ok("peers", "--json"):           "v peers",
		alice.ok("version", "--json"):         "v version",
		alice.ok("net", "show", "--json"):     "v name fingerprint id",
		alice.ok("net", "invite", "--json"):   "v link network expires",
		alice.ok("contact", "list", "--json"): "v contacts",
		alice.ok("contact", "link", "--json"): "v link",

		alice.ok("info", messages(t, sent)[0].ID, "--json"): "v id conversation from from_name text at state means number missing devices",
		alice.ok("mailbox", "list", "--json"):               "v automatic mailboxes",

		alice.ok("whoami", "--json"):                   "v name account short device network home",
		alice.ok("contact", "requests", "--json"):      "v requests",
		alice.ok("contact", "show", "bob", "--json"):   "v name account trust blocked",
		alice.ok("contact", "verify", "bob", "--json"): "v number code trust",
	} {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		for _, field := range strings.Fields(fields) {
			if _, ok := object[field]; !ok {
				t.Errorf("%s has no %s", line, field)
			}
		}
		if object["v"] != 1.0 {
			t.Errorf("%s is of version %v", line, object["v"])
		}
	}
}

// Lines of standard input become messages in their order. Bob reads them with receipts off, and Alice never learns more than that he has them.
func TestLinesBecomeMessagesInTheirOrder(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"], inArrivalOrder)
	bob.ok("receipts", "off")
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf("line %d", i))
	}
	r := alice.runWith(strings.NewReader(strings.Join(want, "\n")), "send", "--lines", "bob", "--wait", "delivered", "--timeout", "60s")
	if queued := messages(t, r.stdout); r.code != 0 || len(queued) != len(want) || queued[0].State != "queued" {
		t.Fatalf("%d were queued: %.2000s", len(queued), r)
	}
	if said := texts(messages(t, bob.ok("recv", "--json"))); !slices.Equal(said, want) {
		t.Errorf("Bob got %d: %.300q", len(said), said)
	}
	bob.ok("receipts", "on")
	alice.ok("send", "bob", "and this one?", "--wait", "delivered")
	bob.ok("recv")
	await(t, patience, "Alice knows that he read the last", func() bool {
		return messages(t, alice.ok("history", "bob", "--json", "--limit", "1"))[0].State == "read"
	})
	for _, m := range messages(t, alice.ok("history", "bob", "--json", "--limit", "1001"))[:1000] {
		if m.State != "delivered" {
			t.Fatalf("%q is %s", m.Text, m.State)
		}
	}
}

// A link is alone on standard output, so that scripts can pass it on; what people should know of it is on standard error.
func TestLinksAreAloneOnStandardOutput(t *testing.T) {
	t.Parallel()
	seed := newWorld(t).seed()
	r := seed.run("net", "invite")
	if !strings.HasPrefix(r.stdout, "parley:J") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("net invite prints %q", r.stdout)
	}
	if !strings.Contains(r.stderr, "public") {
		t.Errorf("net invite does not warn that no address is public: %s", r.stderr)
	}
	if r := seed.run("contact", "link"); !strings.HasPrefix(r.stdout, "parley:C") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("contact link prints %q", r.stdout)
	}
}
