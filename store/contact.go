package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	contactSelect = `SELECT account, name, created_at, blocked, trust, introducer, token FROM contact`
	contactOf     = contactSelect + ` WHERE account = $1`
	contactPut    = `INSERT INTO contact (account, name, created_at, blocked, trust, introducer, token)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (account) DO UPDATE SET name = excluded.name, created_at = excluded.created_at, blocked = excluded.blocked,
			trust = excluded.trust, introducer = excluded.introducer, token = excluded.token`
)

// Contacts implements chat.Tx.
func (t *tx) Contacts() ([]chat.ContactRow, error) { return list(t, scanContact, contactSelect) }

func scanContact(rows *sql.Rows) (c chat.ContactRow, err error) {
	return c, rows.Scan(id(c.Account[:]), &c.Name, instant(&c.At), flag(&c.Blocked), &c.Trust, id(c.Introducer[:]), id(c.Token[:]))
}

// Contact implements chat.Tx.
func (t *tx) Contact(account chat.AccountID) (chat.ContactRow, bool, error) {
	return first(t, scanContact, contactOf, account[:])
}

// PutContact implements chat.Tx.
func (t *tx) PutContact(c chat.ContactRow) error {
	_, err := t.exec(contactPut, c.Account[:], bytesOf(c.Name), c.At.UnixMicro(), flagOf(c.Blocked), string(c.Trust), c.Introducer[:], c.Token[:])
	if err != nil {
		return fmt.Errorf("put contact %s: %w", c.Account.Short(), err)
	}
	return nil
}
