package chat

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// SessionID names a session with a device (SPEC.md, "Sessions").
type SessionID = seal.SessionID

// ChainID names a chain of a session.
type ChainID = seal.ChainID

// line is a session that a transaction has loaded. What it changes is kept once, at the transaction's end, however many packets it
// sealed or opened.
type line struct {
	row     SessionRow
	state   *seal.Session
	begun   bool // in this transaction
	changed bool
}

// lines are the sessions of one transaction.
type lines struct {
	byID    map[SessionID]*line
	devices map[peer.ID]bool // all of whose sessions are loaded
}

func (ls *lines) add(l *line) *line {
	if ls.byID == nil {
		ls.byID, ls.devices = map[SessionID]*line{}, map[peer.ID]bool{}
	}
	if known, ok := ls.byID[l.row.ID]; ok {
		return known
	}
	ls.byID[l.row.ID] = l
	return l
}

// line loads a session; nil when there is none.
func (ls *lines) line(tx sessionTx, id SessionID) (*line, error) {
	if l, ok := ls.byID[id]; ok {
		return l, nil
	}
	row, ok, err := tx.Session(id)
	if err != nil || !ok {
		return nil, err
	}
	return ls.load(row)
}

func (ls *lines) load(row SessionRow) (*line, error) {
	if l, ok := ls.byID[row.ID]; ok {
		return l, nil
	}
	state, err := seal.ParseSession(row.State)
	if err != nil {
		return nil, fmt.Errorf("session %x: %w", row.ID[:4], err)
	}
	return ls.add(&line{row: row, state: state}), nil
}

// with lists the sessions with a device, the one to send on first: that on which something last came in; of those on which nothing
// has, which are all ours, the newest.
func (ls *lines) with(tx sessionTx, device peer.ID) ([]*line, error) {
	if !ls.devices[device] {
		rows, err := tx.Sessions(device)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if _, err := ls.load(row); err != nil {
				return nil, err
			}
		}
		if ls.devices == nil {
			ls.byID, ls.devices = map[SessionID]*line{}, map[peer.ID]bool{}
		}
		ls.devices[device] = true
	}
	var found []*line
	for _, l := range ls.byID {
		if l.row.Device == device {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b *line) int {
		return cmp.Or(slices.Compare(b.row.Heard[:], a.row.Heard[:]), b.row.At.Compare(a.row.At), slices.Compare(a.row.ID[:], b.row.ID[:]))
	})
	return found, nil
}

// drop forgets a session.
func (ls *lines) drop(tx sessionTx, l *line) error {
	delete(ls.byID, l.row.ID)
	return tx.DeleteSession(l.row.ID)
}

// keep writes what has changed, and lets the sessions go that a device has too many of.
func (ls *lines) keep(tx sessionTx) error {
	crowded := map[peer.ID]bool{}
	for _, l := range ls.byID {
		if !l.changed {
			continue
		}
		l.changed = false
		l.row.State = l.state.Marshal()
		if err := tx.PutSession(l.row); err != nil {
			return err
		}
		if l.begun {
			l.begun, crowded[l.row.Device] = false, true
		}
	}
	for device := range crowded {
		if err := ls.trim(tx, device); err != nil {
			return err
		}
	}
	return nil
}

// trim lets the sessions with a device go on which nothing came in for longest. The newest stays, whatever came in.
func (ls *lines) trim(tx sessionTx, device peer.ID) error {
	all, err := ls.with(tx, device)
	if err != nil || len(all) <= MaxSessions {
		return err
	}
	newest := slices.MaxFunc(all, func(a, b *line) int { return a.row.At.Compare(b.row.At) })
	for _, l := range slices.Backward(all[1:]) {
		if l == newest {
			continue
		}
		if err := ls.drop(tx, l); err != nil {
			return err
		}
		if all = all[:len(all)-1]; len(all) <= MaxSessions {
			return nil
		}
	}
	return nil
}

// lineTo returns the session to send on, and begins one where there is none with that account on that device: with a one-time pair,
// where the device gave us one.
func (m *Messenger) lineTo(tx Tx, after *aftermath, to recipient) (*line, error) {
	all, err := after.lines.with(tx, to.device)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.row.Account == to.account {
			return l, nil
		}
	}
	bundle := to.bundle()
	given, ok, err := tx.Secret(SecretBundle, []byte(to.device))
	if err != nil {
		return nil, err
	}
	if ok {
		pair, err := wire.ParseOneTime(given.Value)
		if err != nil || pair.Device != string(to.device) {
			return nil, fmt.Errorf("one-time keys of %s: not its own: %w", to.device, err)
		}
		bundle.OneTime, bundle.KEM = pair.Exchange, pair.KEM
		if err := tx.DeleteSecret(SecretBundle, []byte(to.device)); err != nil {
			return nil, err
		}
	}
	return m.begin(after, to, bundle)
}

