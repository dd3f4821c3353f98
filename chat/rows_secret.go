package chat

import (
	"bytes"

	"github.com/libp2p/go-libp2p/core/peer"

	cells "parley/chat/internal/vault"
	"parley/chat/internal/wire"
)

// session.cell = session id16 ‖ lp(device) ‖ account32 ‖ heard16 ‖ heals u8 ‖ state; under the store's key.

func sessionPlace(blind SessionID) cells.Place {
	return cells.Place{Table: "session", Column: "cell", Row: blind[:]}
}

func (t *sealedTx) blindSession(id SessionID) SessionID {
	index := t.safe.blind("session", id[:])
	return SessionID(index[:short])
}

// Session implements Tx.
func (t *sealedTx) Session(id SessionID) (SessionRow, bool, error) {
	row, ok, err := t.tx.Session(t.blindSession(id))
	if err != nil || !ok {
		return SessionRow{}, false, err
	}
	plain, err := t.openSession(row)
	return plain, err == nil, err
}

// Sessions implements Tx. Damaged ones are left out: others take their place.
func (t *sealedTx) Sessions(device peer.ID) ([]SessionRow, error) {
	rows, err := t.tx.Sessions(t.blindDevice(device))
	if err != nil {
		return nil, err
	}
	plain := make([]SessionRow, 0, len(rows))
	for _, row := range rows {
		session, err := t.openSession(row)
		if t.passes(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		plain = append(plain, session)
	}
	return plain, nil
}

func (t *sealedTx) openSession(row SessionRow) (SessionRow, error) {
	p := sessionPlace(row.ID)
	r, _, err := t.open(p, row.Cell)
	if err != nil {
		return SessionRow{}, err
	}
	plain := SessionRow{At: row.At}
	r.Fill(plain.ID[:])
	plain.Device = peer.ID(r.LP(maxDevice))
	r.Fill(plain.Account[:])
	r.Fill(plain.Heard[:])
	plain.Heals = r.Byte() == 1
	plain.State = r.Rest()
	return plain, t.close(p, r, t.blindSession(plain.ID) == row.ID && t.blindDevice(plain.Device) == row.Device)
}

// PutSession implements Tx.
func (t *sealedTx) PutSession(s SessionRow) error {
	plaintext := make([]byte, 0, len(s.Device)+len(s.State)+sessionRoom)
	plaintext = append(plaintext, s.ID[:]...)
	plaintext = wire.AppendLP(plaintext, []byte(s.Device))
	plaintext = append(plaintext, s.Account[:]...)
	plaintext = append(plaintext, s.Heard[:]...)
	plaintext = append(plaintext, bit(s.Heals))
	plaintext = append(plaintext, s.State...)
	blind := t.blindSession(s.ID)
	cell, err := t.seal(sessionPlace(blind), ConversationID{}, plaintext)
	if err != nil {
		return err
	}
	return t.tx.PutSession(SessionRow{ID: blind, Device: t.blindDevice(s.Device), At: s.At, Cell: cell})
}

// sessionRoom is what a session row has besides device and state, in bytes.
const sessionRoom = 16 + 4 + 32 + 16 + 1

// DeleteSession implements Tx.
func (t *sealedTx) DeleteSession(id SessionID) error { return t.tx.DeleteSession(t.blindSession(id)) }

// secret.cell = lp(key) ‖ value; under the store's key.

func secretPlace(kind SecretKind, blind []byte) cells.Place {
	return cells.Place{Table: "secret", Column: "cell", Row: append([]byte(kind+"\x00"), blind...)}
}

func (t *sealedTx) blindSecret(kind SecretKind, key []byte) []byte {
	index := t.safe.blind("secret", []byte(kind+"\x00"), key)
	return index[:short]
}

// Secret implements Tx.
func (t *sealedTx) Secret(kind SecretKind, key []byte) (SecretRow, bool, error) {
	row, ok, err := t.tx.Secret(kind, t.blindSecret(kind, key))
	if err != nil || !ok {
		return SecretRow{}, false, err
	}
	plain, err := t.openSecret(row)
	return plain, err == nil, err
}

// Secrets implements Tx.
func (t *sealedTx) Secrets(kind SecretKind, limit int) ([]SecretRow, error) {
	rows, err := t.tx.Secrets(kind, limit)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = t.openSecret(row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (t *sealedTx) openSecret(row SecretRow) (SecretRow, error) {
	p := secretPlace(row.Kind, row.Key)
	r, _, err := t.open(p, row.Cell)
	if err != nil {
		return SecretRow{}, err
	}
	plain := SecretRow{Kind: row.Kind, Key: r.LP(maxDevice)}
	plain.Value = r.Rest()
	return plain, t.close(p, r, bytes.Equal(t.blindSecret(plain.Kind, plain.Key), row.Key))
}

// PutSecret implements Tx.
func (t *sealedTx) PutSecret(s SecretRow) error {
	blind := t.blindSecret(s.Kind, s.Key)
	cell, err := t.seal(secretPlace(s.Kind, blind), ConversationID{}, append(wire.AppendLP(nil, s.Key), s.Value...))
	if err != nil {
		return err
	}
	return t.tx.PutSecret(SecretRow{Kind: s.Kind, Key: blind, Cell: cell})
}

// DeleteSecret implements Tx.
func (t *sealedTx) DeleteSecret(kind SecretKind, key []byte) error {
	return t.tx.DeleteSecret(kind, t.blindSecret(kind, key))
}
