package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/mailbox"
)

var (
	_ mailbox.Store   = (*Mailbox)(nil)
	_ mailbox.Counter = (*Mailbox)(nil)
)

const (
	// What is locked is the owner's row, and before it the one of mailbox_room where room is taken that belongs to no owner.
	mailboxLock     = `SELECT m.boxes, m.bytes FROM mailbox m WHERE m.owner = $1`
	mailboxRoomLock = `SELECT m.id FROM mailbox_room m`

	// How many owners there are, and what those have in all who have more than a number of boxes, and of bytes, each beyond that.
	mailboxSum = `SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN boxes > $1 THEN boxes - $1 ELSE 0 END), 0) AS BIGINT),
		CAST(COALESCE(SUM(CASE WHEN bytes > $2 THEN bytes - $2 ELSE 0 END), 0) AS BIGINT) FROM mailbox`
	mailboxInsert = `INSERT INTO mailbox (owner, boxes, bytes, opened_at) VALUES ($1, 0, 0, $2)`
	mailboxOpened = `UPDATE mailbox SET opened_at = $2 WHERE owner = $1`
	mailboxDelete = `DELETE FROM mailbox WHERE owner = $1`

	laneSelect = `SELECT lane, class FROM mailbox_lane WHERE owner = $1 AND host = $2`
	laneAny    = `SELECT class FROM mailbox_lane WHERE owner = $1 LIMIT 1`
	laneInsert = `INSERT INTO mailbox_lane (owner, host, lane, class) VALUES `
	laneOnce   = ` ON CONFLICT DO NOTHING`
	laneDelete = `DELETE FROM mailbox_lane WHERE owner = $1 AND host = $2 AND lane IN `
	lanesOfAll = `DELETE FROM mailbox_lane WHERE owner = $1`
	lanesOf    = lanesOfAll + ` AND host = $2`
)

// errWantsRoom says that a change needs the lock of mailbox_room. It has changed nothing yet.
var errWantsRoom = errors.New("room that belongs to no owner is wanted")

// Mailbox is a mailbox.Store in a database. The quotas hold exactly, whoever else deposits at the same moment: every change of a mailbox locks
// the row of its owner and counts then, and one that takes more than its owner has for sure locks mailbox_room before. Because everybody locks
// in this order, and owners in the order of their ids, nobody waits in a circle.
//
// Where the connection is lost while a deposit commits, nobody knows whether it is kept; the error says chat.CodeUnavailable. The caller, or
// the depositor from whom no answer is kept, makes the same deposit again: its id tells whether it is there. The other methods may be called
// again as well; they do nothing that is done already.
type Mailbox struct {
	db   *DB
	own  bool // the database is ours alone to close
	made atomic.Uint32
}

// Mailbox returns the mailboxes that are kept in the node's own database.
func (db *DB) Mailbox() *Mailbox { return &Mailbox{db: db} }

// Mailboxes returns the mailboxes at the URL of a database that several hosts share (OpenMailbox), or those in the node's own database where
// the URL is empty. They close with the node's database.
func (db *DB) Mailboxes(ctx context.Context, url string, o Options) (*Mailbox, error) {
	if url == "" {
		return db.Mailbox(), nil
	}
	m, err := OpenMailbox(ctx, url, o)
	if err != nil {
		return nil, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.others = append(db.others, m)
	return m, nil
}

// Store returns m as a mailbox.Store; nil for a node that keeps no mailboxes.
func (m *Mailbox) Store() mailbox.Store {
	if m == nil {
		return nil
	}
	return m
}

// Shared reports whether other hosts may have the same mailboxes open.
func (m *Mailbox) Shared() bool { return m != nil && m.own }

// OpenMailbox opens a PostgreSQL database that holds nothing but mailboxes, and that any number of hosts may have open at once. It brings its
// tables up to date, also when two hosts start at the same moment. Of the options it takes the logger.
func OpenMailbox(ctx context.Context, url string, o Options) (*Mailbox, error) {
	if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return nil, misconfigured(nil, "", "mailbox database URL has the unknown scheme %.20q; want postgres://USER@HOST/NAME", strings.SplitN(url, ":", 2)[0])
	}
	e, err := openPostgres(ctx, url, o.logger(), false)
	if err != nil {
		return nil, err
	}
	db, err := start(ctx, &DB{engine: e, committer: committer{engine: e}, shared: true})
	if err != nil {
		return nil, err
	}
	return &Mailbox{db: db, own: true}, nil
}

// Close ends what OpenMailbox has begun. The mailboxes of a node's own database close with that.
func (m *Mailbox) Close() error {
	if !m.own {
		return nil
	}
	return m.db.Close()
}

// Ping asks the database whether it is there.
func (m *Mailbox) Ping(ctx context.Context) error { return m.db.Ping(ctx) }

// change runs fn in a transaction, in the order of owners, and with the lock of mailbox_room only where fn wants it: then it runs again.
func (m *Mailbox) change(ctx context.Context, owner peer.ID, fn func(t *tx, room bool) error) error {
	wants := false
	try := func(t *tx) error {
		err := fn(t, wants)
		if wants = errors.Is(err, errWantsRoom); wants {
			return nil // the others of the transaction go on
		}
		return err
	}
	err := m.db.commit(&update{ctx: ctx, order: string(owner), fn: try})
	if err == nil && wants {
		err = m.db.commit(&update{ctx: ctx, order: string(owner), first: m.lockRoom, fn: func(t *tx) error { return fn(t, true) }})
	}
	return err
}

func (m *Mailbox) lockRoom(t *tx) error {
	_, err := list(t, func(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }, mailboxRoomLock+m.lock())
	return err
}

