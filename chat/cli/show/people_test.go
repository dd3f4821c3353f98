package show_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"rsc.io/qr"

	"parley/chat"
	"parley/chat/cli/show"
)

func TestARequestIsShownWithItsWarnings(t *testing.T) {
	account, _ := bob()
	r := chat.Request{
		Account: account, Name: "Alice", At: noon(), Texts: []string{"hello\n!! trust me", "it is me"}, SameName: "Alice", Claims: "Carol",
		Introducer: chat.Introducer{Account: chat.AccountID{4}, Name: "Bob", Verified: true},
	}
	want := "Alice " + account.Short() + `, Tue 24 Nov 12:00
   introduced by Bob (verified)
!! not the Alice you know: another key
!! writes with a device that was Carol's: compare safety numbers with both
   | hello
   | !! trust me
   | it is me
`
	if d := cmp.Diff(want, show.Style{ASCII: true}.Request(r)); d != "" {
		t.Error(d)
	}
	if got := (show.Style{}).Request(chat.Request{Account: account, At: noon()}); !strings.HasPrefix(got, "(no name) "+account.Short()) {
		t.Errorf("nobody by name is %q", got)
	}
}

func TestAContactsNotesSayEverything(t *testing.T) {
	by := chat.Introducer{Account: chat.AccountID{4}, Name: "Bob"}
	for want, c := range map[string]chat.Contact{
		"-":                                  {},
		"blocked":                            {Blocked: true},
		"✔ verified":                         {Trust: chat.TrustVerified},
		"!! the safety number did not match": {Trust: chat.TrustMismatch},
		"!! another account has their device: verify again":     {Trust: chat.TrustDoubted},
		"introduced by Bob (not verified)":                      {Introducer: by},
		"blocked, ✔ verified, introduced by Bob (not verified)": {Blocked: true, Trust: chat.TrustVerified, Introducer: by},
	} {
		var out bytes.Buffer
		if err := show.WriteContacts(&out, []chat.Contact{c}); err != nil || !strings.HasSuffix(out.String(), "  "+want+"\n") {
			t.Errorf("%q does not end with %q", out.String(), want)
		}
	}
	for want, c := range map[string]chat.Contact{
		"": {}, " (blocked)": {Blocked: true, Trust: chat.TrustVerified}, "[verified]": {Trust: chat.TrustVerified}, " !!": {Trust: chat.TrustDoubted},
	} {
		if got := (show.Style{ASCII: true}).Mark(c); got != want {
			t.Errorf("%+v is marked %q, want %q", c, got, want)
		}
	}
}

func TestJSONOfPeople(t *testing.T) {
	account, contacts := bob()
	contacts[0].Introducer = chat.Introducer{Account: account, Name: "Bob"}
	for _, value := range []any{
		show.OneContact(contacts[0]), show.AllRequests(nil), show.AllRequests([]chat.Request{{Account: account, Introducer: contacts[0].Introducer}}),
		show.OneSafety(contacts[0], chat.SafetyNumber(account, chat.AccountID{9})),
		show.Identity{V: show.Version},
	} {
		var out bytes.Buffer
		if err := show.JSON(&out, value); err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(out.Bytes(), &v); err != nil || v["v"] != 1.0 || strings.Contains(out.String(), "null") {
			t.Errorf("%s (%v)", out.String(), err)
		}
	}
}

// A drawn code is read back, block by block.
func TestAQRCodeIsDrawnAsItIs(t *testing.T) {
	text := chat.SafetyNumber(chat.AccountID{1}, chat.AccountID{2}).Code()
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := show.QR(text, show.Style{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
	if len(lines) > 22 || len([]rune(lines[0])) > 78 {
		t.Errorf("%d lines of %d do not fit a small terminal", len(lines), len([]rune(lines[0])))
	}
	for y, line := range lines {
		for x, r := range []rune(line) {
			upper, lower := r == '█' || r == '▀', r == '█' || r == '▄'
			if row := 2*y - 2; upper == code.Black(x-2, row) || row+1 < code.Size+2 && lower == code.Black(x-2, row+1) {
				t.Fatalf("at %d, %d is drawn %q", x, y, r)
			}
		}
	}
	if colored, _ := show.QR(text, show.Style{Color: true}); strings.Count(colored, "\x1b[97;40m") != len(lines) {
		t.Error("the colours are not set on each line")
	}
	if _, err := show.QR(strings.Repeat("x", 10_000), show.Style{}); err == nil {
		t.Error("a novel fits a QR code")
	}
}
