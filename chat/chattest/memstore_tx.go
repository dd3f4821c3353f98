package chattest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Keys that are made of two parts. A device's id is followed by a byte that is in no prefix of another id, so that no device's
// rows lie among another's.

func clientKey(c chat.ConversationID, id string) string { return string(c[:]) + id }

func outboxKey(device peer.ID, row chat.RowID) string { return devicePrefix(device) + string(row[:]) }

func waitKey(w chat.WaitingRow) string {
	return string(w.Account[:]) + devicePrefix(w.Device) + string(w.Message[:])
}

func devicePrefix(device peer.ID) string { return string(byte(len(device))) + string(device) }
func eventKey(seq uint64) string         { return string(binary.BigEndian.AppendUint64(nil, seq)) }

// MessageByClientID implements chat.Tx.
func (t *memTx) MessageByClientID(c chat.ConversationID, id string) (chat.MessageRow, bool, error) {
	row, ok := t.rows.clientIDs.get(clientKey(c, id))
	if !ok || t.err != nil {
		return chat.MessageRow{}, false, t.err
	}
	return t.messageAt(row)
}

// InsertMessage implements chat.Tx.
func (t *memTx) InsertMessage(m chat.MessageRow) error {
	if !known(m.State) {
		return t.fail(fmt.Errorf("insert message: no such state: %q", m.State))
	}
	if err := insert(t, &t.rows.messages, "message", string(m.Row[:]), keptMessage(m)); err != nil {
		return err
	}
	if err := insert(t, &t.rows.messageIDs, "message id", string(m.ID[:]), m.Row); err != nil {
		return err
	}
	if m.ClientID == "" {
		return nil
	}
	return insert(t, &t.rows.clientIDs, "client id", clientKey(m.Conversation, m.ClientID), m.Row)
}

// Conversation implements chat.Tx.
func (t *memTx) Conversation(id chat.ConversationID) (chat.ConversationRow, bool, error) {
	c, ok := t.rows.conversations.get(string(id[:]))
	return keptConversation(c), ok, t.err
}

// PutConversation implements chat.Tx.
func (t *memTx) PutConversation(c chat.ConversationRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.conversations, string(c.ID[:]), keptConversation(c))
	return nil
}

// InsertOutbox implements chat.Tx.
func (t *memTx) InsertOutbox(o chat.OutboxRow) error {
	if o.Device == "" {
		return t.fail(errors.New("insert outbox row: no device"))
	}
	return insert(t, &t.rows.outbox, "outbox row", outboxKey(o.Device, o.Row), keptOutbox(o))
}

// AppendEvent implements chat.Tx.
func (t *memTx) AppendEvent(e chat.Event) (uint64, error) {
	e.Seq = t.lastEvent() + 1
	return e.Seq, insert(t, &t.rows.events, "event", eventKey(e.Seq), keptEvent(e))
}

// OutboxDevices implements chat.Tx.
func (t *memTx) OutboxDevices() ([]peer.ID, error) {
	var devices []peer.ID
	for _, o := range t.rows.outbox.all() {
		devices = append(devices, o.Device)
	}
	return slices.Compact(devices), t.err
}

// OutboxOf implements chat.Tx.
func (t *memTx) OutboxOf(device peer.ID, after chat.RowID, limit int) ([]chat.OutboxRow, error) {
	var rows []chat.OutboxRow
	for _, o := range t.rows.outbox.from(outboxKey(device, after)) {
		if o.Device != device || len(rows) >= limit {
			break
		}
		if o.Row != after {
			rows = append(rows, keptOutbox(o))
		}
	}
	return rows, t.err
}

// SetOutboxHolders implements chat.Tx.
func (t *memTx) SetOutboxHolders(o chat.OutboxRow) error {
	if t.err != nil {
		return t.err
	}
	key := outboxKey(o.Device, o.Row)
	if row, ok := t.rows.outbox.get(key); ok {
		row.HoldersCell = bytes.Clone(o.HoldersCell)
		put(t, &t.rows.outbox, key, row)
	}
	return nil
}

