package chattest

import (
	"bytes"
	"sync"

	"parley/chat"
)

// Keys is a home for the keys of a store, and for the note beside it, in memory. Both outlive the messengers that use them.
type Keys struct {
	kek chat.Secret

	mu       sync.Mutex
	keystore []byte
	note     []byte
	broken   error
	replaced int
	notes    int
}

// NewKeys returns the keys of a store that holds nothing yet.
func NewKeys() (*Keys, error) {
	k := &Keys{kek: chat.NewSecret()}
	var err error
	k.keystore, err = chat.NewKeystore(k.kek)
	return k, err
}

// copied returns keys that are the same now.
func (k *Keys) copied() *Keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &Keys{kek: k.kek, keystore: bytes.Clone(k.keystore), note: bytes.Clone(k.note)}
}

// KEK implements chat.Keys.
func (k *Keys) KEK() chat.Secret { return k.kek }

// Keystore implements chat.Keys.
func (k *Keys) Keystore() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.keystore), nil
}

// ReplaceKeystore implements chat.Keys.
func (k *Keys) ReplaceKeystore(file []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken != nil {
		return k.broken
	}
	k.keystore = bytes.Clone(file)
	k.replaced++
	return nil
}

// Replaced counts how often the keystore was replaced.
func (k *Keys) Replaced() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.replaced
}

// Break makes ReplaceKeystore and SaveInstance fail from now on, as where the disk is full; nil mends it.
func (k *Keys) Break(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken = err
}

// Instance implements chat.Instance.
func (k *Keys) Instance() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.note), nil
}

// SaveInstance implements chat.Instance.
func (k *Keys) SaveInstance(note []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken != nil {
		return k.broken
	}
	k.note = bytes.Clone(note)
	k.notes++
	return nil
}

// Notes counts how often the note was saved.
func (k *Keys) Notes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.notes
}
