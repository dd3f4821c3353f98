package chattest

import (
	"slices"
	"time"

	"parley/chat"
)

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
		if w.account == a {
			drop(t, &t.rows.unaddressed, waitKey(a, w.message))
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
