package chat

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	cells "parley/chat/internal/vault"
	"parley/chat/internal/wire"
)

// What a store keeps of each row (SPEC.md, "At rest"): ids that rows are looked up by are blind indexes of the same width, the row's
// cell holds the true ones and everything else, and what stays is row ids, kinds, states, times and sequence numbers. A row's cell is
// opened in its place, under its conversation's key; then its indexes must be those of what it holds.
//
// A new table gets its methods here as the others have: blind what is looked up, seal the rest in one cell with wire.AppendLP, open
// it with a wire.Reader. sealedTx passes nothing through by itself, so a method that is missing does not compile.

// sealedTx is a store's transaction behind the seal. After it could not seal something it can only fail; what does not open is an
// error of its own, that callers may pass over.
type sealedTx struct {
	tx    Tx
	safe  *safe
	last  uint64 // the last event that was appended; 0 for none
	pins  bool   // a device's record was written
	err   error
	known known

	people bool // contacts have changed
}

var _ Tx = (*sealedTx)(nil)

// on returns plain rows on top of sealed ones.
func (s *safe) on(tx Tx) *sealedTx { return &sealedTx{tx: tx, safe: s} }

// run runs fn, and fails where something in it has failed, whatever fn says.
func (t *sealedTx) run(fn func(Tx) error) error {
	if err := fn(t); err != nil {
		return err
	}
	if t.err == nil {
		_ = t.fail(t.writeBack())
	}
	return t.err
}

func (t *sealedTx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

func (t *sealedTx) seal(p cells.Place, c ConversationID, plaintext []byte) ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	cell, err := t.safe.seal(p, c, plaintext)
	return cell, t.fail(err)
}

// open returns what a cell holds, for a reader that ends with close.
func (t *sealedTx) open(p cells.Place, cell []byte) (*wire.Reader, ConversationID, error) {
	plaintext, c, err := t.safe.unseal(p, cell)
	return wire.NewReader(plaintext), c, err
}

// close ends the reading of a cell: all of it must have been read, and be what the row's indexes say.
func (t *sealedTx) close(p cells.Place, r *wire.Reader, same bool) error {
	if r.Close() != nil || !same {
		return damaged(p)
	}
	return nil
}

// passes reports whether an error is nothing but damage, which is noted: what is not damaged shall go on.
func (t *sealedTx) passes(err error) bool {
	t.safe.judge(err)
	return errors.Is(err, errDamaged)
}

// keyed makes sure that a conversation has a key; the zero conversation is the store's.
func (t *sealedTx) keyed(c ConversationID) error {
	if t.err != nil || c == (ConversationID{}) {
		return t.err
	}
	return t.fail(t.safe.keyed(c))
}

// The blind indexes.

func (t *sealedTx) blindMessage(id MessageID) MessageID { return t.safe.blind("message", id[:]) }

func (t *sealedTx) blindConversation(c ConversationID) ConversationID {
	if c == (ConversationID{}) {
		return c
	}
	return t.safe.blind("conversation", c[:])
}

func (t *sealedTx) blindAccount(a AccountID) AccountID { return t.safe.blind("account", a[:]) }

func (t *sealedTx) blindEnvelope(id EnvelopeID) EnvelopeID { return t.safe.blind("envelope", id[:]) }

// bit is how a cell holds whether something is so.
func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

const (
	// short is the width of indexes whose columns ask for none.
	short = 16
	// maxDevice is the longest device id in bytes; a peer id of an Ed25519 key has 38.
	maxDevice = 64
	// maxWord is the longest word of our own in a cell, in bytes.
	maxWord = 32
)

func (t *sealedTx) blindDevice(d peer.ID) peer.ID {
	index := t.safe.blind("device", []byte(d))
	return peer.ID(index[:short])
}

func (t *sealedTx) blindRecord(key string) string {
	index := t.safe.blind("record", []byte(key))
	return string(index[:short])
}

func (t *sealedTx) blindClientID(c ConversationID, id string) string {
	if id == "" {
		return ""
	}
	index := t.safe.blind("client id", c[:], []byte(id))
	return string(index[:short])
}

