package show_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/cli/show"
)

// hostile returns texts that would do something to a terminal, or to the lines of others.
func hostile() []string {
	return []string{
		"\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\u009b2J", "a\rb", "bell\x07", "back\b\b\bspace", "nul\x00", "del\x7f",
		"\x1bPdcs\x1b\\", "\u202edrowssap", "\u2066open", "iso\u2069late", "wide 日本 🙂", "e" + strings.Repeat("\u0301", 50), "zero\u200bwidth", "\x1b",
	}
}

func bob() (chat.AccountID, []chat.Contact) {
	account := chat.AccountID{1, 2, 3}
	return account, []chat.Contact{{Account: account, Name: "Bob", Conversation: chat.ConversationID{1}, At: noon(), Known: true}}
}

func noon() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.Local) }

func from(author chat.AccountID, text string) chat.Message {
	return chat.Message{ID: chat.MessageID{9}, Author: author, Text: text, At: noon(), Seq: 7, State: chat.StateReceived}
}

// wantQuiet checks that a text does nothing to a terminal but print.
func wantQuiet(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && unicode.IsControl(r) {
			t.Fatalf("%s: %U in %q", what, r, text)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		depth := 0
		for _, r := range line {
			switch {
			case r >= '\u2066' && r <= '\u2068':
				depth++
			case r == '\u2069':
				depth--
			case (r == '\u202e' || r == '\u202d') && depth == 0:
				t.Fatalf("%s: an override outside an isolate in %q", what, line)
			}
		}
		if depth != 0 {
			t.Fatalf("%s: isolates are not closed in %q", what, line)
		}
	}
}

