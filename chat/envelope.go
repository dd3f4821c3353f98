package chat

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// letter is an opened envelope whose author is proven.
type letter struct {
	account AccountID
	device  peer.ID
	id      MessageID
	content wire.Content
	raw     []byte // the canonical content
	tag     AckTag
}

// messageID binds a content to its author and device (SPEC.md, "Ids").
func messageID(account AccountID, device peer.ID, content []byte) MessageID {
	b := append([]byte(wire.LabelMessageID), wire.AppendLP(nil, account[:])...)
	b = wire.AppendLP(b, []byte(device))
	return sha256.Sum256(append(b, content...))
}

// seal puts a content into an envelope that only one device can open, and which proves to it that we wrote it.
func (m *Messenger) seal(to recipient, content []byte) (envelope []byte, tag AckTag, err error) {
	body := interim(m.self, m.device, to.account, to.device, content)
	signature := wire.Sign(wire.LabelInterim, m.identity.device, body)[len(body):]
	plaintext := wire.AppendLP(nil, m.identity.certificate)
	plaintext = append(wire.AppendLP(plaintext, content), signature...)
	box, ack, err := seal.Box(seal.Address{Network: m.network.ID, Device: string(to.device), Key: to.key}, plaintext)
	if err != nil {
		return nil, tag, fmt.Errorf("seal to a device of %s: %w", to.account.Short(), err)
	}
	if len(box) > MaxEnvelope {
		return nil, tag, fmt.Errorf("seal to a device of %s: envelope of %d bytes", to.account.Short(), len(box))
	}
	return box, AckTag(ack), nil
}

// open takes an envelope apart. Any error means that it is garbage to us: nothing is kept of it.
func (m *Messenger) open(envelope []byte) (letter, error) {
	plaintext, tag, err := m.identity.envelope.Open(m.network.ID, string(m.device), envelope)
	if err != nil {
		return letter{}, fmt.Errorf("open envelope: %w", err)
	}
	r := wire.NewReader(plaintext)
	certificate, raw, signature := r.LP(wire.MaxSigned), r.LP(MaxEnvelope), r.Take(wire.SignatureSize)
	if err := r.Close(); err != nil {
		return letter{}, fmt.Errorf("open envelope: %w", err)
	}
	c, err := m.certificates.of(certificate)
	if err != nil {
		return letter{}, fmt.Errorf("open envelope: %w", err)
	}
	l := letter{account: AccountID(c.Account), device: peer.ID(c.Device), raw: slices.Clone(raw), tag: AckTag(tag)}
	key, err := wire.DeviceKey(c.Device)
	if err != nil {
		return letter{}, fmt.Errorf("open envelope: %w", err)
	}
	body := interim(l.account, l.device, m.self, m.device, raw)
	if err := wire.Verify(wire.LabelInterim, key, body, signature); err != nil {
		return letter{}, fmt.Errorf("open envelope: %w", err)
	}
	if l.content, err = wire.ParseContent(l.raw); err != nil {
		return letter{}, fmt.Errorf("open envelope: %w", err)
	}
	l.id = messageID(l.account, l.device, l.raw)
	return l, l.mayWrite(m.self)
}

// mayWrite checks that the author may write to the conversation that the content names.
func (l letter) mayWrite(self AccountID) error {
	if l.account == self || l.content.Conversation != DirectConversation(l.account, self) {
		return errors.New("open envelope: the author may not write to that conversation")
	}
	return nil
}

// interim is what the sending device signs: who writes to whom, and what. The conversation is the content's first field.
func interim(account AccountID, device peer.ID, toAccount AccountID, toDevice peer.ID, content []byte) []byte {
	b := wire.AppendLP(nil, account[:])
	b = wire.AppendLP(b, []byte(device))
	b = wire.AppendLP(b, toAccount[:])
	b = wire.AppendLP(b, []byte(toDevice))
	return wire.AppendLP(b, content)
}

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
	err = m.store.View(ctx, func(tx Tx) error {
		row, ok, err := tx.Record(deviceRecordKey(device))
		if err != nil || !ok {
			return cmp.Or(err, errNoKey)
		}
		record, err := m.devices.of(row.Value)
		if err != nil || record.Device != string(device) {
			return cmp.Or(err, errNoKey)
		}
		key = record.Envelope()
		return nil
	})
	if err == nil && key == nil {
		err = errNoKey
	}
	return key, err
}

// errNoKey says that nothing can be sealed to a device.
var errNoKey = errors.New("its envelope key is not known")

// OpenStream reads the header of a stream that a device has opened to us. An error of it, or of open, means that nothing on the stream
// is of any use.
func (m *Messenger) OpenStream(from peer.ID, header []byte) (open func(record []byte) ([]byte, error), err error) {
	key, err := m.identity.envelopeKey(header)
	if err != nil {
		return nil, fmt.Errorf("open a stream of %s: %w", from, err)
	}
	o, err := key.OpenStream(m.network.ID, string(m.device), header)
	if err != nil {
		return nil, fmt.Errorf("open a stream of %s: %w", from, err)
	}
	return o.Open, nil
}

// envelopeKey returns the key of ours that a box names.
func (i *Identity) envelopeKey(box []byte) (seal.EnvelopeKey, error) {
	id, ok := seal.KeyOf(box)
	if !ok || id != wire.ID8(i.envelope.Public()) {
		return seal.EnvelopeKey{}, errors.New("it is sealed to no key of this device")
	}
	return i.envelope, nil
}
