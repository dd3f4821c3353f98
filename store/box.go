package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/mailbox"
)

const (
	// The door is looked for where it would be, whether there is a mailbox or not: it takes the same time (node/SPEC.md, "Mailboxes").
	boxDoor = `SELECT l.class, m.boxes, m.bytes FROM mailbox_lane l JOIN mailbox m ON m.owner = l.owner
		WHERE l.owner = $1 AND l.host = $2 AND l.lane = $3`
	boxKnown = `SELECT (SELECT COUNT(*) FROM mailbox_box WHERE owner = $1 AND deposit_id = $2),
		COALESCE(MAX(boxes), 0), COALESCE(MAX(bytes), 0) FROM mailbox_use WHERE owner = $1 AND lane = $3`
	boxInsert = `INSERT INTO mailbox_box (owner, row_id, deposit_id, lane, bytes, leased_by, leased_until, box) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)`
	boxesFree = `SELECT row_id, deposit_id, bytes, leased_by, leased_until FROM mailbox_box
		WHERE owner = $1 AND (leased_until <= $2 OR leased_by = $3) ORDER BY row_id LIMIT $4`
	boxesLease  = `UPDATE mailbox_box SET leased_by = $2, leased_until = $3 WHERE owner = $1 AND row_id IN `
	boxesRead   = `SELECT deposit_id, box FROM mailbox_box WHERE owner = $1 AND row_id IN `
	boxesOrder  = ` ORDER BY row_id`
	boxesOf     = `DELETE FROM mailbox_box WHERE owner = $1`
	boxesDelete = boxesOf + ` AND deposit_id IN `
	boxesExpire = boxesOf + ` AND row_id IN (SELECT row_id FROM mailbox_box WHERE owner = $1 AND row_id < $2 ORDER BY row_id LIMIT $3)`
	boxesGone   = ` RETURNING lane, bytes`

	mailboxAdd = `UPDATE mailbox SET boxes = boxes + $2, bytes = bytes + $3 WHERE owner = $1`
	// The oldest box of each owner, and no bytes where there is none.
	mailboxAges = `SELECT m.owner, m.opened_at,
		(SELECT b.row_id FROM mailbox_box b WHERE b.owner = m.owner ORDER BY b.row_id LIMIT 1) FROM mailbox m`
	mailboxStale = `DELETE FROM mailbox WHERE owner = $1 AND boxes = 0 AND opened_at < $2`

	useAdd = `INSERT INTO mailbox_use (owner, lane, boxes, bytes) VALUES ($1, $2, 1, $3)
		ON CONFLICT (owner, lane) DO UPDATE SET boxes = mailbox_use.boxes + 1, bytes = mailbox_use.bytes + excluded.bytes`
	useTake  = `UPDATE mailbox_use SET boxes = boxes - $3, bytes = bytes - $4 WHERE owner = $1 AND lane = $2`
	useOf    = `DELETE FROM mailbox_use WHERE owner = $1`
	useEmpty = useOf + ` AND lane = $2 AND boxes = $3`
)

// Deposit implements mailbox.Store.
func (m *Mailbox) Deposit(ctx context.Context, d mailbox.Deposit, q mailbox.Quota) (v mailbox.Verdict, err error) {
	err = m.change(ctx, d.Owner, func(t *tx, room bool) (err error) {
		if v, err = m.admit(t, d, q, room); err != nil || v != 0 {
			return err
		}
		v = mailbox.Stored
		return t.insertBox(d, m.rowID(d.At))
	})
	if err != nil {
		return 0, fmt.Errorf("deposit: %w", err)
	}
	return v, nil
}

