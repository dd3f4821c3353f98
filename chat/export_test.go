package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// Forged is a packet that an attacker with a device's state can make, and no honest messenger makes.
type Forged struct {
	Type    byte
	Kind    Kind
	Payload string
	To      ConversationID // what the content says; the honest one where it is zero
}

// Forge seals what f says to a device, in the session that there is or in a new one, and keeps nothing of it in the outbox.
func (m *Messenger) Forge(ctx context.Context, to AccountID, device peer.ID, f Forged) (packet []byte, err error) {
	err = m.update(ctx, func(tx Tx, after *aftermath) error {
		r, ok, err := m.recipientOn(tx, to, device)
		if err != nil || !ok {
			return err
		}
		l, err := m.lineTo(tx, after, r)
		if err != nil {
			return err
		}
		if f.To == (ConversationID{}) {
			f.To = DirectConversation(m.self, to)
		}
		body := wire.Body{Type: f.Type}
		if f.Type == wire.BodyContent {
			body.Content = wire.Content{Conversation: f.To, Kind: byte(f.Kind), Seq: 1, Payload: []byte(f.Payload)}.Append(nil)
		}
		row := OutboxRow{Row: m.clock.nextRow()}
		if err := m.enclose(tx, after, l, body, row); err != nil {
			return err
		}
		rows, err := tx.OutboxOf(device, RowID{}, MaxReseal)
		for _, r := range rows {
			if r.Row == row.Row {
				packet = r.Envelope
			}
		}
		if err != nil {
			return err
		}
		return tx.DeleteOutbox(device, []RowID{row.Row})
	})
	return packet, err
}

// Pretend makes an identity that shows another's certificate.
func (i *Identity) Pretend(other *Identity) *Identity {
	thief := *i
	thief.certificate = other.certificate
	return &thief
}

// SessionStates returns the state of every session with a device.
func (m *Messenger) SessionStates(ctx context.Context, device peer.ID) (states [][]byte, err error) {
	err = m.look(ctx, func(tx Tx) error {
		rows, err := tx.Sessions(device)
		for _, r := range rows {
			states = append(states, r.State)
		}
		return err
	})
	return states, err
}

// Rotate makes a new generation of keys now.
func (m *Messenger) Rotate(ctx context.Context) error {
	err := m.rotate(ctx, onDemand)
	m.publish()
	return err
}

// LookForCopy looks for a second copy of the device now, and reports whether there is one.
func (m *Messenger) LookForCopy(ctx context.Context) bool {
	m.lookForCopy(ctx)
	return m.copied.found.Load()
}

// Doubles counts the first flights that came with one-time keys which another one had used.
func (m *Messenger) Doubles() uint64 { return m.doubles.Load() }

// Refill fills the stock of one-time pairs up now.
func (m *Messenger) Refill(ctx context.Context) error { return m.refill(ctx) }

// Resolve looks an account's records up now.
func (m *Messenger) Resolve(ctx context.Context, a AccountID) error {
	_, err := m.resolve(ctx, a)
	return err
}

// StartAnew is what happens after the store went back in time.
func (m *Messenger) StartAnew(ctx context.Context) error {
	return m.update(ctx, m.startAnew)
}

// Revoke signs a new account record of an identity, in which a device is revoked.
func (i *Identity) Revoke(devices ...peer.ID) {
	r, err := wire.ParseAccountRecord(i.accountRecord)
	if err != nil {
		panic(err)
	}
	r.Sequence++
	for _, d := range devices {
		r.Revoked = append(r.Revoked, string(d))
	}
	i.accountRecord = r.Sign(i.account)
	i.number = r.Sequence
}

// Link adds a device of a person to their account, and returns its identity. (Until devices can be linked, two identities share the
// account key here.)
func (i *Identity) Link(name string) *Identity {
	second, err := NewIdentity(name)
	if err != nil {
		panic(err)
	}
	second.account = i.account
	account := i.Account()
	second.certificate = wire.Certificate{
		Account: account[:], Device: string(second.Device()), Exchange: second.exchange.Public(), Name: name, Sequence: 1,
	}.Sign(i.account)
	r, err := wire.ParseAccountRecord(i.accountRecord)
	if err != nil {
		panic(err)
	}
	r.Sequence++
	r.Signed = append(r.Signed, second.certificate)
	i.accountRecord = r.Sign(i.account)
	i.number = r.Sequence
	second.accountRecord, second.number = i.accountRecord, i.number
	return second
}

// BodyTypes for Forge.
const (
	BodyContent = wire.BodyContent
	BodyStep    = wire.BodyStep
	BodyHeal    = wire.BodyHeal
)

// IsFirst reports whether an envelope carries a handshake.
func IsFirst(envelope []byte) bool {
	p, err := seal.Parse(envelope)
	return err == nil && p.First != nil
}

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
	return []string{accountRecordKey(account), deviceRecordKey(device), instanceKey, answeringKey, shownKey, elapsedKey, copiedKey, shreddedKey, joinedKey}
}