// DeleteOutbox implements chat.Tx.
func (t *memTx) DeleteOutbox(device peer.ID, rows []chat.RowID) error {
	if err := t.write(); err != nil {
		return err
	}
	for _, row := range rows {
		drop(t, &t.rows.outbox, outboxKey(device, row))
	}
	return nil
}

// AddUnaddressed implements chat.Tx.
func (t *memTx) AddUnaddressed(w chat.WaitingRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.unaddressed, waitKey(w), w)
	return nil
}

// WaitingAccounts implements chat.Tx.
func (t *memTx) WaitingAccounts() ([]chat.WaitingRow, error) {
	var waiting []chat.WaitingRow
	for _, w := range t.rows.unaddressed.all() {
		if n := len(waiting); n == 0 || waiting[n-1].Account != w.Account {
			waiting = append(waiting, chat.WaitingRow{Account: w.Account, Message: w.Message})
		}
	}
	return waiting, t.err
}

// Waits implements chat.Tx.
func (t *memTx) Waits(account chat.AccountID) (bool, error) {
	from := t.rows.unaddressed.from(string(account[:]))
	return len(from) > 0 && from[0].Account == account, t.err
}

// Unaddressed implements chat.Tx.
func (t *memTx) Unaddressed(account chat.AccountID, device peer.ID, limit int) ([]chat.RowID, error) {
	var rows []chat.RowID
	for _, w := range t.rows.unaddressed.from(waitKey(chat.WaitingRow{Account: account, Device: device})) {
		if w.Account != account || w.Device != device || len(rows) >= limit {
			break
		}
		rows = append(rows, w.Message)
	}
	return rows, t.err
}

// DeleteUnaddressed implements chat.Tx.
func (t *memTx) DeleteUnaddressed(w chat.WaitingRow) error {
	if err := t.write(); err != nil {
		return err
	}
	drop(t, &t.rows.unaddressed, waitKey(w))
	return nil
}

// Seen implements chat.Tx.
func (t *memTx) Seen(ids ...chat.EnvelopeID) (rows []chat.SeenRow, err error) {
	for _, id := range ids {
		if row, ok := t.rows.seen.get(string(id[:])); ok {
			rows = append(rows, keptSeen(row))
		}
	}
	return rows, t.err
}

// InsertSeen implements chat.Tx.
func (t *memTx) InsertSeen(row chat.SeenRow) error {
	return insert(t, &t.rows.seen, "seen envelope", string(row.ID[:]), keptSeen(row))
}

// MessagesAt implements chat.Tx.
func (t *memTx) MessagesAt(ids ...chat.RowID) (rows []chat.MessageRow, err error) {
	for _, id := range ids {
		if m, ok := t.rows.messages.get(string(id[:])); ok {
			rows = append(rows, keptMessage(m))
		}
	}
	return rows, t.err
}

func (t *memTx) messageAt(id chat.RowID) (chat.MessageRow, bool, error) {
	m, ok := t.rows.messages.get(string(id[:]))
	return keptMessage(m), ok, t.err
}

// MessageByID implements chat.Tx.
func (t *memTx) MessageByID(id chat.MessageID) (chat.MessageRow, bool, error) {
	row, ok := t.rows.messageIDs.get(string(id[:]))
	if !ok || t.err != nil {
		return chat.MessageRow{}, false, t.err
	}
	return t.messageAt(row)
}

// SetMessageState implements chat.Tx.
func (t *memTx) SetMessageState(c chat.MessageRow) error {
	if err := t.write(); err != nil {
		return err
	}
	m, ok := t.rows.messages.get(string(c.Row[:]))
	if !ok {
		return t.fail(fmt.Errorf("set state of message %x: %w", c.Row, errNotThere))
	}
	if !known(c.State) {
		return t.fail(fmt.Errorf("set state of message: no such state: %q", c.State))
	}
	m.State, m.Trace = c.State, c.Trace
	put(t, &t.rows.messages, string(c.Row[:]), m)
	return nil
}