// outbox.cell = lp(device) ‖ account32 ‖ envelope id32 ‖ tag16 ‖ session16 ‖ chain8 ‖ body u8 ‖ n u8 ‖ n × (former envelope id32 ‖ tag16) ‖
// lp(content) ‖ envelope; under the key of our conversation with the account. outbox.holders = n × lp(host), where there are any, under the
// store's key.

func outboxPlace(blind peer.ID, row RowID) cells.Place {
	return cells.Place{Table: "outbox", Column: "cell", Row: append([]byte(blind), row[:]...)}
}

func holdersPlace(blind peer.ID, row RowID) cells.Place {
	return cells.Place{Table: "outbox", Column: "holders", Row: append([]byte(blind), row[:]...)}
}

// InsertOutbox implements Tx.
func (t *sealedTx) InsertOutbox(o OutboxRow) error {
	plaintext := make([]byte, 0, len(o.Device)+len(o.Content)+len(o.Envelope)+len(o.Former)*(32+16)+outboxRoom)
	plaintext = wire.AppendLP(plaintext, []byte(o.Device))
	plaintext = append(plaintext, o.Account[:]...)
	plaintext = append(plaintext, o.ID[:]...)
	plaintext = append(plaintext, o.Tag[:]...)
	plaintext = append(plaintext, o.Session[:]...)
	plaintext = append(plaintext, o.Chain[:]...)
	plaintext = append(plaintext, o.Body, byte(len(o.Former)))
	for _, f := range o.Former {
		plaintext = append(append(plaintext, f.ID[:]...), f.Tag[:]...)
	}
	plaintext = wire.AppendLP(plaintext, o.Content)
	plaintext = append(plaintext, o.Envelope...)
	device := t.blindDevice(o.Device)
	cell, err := t.seal(outboxPlace(device, o.Row), t.safe.direct(o.Account), plaintext)
	if err != nil {
		return err
	}
	return t.tx.InsertOutbox(OutboxRow{
		Row: o.Row, Device: device, Account: t.blindAccount(o.Account), Message: o.Message, ID: t.blindEnvelope(o.ID), Cell: cell,
	})
}

// outboxRoom is what an outbox row has besides what is of no fixed length, in bytes.
const outboxRoom = 2*4 + 32 + 32 + 16 + 16 + 8 + 2

// SetOutboxHolders implements Tx.
func (t *sealedTx) SetOutboxHolders(o OutboxRow) error {
	var plaintext []byte
	for _, host := range o.Holders {
		plaintext = wire.AppendLP(plaintext, []byte(host))
	}
	device := t.blindDevice(o.Device)
	cell, err := t.seal(holdersPlace(device, o.Row), ConversationID{}, plaintext)
	if err != nil {
		return err
	}
	return t.tx.SetOutboxHolders(OutboxRow{Row: o.Row, Device: device, HoldersCell: cell})
}

func (t *sealedTx) openHolders(row OutboxRow) (holders []peer.ID, err error) {
	if len(row.HoldersCell) == 0 {
		return nil, nil
	}
	p := holdersPlace(row.Device, row.Row)
	r, _, err := t.open(p, row.HoldersCell)
	for err == nil && r.Left() > 0 {
		host := r.LP(maxDevice)
		if host == nil {
			break
		}
		holders = append(holders, peer.ID(host))
	}
	return holders, cmp.Or(err, t.close(p, r, true))
}