// SendCard sends our card to an account, with a token.
func (m *Messenger) SendCard(ctx context.Context, to AccountID, t Token) error {
	return m.update(ctx, func(tx Tx, after *aftermath) error { return m.sendCard(tx, after, to, t) })
}

// Pinned reports whether an account's record is kept here.
func (m *Messenger) Pinned(ctx context.Context, a AccountID) (ok bool, err error) {
	err = m.look(ctx, func(tx Tx) error {
		_, ok, err = tx.Record(accountRecordKey(a))
		return err
	})
	return ok, err
}

// Claim lists another's device in our own account record, with an exchange key of ours.
func (i *Identity) Claim(other *Identity) {
	r, err := wire.ParseAccountRecord(i.accountRecord)
	if err != nil {
		panic(err)
	}
	r.Sequence++
	r.Signed = append(r.Signed, i.certify(other))
	i.accountRecord = r.Sign(i.account)
	i.number = r.Sequence
}

func (i *Identity) certify(other *Identity) []byte {
	account := i.Account()
	return wire.Certificate{
		Account: account[:], Device: string(other.Device()), Exchange: i.exchange.Public(), Name: "x", Sequence: 1,
	}.Sign(i.account)
}

// On is our account on a device whose key we do not have.
func (i *Identity) On(other *Identity) *Identity {
	thief, account := *i, i.Account()
	thief.device = append(slices.Clone(i.device[:32]), other.device[32:]...)
	thief.certificate = i.certify(other)
	thief.accountRecord = wire.AccountRecord{Account: account[:], Sequence: 1, Signed: [][]byte{thief.certificate}}.Sign(i.account)
	thief.number = 1
	return &thief
}

// SpendOf lets so many devices spend of the budget for strangers, one after another, and returns the most that were remembered of them.
func SpendOf(devices int, pause func()) (most int) {
	b := newBudget()
	for n := range devices {
		b.spend(peer.ID(fmt.Sprint(n)))
		most = max(most, len(b.each))
		pause()
	}
	return most
}

// FailedTrace is how a message went that has failed.
func FailedTrace(reason string) string { return trace{reason: reason}.append() }

// Clock returns the hybrid logical clock as it is.
func (m *Messenger) Clock() uint64 {
	m.clock.mu.Lock()
	defer m.clock.mu.Unlock()
	return m.clock.hlc
}

// ReEncrypt seals everything anew that waits for contacts: what no retry may do.
func (m *Messenger) ReEncrypt(ctx context.Context) error {
	return m.update(ctx, func(tx Tx, after *aftermath) error {
		return m.eachDevice(tx, func(to recipient) error { return m.reEncryptFor(tx, after, to) })
	})
}

func (m *Messenger) reEncryptFor(tx Tx, after *aftermath, to recipient) error {
	rows, err := tx.OutboxOf(to.device, RowID{}, MaxReseal)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Body == bodyAcks {
			continue
		}
		body, err1 := contentOf(tx, row)
		l, err2 := m.lineTo(tx, after, to)
		err := errors.Join(err1, err2, tx.DeleteOutbox(to.device, []RowID{row.Row}))
		if err != nil {
			return err
		}
		if err := m.enclose(tx, after, l, body, OutboxRow{Row: row.Row, Message: row.Message, Content: row.Content}); err != nil {
			return err
		}
	}
	return nil
}

// Heals counts the sessions that this device has begun because something did not open.
func (m *Messenger) Heals(ctx context.Context) (n int, err error) {
	err = m.look(ctx, func(tx Tx) error {
		n = 0
		return m.eachDevice(tx, func(to recipient) error {
			sessions, err := tx.Sessions(to.device)
			for _, s := range sessions {
				if s.Heals {
					n++
				}
			}
			return err
		})
	})
	return n, err
}

// TakesPlaces lets texts come in, as many as asked, all of which their device has given one number and one time, and returns their rows.
func (m *Messenger) TakesPlaces(ctx context.Context, conversation ConversationID, n int) (rows []RowID, err error) {
	err = m.update(ctx, func(tx Tx, _ *aftermath) error {
		rows = nil
		c, _, err := tx.Conversation(conversation)
		for i := range n {
			l := letter{device: m.device, id: MessageID{7, byte(i)}, content: wire.Content{Seq: 3, Clock: 1 << 16}}
			row, err1 := m.place(tx, &c, l)
			rows = append(rows, row)
			err = errors.Join(err, err1, tx.InsertMessage(MessageRow{
				Row: row, ID: l.id, Conversation: conversation, Kind: KindText, State: StateReceived, Author: c.Peer, Device: l.device, At: m.now(),
			}))
		}
		return errors.Join(err, tx.PutConversation(c))
	})
	return rows, err
}