// Contacts implements chat.Tx.
func (t *memTx) Contacts() ([]chat.ContactRow, error) {
	contacts := slices.Clone(t.rows.contacts.all())
	for i, c := range contacts {
		contacts[i] = keptContact(c)
	}
	return contacts, t.err
}

// Contact implements chat.Tx.
func (t *memTx) Contact(account chat.AccountID) (chat.ContactRow, bool, error) {
	c, ok := t.rows.contacts.get(string(account[:]))
	return keptContact(c), ok, t.err
}

// PutContact implements chat.Tx.
func (t *memTx) PutContact(c chat.ContactRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.contacts, string(c.Account[:]), keptContact(c))
	return nil
}

// Record implements chat.Tx.
func (t *memTx) Record(key string) (chat.RecordRow, bool, error) {
	r, ok := t.rows.records.get(key)
	return keptRecord(r), ok, t.err
}

// PutRecord implements chat.Tx.
func (t *memTx) PutRecord(r chat.RecordRow) error {
	if err := t.write(); err != nil {
		return err
	}
	put(t, &t.rows.records, r.Key, keptRecord(r))
	return nil
}

// Messages implements chat.Tx.
func (t *memTx) Messages(c chat.ConversationID, kind chat.Kind, before chat.RowID, limit int) ([]chat.MessageRow, error) {
	older := t.rows.messages.all()
	if !before.IsZero() {
		older = t.rows.messages.upTo(string(before[:]))
	}
	var page []chat.MessageRow
	for _, m := range slices.Backward(older) {
		if len(page) >= limit {
			break
		}
		if m.Conversation == c && m.Kind == kind {
			page = append(page, keptMessage(m))
		}
	}
	return page, t.err
}

// Unread implements chat.Tx.
func (t *memTx) Unread(c *chat.ConversationID, limit int) ([]chat.MessageRow, error) {
	var unread []chat.MessageRow
	for _, m := range t.rows.messages.all() {
		if len(unread) >= limit {
			break
		}
		if m.Kind == chat.KindText && m.State == chat.StateReceived && (c == nil || m.Conversation == *c) {
			unread = append(unread, keptMessage(m))
		}
	}
	return unread, t.err
}

// Events implements chat.Tx.
func (t *memTx) Events(after uint64, limit int) ([]chat.Event, error) {
	var events []chat.Event
	for _, e := range t.rows.events.from(eventKey(after)) {
		if len(events) >= limit {
			break
		}
		if e.Seq > after {
			events = append(events, keptEvent(e))
		}
	}
	return events, t.err
}

// LastMessage implements chat.Tx.
func (t *memTx) LastMessage() (chat.MessageRow, bool, error) {
	all := t.rows.messages.all()
	if len(all) == 0 {
		return chat.MessageRow{}, false, t.err
	}
	return keptMessage(all[len(all)-1]), true, t.err
}

// LastEvent implements chat.Tx.
func (t *memTx) LastEvent() (uint64, error) { return t.lastEvent(), t.err }

