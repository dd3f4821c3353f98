package chat

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// What does not open is healed by a new session: whoever could not open something begins one, to the device that the certificate
// names, and says so in it; the other side moves what was never acknowledged to it. Nothing is ever asked for again by name: that
// would tell whoever asks what a device holds.

// unopened is called for a packet that did not open. from is the device that handed it over: of the two, only a session's own device is
// proven, and a connection's. Strangers get nothing.
func (m *Messenger) unopened(tx Tx, after *aftermath, from peer.ID, l *line, cause error) error {
	m.log.Debug("a packet did not open", zap.Stringer("from", from), zap.Error(cause))
	device := from
	var account AccountID
	if l != nil {
		device, account = l.row.Device, l.row.Account
	} else {
		var known bool
		var err error
		if account, known, err = m.speaksFor(tx, device); err != nil || !known {
			return err
		}
	}
	if contact, known, err := tx.Contact(account); err != nil || !known || contact.Blocked {
		return err
	}
	to, ok, err := m.recipientOn(tx, account, device)
	if err != nil || !ok {
		return err
	}
	return m.heal(tx, after, to)
}

// heal begins a new session with a device and says in it that something did not open, at most so often.
func (m *Messenger) heal(tx Tx, after *aftermath, to recipient) error {
	all, err := after.lines.with(tx, to.device)
	if err != nil {
		return err
	}
	now, today := m.now(), 0
	for _, l := range all {
		age := now.Sub(l.row.At)
		if !l.row.Heals || age < 0 || age > 24*time.Hour {
			continue
		}
		if today++; age < HealEvery || today >= HealsADay {
			return nil
		}
	}
	l, err := m.begin(after, to, to.bundle())
	if err != nil {
		return err
	}
	l.row.Heals = true
	return m.enclose(tx, after, l, wire.Body{Type: wire.BodyHeal}, OutboxRow{Row: m.clock.nextRow()})
}

// reseal moves everything that a device has not acknowledged to another session with the same account on the same device, content
// unchanged: what was on its way in an older session counts as well as before, if it still arrives. A heal of ours moves too: it is not
// only for its session that it says that something did not open.
func (m *Messenger) reseal(tx Tx, after *aftermath, l *line) error {
	rows, err := tx.OutboxOf(l.row.Device, RowID{}, MaxReseal)
	if err != nil {
		return err
	}
	return m.resealRows(tx, after, l, rows)
}

// resealRows is reseal for some rows of the device.
func (m *Messenger) resealRows(tx Tx, after *aftermath, l *line, rows []OutboxRow) error {
	for _, row := range rows {
		if row.Session == l.row.ID || row.Account != l.row.Account || row.Body == bodyAcks {
			continue
		}
		body, err := contentOf(tx, row)
		if err != nil {
			return err
		}
		if err := tx.DeleteOutbox(row.Device, []RowID{row.Row}); err != nil {
			return err
		}
		if body.Type == wire.BodyStep {
			continue // for a chain that is over
		}
		after.anew = append(after.anew, row.Device)
		former := append([]Ack{{row.ID, row.Tag}}, row.Former...)
		again := OutboxRow{Row: row.Row, Message: row.Message, Content: row.Content, Former: former[:min(len(former), MaxFormer)]}
		if err := m.enclose(tx, after, l, body, again); err != nil {
			return err
		}
	}
	return nil
}

// contentOf returns what a row carries, to be sealed again.
func contentOf(tx Tx, row OutboxRow) (wire.Body, error) {
	if len(row.Content) > 0 {
		return wire.Body{Type: wire.BodyContent, Content: row.Content}, nil
	}
	if !row.Message.IsZero() {
		message, ok, err := messageAt(tx, row.Message)
		if ok || err != nil {
			return wire.Body{Type: wire.BodyContent, Content: message.Content}, err
		}
	}
	return wire.Body{Type: row.Body}, nil
}

// renew begins new sessions in the place of those that a device of an account has never answered, where these were begun with keys
// that its record does not show any more, or with one-time keys that it may have lost. The old ones stay: what is on its way in them may
// still be answered.
func (m *Messenger) renew(tx Tx, after *aftermath, account AccountID) error {
	devices, err := m.recipients(tx, account)
	if err != nil {
		return err
	}
	for _, to := range devices {
		if err := m.renewWith(tx, after, to); err != nil {
			return err
		}
	}
	return nil
}

