package store

import (
	"database/sql"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

const (
	sessionSelect = `SELECT id, device, begun_at, cell FROM session `
	sessionByID   = sessionSelect + `WHERE id = $1`
	sessionsWith  = sessionSelect + `WHERE device = $1`
	sessionPut    = `INSERT INTO session (id, device, begun_at, cell) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET device = excluded.device, begun_at = excluded.begun_at, cell = excluded.cell`
	sessionDelete = `DELETE FROM session WHERE id = $1`

	secretOne    = `SELECT kind, secret_key, cell FROM secret WHERE kind = $1 AND secret_key = $2`
	secretsOf    = `SELECT kind, secret_key, cell FROM secret WHERE kind = $1 LIMIT $2`
	secretPut    = `INSERT INTO secret (kind, secret_key, cell) VALUES ($1, $2, $3) ON CONFLICT (kind, secret_key) DO UPDATE SET cell = excluded.cell`
	secretDelete = `DELETE FROM secret WHERE kind = $1 AND secret_key = $2`
)

// Session implements chat.Tx.
func (t *tx) Session(id chat.SessionID) (chat.SessionRow, bool, error) {
	return first(t, scanSession, sessionByID, id[:])
}

// Sessions implements chat.Tx.
func (t *tx) Sessions(device peer.ID) ([]chat.SessionRow, error) {
	return list(t, scanSession, sessionsWith, bytesOf(device))
}

// PutSession implements chat.Tx.
func (t *tx) PutSession(s chat.SessionRow) error {
	return t.write(sessionPut, s.ID[:], bytesOf(s.Device), s.At.UnixMicro(), bytesOf(s.Cell))
}

// DeleteSession implements chat.Tx.
func (t *tx) DeleteSession(id chat.SessionID) error {
	_, err := t.exec(sessionDelete, id[:])
	return err
}

func scanSession(rows *sql.Rows) (s chat.SessionRow, err error) {
	return s, rows.Scan(id(s.ID[:]), &s.Device, instant(&s.At), &s.Cell)
}

// Secret implements chat.Tx.
func (t *tx) Secret(kind chat.SecretKind, key []byte) (chat.SecretRow, bool, error) {
	return first(t, scanSecret, secretOne, string(kind), bytesOf(key))
}

// Secrets implements chat.Tx.
func (t *tx) Secrets(kind chat.SecretKind, limit int) ([]chat.SecretRow, error) {
	return list(t, scanSecret, secretsOf, string(kind), limitOf(limit))
}

// PutSecret implements chat.Tx.
func (t *tx) PutSecret(s chat.SecretRow) error {
	_, err := t.exec(secretPut, string(s.Kind), bytesOf(s.Key), bytesOf(s.Cell))
	if err != nil {
		return fmt.Errorf("put a secret of kind %s: %w", s.Kind, err)
	}
	return nil
}

// DeleteSecret implements chat.Tx.
func (t *tx) DeleteSecret(kind chat.SecretKind, key []byte) error {
	_, err := t.exec(secretDelete, string(kind), bytesOf(key))
	return err
}

func scanSecret(rows *sql.Rows) (s chat.SecretRow, err error) {
	return s, rows.Scan(&s.Kind, &s.Key, &s.Cell)
}
