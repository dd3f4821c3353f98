package chat

import (
	"encoding/binary"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	cells "parley/chat/internal/vault"
	"parley/chat/internal/wire"
)

// message.cell = message id32 ‖ author32 ‖ lp(device) ‖ lp(client id) ‖ content, and message.trace = how it went, where there is something to say (trace.go);
// under the conversation's key.

func messagePlace(row RowID) cells.Place {
	return cells.Place{Table: "message", Column: "cell", Row: row[:]}
}

func tracePlace(row RowID) cells.Place {
	return cells.Place{Table: "message", Column: "trace", Row: row[:]}
}

// InsertMessage implements Tx.
func (t *sealedTx) InsertMessage(m MessageRow) error {
	if err := t.keyed(m.Conversation); err != nil {
		return err
	}
	plaintext := append(m.ID[:], m.Author[:]...)
	plaintext = wire.AppendLP(plaintext, []byte(m.Device))
	plaintext = wire.AppendLP(plaintext, []byte(m.ClientID))
	plaintext = append(plaintext, m.Content...)
	cell, err := t.seal(messagePlace(m.Row), m.Conversation, plaintext)
	if err != nil {
		return err
	}
	trace, err := t.sealTrace(m)
	if err != nil {
		return err
	}
	return t.tx.InsertMessage(MessageRow{
		Row: m.Row, ID: t.blindMessage(m.ID), Conversation: t.blindConversation(m.Conversation), Kind: m.Kind, State: m.State,
		Trace: trace, ClientID: t.blindClientID(m.Conversation, m.ClientID), At: m.At, Event: m.Event, Cell: cell,
	})
}

func (t *sealedTx) sealTrace(m MessageRow) (string, error) {
	if m.Trace == "" {
		return "", nil
	}
	cell, err := t.seal(tracePlace(m.Row), m.Conversation, []byte(m.Trace))
	return string(cell), err
}

// SetMessageState implements Tx. The row must be whole: its conversation's key seals the trace.
func (t *sealedTx) SetMessageState(m MessageRow) error {
	trace, err := t.sealTrace(m)
	if err != nil {
		return err
	}
	return t.tx.SetMessageState(MessageRow{Row: m.Row, State: m.State, Trace: trace})
}

// openMessage is applied to whatever a look-up of one message returns.
func (t *sealedTx) openMessage(m MessageRow, ok bool, err error) (MessageRow, bool, error) {
	if err != nil || !ok {
		return MessageRow{}, false, err
	}
	p := messagePlace(m.Row)
	r, c, err := t.open(p, m.Cell)
	if err != nil {
		return MessageRow{}, false, err
	}
	plain := MessageRow{Row: m.Row, Conversation: c, Kind: m.Kind, State: m.State, At: m.At, Event: m.Event}
	r.Fill(plain.ID[:])
	r.Fill(plain.Author[:])
	plain.Device, plain.ClientID = peer.ID(r.LP(maxDevice)), string(r.LP(MaxClientID))
	plain.Content = r.Rest()
	same := t.blindMessage(plain.ID) == m.ID && t.blindConversation(c) == m.Conversation && t.blindClientID(c, plain.ClientID) == m.ClientID
	if err := t.close(p, r, same); err != nil {
		return MessageRow{}, false, err
	}
	if m.Trace != "" {
		r, _, err := t.open(tracePlace(m.Row), []byte(m.Trace))
		if err != nil {
			return MessageRow{}, false, err
		}
		plain.Trace = string(r.Rest())
	}
	return plain, true, nil
}

func (t *sealedTx) openMessages(rows []MessageRow, err error) ([]MessageRow, error) {
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], _, err = t.openMessage(row, true, nil); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// MessagesAt implements Tx.
func (t *sealedTx) MessagesAt(rows ...RowID) ([]MessageRow, error) {
	return t.openMessages(t.tx.MessagesAt(rows...))
}

// MessageByID implements Tx.
func (t *sealedTx) MessageByID(id MessageID) (MessageRow, bool, error) {
	return t.openMessage(t.tx.MessageByID(t.blindMessage(id)))
}

// MessageByClientID implements Tx.
func (t *sealedTx) MessageByClientID(c ConversationID, id string) (MessageRow, bool, error) {
	return t.openMessage(t.tx.MessageByClientID(t.blindConversation(c), t.blindClientID(c, id)))
}

// Messages implements Tx.
func (t *sealedTx) Messages(c ConversationID, kind Kind, before RowID, limit int) ([]MessageRow, error) {
	return t.openMessages(t.tx.Messages(t.blindConversation(c), kind, before, limit))
}

// Unread implements Tx.
func (t *sealedTx) Unread(c *ConversationID, limit int) ([]MessageRow, error) {
	if c != nil {
		blind := t.blindConversation(*c)
		c = &blind
	}
	return t.openMessages(t.tx.Unread(c, limit))
}

// LastMessage implements Tx.
func (t *sealedTx) LastMessage() (MessageRow, bool, error) {
	row, ok, err := t.tx.LastMessage()
	plain, ok, err := t.openMessage(row, ok, err)
	plain.Row = row.Row // also where the rest is damaged
	return plain, ok, err
}

