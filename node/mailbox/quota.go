package mailbox

import (
	"cmp"
	"fmt"
)

// Fill returns limits with what is usual in the place of what is zero, and an error, in words of an operator, where a host could not do what
// they say. What each mailbox has for sure follows the room of the host where it is not said. Filling twice is filling once.
func Fill(said Limits) (Limits, error) {
	l, usual := said, DefaultQuota()
	for _, r := range []struct {
		name  string
		room  *Room
		usual Room
	}{
		{"contact", &l.Quota.Contact, usual.Contact},
		{"link", &l.Quota.Link, usual.Link},
		{"open", &l.Quota.Open, usual.Open},
		{"mailbox", &l.Quota.Mailbox, usual.Mailbox},
		{"host", &l.Quota.Host, usual.Host},
	} {
		r.room.Boxes, r.room.Bytes = cmp.Or(r.room.Boxes, r.usual.Boxes), cmp.Or(r.room.Bytes, r.usual.Bytes)
		if r.room.Boxes < 1 || r.room.Bytes < MaxBox {
			return Limits{}, fmt.Errorf("%s has room for %d boxes and %d bytes: want at least 1, and %d for the largest", r.name, r.room.Boxes, r.room.Bytes, MaxBox)
		}
	}
	l.Quota.Owners, l.Life = cmp.Or(l.Quota.Owners, usual.Owners), cmp.Or(l.Life, TimeToLive)
	switch {
	case l.Quota.Owners < 1:
		return Limits{}, fmt.Errorf("owners is %d: want at least 1", l.Quota.Owners)
	case l.Life < ExpireEvery || l.Life > EmptyLife:
		return Limits{}, fmt.Errorf("life is %s: want 1h, which is how often a host looks, to 60d, for which devices remember what they have seen", l.Life)
	}
	return l, fillSure(&l.Quota, usual.Sure)
}

// fillSure fills in what each mailbox has for sure: the usual, and where the host has little room, three quarters of an even share, so that
// there is some for who comes first.
func fillSure(q *Quota, usual Room) error {
	share := Room{Boxes: q.Host.Boxes / q.Owners, Bytes: q.Host.Bytes / int64(q.Owners)}
	q.Sure.Boxes = cmp.Or(q.Sure.Boxes, min(usual.Boxes, q.Mailbox.Boxes, share.Boxes*3/4))
	q.Sure.Bytes = cmp.Or(q.Sure.Bytes, min(usual.Bytes, q.Mailbox.Bytes, share.Bytes/4*3))
	if q.Sure.Boxes > share.Boxes || q.Sure.Bytes > share.Bytes {
		return fmt.Errorf("sure is %d boxes and %d bytes for each of %d owners: more than host has, whose even share is %d and %d",
			q.Sure.Boxes, q.Sure.Bytes, q.Owners, share.Boxes, share.Bytes)
	}
	return nil
}