// bundle is what a device's record offers to whoever begins a session with it.
func (r recipient) bundle() seal.Bundle {
	return seal.Bundle{Signed: r.record.Prekey(wire.PurposeSigned), KEM: r.record.Prekey(wire.PurposeLastKEM)}
}

// begin begins a session with the keys of a bundle.
func (m *Messenger) begin(after *aftermath, to recipient, bundle seal.Bundle) (*line, error) {
	state, err := seal.Initiate(m.party(), m.identity.exchange, m.identity.certificate, to.party(), bundle)
	if err != nil {
		return nil, fmt.Errorf("begin a session with a device of %s: %w", to.account.Short(), err)
	}
	return after.lines.add(&line{
		row:   SessionRow{ID: state.ID(), Device: to.device, Account: to.account, At: m.now()},
		state: state, begun: true, changed: true,
	}), nil
}

// party is this device as its sessions see it.
func (m *Messenger) party() seal.Party {
	return seal.Party{Account: m.self[:], Device: string(m.device), Exchange: m.identity.exchange.Public()}
}

func (r recipient) party() seal.Party {
	return seal.Party{Account: r.account[:], Device: string(r.device), Exchange: r.exchange}
}

// enclose seals a body for a device on a session, and puts it into the outbox under the row, whose place, message and content the
// caller has filled in.
func (m *Messenger) enclose(tx Tx, after *aftermath, l *line, body wire.Body, row OutboxRow) error {
	if l.state.Starts() {
		held, _, err := tx.Record(accountRecordKey(l.row.Account))
		if err != nil {
			return err
		}
		grant, err := m.grant(tx, l.row.Account)
		if err != nil {
			return err
		}
		body.Marks = &wire.Marks{Account: m.identity.sequence(), Device: m.keys.on().shown, Held: held.Sequence, Grant: grant}
	}
	packet, tag, chain, err := l.state.Seal(body.Append(nil))
	if err != nil {
		return fmt.Errorf("seal to a device of %s: %w", l.row.Account.Short(), err)
	}
	if len(packet) > MaxEnvelope {
		return fmt.Errorf("seal to a device of %s: envelope of %d bytes", l.row.Account.Short(), len(packet))
	}
	l.changed = true
	after.nudge = append(after.nudge, l.row.Device)
	row.Device, row.Account = l.row.Device, l.row.Account
	row.Body = body.Type
	row.Session, row.Chain, row.ID, row.Tag, row.Envelope = l.row.ID, chain, EnvelopeIDOf(packet), AckTag(tag), packet
	return tx.InsertOutbox(row)
}

// post seals a content to one device and puts it into the outbox, in its place in the order of composing. message is the row that the
// device's acknowledgement is reported to; zero for none, and then the outbox keeps the content.
func (m *Messenger) post(tx Tx, after *aftermath, to recipient, message RowID, row MessageRow) error {
	l, err := m.lineTo(tx, after, to)
	if err != nil {
		return err
	}
	out := OutboxRow{Row: row.Row, Message: message}
	if message.IsZero() {
		out.Content = row.Content
	}
	return m.enclose(tx, after, l, wire.Body{Type: wire.BodyContent, Content: row.Content}, out)
}

// oweStep sends a step to the other side of a session that waits for one, but not one after another: until the other side's new chain is
// acknowledged, each of its packets carries the chain's keys, which are many times as long as a text.
func (m *Messenger) oweStep(tx Tx, after *aftermath, l *line) error {
	if !l.state.Owes() || !m.steps.due(l.row.ID, m.now()) {
		return nil
	}
	after.stepped = append(after.stepped, l.row.ID)
	return m.enclose(tx, after, l, wire.Body{Type: wire.BodyStep}, OutboxRow{Row: m.clock.nextRow()})
}

// steps are the sessions on which steps were sent in the last StepPause.
type steps struct {
	mu   sync.Mutex
	sent map[SessionID]time.Time
}

// due reports whether the last step on a session is long enough ago.
func (s *steps) due(id SessionID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sent, func(_ SessionID, at time.Time) bool { return now.Sub(at) >= StepPause || now.Before(at) })
	_, recent := s.sent[id]
	return !recent
}

// note notes steps that were sent now.
func (s *steps) note(ids []SessionID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.sent == nil {
			s.sent = map[SessionID]time.Time{}
		}
		s.sent[id] = now
	}
}
