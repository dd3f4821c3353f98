package chat

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// What lets us deposit at others' mailboxes, and others at ours: the owner makes a grant for each account, which travels in sessions (in the
// marks of every chain); or the token of a link serves, until there is a session. A host sees neither, but what they are worth there.

// Grant is what an account's capabilities at a device's mailboxes are made of. It goes to that account in sessions and nowhere else.
type Grant [32]byte

// grantFor returns what lets an account deposit for us; secret is the one of this device.
func grantFor(secret []byte, account AccountID) Grant {
	mac := hmac.New(sha256.New, secret)
	mac.Write(wire.AppendLP([]byte(wire.LabelGrant), account[:]))
	return Grant(mac.Sum(nil))
}

// capability returns what a grant, or the token of a link, is worth at one host: hosts cannot tell by it that two mailboxes have the same
// correspondent.
func capability(grant []byte, host, owner peer.ID) (c [32]byte) {
	mac := hmac.New(sha256.New, grant)
	b := wire.AppendLP([]byte(wire.LabelCapability), []byte(host))
	mac.Write(wire.AppendLP(b, []byte(owner)))
	return [32]byte(mac.Sum(nil))
}

// grant returns what lets an account deposit for us.
func (m *Messenger) grant(tx Tx, account AccountID) (Grant, error) {
	row, ok, err := tx.Secret(SecretMailbox, nil)
	if err != nil || !ok {
		return Grant{}, err
	}
	return grantFor(row.Value, account), nil
}

// resumeMailbox makes the secret behind our grants, once.
func (m *Messenger) resumeMailbox(ctx context.Context) error {
	if m.identity == nil {
		return nil
	}
	err := m.update(ctx, func(tx Tx, _ *aftermath) error {
		if _, ok, err := tx.Secret(SecretMailbox, nil); ok || err != nil {
			return err
		}
		secret := make([]byte, len(Grant{}))
		mustRandom(secret)
		return tx.PutSecret(SecretRow{Kind: SecretMailbox, Value: secret})
	})
	return wrap(err, "make the secret of this device's mailboxes")
}

// keepGrant keeps what a device says lets us deposit for it.
func keepGrant(tx Tx, device peer.ID, grant Grant) error {
	if grant == (Grant{}) {
		return nil
	}
	old, ok, err := tx.Secret(SecretGrant, []byte(device))
	if err != nil || ok && Grant(old.Value) == grant {
		return err
	}
	return tx.PutSecret(SecretRow{Kind: SecretGrant, Key: []byte(device), Value: grant[:]})
}

// keepToken keeps the token of a link, which lets us deposit for an account's devices until they let us themselves.
func keepToken(tx Tx, account AccountID, token Token) error {
	if token.IsZero() {
		return nil
	}
	return tx.PutSecret(SecretRow{Kind: SecretGrant, Key: account[:], Value: token[:]})
}

// mailboxesFor lists the mailboxes of a row's device that do not hold it yet, with what lets us in.
func (m *Messenger) mailboxesFor(tx Tx, row OutboxRow) (boxes []Mailbox, err error) {
	record, ok, err := tx.Record(deviceRecordKey(row.Device))
	if err != nil || !ok {
		return nil, err
	}
	device, err := m.devices.of(record.Value)
	if err != nil {
		return nil, fmt.Errorf("pinned record of %s: %w", row.Device, err)
	}
	if len(device.Mailboxes) == 0 {
		return nil, nil
	}
	grant, err := grantOf(tx, row)
	for _, id := range device.Mailboxes {
		host := peer.ID(id)
		if host == m.device || slices.Contains(row.Holders, host) {
			continue
		}
		box := Mailbox{Host: host}
		if grant != nil {
			box.Cap = capability(grant, host, row.Device)
		}
		boxes = append(boxes, box)
	}
	return boxes, err
}

// grantOf finds the best that lets us deposit for a row's device; nil where there is only the strangers' lane.
func grantOf(tx Tx, row OutboxRow) ([]byte, error) {
	for _, key := range [][]byte{[]byte(row.Device), row.Account[:]} {
		if grant, ok, err := tx.Secret(SecretGrant, key); ok || err != nil {
			return grant.Value, err
		}
	}
	contact, _, err := tx.Contact(row.Account)
	return contact.Token.bytes(), err
}

// pinFound pins a record that was looked up. A device whose record is newer than what we had may have mailboxes that we did not know.
func (m *Messenger) pinFound(tx Tx, after *aftermath, r RecordRow) error {
	old, _, err := tx.Record(r.Key)
	if err != nil {
		return err
	}
	if device, err := wire.ParseDeviceRecord(r.Value); err == nil && old.Sequence < r.Sequence && len(device.Mailboxes) > 0 {
		after.anew = append(after.anew, peer.ID(device.Device))
	}
	return m.pin(tx, r.Key, r.Sequence, r.Value)
}