func (m *Messenger) renewWith(tx Tx, after *aftermath, to recipient) error {
	all, err := after.lines.with(tx, to.device)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.row.Account != to.account || !stale(l.state, to.record) {
			continue
		}
		rows, err := tx.OutboxOf(to.device, RowID{}, MaxReseal)
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(row OutboxRow) bool { return row.Session != l.row.ID })
		if len(rows) == 0 {
			continue
		}
		fresh, err := m.begin(after, to, to.bundle())
		if err != nil {
			return err
		}
		if err := m.resealRows(tx, after, fresh, rows); err != nil {
			return err
		}
	}
	return nil
}

// stale reports whether a session waits for an answer that may never come.
func stale(s *seal.Session, record wire.DeviceRecord) bool {
	f, waits := s.Awaits()
	return waits && (f.UsesOneTime() || f.Signed != wire.ID8(record.Prekey(wire.PurposeSigned)))
}

// resumeRestored begins anew where the store was found to have gone back in time. Only then the note says that the store is the one: a
// start that ends before begins anew again.
func (m *Messenger) resumeRestored(ctx context.Context) error {
	if !m.restored || m.identity == nil {
		return m.instance.save()
	}
	if err := m.rotate(ctx, onDemand); err != nil {
		return wrap(err, "begin anew after a restore")
	}
	if err := m.update(ctx, m.startAnew); err != nil {
		return wrap(err, "begin anew after a restore")
	}
	return m.instance.save()
}

// startAnew gives up every session, after the store went back in time: a state that was used before must not be used again. What is in
// the outbox moves to new sessions, and every contact's devices hear from us in one.
func (m *Messenger) startAnew(tx Tx, after *aftermath) error {
	if err := forgetUsable(tx); err != nil {
		return err
	}
	if err := m.dropHeld(tx, after); err != nil {
		return err
	}
	return m.eachDevice(tx, func(to recipient) error { return m.startAnewWith(tx, after, to) })
}

