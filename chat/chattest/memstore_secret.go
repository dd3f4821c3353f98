package chattest

import (
	"bytes"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Session implements chat.Tx.
func (t *memTx) Session(id chat.SessionID) (chat.SessionRow, bool, error) {
	s, ok := t.rows.sessions.get(string(id[:]))
	if !ok {
		return chat.SessionRow{}, false, t.err
	}
	return keptSession(s), ok, t.err
}

// Sessions implements chat.Tx.
func (t *memTx) Sessions(device peer.ID) ([]chat.SessionRow, error) {
	var list []chat.SessionRow
	for _, s := range t.rows.sessions.all() {
		if s.Device == device {
			list = append(list, keptSession(s))
		}
	}
	return list, t.err
}

// PutSession implements chat.Tx.
func (t *memTx) PutSession(s chat.SessionRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.sessions, string(s.ID[:]), keptSession(s))
	return nil
}

// DeleteSession implements chat.Tx.
func (t *memTx) DeleteSession(id chat.SessionID) error {
	if err := t.write(); err != nil {
		return err
	}
	drop(t, &t.rows.sessions, string(id[:]))
	return nil
}

// secretPrefix is what the keys of a kind begin with: no kind holds a zero byte.
func secretPrefix(kind chat.SecretKind) string { return string(kind) + "\x00" }

// Secret implements chat.Tx.
func (t *memTx) Secret(kind chat.SecretKind, key []byte) (chat.SecretRow, bool, error) {
	s, ok := t.rows.secrets.get(secretPrefix(kind) + string(key))
	return keptSecret(s), ok, t.err
}

// Secrets implements chat.Tx.
func (t *memTx) Secrets(kind chat.SecretKind, limit int) ([]chat.SecretRow, error) {
	prefix := secretPrefix(kind)
	var list []chat.SecretRow
	for _, s := range t.rows.secrets.from(prefix) {
		if len(list) >= limit || !strings.HasPrefix(secretPrefix(s.Kind), prefix) {
			break
		}
		list = append(list, keptSecret(s))
	}
	return list, t.err
}

// PutSecret implements chat.Tx.
func (t *memTx) PutSecret(s chat.SecretRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.secrets, secretPrefix(s.Kind)+string(s.Key), keptSecret(s))
	return nil
}

// DeleteSecret implements chat.Tx.
func (t *memTx) DeleteSecret(kind chat.SecretKind, key []byte) error {
	if err := t.write(); err != nil {
		return err
	}
	drop(t, &t.rows.secrets, secretPrefix(kind)+string(key))
	return nil
}

func keptSession(s chat.SessionRow) chat.SessionRow {
	return chat.SessionRow{ID: s.ID, Device: s.Device, At: micros(s.At), Cell: bytes.Clone(s.Cell)}
}

func keptSecret(s chat.SecretRow) chat.SecretRow {
	return chat.SecretRow{Kind: s.Kind, Key: bytes.Clone(s.Key), Cell: bytes.Clone(s.Cell)}
}
