package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// Trust is what people know of a contact's key.
type Trust string

// What people can know. TrustVerified and TrustMismatch they say themselves; nothing is sent while it is TrustMismatch or TrustDoubted.
const (
	TrustNone     Trust = ""         // nobody has compared anything
	TrustVerified Trust = "verified" // the safety numbers were the same
	TrustMismatch Trust = "mismatch" // they were not
	TrustDoubted  Trust = "doubted"  // verified, but a device of theirs speaks for another account since: people decide
)

// Safety is the safety number of two accounts: sixty digits that both people see alike, and which change with either key.
type Safety string

// SafetyNumber returns the number of two accounts, the same whoever asks.
func SafetyNumber(a, b AccountID) Safety { return Safety(seal.SafetyNumber(a[:], b[:])) }

// Groups returns the number as people read it out: twelve groups of five digits.
func (s Safety) Groups() []string {
	var groups []string
	for group := range slices.Chunk([]byte(s), 5) {
		groups = append(groups, string(group))
	}
	return groups
}

// String returns the groups on one line.
func (s Safety) String() string { return strings.Join(s.Groups(), " ") }

// Code returns what a QR code of the number holds: text of its alphanumeric mode, which makes the smaller code.
func (s Safety) Code() string { return "PARLEY:V1:" + string(s) }

// SafetyNumber returns the safety number of a contact and us.
func (m *Messenger) SafetyNumber(ctx context.Context, account AccountID) (Safety, error) {
	err := m.look(ctx, func(tx Tx) error {
		_, err := ofContact(tx, account)
		return err
	})
	if err != nil {
		return "", wrap(err, "look at a contact")
	}
	return SafetyNumber(m.self, account), nil
}

// SetTrust notes what people found out about a contact's key: TrustVerified lets messages go again, TrustMismatch holds them back,
// TrustNone forgets both.
func (m *Messenger) SetTrust(ctx context.Context, account AccountID, t Trust) (Contact, error) {
	switch t {
	case TrustNone, TrustVerified, TrustMismatch:
	default:
		return Contact{}, &Error{Code: CodeInvalid, Detail: fmt.Sprintf("%q: a contact is verified, a mismatch, or neither", CleanText(string(t)))}
	}
	return m.changeContact(ctx, account, func(row *ContactRow) { row.Trust = t })
}

// Block silences a contact: nothing of theirs is kept, answered or acknowledged, and nothing goes to them. They are not told.
func (m *Messenger) Block(ctx context.Context, account AccountID) (Contact, error) {
	return m.changeContact(ctx, account, func(row *ContactRow) { row.Blocked = true })
}

// changeContact changes one contact, and lets go what may be sent to them now.
func (m *Messenger) changeContact(ctx context.Context, account AccountID, change func(*ContactRow)) (contact Contact, err error) {
	err = m.update(ctx, func(tx Tx, after *aftermath) error {
		row, err := ofContact(tx, account)
		if err != nil {
			return err
		}
		old := row
		if change(&row); row.Trust != old.Trust || row.Blocked != old.Blocked || row.Receipts != old.Receipts {
			if err := m.putChanged(tx, after, row); err != nil {
				return err
			}
		}
		contact, err = m.contactView(tx, row)
		return err
	})
	return contact, wrap(err, "change a contact")
}

func (m *Messenger) putChanged(tx Tx, after *aftermath, row ContactRow) error {
	if err := tx.PutContact(row); err != nil {
		return err
	}
	devices, err := m.recipients(tx, row.Account)
	if err != nil {
		return err
	}
	for _, d := range devices {
		after.nudge = append(after.nudge, d.device)
	}
	return m.tell(tx, EventContactChanged, row.Account)
}

// mayWriteTo says why nothing is sent to an account, as a *Error; nil where it may be.
func mayWriteTo(tx Tx, account AccountID) error {
	row, _, err := tx.Contact(account)
	if err != nil {
		return err
	}
	name := shellWord(row.Name)
	switch {
	case row.Blocked:
		return &Error{Code: CodeRefused, Detail: name + " is blocked: nothing is sent", Try: "parley contact unblock " + name}
	case row.Trust == TrustMismatch:
		return &Error{
			Code:   CodeIdentity,
			Detail: fmt.Sprintf("your safety number with %s did not match: nothing is sent until it does", name),
			Try:    "parley contact verify " + name,
		}
	case row.Trust == TrustDoubted:
		return &Error{
			Code:   CodeIdentity,
			Detail: fmt.Sprintf("a device of %s, whom you have verified, speaks for another account now: nothing is sent until you decide", name),
			Try:    "parley contact verify " + name,
		}
	}
	return nil
}

