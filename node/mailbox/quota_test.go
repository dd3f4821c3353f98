package mailbox_test

import (
	"strings"
	"testing"
	"time"

	"parley/node/mailbox"
)

// TestFill makes the usual of nothing, keeps what is said, and gives owners a part for sure of a host with little room.
func TestFill(t *testing.T) {
	usual := mailbox.Limits{Quota: mailbox.DefaultQuota(), Life: mailbox.TimeToLive}
	if l, err := mailbox.Fill(mailbox.Limits{}); err != nil || l != usual {
		t.Errorf("%+v, %v", l, err)
	}
	said := usual
	said.Quota.Mailbox, said.Quota.Owners, said.Quota.Sure, said.Life = mailbox.Room{Boxes: 3, Bytes: 1 << 20}, 1000, mailbox.Room{Boxes: 1, Bytes: 7}, time.Hour
	if l, err := mailbox.Fill(said); err != nil || l != said {
		t.Errorf("%+v, %v", l, err)
	}
	small := mailbox.Limits{Quota: mailbox.Quota{Host: mailbox.Room{Boxes: 40, Bytes: 40 << 20}, Owners: 10}}
	l, err := mailbox.Fill(small)
	if want := (mailbox.Room{Boxes: 3, Bytes: 2 << 20}); err != nil || l.Quota.Sure != want {
		t.Errorf("%+v, %v", l, err)
	}
	if again, err := mailbox.Fill(l); err != nil || again != l {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestFillRefuses says what a host cannot do, and what it could.
func TestFillRefuses(t *testing.T) {
	for says, spoil := range map[string]func(l *mailbox.Limits){
		"contact has room for -1 boxes":                      func(l *mailbox.Limits) { l.Quota.Contact.Boxes = -1 },
		"open has room for 64 boxes and 1000 bytes: want at": func(l *mailbox.Limits) { l.Quota.Open.Bytes = 1000 },
		"owners is -1":            func(l *mailbox.Limits) { l.Quota.Owners = -1 },
		"life is 1m0s: want 1h":   func(l *mailbox.Limits) { l.Life = time.Minute },
		"life is 1464h0m0s: want": func(l *mailbox.Limits) { l.Life = 61 * 24 * time.Hour },
		"sure is 500 boxes and 1073741824 bytes for each of 256": func(l *mailbox.Limits) { l.Quota.Sure.Bytes = 1 << 30 },
		"sure is 1000 boxes and":                                 func(l *mailbox.Limits) { l.Quota.Sure.Boxes = 1000 },
	} {
		l := mailbox.Limits{}
		spoil(&l)
		if _, err := mailbox.Fill(l); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, not %q", err, says)
		}
	}
}