func TestHostileTextsAreQuietEverywhere(t *testing.T) {
	for _, evil := range hostile() {
		account := chat.AccountID{6, 6, 6}
		contacts := []chat.Contact{{Account: account, Name: evil}}
		var out bytes.Buffer
		for _, err := range []error{
			show.WriteContacts(&out, contacts),
			show.WriteContact(&out, contacts[0], chat.SafetyNumber(account, account)),
			show.WriteIdentity(&out, show.Identity{Name: evil, Home: evil, Network: show.NetworkInName{Name: evil}}),
			show.WritePeers(&out, []chat.Peer{{Address: evil}}, []chat.Member{{Name: evil}}),
			show.WriteStatus(&out, chat.Status{Name: evil, Trouble: evil, Addresses: []string{evil}, Network: chat.NetworkStatus{Name: evil}}),
			show.WriteInfo(&out, show.OneInfo(evilInfo(account, evil), contacts), noon()),
			show.WriteMailboxes(&out, chat.Mailboxes{Hosts: []chat.KeptMailbox{{Trouble: evil}}}),
			show.WriteNetwork(&out, chat.Network{Name: evil}, []chat.Seed{{Addrs: []string{evil}}}, true, true),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		lines := show.NewMessages(contacts, show.Style{})
		out.WriteString(lines.Lines(from(account, evil)))
		out.WriteString(lines.Lines(from(account, strings.Repeat(evil+" ", 2000))))
		out.WriteString(show.Style{}.Request(chat.Request{
			Account: account, Name: evil, Texts: []string{evil}, SameName: evil, Claims: evil, Introducer: chat.Introducer{Account: account, Name: evil},
		}))
		out.WriteString(show.Line(evil) + show.Name(strings.Repeat(evil, 20)))
		wantQuiet(t, fmt.Sprintf("%q", evil), out.String())
	}
}

// A text cannot look like a line of ours or of somebody else: each of its lines stands behind the bar.
func TestTextStaysBehindItsBar(t *testing.T) {
	account, contacts := bob()
	lines := show.NewMessages(contacts, show.Style{})
	got := lines.Lines(from(account, "hi\n12:01 Carol    │ I am Carol\n── joined"))
	want := `── Tue 24 Nov 2026 ──
12:00 Bob      │ hi
               │ 12:01 Carol    │ I am Carol
               │ ── joined
`
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestMessagesAreAligned(t *testing.T) {
	account, contacts := bob()
	lines := show.NewMessages(contacts, show.Style{ASCII: true})
	mine := from(account, "mine")
	mine.Mine = true
	stranger := from(chat.AccountID{7}, "who am I?")
	next := from(account, "tomorrow")
	next.At = next.At.AddDate(0, 0, 1)
	got := lines.Lines(mine) + lines.Lines(from(account, "two\nlines")) + lines.Lines(stranger) + lines.Lines(next)
	want := `-- Tue 24 Nov 2026 --
12:00 you      | mine
12:00 Bob      | two
               | lines
12:00 ` + stranger.Author.Short()[:9] + ` | who am I?
-- Wed 25 Nov 2026 --
12:00 Bob      | tomorrow
`
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	lines.NewDay()
	if again := lines.Lines(next); !strings.HasPrefix(again, "-- Wed") {
		t.Errorf("the day is not said again: %q", again)
	}
}

func TestLongNamesAndTextsAreCut(t *testing.T) {
	account := chat.AccountID{1}
	lines := show.NewMessages([]chat.Contact{{Account: account, Name: strings.Repeat("日", 12)}}, show.Style{})
	got := lines.Lines(from(account, strings.Repeat("x", show.MaxColumns+1)))
	if !strings.Contains(got, strings.Repeat("日", 8)+"… │") {
		t.Errorf("the name is not cut at %d columns: %.80q", show.NameColumns, got)
	}
	if !strings.Contains(got, "(cut: history --json has all of it)") || strings.Count(got, "x") != show.MaxColumns {
		t.Errorf("%d of the text's columns are shown", strings.Count(got, "x"))
	}
}

func TestColourFollowsTheKeyAndNotTheName(t *testing.T) {
	colors := map[string]bool{}
	for i := range byte(20) {
		account := chat.AccountID{i}
		lines := show.NewMessages([]chat.Contact{{Account: account, Name: "Bob"}}, show.Style{Color: true})
		line := lines.Lines(from(account, "hi"))
		start := strings.Index(line, "\x1b[3")
		if start < 0 || !strings.Contains(line, "Bob     \x1b[0m │ hi") {
			t.Fatalf("no colour around the name: %q", line)
		}
		colors[line[start:start+5]] = true
	}
	if len(colors) < 3 {
		t.Errorf("20 accounts of one name share %d colours", len(colors))
	}
}

func TestStatesDifferWithoutColourAndWithoutUnicode(t *testing.T) {
	for _, style := range []show.Style{{}, {ASCII: true}} {
		seen := map[string]chat.State{}
		for _, s := range []chat.State{chat.StateQueued, chat.StateSent, chat.StateDelivered, chat.StateRead, chat.StateFailed} {
			mark := style.State(s)
			if other, ok := seen[mark]; ok || mark == "" {
				t.Errorf("%s and %s are both shown as %q", s, other, mark)
			}
			seen[mark] = s
			if style.ASCII && strings.ContainsFunc(mark, func(r rune) bool { return r > unicode.MaxASCII }) {
				t.Errorf("%s is shown as %q in ASCII", s, mark)
			}
		}
		if style.State(chat.StateReceived) != "" {
			t.Error("a received message has a mark")
		}
	}
}

func TestJSONIsQuietAndLossless(t *testing.T) {
	account, contacts := bob()
	lines := show.NewMessages(contacts, show.Style{})
	for _, evil := range hostile() {
		var out bytes.Buffer
		if err := show.JSON(&out, lines.Received(from(account, evil))); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		wantQuiet(t, fmt.Sprintf("%q", evil), text)
		if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
			t.Fatalf("not one line: %q", text)
		}
		var back show.Message
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Text != evil {
			t.Fatalf("%q came back as %q (%v)", evil, back.Text, err)
		}
	}
}

func TestJSONOfEverything(t *testing.T) {
	account, contacts := bob()
	lines := show.NewMessages(contacts, show.Style{})
	utc := noon().UTC().Format("2006-01-02T15:04:05.000Z")
	m := from(account, "<hi> & bye")
	kept := m
	kept.Mine, kept.State, kept.Reason = true, chat.StateFailed, "refused"
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"received": {lines.Received(m), `{"v":1,"seq":7,"type":"message.received","id":"` + m.ID.String() + `","conversation":"` + m.Conversation.String() +
			`","from":"` + account.String() + `","from_name":"Bob","text":"<hi> & bye","at":"` + utc + `"}`},
		"kept": {lines.Kept(kept), `{"v":1,"seq":7,"type":"message.queued","id":"` + m.ID.String() + `","conversation":"` + m.Conversation.String() +
			`","from":"` + account.String() + `","from_name":"you","text":"<hi> & bye","at":"` + utc + `","state":"failed","reason":"refused"}`},
		"sent": {show.SentMessage(m), `{"v":1,"id":"` + m.ID.String() + `","conversation":"` + m.Conversation.String() + `","state":"received","seq":7,"at":"` + utc + `"}`},
		"contacts": {show.AllContacts(contacts), `{"v":1,"contacts":[{"name":"Bob","account":"` + account.String() + `","short":"` + account.Short() +
			`","conversation":"` + contacts[0].Conversation.String() + `","known":true,"at":"` + utc + `","blocked":false,"trust":"","receipts":"default"}]}`},
		"no contacts": {show.AllContacts(nil), `{"v":1,"contacts":[]}`},
		"peers": {
			show.AllPeers([]chat.Peer{{Address: "/ip4/1.2.3.4/tcp/1", Route: "direct", Seed: true, Since: noon(), RTT: 1500 * time.Microsecond}}, []chat.Member{{Name: "Bob"}}),
			`{"v":1,"peers":[{"name":"Bob","id":"","address":"/ip4/1.2.3.4/tcp/1","route":"direct","seed":true,"since":"` + utc + `","rtt_ms":1.5}]}`,
		},
		"link": {show.OneLink(chat.InviteLink{Link: "parley:C1"}, chat.Network{Name: "home"}), `{"v":1,"link":"parley:C1","network":"home","fingerprint":"` +
			chat.Network{}.Fingerprint() + `","addresses":[],"reachable":false}`},
		"network": {show.OneNetwork(chat.Network{Name: "home", PSK: []byte{1}}, []chat.Seed{{}}, true, false), `{"v":1,"name":"home","fingerprint":"` +
			chat.Network{}.Fingerprint() + `","id":"00000000000000000000000000000000","private":true,"made_here":true,"joined":false,"seeds":[{"device":"","addresses":[]}]}`},
		"status": {
			show.OneStatus(chat.Status{Ready: true, Name: "Alice", Account: account, Queued: 2, OldestQueue: noon(), Since: noon(), Database: "sqlite", Receipts: chat.ReceiptsOn, Reach: chat.Reach{State: chat.ReachUnknown}}),
			`{"v":1,"ready":true,"name":"Alice","account":"` + account.String() + `","short":"` + account.Short() + `","device":"","network":{"name":"","fingerprint":"",` +
				`"private":false,"joined":false,"seeds":0,"refused_wrong_key":0,"refused_no_member":0},"peers":0,"seeds":0,"addresses":[],"reachable":false,"queued":2,"oldest_queue":"` + utc +
				`","contacts":0,"verified":0,"requests":0,"database":"sqlite","last_event":0,"since":"` + utc + `","receipts":"on","mailboxes":0,"drained_mailboxes":0,"reach":{"state":"unknown","seeds":0}}`,
		},
	} {
		var out bytes.Buffer
		if err := show.JSON(&out, c.value); err != nil {
			t.Fatal(name, err)
		}
		if d := cmp.Diff(c.want, strings.TrimSpace(out.String())); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestTablesForPeople(t *testing.T) {
	account, contacts := bob()
	contacts = append(contacts, chat.Contact{Account: chat.AccountID{4}, Name: "Carol", At: noon()})
	var out bytes.Buffer
	if err := show.WriteContacts(&out, contacts); err != nil {
		t.Fatal(err)
	}
	want := "NAME   ACCOUNT              SINCE       DEVICES        NOTES\n" +
		"Bob    " + account.Short() + "  2026-11-24  found          -\n" +
		"Carol  " + contacts[1].Account.Short() + "  2026-11-24  not found yet  -\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
	out.Reset()
	status := chat.Status{
		Ready: true, Since: noon(), Name: "Alice", Account: account, Network: chat.NetworkStatus{Name: "home", Fingerprint: "K7QD4", Seeds: 2},
		Peers: 3, Seeds: 1, Addresses: []string{"/ip4/192.168.1.2/tcp/4101", "/ip6/::1/tcp/4101"}, Database: "sqlite", Trouble: "the disk is full",
		Contacts: 3, Verified: 2, Requests: 1, Mailboxes: 3, Drained: 2, Receipts: chat.ReceiptsOff,
		Hosting: &chat.HostLimits{Life: 30 * 24 * time.Hour, Quota: chat.Quota{
			Contact: chat.Room{Boxes: 2500, Bytes: 16 << 20}, Link: chat.Room{Boxes: 200, Bytes: 2 << 20}, Open: chat.Room{Boxes: 64, Bytes: 1000},
			Mailbox: chat.Room{Boxes: 10_000, Bytes: 64 << 20}, Host: chat.Room{Boxes: 200_000, Bytes: 1 << 30}, Owners: 256, Sure: chat.Room{Boxes: 500, Bytes: 1536 << 10},
		}},
	}
	if err := show.WriteStatus(&out, status); err != nil {
		t.Fatal(err)
	}
	want = "ready      yes, since Tue 24 Nov 12:00\nidentity   Alice " + account.Short() + "\nnetwork    home K7QD4, not joined yet, still trying\n" +
		"peers      3, 1 of 2 seeds\naddress    /ip4/192.168.1.2/tcp/4101\n           /ip6/::1/tcp/4101\n           none of them is public\nreachable  unknown: no seed has tried yet\n" +
		"people     3 contacts, 2 verified ✔, 1 request\nwaiting    0 messages\nmailboxes  3 (2 drained)\n" +
		"hosting    1GiB in 200000 boxes for 256 devices at most, 64MiB in 10000 boxes for each, for 30d\n" +
		"           of that 16MiB in 2500 boxes from one contact, 2MiB in 200 boxes by one link, 1000B in 64 boxes from all strangers; " +
		"1536KiB in 500 boxes are each device's for sure\nreceipts   off: others do not learn what you have read\ndatabase   sqlite\ntrouble    the disk is full\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
	out.Reset()
	if err := show.WriteNetwork(&out, chat.Network{Name: "home", PSK: bytes.Repeat([]byte{0xab}, 32)}, []chat.Seed{{Addrs: []string{"/ip4/1.2.3.4/tcp/1"}}}, false, true); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "pre-shared   yes") || !strings.Contains(text, "seed         /ip4/1.2.3.4/tcp/1/p2p/") || strings.Contains(text, "abab") {
		t.Errorf("got %s", text)
	}
}

func TestSmallWords(t *testing.T) {
	for got, want := range map[string]string{
		show.Count(1, "message"): "1 message", show.Count(0, "message"): "0 messages", show.Yes(true) + show.Yes(false): "yesno",
		show.Expiry(time.Time{}): "does not expire", show.Expiry(noon()): "expires Tue 24 Nov 12:00", show.Stamp(time.Time{}): "",
		show.Fit("日本語", 4): "日本…", show.Fit("日本語", 6): "日本語", fmt.Sprint(show.Columns("a日e\u0301")): "4",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestInvitesAndMembersAsPeopleReadThem(t *testing.T) {
	var out strings.Builder
	made := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	invites := []chat.NetworkInvite{
		{ID: [8]byte{1}, For: "Bob\x1b[2J", Made: made, Expires: made, Uses: 3, Used: []peer.ID{"a", "b"}, State: chat.InviteOpen},
		{ID: [8]byte{2}, Made: made, Expires: made, Uses: 1, State: chat.InviteExpired},
	}
	members := []chat.Member{{Name: "Alice", Self: true, Since: made}, {Name: "Bob", Device: "a", Invite: "0100000000000000", Since: made}, {Account: chat.AccountID{9}, Device: "b", Invite: "0100000000000000", Since: made, Revoked: true}}
	if err := errors.Join(show.WriteInvites(&out, invites, members), show.WriteMembers(&out, members, nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0100000000000000  Bob", "2 of 3  open", "  Bob, " + chat.AccountID{9}.Short() + " (removed)\n", "0 of 1  expired", "  -\n", "this device", "removed", chat.AccountID{9}.Short()} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("it shows an escape")
	}
	if show.Devices(1) != "for one device" || show.Devices(3) != "for 3 devices" {
		t.Error("devices are counted in another way")
	}
	status := chat.Status{Network: chat.NetworkStatus{WrongKey: 2, NoMember: 1}, Reach: chat.Reach{State: chat.ReachNo, Seeds: 1}}
	for reach, want := range map[chat.Reach]string{
		{State: chat.ReachYes, Seeds: 2}: "reachable  yes (confirmed by 2 seeds)\n", {State: chat.ReachNo, Seeds: 1}: "reachable  no: behind a router (1 seed has tried)\n",
		{State: chat.ReachUnknown}: "reachable  unknown: no seed has tried yet\n",
	} {
		out.Reset()
		if err := show.WriteStatus(&out, chat.Status{Reach: reach}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("no %q (%v) in %s", want, err, out.String())
		}
	}
	out.Reset()
	if err := show.WriteStatus(&out, status); err != nil || !strings.Contains(out.String(), "refused    2 connections without the network's key, 1 of no members\n") {
		t.Errorf("status (%v): %s", err, out.String())
	}
}
