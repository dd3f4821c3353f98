package store

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"

	"parley/chat"
)

const (
	contactSelect = `SELECT account, name, name_key, created_at FROM contact`
	contactOf     = contactSelect + ` WHERE account = $1`
	contactNamed  = contactSelect + ` WHERE name_key = $1`
	contactPut    = `INSERT INTO contact (account, name, name_key, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account) DO UPDATE SET name = excluded.name, name_key = excluded.name_key,
			created_at = excluded.created_at`
)

// Contacts implements chat.Tx. They are in the order of their keys, which is made here: databases sort text by their locale.
func (t *tx) Contacts() ([]chat.ContactRow, error) {
	contacts, err := list(t, scanContact, contactSelect)
	slices.SortFunc(contacts, func(a, b chat.ContactRow) int { return cmp.Compare(a.Key, b.Key) })
	return contacts, err
}

func scanContact(rows *sql.Rows) (c chat.ContactRow, err error) {
	return c, rows.Scan(id(c.Account[:]), &c.Name, &c.Key, instant(&c.At))
}

// Contact implements chat.Tx.
func (t *tx) Contact(account chat.AccountID) (chat.ContactRow, bool, error) {
	return first(t, scanContact, contactOf, account[:])
}

// ContactByKey implements chat.Tx.
func (t *tx) ContactByKey(key string) (chat.ContactRow, bool, error) {
	return first(t, scanContact, contactNamed, bytesOf(key))
}

// PutContact implements chat.Tx.
func (t *tx) PutContact(c chat.ContactRow) error {
	_, err := t.exec(contactPut, c.Account[:], bytesOf(c.Name), bytesOf(c.Key), c.At.UnixMicro())
	if err != nil {
		return fmt.Errorf("put contact %s: %w", c.Account.Short(), err)
	}
	return nil
}
