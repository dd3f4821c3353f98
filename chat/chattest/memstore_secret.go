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
	return copySession(s), ok, t.err
}

// Sessions implements chat.Tx.
func (t *memTx) Sessions(device peer.ID) ([]chat.SessionRow, error) {
	var list []chat.SessionRow
	for _, s := range t.rows.sessions.all() {
		if s.Device == device {
			list = append(list, copySession(s))
		}
	}
	return list, t.err
}

// PutSession implements chat.Tx.
func (t *memTx) PutSession(s chat.SessionRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.sessions, string(s.ID[:]), copySession(s))
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
func (t *memTx) Secret(kind chat.SecretKind, key []byte) ([]byte, bool, error) {
	s, ok := t.rows.secrets.get(secretPrefix(kind) + string(key))
	return bytes.Clone(s.Value), ok, t.err
}

// Secrets implements chat.Tx.
func (t *memTx) Secrets(kind chat.SecretKind, limit int) ([]chat.SecretRow, error) {
	prefix := secretPrefix(kind)
	var list []chat.SecretRow
	for _, s := range t.rows.secrets.from(prefix) {
		if len(list) >= limit || !strings.HasPrefix(secretPrefix(s.Kind), prefix) {
			break
		}
		list = append(list, copySecret(s))
	}
	return list, t.err
}

// PutSecret implements chat.Tx.
func (t *memTx) PutSecret(s chat.SecretRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.secrets, secretPrefix(s.Kind)+string(s.Key), copySecret(s))
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

func copySession(s chat.SessionRow) chat.SessionRow {
	if !s.At.IsZero() {
		s.At = micros(s.At)
	}
	s.State = bytes.Clone(s.State)
	return s
}

func copySecret(s chat.SecretRow) chat.SecretRow {
	s.Key, s.Value = bytes.Clone(s.Key), bytes.Clone(s.Value)
	return s
}