func (t *sealedTx) openOutbox(row OutboxRow) (OutboxRow, error) {
	p := outboxPlace(row.Device, row.Row)
	r, _, err := t.open(p, row.Cell)
	if err != nil {
		return OutboxRow{}, err
	}
	plain := OutboxRow{Row: row.Row, Message: row.Message, Device: peer.ID(r.LP(maxDevice))}
	r.Fill(plain.Account[:])
	r.Fill(plain.ID[:])
	r.Fill(plain.Tag[:])
	r.Fill(plain.Session[:])
	r.Fill(plain.Chain[:])
	plain.Body = r.Byte()
	for range r.Byte() {
		var f Ack
		r.Fill(f.ID[:])
		r.Fill(f.Tag[:])
		plain.Former = append(plain.Former, f)
	}
	plain.Content = r.LP(MaxEnvelope)
	plain.Envelope = r.Rest()
	if plain.Holders, err = t.openHolders(row); err != nil {
		return OutboxRow{}, err
	}
	same := t.blindDevice(plain.Device) == row.Device && t.blindAccount(plain.Account) == row.Account && t.blindEnvelope(plain.ID) == row.ID
	return plain, t.close(p, r, same)
}

// OutboxOf implements Tx.
func (t *sealedTx) OutboxOf(device peer.ID, after RowID, limit int) ([]OutboxRow, error) {
	return t.outboxOf(t.blindDevice(device), after, limit)
}

