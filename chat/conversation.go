package chat

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"parley/chat/internal/wire"
)

// ConversationID names a thread alike on every device in it: a kind byte and 31 bytes of a hash over who takes part.
type ConversationID [32]byte

const conversationDirect = 1

// DirectConversation returns the id of the conversation between two accounts, the same whoever asks.
func DirectConversation(a, b AccountID) ConversationID {
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	h := sha256.New()
	h.Write([]byte(wire.LabelDirect))
	h.Write(a[:])
	h.Write(b[:])
	var c ConversationID
	h.Sum(c[:0])
	copy(c[1:], c[:31])
	c[0] = conversationDirect
	return c
}

// String returns "dm:" and the hash in Crockford base32.
func (c ConversationID) String() string { return "dm:" + wire.Base32(c[1:]) }

// ParseConversationID reads what String wrote.
func ParseConversationID(s string) (ConversationID, error) {
	var c ConversationID
	if len(s) < 3 || s[:3] != "dm:" {
		return c, fmt.Errorf("conversation id %.80q: does not start with dm", s)
	}
	c[0] = conversationDirect
	return c, wire.ParseBase32(c[1:], s[3:])
}

// Conversation is a thread in the list of threads.
type Conversation struct {
	ID     ConversationID
	Name   string // the contact's name
	Peer   AccountID
	Unread int // counted up to MaxPage
}

// Conversations lists all threads by the name of who is in them.
func (m *Messenger) Conversations(ctx context.Context) ([]Conversation, error) {
	var list []Conversation
	err := m.look(ctx, func(tx Tx) error {
		list = nil
		contacts, err := contactsByName(tx)
		if err != nil {
			return err
		}
		for _, contact := range contacts {
			id := DirectConversation(m.self, contact.Account)
			unread, err := tx.Unread(&id, MaxPage)
			if err != nil {
				return err
			}
			list = append(list, Conversation{ID: id, Name: contact.Name, Peer: contact.Account, Unread: len(unread)})
		}
		return nil
	})
	return list, wrap(err, "list conversations")
}

// History returns the messages before one (the zero id: the newest), oldest first, at most limit of at most MaxPage.
func (m *Messenger) History(ctx context.Context, c ConversationID, before MessageID, limit int) ([]Message, error) {
	return m.page(ctx, "read the history", func(tx Tx) ([]MessageRow, error) {
		var from RowID
		if !before.IsZero() {
			row, ok, err := tx.MessageByID(before)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, &Error{Code: CodeTarget, Detail: "no such message: " + before.String()}
			}
			from = row.Row
		}
		rows, err := tx.Messages(c, KindText, from, pageSize(limit))
		slices.Reverse(rows)
		return rows, err
	})
}

// Unread returns messages that came in and were not shown yet, oldest first; the zero conversation stands for all.
func (m *Messenger) Unread(ctx context.Context, c ConversationID, limit int) ([]Message, error) {
	return m.page(ctx, "read what is unread", func(tx Tx) ([]MessageRow, error) {
		if c == (ConversationID{}) {
			return tx.Unread(nil, pageSize(limit))
		}
		return tx.Unread(&c, pageSize(limit))
	})
}

func pageSize(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}

// page runs one query and turns its rows into what people see.
func (m *Messenger) page(ctx context.Context, what string, query func(Tx) ([]MessageRow, error)) ([]Message, error) {
	var list []Message
	err := m.look(ctx, func(tx Tx) error {
		list = nil
		rows, err := query(tx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			message, err := m.viewIn(tx, row)
			if err != nil {
				return err
			}
			list = append(list, message)
		}
		return nil
	})
	return list, wrap(err, what)
}

// viewIn turns a row into what people see, and says what is missing right before it.
func (m *Messenger) viewIn(tx Tx, row MessageRow) (Message, error) {
	message, err := m.view(row)
	if err != nil || message.Mine {
		return message, err
	}
	c, _, err := tx.Conversation(row.Conversation)
	message.Missing = c.missingBefore(row.Device, message.Number)
	return message, err
}

// view turns a row into what people see, but for what is missing before it.
func (m *Messenger) view(row MessageRow) (Message, error) {
	content, err := wire.ParseContent(row.Content)
	if err != nil {
		return Message{}, fmt.Errorf("stored message %s: %w", row.ID, err)
	}
	t := parseTrace(row.Trace)
	return Message{
		ID: row.ID, Conversation: row.Conversation, Author: row.Author, Device: row.Device, Mine: row.Author == m.self,
		Text: string(content.Payload), State: row.State, Reason: t.reason, Ways: t.ways, ClientID: row.ClientID, At: row.At, Seq: row.Event, Number: content.Seq,
	}, nil
}
