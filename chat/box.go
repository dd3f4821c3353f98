package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// SealStream begins a stream to a device: the header goes first, and then what next makes of each envelope, in their order. It is an error
// when no valid record of the device is known here, which names its envelope key.
func (m *Messenger) SealStream(device peer.ID) (header []byte, next func(envelope []byte) ([]byte, error), err error) {
	key, err := m.envelopeKeyOf(device)
	if err != nil {
		return nil, nil, fmt.Errorf("seal a stream to %s: %w", device, err)
	}
	header, s, err := seal.NewSealer(seal.Address{Network: m.network.ID, Device: string(device), Key: key})
	if err != nil {
		return nil, nil, fmt.Errorf("seal a stream to %s: %w", device, err)
	}
	return header, s.Seal, nil
}

// envelopeKeyOf finds the key that is in a device's pinned record.
func (m *Messenger) envelopeKeyOf(device peer.ID) (key []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), KeyTimeout)
	defer cancel()
	err = m.look(ctx, func(tx Tx) error {
		row, ok, err := tx.Record(deviceRecordKey(device))
		if err != nil || !ok {
			return cmp.Or(err, errNoKey)
		}
		record, err := m.devices.of(row.Value)
		if err != nil || record.Device != string(device) {
			return cmp.Or(err, errNoKey)
		}
		key = record.Prekey(wire.PurposeEnvelope)
		return nil
	})
	if err == nil && key == nil {
		err = errNoKey
	}
	return key, err
}

// errNoKey says that nothing can be sealed to a device.
var errNoKey = errors.New("its envelope key is not known")

// errForeignKey says that a box was sealed to a key that this device does not have, or not any more.
var errForeignKey = errors.New("it is sealed to no key of this device")

// OpenStream reads the header of a stream that a device has opened to us. An error of it, or of open, means that nothing on the stream
// is of any use.
func (m *Messenger) OpenStream(from peer.ID, header []byte) (open func(record []byte) ([]byte, error), err error) {
	key, ok := m.keys.envelope(header)
	if !ok {
		return nil, fmt.Errorf("open a stream of %s: %w", from, errForeignKey)
	}
	o, err := key.OpenStream(m.network.ID, string(m.device), header)
	if err != nil {
		return nil, fmt.Errorf("open a stream of %s: %w", from, err)
	}
	return o.Open, nil
}

// errNoDeposits says that this version makes and takes no boxes for mailboxes.
var errNoDeposits = errors.New("no deposits yet")

// SealDeposit makes one box of envelopes for the mailboxes of a device; there is no such box yet.
func (m *Messenger) SealDeposit(peer.ID, [][]byte) ([]byte, error) { return nil, errNoDeposits }

// Collect takes boxes that a mailbox has kept for this device; there is no such box yet, so they stay there.
func (m *Messenger) Collect(context.Context, peer.ID, [][]byte) error { return errNoDeposits }

// envelope returns the key of ours that a box names.
func (k *keyring) envelope(box []byte) (key seal.EnvelopeKey, ok bool) {
	id, ok := seal.KeyOf(box)
	if !ok {
		return key, false
	}
	for _, g := range k.all() {
		if wire.ID8(g.Envelope.Public()) == id {
			return g.Envelope, true
		}
	}
	return key, false
}
