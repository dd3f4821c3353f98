package chat

// known is what a transaction has read and may read again: a batch of messages asks for the same contact, records and conversation each
// time. It ends with the transaction, in which nobody else writes.
type known struct {
	contacts      map[AccountID]found[ContactRow]
	records       map[string]found[RecordRow]
	conversations map[ConversationID]found[ConversationRow]
	waits         map[AccountID]found[struct{}]
}

// found is the outcome of a look-up.
type found[V any] struct {
	row     V
	ok      bool
	changed bool // and not written yet
}

// remember returns what is known under a key, or looks it up. Errors are not remembered.
func remember[K comparable, V any](m *map[K]found[V], key K, look func() (V, bool, error)) (V, bool, error) {
	if f, ok := (*m)[key]; ok {
		return f.row, f.ok, nil
	}
	row, ok, err := look()
	if err != nil {
		return row, ok, err
	}
	if *m == nil {
		*m = map[K]found[V]{}
	}
	(*m)[key] = found[V]{row: row, ok: ok}
	return row, ok, nil
}

// writeBack writes the conversations that have changed.
func (t *sealedTx) writeBack() error {
	for id, c := range t.known.conversations {
		if !c.changed {
			continue
		}
		if err := t.writeConversation(c.row); err != nil {
			return err
		}
		c.changed = false
		t.known.conversations[id] = c
	}
	return nil
}