// eachDevice does something for every device of every contact that can be written to.
func (m *Messenger) eachDevice(tx Tx, do func(recipient) error) error {
	contacts, err := tx.Contacts()
	if err != nil {
		return err
	}
	for _, c := range contacts {
		devices, err := m.recipients(tx, c.Account)
		if err != nil {
			return err
		}
		for _, to := range devices {
			if err := do(to); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetUsable forgets keys for one use, of which nobody knows now whether they were used.
func forgetUsable(tx Tx) error {
	for _, kind := range []SecretKind{SecretOneTime, SecretBundle} {
		for {
			rows, err := tx.Secrets(kind, OneTimePairs)
			if err != nil {
				return err
			}
			for _, row := range rows {
				if err := tx.DeleteSecret(kind, row.Key); err != nil {
					return err
				}
			}
			if len(rows) < OneTimePairs {
				break
			}
		}
	}
	return nil
}

// dropHeld gives up the sessions with strangers who wait for an answer. What they wrote stays.
func (m *Messenger) dropHeld(tx Tx, after *aftermath) error {
	requests, err := tx.Requests()
	if err != nil {
		return err
	}
	for _, r := range requests {
		letters, err := tx.HeldOf(r.Account)
		if err != nil {
			return err
		}
		for _, h := range letters {
			if err := dropSessions(tx, after, h.Device, r.Account); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropSessions ends the sessions with an account on one device.
func dropSessions(tx Tx, after *aftermath, device peer.ID, account AccountID) error {
	all, err := after.lines.with(tx, device)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.row.Account != account {
			continue
		}
		if err := after.lines.drop(tx, l); err != nil {
			return err
		}
	}
	return nil
}

func (m *Messenger) startAnewWith(tx Tx, after *aftermath, to recipient) error {
	if err := dropSessions(tx, after, to.device, to.account); err != nil {
		return err
	}
	l, err := m.begin(after, to, to.bundle())
	if err != nil {
		return err
	}
	if err := m.reseal(tx, after, l); err != nil {
		return err
	}
	return m.enclose(tx, after, l, wire.Body{Type: wire.BodyHeal}, OutboxRow{Row: m.clock.nextRow()})
}

// heedMarks acts on the marks at the beginning of a chain: it fetches records that are newer than ours, and sends ours where they hold
// older ones.
func (m *Messenger) heedMarks(tx Tx, after *aftermath, l *line, marks *wire.Marks) error {
	if marks == nil {
		return nil
	}
	if err := keepGrant(tx, l.row.Device, marks.Grant); err != nil {
		return err
	}
	if contact, known, err := tx.Contact(l.row.Account); err != nil || !known || contact.Blocked {
		return err // strangers get nothing, not even a look
	}
	account, _, err := tx.Record(accountRecordKey(l.row.Account))
	if err != nil {
		return err
	}
	device, _, err := tx.Record(deviceRecordKey(l.row.Device))
	if err != nil {
		return err
	}
	if account.Sequence < marks.Account || device.Sequence < marks.Device {
		after.refresh = append(after.refresh, l.row.Account)
	}
	if marks.Held > 0 && marks.Held < m.identity.sequence() {
		return m.sendCard(tx, after, l.row.Account, Token{})
	}
	return nil
}

// enforce lets nothing be left of what we share with a device that its account has revoked: no session, and nothing on its way to it.
func (m *Messenger) enforce(tx Tx, after *aftermath, account AccountID) error {
	row, ok, err := tx.Record(accountRecordKey(account))
	if err != nil || !ok {
		return err
	}
	record, err := m.accounts.of(row.Value)
	if err != nil {
		return fmt.Errorf("pinned record of %s: %w", account.Short(), err)
	}
	for _, id := range record.Revoked {
		if err := m.cutOff(tx, after, account, peer.ID(id)); err != nil {
			return err
		}
	}
	return nil
}

// cutOff ends all sessions of an account's device that was revoked, and takes everything out of its queue. Messages go to the account's
// other devices, which may have them already; where there is none they fail.
func (m *Messenger) cutOff(tx Tx, after *aftermath, account AccountID, device peer.ID) error {
	if err := dropSessions(tx, after, device, account); err != nil {
		return err
	}
	messages, err := tx.Unaddressed(account, device, MaxReseal)
	if err != nil {
		return err
	}
	for _, message := range messages {
		if err := tx.DeleteUnaddressed(WaitingRow{Account: account, Device: device, Message: message}); err != nil {
			return err
		}
	}
	rows, err := tx.OutboxOf(device, RowID{}, MaxReseal)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Account != account {
			continue
		}
		if err := tx.DeleteOutbox(device, []RowID{row.Row}); err != nil {
			return err
		}
		if !row.Message.IsZero() {
			messages = append(messages, row.Message)
		}
	}
	return m.readdress(tx, after, account, messages)
}

// readdress lets messages wait for all devices of an account that there are.
func (m *Messenger) readdress(tx Tx, after *aftermath, account AccountID, messages []RowID) error {
	found, devices, err := m.devicesOf(tx, account)
	if err != nil {
		return err
	}
	for _, r := range found {
		devices = append(devices, r.device)
	}
	for _, message := range messages {
		if len(devices) > 0 {
			err = await(tx, after, account, devices, message)
		} else {
			err = m.advance(tx, report{message, Way{State: StateFailed, Reason: "the recipient's device was removed"}})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// part ends what was begun with a stranger who is turned away: their letters go, and the sessions that these came in, so that a later
// try begins anew.
func (m *Messenger) part(tx Tx, after *aftermath, account AccountID) error {
	letters, err := tx.HeldOf(account)
	if err != nil {
		return err
	}
	gone := map[SessionID]bool{}
	for _, h := range letters {
		all, err := after.lines.with(tx, h.Device)
		if err != nil {
			return err
		}
		for _, l := range all {
			if l.row.Account != account {
				continue
			}
			gone[l.row.ID] = true
			if err := after.lines.drop(tx, l); err != nil {
				return err
			}
		}
	}
	if err := forgetHandshakes(tx, func(id SessionID, _ uint32) bool { return gone[id] }); err != nil {
		return err
	}
	return tx.DeleteHeldOf(account)
}

// endSessions ends every session with an account's devices.
func (m *Messenger) endSessions(tx Tx, after *aftermath, account AccountID) error {
	devices, err := m.recipients(tx, account)
	if err != nil {
		return err
	}
	for _, to := range devices {
		if err := dropSessions(tx, after, to.device, account); err != nil {
			return err
		}
	}
	return nil
}