// admit says what becomes of a deposit, 0 where it is to be kept. It locks the mailbox and counts only then.
func (m *Mailbox) admit(t *tx, d mailbox.Deposit, q mailbox.Quota, room bool) (mailbox.Verdict, error) {
	var class uint8
	all, ok, err := first(t, func(rows *sql.Rows) (r mailbox.Room, err error) {
		return r, rows.Scan(&class, &r.Boxes, &r.Bytes)
	}, boxDoor+m.lock(), bytesOf(d.Owner), bytesOf(d.Host), d.Lane[:])
	if err != nil || !ok {
		return mailbox.Closed, err
	}
	var known bool
	lane, _, err := first(t, func(rows *sql.Rows) (r mailbox.Room, err error) {
		return r, rows.Scan(number(func(n int64) { known = n > 0 }), &r.Boxes, &r.Bytes)
	}, boxKnown, bytesOf(d.Owner), d.ID[:], d.Lane[:])
	switch {
	case err != nil:
		return 0, err
	case known:
		return mailbox.Stored, nil
	case !fits(with(lane, d), laneRoom(q, class)):
		return mailbox.LaneFull, nil
	case !fits(with(all, d), q.Mailbox):
		return mailbox.MailboxFull, nil
	}
	return t.admitAll(all, with(all, d), q, room)
}

// admitAll says whether a mailbox may grow beyond what it has for sure: HostFull, or 0. What all have for sure is kept free for them, also
// for those who have no mailbox yet.
func (t *tx) admitAll(before, after mailbox.Room, q mailbox.Quota, room bool) (mailbox.Verdict, error) {
	sure := sureRoom(q)
	if fits(after, sure) {
		return 0, nil
	}
	if !room {
		return 0, errWantsRoom
	}
	owners, taken, err := t.mailboxSum(sure)
	if err != nil {
		return 0, err
	}
	owners = max(owners, q.Owners)
	boxes := beyond(after.Boxes, sure.Boxes) - beyond(before.Boxes, sure.Boxes)
	size := beyond(after.Bytes, sure.Bytes) - beyond(before.Bytes, sure.Bytes)
	if boxes > 0 && taken.Boxes+boxes > q.Host.Boxes-owners*sure.Boxes || size > 0 && taken.Bytes+size > q.Host.Bytes-int64(owners)*sure.Bytes {
		return mailbox.HostFull, nil
	}
	return 0, nil
}

// sureRoom returns what each mailbox has for sure: not more than its share of the host.
func sureRoom(q mailbox.Quota) mailbox.Room {
	owners := max(q.Owners, 1)
	return mailbox.Room{Boxes: min(q.Sure.Boxes, q.Host.Boxes/owners), Bytes: min(q.Sure.Bytes, q.Host.Bytes/int64(owners))}
}

func laneRoom(q mailbox.Quota, class uint8) mailbox.Room {
	switch class {
	case mailbox.ClassContact:
		return q.Contact
	case mailbox.ClassLink:
		return q.Link
	default:
		return q.Open
	}
}

func fits(r, quota mailbox.Room) bool { return r.Boxes <= quota.Boxes && r.Bytes <= quota.Bytes }

func with(r mailbox.Room, d mailbox.Deposit) mailbox.Room {
	return mailbox.Room{Boxes: r.Boxes + 1, Bytes: r.Bytes + int64(len(d.Box))}
}

func beyond[T int | int64](n, limit T) T { return max(n-limit, 0) }

func (t *tx) insertBox(d mailbox.Deposit, row [16]byte) error {
	size := int64(len(d.Box))
	owner := bytesOf(d.Owner)
	return t.execAll(
		statement{query: boxInsert, args: []any{owner, row[:], d.ID[:], d.Lane[:], size, []byte{}, bytesOf(d.Box)}},
		statement{query: mailboxAdd, args: []any{owner, 1, size}},
		statement{query: useAdd, args: []any{owner, d.Lane[:], size}},
	)
}

// rowID returns an id that grows with time, and within a microsecond of this host with the order of deposits.
func (m *Mailbox) rowID(at time.Time) (row [16]byte) {
	row = rowsSince(at)
	binary.BigEndian.PutUint32(row[8:], m.made.Add(1))
	_, _ = rand.Read(row[12:]) // never fails
	return row
}

// rowsSince returns what is not above any id of a time, and above all ids of times before.
func rowsSince(at time.Time) (row [16]byte) {
	binary.BigEndian.PutUint64(row[:], uint64(max(at.UnixMicro(), 0)))
	return row
}

// boxRow is a box without what is in it.
type boxRow struct {
	row   [16]byte
	id    mailbox.DepositID
	bytes int64
	by    peer.ID
	until time.Time
}

