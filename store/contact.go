package store

import (
	"database/sql"
	"fmt"

	"parley/chat"
)

const (
	contactSelect = `SELECT account, created_at, cell FROM contact`
	contactOf     = contactSelect + ` WHERE account = $1`
	contactPut    = `INSERT INTO contact (account, created_at, cell) VALUES ($1, $2, $3)
		ON CONFLICT (account) DO UPDATE SET created_at = excluded.created_at, cell = excluded.cell`
)

// Contacts implements chat.Tx.
func (t *tx) Contacts() ([]chat.ContactRow, error) {
	return list(t, scanContact, contactSelect)
}

func scanContact(rows *sql.Rows) (c chat.ContactRow, err error) {
	return c, rows.Scan(id(c.Account[:]), instant(&c.At), &c.Cell)
}

// Contact implements chat.Tx.
func (t *tx) Contact(account chat.AccountID) (chat.ContactRow, bool, error) {
	return first(t, scanContact, contactOf, account[:])
}

// PutContact implements chat.Tx.
func (t *tx) PutContact(c chat.ContactRow) error {
	if _, err := t.exec(contactPut, c.Account[:], c.At.UnixMicro(), bytesOf(c.Cell)); err != nil {
		return fmt.Errorf("put contact %x: %w", c.Account, err)
	}
	return nil
}