// conversation.cell = peer32 ‖ seq u64 ‖ prev32 ‖ top u64 ‖ n u8 ‖ n × head32 ‖ authors (order.go); under its own key.

// Conversation implements Tx.
func (t *sealedTx) Conversation(id ConversationID) (ConversationRow, bool, error) {
	return remember(&t.known.conversations, id, func() (ConversationRow, bool, error) { return t.openConversation(id) })
}

func (t *sealedTx) openConversation(id ConversationID) (ConversationRow, bool, error) {
	blind := t.blindConversation(id)
	row, ok, err := t.tx.Conversation(blind)
	if err != nil || !ok {
		return ConversationRow{}, false, err
	}
	p := conversationPlace(blind)
	r, c, err := t.open(p, row.Cell)
	if err != nil {
		return ConversationRow{}, false, err
	}
	plain := ConversationRow{ID: c, At: row.At}
	r.Fill(plain.Peer[:])
	plain.Seq = r.U64()
	r.Fill(plain.Prev[:])
	plain.Top = r.U64()
	for range r.Byte() {
		var head MessageID
		r.Fill(head[:])
		plain.Heads = append(plain.Heads, head)
	}
	plain.Authors = readAuthors(r)
	return plain, true, t.close(p, r, c == id)
}

func conversationPlace(blind ConversationID) cells.Place {
	return cells.Place{Table: "conversation", Column: "cell", Row: blind[:]}
}

// PutConversation implements Tx. It is written once, at the end of the transaction.
func (t *sealedTx) PutConversation(c ConversationRow) error {
	if err := t.keyed(c.ID); err != nil {
		return err
	}
	if t.known.conversations == nil {
		t.known.conversations = map[ConversationID]found[ConversationRow]{}
	}
	t.known.conversations[c.ID] = found[ConversationRow]{row: c, ok: true, changed: true}
	return nil
}

func (t *sealedTx) writeConversation(c ConversationRow) error {
	plaintext := binary.BigEndian.AppendUint64(c.Peer[:], c.Seq)
	plaintext = append(plaintext, c.Prev[:]...)
	plaintext = binary.BigEndian.AppendUint64(plaintext, c.Top)
	plaintext = append(plaintext, byte(len(c.Heads)))
	for _, head := range c.Heads {
		plaintext = append(plaintext, head[:]...)
	}
	plaintext = appendAuthors(plaintext, c.Authors)
	blind := t.blindConversation(c.ID)
	cell, err := t.seal(conversationPlace(blind), c.ID, plaintext)
	if err != nil {
		return err
	}
	return t.tx.PutConversation(ConversationRow{ID: blind, At: c.At, Cell: cell})
}

// event.cell = message id32 ‖ account32; under the conversation's key where it has one, else under the store's. An event of a
// conversation that was forgotten has none.

func eventPlace(seq uint64) cells.Place {
	return cells.Place{Table: "event", Column: "cell", Row: binary.BigEndian.AppendUint64(nil, seq)}
}

// AppendEvent implements Tx.
func (t *sealedTx) AppendEvent(e Event) (uint64, error) {
	if err := t.keyed(e.Conversation); err != nil {
		return 0, err
	}
	if t.last == 0 {
		last, err := t.tx.LastEvent()
		if err != nil {
			return 0, err
		}
		t.last = last
	}
	cell, err := t.seal(eventPlace(t.last+1), e.Conversation, append(e.Message[:], e.Account[:]...))
	if err != nil {
		return 0, err
	}
	seq, err := t.tx.AppendEvent(Event{Type: e.Type, At: e.At, Conversation: t.blindConversation(e.Conversation), State: e.State, Cell: cell})
	if err == nil && seq != t.last+1 {
		err = t.fail(fmt.Errorf("append event: it became number %d, not %d", seq, t.last+1))
	}
	t.last = seq
	return seq, err
}

// Events implements Tx. A damaged one keeps its number and shows nothing else, so that whoever follows gets past it.
func (t *sealedTx) Events(after uint64, limit int) ([]Event, error) {
	rows, err := t.tx.Events(after, limit)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = t.openEvent(row); err != nil && !t.passes(err) {
			return nil, err
		}
	}
	return rows, nil
}

func (t *sealedTx) openEvent(row Event) (Event, error) {
	bare := Event{Seq: row.Seq, Type: row.Type, At: row.At, State: row.State}
	if len(row.Cell) == 0 {
		return bare, nil
	}
	p := eventPlace(row.Seq)
	r, c, err := t.open(p, row.Cell)
	if err != nil {
		return bare, err
	}
	plain := bare
	plain.Conversation = c
	r.Fill(plain.Message[:])
	r.Fill(plain.Account[:])
	if err := t.close(p, r, t.blindConversation(c) == row.Conversation); err != nil {
		return bare, err
	}
	return plain, nil
}

// LastEvent implements Tx.
func (t *sealedTx) LastEvent() (uint64, error) { return t.tx.LastEvent() }

// Stats implements Tx.
func (t *sealedTx) Stats() (Stats, error) { return t.tx.Stats() }