func (t *sealedTx) outboxOf(blind peer.ID, after RowID, limit int) ([]OutboxRow, error) {
	rows, err := t.tx.OutboxOf(blind, after, limit)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = t.openOutbox(row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// OutboxDevices implements Tx. The store knows indexes only, so one row of each device is opened. A device whose first row is damaged
// is passed over: the others must not wait for it.
func (t *sealedTx) OutboxDevices() ([]peer.ID, error) {
	blinds, err := t.tx.OutboxDevices()
	if err != nil {
		return nil, err
	}
	var devices []peer.ID
	for _, blind := range blinds {
		rows, err := t.outboxOf(blind, RowID{}, 1)
		if err != nil && !t.passes(err) {
			return nil, err
		}
		for _, row := range rows {
			devices = append(devices, row.Device)
		}
	}
	return devices, nil
}

// DeleteOutbox implements Tx.
func (t *sealedTx) DeleteOutbox(device peer.ID, rows []RowID) error {
	return t.tx.DeleteOutbox(t.blindDevice(device), rows)
}

// What waits for an account's devices has no cell: the message says in whose conversation it is.

func (t *sealedTx) blindWaiting(w WaitingRow) WaitingRow {
	blind := WaitingRow{Account: t.blindAccount(w.Account), Message: w.Message}
	if w.Device != "" {
		blind.Device = t.blindDevice(w.Device)
	}
	return blind
}

// AddUnaddressed implements Tx.
func (t *sealedTx) AddUnaddressed(w WaitingRow) error {
	delete(t.known.waits, w.Account)
	return t.tx.AddUnaddressed(t.blindWaiting(w))
}

// DeleteUnaddressed implements Tx.
func (t *sealedTx) DeleteUnaddressed(w WaitingRow) error {
	delete(t.known.waits, w.Account)
	return t.tx.DeleteUnaddressed(t.blindWaiting(w))
}

// Unaddressed implements Tx.
func (t *sealedTx) Unaddressed(a AccountID, device peer.ID, limit int) ([]RowID, error) {
	blind := t.blindWaiting(WaitingRow{Account: a, Device: device})
	return t.tx.Unaddressed(blind.Account, blind.Device, limit)
}

// Waits implements Tx.
func (t *sealedTx) Waits(a AccountID) (bool, error) {
	_, waits, err := remember(&t.known.waits, a, func() (struct{}, bool, error) {
		waits, err := t.tx.Waits(t.blindAccount(a))
		return struct{}{}, waits, err
	})
	return waits, err
}

// WaitingAccounts implements Tx.
func (t *sealedTx) WaitingAccounts() ([]WaitingRow, error) {
	blinds, err := t.tx.WaitingAccounts()
	if err != nil {
		return nil, err
	}
	var waiting []WaitingRow
	for _, blind := range blinds {
		peers, err := t.peerOf(blind.Message)
		if err != nil && !t.passes(err) {
			return nil, err
		}
		for _, account := range peers {
			waiting = append(waiting, WaitingRow{Account: account, Message: blind.Message})
		}
	}
	return waiting, nil
}

// peerOf returns the account that a message is for; none where the message or its conversation is gone.
func (t *sealedTx) peerOf(row RowID) ([]AccountID, error) {
	message, ok, err := messageAt(t, row)
	if err != nil || !ok {
		return nil, err
	}
	c, ok, err := t.Conversation(message.Conversation)
	if err != nil || !ok {
		return nil, err
	}
	return []AccountID{c.Peer}, nil
}

// inbox_seen.cell = tag16 ‖ message id32; under the store's key, which outlives every conversation.

func seenPlace(blind EnvelopeID) cells.Place {
	return cells.Place{Table: "inbox_seen", Column: "cell", Row: blind[:]}
}

// Seen implements Tx.
func (t *sealedTx) Seen(ids ...EnvelopeID) ([]SeenRow, error) {
	names := t.blindEnvelopes(ids)
	rows, err := t.tx.Seen(slices.Collect(maps.Keys(names))...)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		p := seenPlace(row.ID)
		r, _, err := t.open(p, row.Cell)
		if err != nil {
			return nil, err
		}
		rows[i] = SeenRow{ID: names[row.ID], At: row.At}
		r.Fill(rows[i].Tag[:])
		r.Fill(rows[i].Message[:])
		if err := t.close(p, r, true); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// blindEnvelopes returns ids by their indexes.
func (t *sealedTx) blindEnvelopes(ids []EnvelopeID) map[EnvelopeID]EnvelopeID {
	names := make(map[EnvelopeID]EnvelopeID, len(ids))
	for _, id := range ids {
		names[t.blindEnvelope(id)] = id
	}
	return names
}

// InsertSeen implements Tx.
func (t *sealedTx) InsertSeen(row SeenRow) error {
	blind := t.blindEnvelope(row.ID)
	cell, err := t.seal(seenPlace(blind), ConversationID{}, append(row.Tag[:], row.Message[:]...))
	if err != nil {
		return err
	}
	return t.tx.InsertSeen(SeenRow{ID: blind, At: row.At, Cell: cell})
}

// record.cell = sequence u64 ‖ value; under the store's key.

func recordPlace(blind string) cells.Place {
	return cells.Place{Table: "record", Column: "cell", Row: []byte(blind)}
}

// Record implements Tx.
func (t *sealedTx) Record(key string) (RecordRow, bool, error) {
	return remember(&t.known.records, key, func() (RecordRow, bool, error) { return t.openRecord(key) })
}

func (t *sealedTx) openRecord(key string) (RecordRow, bool, error) {
	blind := t.blindRecord(key)
	row, ok, err := t.tx.Record(blind)
	if err != nil || !ok {
		return RecordRow{}, false, err
	}
	p := recordPlace(blind)
	r, _, err := t.open(p, row.Cell)
	if err != nil {
		return RecordRow{}, false, err
	}
	plain := RecordRow{Key: key, Sequence: r.U64(), At: row.At}
	plain.Value = r.Rest()
	return plain, true, t.close(p, r, true)
}

// PutRecord implements Tx.
func (t *sealedTx) PutRecord(row RecordRow) error {
	delete(t.known.records, row.Key)
	t.pins = t.pins || strings.HasPrefix(row.Key, "/device/")
	blind := t.blindRecord(row.Key)
	plaintext := append(binary.BigEndian.AppendUint64(nil, row.Sequence), row.Value...)
	cell, err := t.seal(recordPlace(blind), ConversationID{}, plaintext)
	if err != nil {
		return err
	}
	return t.tx.PutRecord(RecordRow{Key: blind, At: row.At, Cell: cell})
}

// Tombstones are indexes and nothing else.

// DeleteConversation implements Tx.
func (t *sealedTx) DeleteConversation(c ConversationID, a AccountID, at time.Time) error {
	delete(t.known.conversations, c)
	delete(t.known.contacts, a)
	delete(t.known.waits, a)
	t.people = true
	return t.tx.DeleteConversation(t.blindConversation(c), t.blindAccount(a), at)
}

// Forgotten implements Tx.
func (t *sealedTx) Forgotten(id MessageID) (bool, error) { return t.tx.Forgotten(t.blindMessage(id)) }
