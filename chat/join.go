package chat

import (
	"bytes"
	"context"
	"crypto/sha256"
)

// resumeJoin makes the inviter a contact.
func (m *Messenger) resumeJoin(ctx context.Context) error {
	if m.join == nil || m.join.Account == m.self {
		return nil
	}
	return m.joined(ctx, *m.join)
}

// joined makes a contact of who has invited us, if they are none. An invite is carried out once, and is there at every start: what people
// have decided since is not undone.
func (m *Messenger) joined(ctx context.Context, invite Invite) error {
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		mark, known, err := carriedOut(tx, invite)
		if err != nil || mark == nil {
			return err
		}
		if !known {
			_, err = m.befriend(tx, after, invite, invite.Name)
		}
		if err != nil {
			return err
		}
		return tx.PutRecord(RecordRow{Key: joinedKey, Value: mark, At: m.now()})
	})
	if err != nil {
		return wrap(err, "join")
	}
	m.learn(invite)
	return nil
}

// carriedOut returns the mark of an invite that was not carried out yet, nil of one that was, and whether who has made it is a contact.
func carriedOut(tx Tx, invite Invite) (mark []byte, known bool, err error) {
	sum := sha256.Sum256([]byte(invite.String()))
	done, _, err := tx.Record(joinedKey)
	if err != nil || bytes.Equal(done.Value, sum[:]) {
		return nil, false, err
	}
	_, known, err = tx.Contact(invite.Account)
	return sum[:], known, err
}

// inviter returns who has invited us, as the contact that the next run makes of them; nobody where that is done.
func (m *Messenger) inviter(tx Tx) ([]Contact, error) {
	if m.join == nil || m.join.Account == m.self {
		return nil, nil
	}
	mark, known, err := carriedOut(tx, *m.join)
	if err != nil || mark == nil || known {
		return nil, err
	}
	row := ContactRow{Account: m.join.Account, At: m.now()}
	if row.Name, err = freeName(tx, row.Account, m.join.Name); err != nil {
		return nil, err
	}
	c, err := m.contactView(tx, row)
	return []Contact{c}, err
}
