package argv_test

import (
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/cli/argv"
)

// TestLimits reads every limit, in one text or in several.
func TestLimits(t *testing.T) {
	got, err := argv.Limits([]string{
		"contact=1MiB,contact-boxes=2,link=3KiB,link-boxes=4, open=5,open-boxes=6", "mailbox=7GiB,mailbox-boxes=8", "host=1024TiB,host-boxes=1000000000",
		"sure=1,sure-boxes=9,owners=10,life=30d",
	})
	want := chat.HostLimits{Life: 30 * 24 * time.Hour, Quota: chat.Quota{
		Contact: chat.Room{Boxes: 2, Bytes: 1 << 20}, Link: chat.Room{Boxes: 4, Bytes: 3 << 10}, Open: chat.Room{Boxes: 6, Bytes: 5},
		Mailbox: chat.Room{Boxes: 8, Bytes: 7 << 30}, Host: chat.Room{Boxes: 1_000_000_000, Bytes: 1 << 50},
		Sure: chat.Room{Boxes: 9, Bytes: 1}, Owners: 10,
	}}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if l, err := argv.Limits([]string{"life=90m"}); err != nil || l != (chat.HostLimits{Life: 90 * time.Minute}) {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestLimitsThatAreNone says which part is wrong, and what would be right.
func TestLimitsThatAreNone(t *testing.T) {
	for text, says := range map[string]string{
		"":                          `no limit ""`,
		"mailbox=64MiB,":            `no limit ""`,
		"mailboxes=64MiB":           `no limit "mailboxes", but contact, link, open, mailbox, host and sure`,
		"owners-boxes=1":            `no limit "owners-boxes"`,
		"mailbox=1MiB,mailbox=2MiB": "mailbox is named twice",
		"mailbox":                   `mailbox is "": want a size like 64MiB`,
		"mailbox=64MB":              `"64MB": want a size`,
		"mailbox=0":                 "want a size",
		"mailbox=-1":                "want a size",
		"mailbox=1.5GiB":            "want a size",
		"mailbox=1025TiB":           "want a size",
		"mailbox=9999999999999TiB":  "want a size",
		"mailbox-boxes=0":           "want a number",
		"mailbox-boxes=1000000001":  "want a number",
		"mailbox-boxes=1k":          "want a number",
		"owners=many":               "want a number",
		"life=30":                   "want a time like 30d or 12h",
		"life=0d":                   "want a time",
		"life=-1h":                  "want a time",
		"life=99999d":               "want a time",
		"life=1.5d":                 "want a time",
	} {
		if _, err := argv.Limits([]string{text}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, not %q", text, err, says)
		}
	}
}