// Lease implements mailbox.Store. It also renews the leases of boxes that are on their way, once half of their time has passed: an owner with a
// slow connection is not handed the same by another host.
func (m *Mailbox) Lease(ctx context.Context, l mailbox.Lease) (boxes []mailbox.Box, err error) {
	var hand, mark [][16]byte
	plan := func(t *tx) error {
		free, err := t.boxesFree(l)
		hand, mark = choose(l, free)
		return err
	}
	if err := m.db.view(ctx, plan); err != nil {
		return nil, fmt.Errorf("lease boxes: %w", err)
	}
	if len(mark) > 0 {
		if err := m.change(ctx, l.Owner, func(t *tx, _ bool) error { return m.mark(t, l, plan, &mark) }); err != nil {
			return nil, fmt.Errorf("lease boxes: %w", err)
		}
	}
	if len(hand) == 0 {
		return nil, nil
	}
	err = m.db.view(ctx, func(t *tx) (err error) {
		boxes, err = t.readBoxes(l.Owner, hand)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read boxes: %w", err)
	}
	return boxes, nil
}

// mark plans once more, with the mailbox locked, and leases what the plan says.
func (m *Mailbox) mark(t *tx, l mailbox.Lease, plan func(*tx) error, rows *[][16]byte) error {
	if _, _, err := m.lockOwner(t, l.Owner); err != nil {
		return err
	}
	if err := plan(t); err != nil {
		return err
	}
	for batch := range batches(rowKeys(*rows), 1) {
		args := append([]any{bytesOf(l.Owner), bytesOf(l.Host), l.Until.UnixMicro()}, batch...)
		if _, err := t.exec(boxesLease+placeholders(4, len(batch)), args...); err != nil {
			return err
		}
	}
	return nil
}

// boxesFree returns what a host may lease, the oldest first: that which is on its way already, and as much more as it asks for.
func (t *tx) boxesFree(l mailbox.Lease) ([]boxRow, error) {
	return list(t, func(rows *sql.Rows) (b boxRow, err error) {
		return b, rows.Scan(id(b.row[:]), id(b.id[:]), &b.bytes, &b.by, instant(&b.until))
	}, boxesFree, bytesOf(l.Owner), l.Now.UnixMicro(), bytesOf(l.Host), limitOf(l.Boxes+len(l.Skip)))
}

// choose returns the rows that a lease hands out, and those that have to be marked for it.
func choose(l mailbox.Lease, free []boxRow) (hand, mark [][16]byte) {
	half := l.Now.Add(l.Until.Sub(l.Now) / 2)
	size, full := int64(0), false
	for _, b := range free {
		if slices.Contains(l.Skip, b.id) {
			if b.by == l.Host && b.until.Before(half) {
				mark = append(mark, b.row)
			}
			continue
		}
		full = full || len(hand) >= l.Boxes || len(hand) > 0 && size+b.bytes > int64(l.Bytes)
		if !full {
			hand, mark, size = append(hand, b.row), append(mark, b.row), size+b.bytes
		}
	}
	return hand, mark
}

func (t *tx) readBoxes(owner peer.ID, rows [][16]byte) (boxes []mailbox.Box, err error) {
	for batch := range batches(rowKeys(rows), 1) {
		some, err := list(t, func(rows *sql.Rows) (b mailbox.Box, err error) {
			return b, rows.Scan(id(b.ID[:]), &b.Box)
		}, boxesRead+placeholders(2, len(batch))+boxesOrder, append([]any{bytesOf(owner)}, batch...)...)
		if err != nil {
			return nil, err
		}
		boxes = append(boxes, some...)
	}
	return boxes, nil
}

// Delete implements mailbox.Store.
func (m *Mailbox) Delete(ctx context.Context, owner peer.ID, ids []mailbox.DepositID) error {
	err := m.change(ctx, owner, func(t *tx, _ bool) error {
		if _, ok, err := m.lockOwner(t, owner); err != nil || !ok {
			return err
		}
		for batch := range batches(rowKeys(ids), 1) {
			args := append([]any{bytesOf(owner)}, batch...)
			if _, err := t.deleteBoxes(owner, boxesDelete+placeholders(2, len(batch)), args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete %d boxes: %w", len(ids), err)
	}
	return nil
}

// goneBox is what a box that was deleted took.
type goneBox struct {
	lane  [32]byte
	bytes int64
}

// deleteBoxes deletes boxes of a mailbox that is locked, takes them off what it holds, and returns how many they were.
func (t *tx) deleteBoxes(owner peer.ID, query string, args ...any) (int, error) {
	gone, err := list(t, func(rows *sql.Rows) (g goneBox, err error) {
		return g, rows.Scan(id(g.lane[:]), &g.bytes)
	}, query+boxesGone, args...)
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	all, lanes := mailbox.Room{}, map[[32]byte]mailbox.Room{}
	for _, g := range gone {
		lane := lanes[g.lane]
		lanes[g.lane] = mailbox.Room{Boxes: lane.Boxes + 1, Bytes: lane.Bytes + g.bytes}
		all = mailbox.Room{Boxes: all.Boxes + 1, Bytes: all.Bytes + g.bytes}
	}
	for lane, r := range lanes {
		if n, err := t.exec(useEmpty, bytesOf(owner), lane[:], r.Boxes); err != nil || n > 0 {
			continue // it had no others
		}
		_, _ = t.exec(useTake, bytesOf(owner), lane[:], r.Boxes, r.Bytes)
	}
	_, err = t.exec(mailboxAdd, bytesOf(owner), -all.Boxes, -all.Bytes)
	return all.Boxes, err
}

// Expire implements mailbox.Store. It works on one mailbox after another, a batch of boxes in a transaction, so that deposits come between.
func (m *Mailbox) Expire(ctx context.Context, boxes, mailboxes time.Time) (dropped int, err error) {
	var ages []mailboxAge
	err = m.db.view(ctx, func(t *tx) (err error) {
		ages, err = list(t, scanAge, mailboxAges)
		return err
	})
	for _, age := range ages {
		for old := age.hasBefore(boxes); old && err == nil; {
			var n int
			n, err = m.expireBoxes(ctx, age.owner, boxes)
			dropped += n
			old = n == rowsBatch
		}
		if err == nil && age.opened.Before(mailboxes) {
			err = m.change(ctx, age.owner, func(t *tx, _ bool) error { return t.expireMailbox(age.owner, mailboxes) })
		}
	}
	if err != nil {
		return dropped, fmt.Errorf("expire boxes: %w", err)
	}
	return dropped, nil
}

// mailboxAge is how old a mailbox is, and what is in it.
type mailboxAge struct {
	owner  peer.ID
	opened time.Time
	oldest []byte // the row of its oldest box; nil where it has none
}

func scanAge(rows *sql.Rows) (a mailboxAge, err error) {
	return a, rows.Scan(&a.owner, instant(&a.opened), &a.oldest)
}

// hasBefore reports whether the mailbox has a box from before a time.
func (a mailboxAge) hasBefore(t time.Time) bool {
	bound := rowsSince(t)
	return a.oldest != nil && bytes.Compare(a.oldest, bound[:]) < 0
}

// expireBoxes drops one batch of the boxes from before a time, and returns how many they were.
func (m *Mailbox) expireBoxes(ctx context.Context, owner peer.ID, before time.Time) (n int, err error) {
	bound := rowsSince(before)
	err = m.change(ctx, owner, func(t *tx, _ bool) (err error) {
		n = 0
		if _, ok, err := m.lockOwner(t, owner); err != nil || !ok {
			return err
		}
		n, err = t.deleteBoxes(owner, boxesExpire, bytesOf(owner), bound[:], rowsBatch)
		return err
	})
	return n, err
}

func (t *tx) expireMailbox(owner peer.ID, before time.Time) error {
	if n, err := t.exec(mailboxStale, bytesOf(owner), before.UnixMicro()); err != nil || n == 0 {
		return err
	}
	return t.deleteMailbox(owner)
}

func rowKeys(rows [][16]byte) []any { return keys(rows, func(r *[16]byte) []byte { return r[:] }) }
