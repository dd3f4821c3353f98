package chat

import (
	"crypto/ed25519"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Identity is who we are on this device: the account key, the device key and the keys that envelopes are sealed to, with the
// certificate and the records that say so. It is made once, by NewIdentity, and kept in the home as MarshalBinary wrote it.
// Its secrets never print: String and GoString show the public ids only.
type Identity struct {
	account ed25519.PrivateKey
	device  ed25519.PrivateKey
}

// NewIdentity makes a new account with its first device.
func NewIdentity(deviceName string) (*Identity, error) { return nil, errors.New("unfinished") }

// ParseIdentity reads what MarshalBinary wrote. The error says that the bytes are damaged and how, without showing any.
func ParseIdentity(b []byte) (*Identity, error) { return nil, errors.New("unfinished") }

// MarshalBinary returns the identity with all its secrets: keep it in a file of mode 0600.
func (i *Identity) MarshalBinary() ([]byte, error) { return nil, errors.New("unfinished") }

// Account returns the account's id.
func (i *Identity) Account() AccountID { return AccountID{} }

// Device returns this device's id, which is its libp2p peer id.
func (i *Identity) Device() peer.ID { return "" }

// DeviceKey returns the key that the libp2p host runs under.
func (i *Identity) DeviceKey() ed25519.PrivateKey { return i.device }
