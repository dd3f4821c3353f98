package show_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/cli/show"
)

// evilInfo is a message of which everything that others say would do something to a terminal.
func evilInfo(account chat.AccountID, evil string) chat.Info {
	i := chat.Info{Message: from(account, evil), Waits: []chat.Waiting{{Reason: evil, Attempts: 1}, {Device: "x", Reason: evil}}}
	i.Reason, i.State = evil, chat.State(evil)
	i.Ways = []chat.Way{{Device: peer.ID(evil), Route: evil, State: chat.State(evil), Holders: []peer.ID{peer.ID(evil)}, Reason: evil}}
	return i
}

// wantInfo compares what people are shown of a message.
func wantInfo(t *testing.T, i chat.Info, contacts []chat.Contact, want string) {
	t.Helper()
	var out bytes.Buffer
	if err := show.WriteInfo(&out, show.OneInfo(i, contacts), noon()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
}

// A message of ours waits in two mailboxes for one device, has come to another, and a third was not found yet.
func TestTheWayOfAMessageIsTold(t *testing.T) {
	_, contacts := bob()
	i := chat.Info{Message: from(chat.AccountID{7}, "are you back?\nhello?")}
	i.Mine, i.State, i.Conversation, i.Number = true, chat.StateSent, contacts[0].Conversation, 17
	i.Ways = []chat.Way{
		{Device: "one", State: chat.StateSent, Route: chat.RouteMailbox, Holders: []peer.ID{"host", "other"}, At: noon()},
		{Device: "two", State: chat.StateDelivered, Route: chat.RouteRelayed, Holders: []peer.ID{"host"}, At: noon()},
	}
	i.Waits = []chat.Waiting{
		{Device: "one", Holders: []peer.ID{"host", "other"}, Attempts: 5, Last: noon(), Next: noon().Add(40 * time.Second), Reason: "nobody answers"},
		{Reason: "the recipient's device has not been found yet"},
	}
	id := func(p peer.ID) string { return p.String() }
	wantInfo(t, i, contacts, `message  `+i.ID.String()+`
to       Bob
text     "are you back? hello?"
at       Tue 24 Nov 12:00:00
number   17 of this device in this conversation
state    sent: another node holds it; the recipient's device has not acknowledged it yet
device   `+id("one")+`: sent, by mailbox, Tue 24 Nov 12:00:00
         held by `+id("host")+`
         held by `+id("other")+`
         5 attempts in vain, the last Tue 24 Nov 12:00:00: nobody answers
         next attempt in 40s, or when the device connects
device   `+id("two")+`: delivered, relayed, Tue 24 Nov 12:00:00
         was held by `+id("host")+`
device   not found yet: queued
         the recipient's device has not been found yet
         next attempt at once, or when something changes
`)
	var out bytes.Buffer
	if err := show.JSON(&out, show.OneInfo(i, contacts)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"to_name":"Bob"`, `"state":"sent","means":"another node holds it`, `"route":"mailbox","holders":["` + id("host") + `","` + id("other") + `"]`,
		`"waits":true,"attempts":5,"last":"`, `{"state":"queued","holders":[],"waits":true,"attempts":0,"reason":"the recipient`,
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%s is not in %s", part, out.String())
		}
	}
}

func TestTheWayOfWhatCameInIsTold(t *testing.T) {
	account, contacts := bob()
	i := chat.Info{Message: from(account, strings.Repeat("long ", 40))}
	i.Conversation, i.Number, i.Missing, i.Device = contacts[0].Conversation, 4, 1, "his"
	wantInfo(t, i, contacts, `message  `+i.ID.String()+`
from     Bob, device `+peer.ID("his").String()+`
text     "long long long long long long long long long long long long…"
at       Tue 24 Nov 12:00:00
number   4 of this device in this conversation; 1 right before it is missing here
state    received: it came in, and was not shown yet
`)
}

func TestEveryStateHasAMeaning(t *testing.T) {
	seen := map[string]chat.State{}
	for _, mine := range []bool{true, false} {
		for _, state := range []chat.State{chat.StateQueued, chat.StateSent, chat.StateDelivered, chat.StateRead, chat.StateFailed, chat.StateReceived} {
			i := chat.Info{Message: chat.Message{Mine: mine, State: state}}
			seen[show.OneInfo(i, nil).Means] = state
		}
	}
	if len(seen) != 7 { // read means two things
		t.Errorf("%d meanings: %v", len(seen), seen)
	}
}

// What is missing is told before the message that came after it, in whose name.
func TestAGapIsALineOfItsOwn(t *testing.T) {
	account, contacts := bob()
	lines := show.NewMessages(contacts, show.Style{})
	m := from(account, "where was I?")
	m.Missing = 2
	got := lines.Lines(m)
	m.Missing = 1
	got += lines.Lines(m)
	want := `── Tue 24 Nov 2026 ──
── 2 messages of Bob are missing here ──
12:00 Bob      │ where was I?
── 1 message of Bob is missing here ──
12:00 Bob      │ where was I?
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if j := lines.Kept(m); j.Missing != 1 {
		t.Errorf("for programs: %+v", j)
	}
}

func TestMailboxesForPeople(t *testing.T) {
	host, other := peer.ID("host"), peer.ID("other")
	m := chat.Mailboxes{Automatic: true, Hosts: []chat.KeptMailbox{{Host: host, Seen: noon(), Drained: true}, {Host: other, Trouble: "it is full"}}}
	var out bytes.Buffer
	if err := show.WriteMailboxes(&out, m); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line))
	}
	want := [][]string{
		{"HOST", "CHOSEN", "BY", "LAST", "CONTACT", "DRAINED", "TROUBLE"},
		{host.String(), "the", "node", "Tue", "24", "Nov", "12:00:00", "yes", "-"},
		{other.String(), "the", "node", "not", "yet", "no", "it", "is", "full"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	out.Reset()
	if err := show.WriteStatus(&out, chat.Status{}); err != nil || !strings.Contains(out.String(), "mailboxes  none: messages to this device wait at their senders") {
		t.Errorf("without one: %s, %v", out.String(), err)
	}
}