// sendable returns, of a device's rows, what may go to it now: what is held back stays in the outbox and waits for people.
func sendable(tx Tx, rows []OutboxRow) ([]OutboxRow, error) {
	held := map[AccountID]bool{}
	for _, row := range rows {
		if _, known := held[row.Account]; known {
			continue
		}
		err := mayWriteTo(tx, row.Account)
		if err != nil && !isRefusal(err) {
			return nil, err
		}
		held[row.Account] = err != nil
	}
	return slices.DeleteFunc(rows, func(row OutboxRow) bool { return held[row.Account] }), nil
}

// claimed returns the contact, other than the author, for whom the sending device spoke until now, as its pinned record and theirs say.
// The device itself has proven that it speaks for the author now: it has changed hands.
func (m *Messenger) claimed(tx Tx, l letter) (ContactRow, bool, error) {
	owner, known, err := m.speaksFor(tx, l.device)
	if err != nil || !known || owner == l.account {
		return ContactRow{}, false, err
	}
	row, ok, err := tx.Contact(owner)
	if err != nil || !ok {
		return row, false, err
	}
	lists, err := m.lists(tx, owner, l.device)
	return row, lists, err
}

// lists reports whether an account's pinned record lists a device.
func (m *Messenger) lists(tx Tx, account AccountID, device peer.ID) (bool, error) {
	row, ok, err := tx.Record(accountRecordKey(account))
	if err != nil || !ok {
		return false, err
	}
	record, err := m.accounts.of(row.Value)
	return slices.Contains(listed(record), string(device)), err
}

// listed returns the devices of an account record that are not revoked.
func listed(record wire.AccountRecord) (devices []string) {
	for _, c := range record.Certificates {
		if !slices.Contains(record.Revoked, c.Device) {
			devices = append(devices, c.Device)
		}
	}
	return devices
}

// overtakes lets a contact's card take over a device that spoke for another account, whatever the numbers of its records, and says so
// where that is a contact's.
func (m *Messenger) overtakes(tx Tx, l letter, card card) error {
	owner, known, err := m.speaksFor(tx, l.device)
	if err != nil || !known || owner == l.account {
		return err
	}
	other, claims, err := m.claimed(tx, l)
	if err != nil {
		return err
	}
	row := RecordRow{Key: deviceRecordKey(l.device), Sequence: card.device.Sequence, Value: card.Device, At: m.now()}
	if err := tx.PutRecord(row); err != nil || !claims {
		return err
	}
	return m.doubt(tx, other)
}

// doubt says that a contact's device speaks for another account. What people have verified is in doubt until they decide.
func (m *Messenger) doubt(tx Tx, row ContactRow) error {
	m.log.Warn("a device has changed its account", zap.String("before", row.Account.Short()))
	if row.Trust == TrustVerified {
		row.Trust = TrustDoubted
		if err := tx.PutContact(row); err != nil {
			return err
		}
	}
	return m.tell(tx, EventKeyChanged, row.Account)
}

// decided ends a contact's doubt. Where the one who claimed their device was accepted, what people had verified is over.
func (m *Messenger) decided(tx Tx, after *aftermath, claimed AccountID, accepted bool) error {
	row, ok, err := tx.Contact(claimed)
	if err != nil || !ok || row.Trust != TrustDoubted {
		return err
	}
	if row.Trust = TrustVerified; accepted {
		row.Trust = TrustNone
	}
	return m.putChanged(tx, after, row)
}

// tellDevices tells people which devices a contact's newer account record adds and revokes: their safety number does not change with
// them. A first record is none to compare.
func (m *Messenger) tellDevices(tx Tx, older, newer []byte) error {
	now, err := m.accounts.of(newer)
	if err != nil {
		return nil // a device's record, which is not about devices
	}
	account := AccountID(now.Account)
	before, err := m.accounts.of(older)
	if err != nil {
		return nil
	}
	added, revoked := without(listed(now), listed(before)), without(listed(before), listed(now))
	if len(added)+len(revoked) == 0 {
		return nil
	}
	if _, known, err := tx.Contact(account); err != nil || !known {
		return err
	}
	for range added {
		if err := m.tell(tx, EventDeviceAdded, account); err != nil {
			return err
		}
	}
	for range revoked {
		if err := m.tell(tx, EventDeviceRevoked, account); err != nil {
			return err
		}
	}
	return nil
}

// without returns what is in one list and not in the other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}
