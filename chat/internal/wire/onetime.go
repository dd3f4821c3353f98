package wire

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// OneTime is a pair of keys that a device gives to one initiator, to be used once. The device signs each on its own.
type OneTime struct {
	Device   string
	Exchange []byte // purpose 3
	KEM      []byte // purpose 4
}

// Sign returns the bytes that the initiator gets.
func (o OneTime) Sign(key ed25519.PrivateKey) []byte {
	b := AppendLP([]byte{recordVersion, typeOneTime}, []byte(o.Device))
	for _, p := range []Prekey{{PurposeOneTime, o.Exchange}, {PurposeOneTimeKEM, o.KEM}} {
		b = appendPrekey(b, o.Device, p, key)
	}
	return b
}

// ParseOneTime reads and verifies what a device has signed.
func ParseOneTime(b []byte) (OneTime, error) {
	if len(b) > MaxRecord {
		return OneTime{}, fmt.Errorf("one-time keys of %d bytes", len(b))
	}
	r := header(b, typeOneTime)
	o := OneTime{Device: string(r.LP(DeviceIDSize))}
	key, err := DeviceKey(o.Device)
	if err != nil {
		return OneTime{}, fmt.Errorf("one-time keys: %w", err)
	}
	exchange, kem := r.prekey(o.Device, key), r.prekey(o.Device, key)
	if err := r.Close(); err != nil {
		return OneTime{}, fmt.Errorf("one-time keys: %w", err)
	}
	if exchange.Purpose != PurposeOneTime || kem.Purpose != PurposeOneTimeKEM {
		return OneTime{}, errors.New("one-time keys: for another purpose")
	}
	o.Exchange, o.KEM = exchange.Key, kem.Key
	return o, nil
}
