package store

import (
	"database/sql"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

const (
	sessionSelect = `SELECT id, device, account, heard, begun_at, heals, state FROM session `
	sessionByID   = sessionSelect + `WHERE id = $1`
	sessionsWith  = sessionSelect + `WHERE device = $1`
	sessionPut    = `INSERT INTO session (id, device, account, heard, begun_at, heals, state) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET device = excluded.device, account = excluded.account, heard = excluded.heard,
			begun_at = excluded.begun_at, heals = excluded.heals, state = excluded.state`
	sessionDelete = `DELETE FROM session WHERE id = $1`

	secretOne    = `SELECT kind, secret_key, value FROM secret WHERE kind = $1 AND secret_key = $2`
	secretsOf    = `SELECT kind, secret_key, value FROM secret WHERE kind = $1 ORDER BY secret_key LIMIT $2`
	secretPut    = `INSERT INTO secret (kind, secret_key, value) VALUES ($1, $2, $3) ON CONFLICT (kind, secret_key) DO UPDATE SET value = excluded.value`
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
	heals := int64(0)
	if s.Heals {
		heals = 1
	}
	_, err := t.exec(sessionPut, s.ID[:], bytesOf(s.Device), s.Account[:], s.Heard[:], s.At.UnixMicro(), heals, bytesOf(s.State))
	if err != nil {
		return fmt.Errorf("put session %x: %w", s.ID[:4], err)
	}
	return nil
}

// DeleteSession implements chat.Tx.
func (t *tx) DeleteSession(id chat.SessionID) error {
	_, err := t.exec(sessionDelete, id[:])
	return err
}

func scanSession(rows *sql.Rows) (s chat.SessionRow, err error) {
	heals := number(func(n int64) { s.Heals = n == 1 })
	return s, rows.Scan(id(s.ID[:]), &s.Device, id(s.Account[:]), id(s.Heard[:]), instant(&s.At), heals, &s.State)
}

// Secret implements chat.Tx.
func (t *tx) Secret(kind chat.SecretKind, key []byte) ([]byte, bool, error) {
	s, ok, err := first(t, scanSecret, secretOne, string(kind), bytesOf(key))
	return s.Value, ok, err
}

// Secrets implements chat.Tx.
func (t *tx) Secrets(kind chat.SecretKind, limit int) ([]chat.SecretRow, error) {
	return list(t, scanSecret, secretsOf, string(kind), limitOf(limit))
}

// PutSecret implements chat.Tx.
func (t *tx) PutSecret(s chat.SecretRow) error {
	_, err := t.exec(secretPut, string(s.Kind), bytesOf(s.Key), bytesOf(s.Value))
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
	return s, rows.Scan(&s.Kind, &s.Key, &s.Value)
}
