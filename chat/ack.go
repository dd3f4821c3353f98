package chat

import (
	"crypto/subtle"
	"slices"

	"go.uber.org/zap"

	"parley/chat/internal/wire"
)

// What a mailbox brought is acknowledged to the device that sealed it, in a packet that belongs to no chain: envelope ids, and the tags
// that only who opened the envelopes can show. It goes into the outbox like any other, ahead of what waits there, and nobody acknowledges
// it: where it is lost, the envelope comes again and is acknowledged again.

// bodyAcks is the OutboxRow.Body of such a packet.
const bodyAcks = 0

// owe notes that an envelope is to be acknowledged on a session's other side.
func (a *aftermath) owe(session SessionID, id EnvelopeID, tag AckTag) {
	if a.owed == nil {
		a.owed = map[SessionID][]wire.Ack{}
	}
	a.owed[session] = append(a.owed[session], wire.Ack{Envelope: id, Tag: tag})
}

// payAcks queues what a transaction owes: to contacts alone, for nobody else shall learn that we are there.
func (m *Messenger) payAcks(tx Tx, after *aftermath) error {
	owed := after.owed
	after.owed = nil
	for session, acks := range owed {
		l, err := after.lines.line(tx, session)
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		contact, known, err := tx.Contact(l.row.Account)
		if err != nil {
			return err
		}
		if !known || contact.Blocked {
			continue
		}
		for page := range slices.Chunk(acks, wire.MaxAcks) {
			if err := m.queueAcks(tx, after, l, page); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Messenger) queueAcks(tx Tx, after *aftermath, l *line, acks []wire.Ack) error {
	packet := wire.Acks{Session: l.row.ID, List: acks}.Append(nil)
	row := OutboxRow{
		Row: firstRowID(), Device: l.row.Device, Account: l.row.Account, ID: EnvelopeIDOf(packet), Body: bodyAcks, Envelope: packet,
	}
	mustRandom(row.Tag[:]) // nobody will show it
	after.nudge = append(after.nudge, l.row.Device)
	return tx.InsertOutbox(row)
}

// parseAcks takes the acknowledgements out of what came in.
func (m *Messenger) parseAcks(envelopes [][]byte) (all []wire.Acks) {
	for _, e := range envelopes {
		if !wire.IsAcks(e) {
			continue
		}
		acks, err := wire.ParseAcks(e)
		if err != nil {
			m.log.Debug("dropped acknowledgements", zap.Error(err))
			continue
		}
		all = append(all, acks)
	}
	return all
}

// takeAcks settles the rows that another device proves to have opened. A tag that is not the row's changes nothing, whoever sends it.
func (m *Messenger) takeAcks(tx Tx, after *aftermath, acks wire.Acks) error {
	l, err := after.lines.line(tx, acks.Session)
	if err != nil || l == nil {
		return err
	}
	shown := make(map[EnvelopeID]AckTag, len(acks.List))
	for _, ack := range acks.List {
		shown[ack.Envelope] = ack.Tag
	}
	var last RowID
	for len(shown) > 0 {
		rows, err := tx.OutboxOf(l.row.Device, last, FlightSize)
		if err != nil || len(rows) == 0 {
			return err
		}
		last = rows[len(rows)-1].Row
		var proven []OutboxRow
		var handed []Handed
		for _, row := range rows {
			if row.Body == bodyAcks {
				continue
			}
			now, before := row.proven(shown)
			if !now {
				row.Session = SessionID{} // it is another session that the other side has
			}
			if now || before {
				proven, handed = append(proven, row), append(handed, Handed{Route: RouteMailbox, Acked: true})
			}
		}
		if _, err := m.settle(tx, after, l.row.Device, proven, handed); err != nil {
			return err
		}
	}
	return nil
}

// proven reports whether a row's packet, or one that carried the same before, is among what was shown, and takes it out.
func (o OutboxRow) proven(shown map[EnvelopeID]AckTag) (now, before bool) {
	now = Ack{o.ID, o.Tag}.in(shown)
	for _, former := range o.Former {
		before = former.in(shown) || before
	}
	return now, before
}

// in reports whether an acknowledgement is among those that were shown, and takes it out.
func (a Ack) in(shown map[EnvelopeID]AckTag) bool {
	tag, ok := shown[a.ID]
	if !ok || subtle.ConstantTimeCompare(tag[:], a.Tag[:]) != 1 {
		return false
	}
	delete(shown, a.ID)
	return true
}
