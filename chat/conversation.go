package chat

import (
	"context"
	"fmt"
	"slices"

	"parley/chat/internal/wire"
)

// Conversations lists all threads by the name of who is in them.
func (m *Messenger) Conversations(ctx context.Context) ([]Conversation, error) {
	var list []Conversation
	err := m.store.View(ctx, func(tx Tx) error {
		list = nil
		contacts, err := tx.Contacts()
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
	err := m.store.View(ctx, func(tx Tx) error {
		list = nil
		rows, err := query(tx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			message, err := m.view(row)
			if err != nil {
				return err
			}
			list = append(list, message)
		}
		return nil
	})
	return list, wrap(err, what)
}

// view turns a row into what people see.
func (m *Messenger) view(row MessageRow) (Message, error) {
	content, err := wire.ParseContent(row.Content)
	if err != nil {
		return Message{}, fmt.Errorf("stored message %s: %w", row.ID, err)
	}
	return Message{
		ID: row.ID, Conversation: row.Conversation, Author: row.Author, Device: row.Device, Mine: row.Author == m.self,
		Text: string(content.Payload), State: row.State, Reason: row.Reason, ClientID: row.ClientID, At: row.At, Seq: row.Event,
	}, nil
}