// DeleteConversation implements chat.Tx.
func (t *memTx) DeleteConversation(c chat.ConversationID, a chat.AccountID, at time.Time) error {
	if err := t.write(); err != nil {
		return err
	}
	for _, m := range slices.Clone(t.rows.messages.all()) {
		if m.Conversation != c {
			continue
		}
		put(t, &t.rows.tombstones, string(m.ID[:]), micros(at))
		drop(t, &t.rows.messages, string(m.Row[:]))
		drop(t, &t.rows.messageIDs, string(m.ID[:]))
		drop(t, &t.rows.clientIDs, clientKey(c, m.ClientID))
	}
	for _, e := range slices.Clone(t.rows.events.all()) {
		if e.Conversation == c {
			put(t, &t.rows.events, eventKey(e.Seq), chat.Event{Seq: e.Seq, Type: e.Type, At: e.At, State: e.State})
		}
	}
	for _, o := range slices.Clone(t.rows.outbox.all()) {
		if o.Account == a {
			drop(t, &t.rows.outbox, outboxKey(o.Device, o.Row))
		}
	}
	for _, w := range slices.Clone(t.rows.unaddressed.all()) {
		if w.Account == a {
			drop(t, &t.rows.unaddressed, waitKey(w))
		}
	}
	drop(t, &t.rows.conversations, string(c[:]))
	drop(t, &t.rows.contacts, string(a[:]))
	return nil
}

// Forgotten implements chat.Tx.
func (t *memTx) Forgotten(id chat.MessageID) (bool, error) {
	_, ok := t.rows.tombstones.get(string(id[:]))
	return ok, t.err
}

// Stats implements chat.Tx.
func (t *memTx) Stats() (chat.Stats, error) {
	stats := chat.Stats{LastEvent: t.lastEvent(), Contacts: len(t.rows.contacts.all())}
	for _, m := range t.rows.messages.all() {
		if m.Kind != chat.KindText || m.State != chat.StateQueued {
			continue
		}
		if stats.Queued++; stats.Queued == 1 || m.At.Before(stats.Oldest) {
			stats.Oldest = m.At
		}
	}
	return stats, t.err
}

func (t *memTx) lastEvent() uint64 {
	if all := t.rows.events.all(); len(all) > 0 {
		return all[len(all)-1].Seq
	}
	return 0
}

// Of each row a store keeps its columns and the cell; rows are copied on their way in and out, because slices belong to whoever holds
// them, and times keep what a database would keep.

func keptMessage(m chat.MessageRow) chat.MessageRow {
	return chat.MessageRow{
		Row: m.Row, ID: m.ID, Conversation: m.Conversation, Kind: m.Kind, State: m.State, Trace: m.Trace, ClientID: m.ClientID,
		At: micros(m.At), Event: m.Event, Cell: bytes.Clone(m.Cell),
	}
}

func keptConversation(c chat.ConversationRow) chat.ConversationRow {
	return chat.ConversationRow{ID: c.ID, At: micros(c.At), Cell: bytes.Clone(c.Cell)}
}

func keptOutbox(o chat.OutboxRow) chat.OutboxRow {
	return chat.OutboxRow{
		Row: o.Row, Device: o.Device, Account: o.Account, Message: o.Message, ID: o.ID, Cell: bytes.Clone(o.Cell),
		HoldersCell: bytes.Clone(o.HoldersCell),
	}
}

func keptSeen(s chat.SeenRow) chat.SeenRow {
	return chat.SeenRow{ID: s.ID, At: micros(s.At), Cell: bytes.Clone(s.Cell)}
}

func keptEvent(e chat.Event) chat.Event {
	return chat.Event{
		Seq: e.Seq, Type: e.Type, At: micros(e.At), Conversation: e.Conversation, State: e.State, Cell: bytes.Clone(e.Cell),
	}
}

func keptContact(c chat.ContactRow) chat.ContactRow {
	return chat.ContactRow{Account: c.Account, At: micros(c.At), Cell: bytes.Clone(c.Cell)}
}

func keptRecord(r chat.RecordRow) chat.RecordRow {
	return chat.RecordRow{Key: r.Key, At: micros(r.At), Cell: bytes.Clone(r.Cell)}
}

// micros cuts a time to the microsecond, in UTC.
func micros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// known reports whether a message can be in a state: what the databases check.
func known(s chat.State) bool {
	switch s {
	case chat.StateQueued, chat.StateSent, chat.StateDelivered, chat.StateRead, chat.StateFailed, chat.StateReceived:
		return true
	}
	return false
}
