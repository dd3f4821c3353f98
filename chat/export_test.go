package chat

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// Look and Change give tests the plain rows that are sealed in the store.
func (m *Messenger) Look(ctx context.Context, fn func(Tx) error) error { return m.look(ctx, fn) }

func (m *Messenger) Change(ctx context.Context, fn func(Tx) error) error {
	return m.update(ctx, func(tx Tx, _ *aftermath) error { return fn(tx) })
}

// AcceptAgain lets a text come in as if its author had sealed it anew.
func (m *Messenger) AcceptAgain(ctx context.Context, row MessageRow) error {
	return m.update(ctx, func(tx Tx, _ *aftermath) error {
		content, err := wire.ParseContent(row.Content)
		if err != nil {
			return err
		}
		_, err = m.acceptText(tx, letter{account: row.Author, device: row.Device, id: row.ID, content: content, raw: row.Content})
		return err
	})
}

// RecordKeys returns the keys under which a device and its account, and what a messenger notes of itself, are kept.
func RecordKeys(account AccountID, device peer.ID) []string {
	return []string{accountRecordKey(account), deviceRecordKey(device), instanceKey, shreddedKey}
}
