package chat

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// What mailboxes brought: boxes → packets → the same way in as from a device (receive.go), with two differences. Nobody is connected who
// brought a packet, so nothing is proven but what is in it; and what was taken is acknowledged in a packet of its own (ack.go), since no
// stream leads back.

// nobody brought what came from a mailbox, as far as anything is proven.
const nobody peer.ID = ""

// SealDeposit puts envelopes for a device into one box that may lie in its mailboxes. It is an error when no valid record of the device is
// known here, which names its envelope key, and when they do not fit (64 envelopes, 512 KiB).
func (m *Messenger) SealDeposit(device peer.ID, envelopes [][]byte) ([]byte, error) {
	key, err := m.envelopeKeyOf(device)
	if err != nil {
		return nil, fmt.Errorf("seal a deposit for %s: %w", device, err)
	}
	return seal.SealDeposit(seal.Address{Network: m.network.ID, Device: string(device), Key: key}, envelopes)
}

// Collect takes boxes that a mailbox host has kept for us. When it returns nil they may be deleted: what is in them is kept for good, or
// will never be of use. An error means that they must be offered again.
func (m *Messenger) Collect(ctx context.Context, host peer.ID, boxes [][]byte) error {
	var envelopes [][]byte
	for _, box := range boxes {
		opened, err := m.openDeposit(ctx, box)
		if err != nil {
			return err
		}
		envelopes = append(envelopes, opened...)
	}
	m.log.Debug("collected", zap.Stringer("host", host), zap.Int("boxes", len(boxes)), zap.Int("envelopes", len(envelopes)))
	_, err := m.receive(ctx, nobody, envelopes, m.parseAll(nobody, envelopes))
	return wrap(err, "store what a mailbox has kept")
}

// openDeposit returns what is in a box; nothing where it opens with no key of ours. Of the handshakes in it that are unknown here only a
// few count, and they wait for their turn: each costs an agreement of keys, and anybody may deposit.
func (m *Messenger) openDeposit(ctx context.Context, box []byte) ([][]byte, error) {
	key, ok := m.keys.envelope(box)
	if !ok {
		m.log.Debug("dropped a box", zap.Error(errForeignKey))
		return nil, nil
	}
	opened, err := key.OpenDeposit(m.network.ID, string(m.device), box)
	if err != nil {
		m.log.Debug("dropped a box", zap.Error(err))
		return nil, nil
	}
	var envelopes [][]byte
	begun := map[SessionID]bool{}
	for _, e := range opened {
		p, err := seal.Parse(e)
		switch {
		case wire.IsAcks(e):
		case err != nil:
			continue
		case p.First != nil:
			if begun[p.Session] = true; len(begun) > BoxHandshakes {
				continue
			}
		}
		envelopes = append(envelopes, e)
	}
	for range begun {
		if err := m.strangers.wait(ctx); err != nil {
			return nil, err
		}
	}
	return envelopes, nil
}