// lock ends a SELECT that locks.
func (m *Mailbox) lock() string { return m.db.engine.dialect().lock }

// lockOwner locks an owner's mailbox, and returns what is in it; false where there is none.
func (m *Mailbox) lockOwner(t *tx, owner peer.ID) (holds mailbox.Room, ok bool, err error) {
	return first(t, scanRoom, mailboxLock+m.lock(), bytesOf(owner))
}

func scanRoom(rows *sql.Rows) (r mailbox.Room, err error) { return r, rows.Scan(&r.Boxes, &r.Bytes) }

// Open implements mailbox.Store. The open lane is there at every host at which an owner has lanes, and needs not be named.
func (m *Mailbox) Open(ctx context.Context, owner, host peer.ID, lanes []mailbox.Lane, q mailbox.Quota, at time.Time) (v mailbox.Verdict, err error) {
	err = m.change(ctx, owner, func(t *tx, room bool) (err error) {
		if len(lanes) == 0 {
			v = mailbox.Stored
			return m.shut(t, owner, host)
		}
		if v, err = m.makeSure(t, owner, q, at, room); err != nil || v != mailbox.Stored {
			return err
		}
		return t.putLanes(owner, host, lanes)
	})
	if err != nil {
		return 0, fmt.Errorf("open mailbox: %w", err)
	}
	return v, nil
}

// makeSure makes the mailbox where there is none and room for one more.
func (m *Mailbox) makeSure(t *tx, owner peer.ID, q mailbox.Quota, at time.Time, room bool) (mailbox.Verdict, error) {
	_, ok, err := m.lockOwner(t, owner)
	switch {
	case err != nil:
		return 0, err
	case ok:
		_, err := t.exec(mailboxOpened, bytesOf(owner), at.UnixMicro())
		return mailbox.Stored, err
	case !room:
		return 0, errWantsRoom
	}
	owners, _, err := t.mailboxSum(mailbox.Room{})
	if err != nil || owners >= q.Owners {
		return mailbox.HostFull, err
	}
	_, err = t.exec(mailboxInsert, bytesOf(owner), at.UnixMicro())
	return mailbox.Stored, err
}

// mailboxSum returns how many owners there are, and how much of what they have is beyond a room that each has.
func (t *tx) mailboxSum(each mailbox.Room) (owners int, beyond mailbox.Room, err error) {
	_, _, err = first(t, func(rows *sql.Rows) (struct{}, error) {
		return struct{}{}, rows.Scan(&owners, &beyond.Boxes, &beyond.Bytes)
	}, mailboxSum, each.Boxes, each.Bytes)
	return owners, beyond, err
}

// Held implements mailbox.Counter.
func (m *Mailbox) Held(ctx context.Context) (owners, boxes int, bytes int64, err error) {
	err = m.db.view(ctx, func(t *tx) error {
		n, all, err := t.mailboxSum(mailbox.Room{})
		owners, boxes, bytes = n, all.Boxes, all.Bytes
		return err
	})
	return owners, boxes, bytes, err
}

// shut closes an owner's way through a host, and with the last way the mailbox.
func (m *Mailbox) shut(t *tx, owner, host peer.ID) error {
	if _, ok, err := m.lockOwner(t, owner); err != nil || !ok {
		return err
	}
	if _, err := t.exec(lanesOf, bytesOf(owner), bytesOf(host)); err != nil {
		return err
	}
	_, more, err := first(t, func(rows *sql.Rows) (class int64, err error) { return class, rows.Scan(&class) }, laneAny, bytesOf(owner))
	if err != nil || more {
		return err
	}
	return t.deleteMailbox(owner)
}

// deleteMailbox deletes a mailbox that is locked, with all that is in it.
func (t *tx) deleteMailbox(owner peer.ID) error {
	for _, query := range []string{boxesOf, useOf, lanesOfAll, mailboxDelete} {
		if _, err := t.exec(query, bytesOf(owner)); err != nil {
			return err
		}
	}
	return nil
}

// putLanes makes these the lanes of an owner at a host, and writes only what differs: most of thousands stay.
func (t *tx) putLanes(owner, host peer.ID, lanes []mailbox.Lane) error {
	want := map[[32]byte]uint8{{}: mailbox.ClassOpen}
	for _, l := range lanes {
		if l.Key != ([32]byte{}) {
			want[l.Key] = l.Class
		}
	}
	have, err := list(t, func(rows *sql.Rows) (l mailbox.Lane, err error) {
		return l, rows.Scan(id(l.Key[:]), &l.Class)
	}, laneSelect, bytesOf(owner), bytesOf(host))
	if err != nil {
		return err
	}
	var gone, added []any
	for _, l := range have {
		if class, ok := want[l.Key]; ok && class == l.Class {
			delete(want, l.Key)
		} else {
			gone = append(gone, bytes.Clone(l.Key[:]))
		}
	}
	for key, class := range want {
		added = append(added, bytes.Clone(key[:]), class)
	}
	for batch := range batches(gone, 1) {
		if _, err := t.exec(laneDelete+placeholders(3, len(batch)), append([]any{bytesOf(owner), bytesOf(host)}, batch...)...); err != nil {
			return err
		}
	}
	for batch := range batches(added, 2) {
		if _, err := t.exec(laneInsert+laneRows(len(batch)/2)+laneOnce, append([]any{bytesOf(owner), bytesOf(host)}, batch...)...); err != nil {
			return err
		}
	}
	return nil
}

// laneRows returns "($1, $2, $3, $4), ($1, $2, $5, $6) …" for n lanes.
func laneRows(n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf("($1, $2, $%d, $%d)", 3+2*i, 4+2*i)
	}
	return strings.Join(rows, ", ")
}
