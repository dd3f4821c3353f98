package nodetest

import (
	"errors"
	"slices"
	"sync"

	"parley/node"
)

// Keys is a vault of network keys in memory.
type Keys struct {
	mu       sync.Mutex
	psk      []byte
	rotation []byte
	stuck    bool
}

// SaveKey implements node.KeyVault.
func (k *Keys) SaveKey(key [32]byte, rotation []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stuck {
		return errors.New("no space for a key")
	}
	k.psk, k.rotation = key[:], slices.Clone(rotation)
	return nil
}

// Stick makes SaveKey fail from now on, or work again.
func (k *Keys) Stick(stuck bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stuck = stuck
}

// Kept returns the key that was saved last and what it came with; nil before the first.
func (k *Keys) Kept() (key, rotation []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.psk, k.rotation
}

// open puts what was kept in the place of the key that came with the invite.
func (k *Keys) open(n *node.Network) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.psk != nil {
		n.PSK, n.Rotation = k.psk, k.rotation
	}
}
