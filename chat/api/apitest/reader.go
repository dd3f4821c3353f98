package apitest

import (
	"context"
	"slices"

	"parley/chat"
)

// Wait implements api.Backend.
func (n *Node) Wait(ctx context.Context, id chat.MessageID, want chat.State) (chat.Message, error) {
	for {
		m, changed := n.look(id)
		switch {
		case !m.Mine:
			return chat.Message{}, &chat.Error{Code: chat.CodeTarget, Detail: "no such message of yours: " + id.String()}
		case m.State.Reached(want):
			return m, nil
		case m.State == chat.StateFailed:
			return m, &chat.Error{Code: chat.CodeRefused, Detail: "the message failed: " + m.Reason}
		case ctx.Err() != nil:
			return m, &chat.Error{Code: chat.CodeNotReached, Detail: string(m.State) + ", not " + string(want) + " yet"}
		}
		n.town.wait(ctx, n, changed)
	}
}

// Waiting counts the calls of Wait and Follow that wait for something to happen: tests let it happen once they are there.
func (n *Node) Waiting() int {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	return n.town.waiting[n]
}

// look returns a message, zero where there is none, and what is closed when anything changes.
func (n *Node) look(id chat.MessageID) (m chat.Message, changed <-chan struct{}) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	if found, ok := n.messages[id]; ok {
		m = *found
	}
	return m, n.town.changed
}

// Conversations implements api.Backend.
func (n *Node) Conversations(ctx context.Context) ([]chat.Conversation, error) {
	contacts, err := n.Contacts(ctx)
	list := make([]chat.Conversation, len(contacts))
	for i, c := range contacts {
		unread, _ := n.Unread(ctx, c.Conversation, chat.MaxPage) // its error is err's
		list[i] = chat.Conversation{ID: c.Conversation, Name: c.Name, Peer: c.Account, Unread: len(unread)}
	}
	return list, err
}

// History implements api.Backend.
func (n *Node) History(ctx context.Context, c chat.ConversationID, before chat.MessageID, limit int) ([]chat.Message, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	end := len(n.history)
	if !before.IsZero() {
		if end = slices.Index(n.history, before); end < 0 {
			return nil, &chat.Error{Code: chat.CodeTarget, Detail: "no such message: " + before.String()}
		}
	}
	var page []chat.Message
	for _, id := range slices.Backward(n.history[:end]) {
		if m := n.messages[id]; m.Conversation == c && len(page) < pageSize(limit) {
			page = append(page, *m)
		}
	}
	slices.Reverse(page)
	return page, ctx.Err()
}

// Unread implements api.Backend.
func (n *Node) Unread(ctx context.Context, c chat.ConversationID, limit int) ([]chat.Message, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	var page []chat.Message
	for _, id := range n.history {
		m := n.messages[id]
		if wanted := c == m.Conversation || c == (chat.ConversationID{}); wanted && m.State == chat.StateReceived && len(page) < pageSize(limit) {
			page = append(page, *m)
		}
	}
	return page, ctx.Err()
}

func pageSize(limit int) int {
	if limit < 1 || limit > chat.MaxPage {
		return chat.MaxPage
	}
	return limit
}

// MarkRead implements api.Backend.
func (n *Node) MarkRead(ctx context.Context, ids []chat.MessageID) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	for _, id := range ids {
		if m, ok := n.messages[id]; ok && m.State == chat.StateReceived {
			n.advance(m, chat.StateRead, "")
			if !n.tells(m) {
				n.untold[id] = true
			}
		}
	}
	n.town.settle()
	return ctx.Err()
}

// Follow implements api.Backend.
func (n *Node) Follow(ctx context.Context, after uint64, fn func(chat.Entry) error) error {
	for {
		page, changed := n.entries(after)
		for _, e := range page {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := fn(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(page) > 0 {
			continue
		}
		if n.town.wait(ctx, n, changed); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// entries reads a page of events, and what is closed when there may be more.
func (n *Node) entries(after uint64) (page []chat.Entry, changed <-chan struct{}) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	from := min(after, uint64(len(n.events)))
	for _, e := range n.events[from:min(from+chat.MaxPage, uint64(len(n.events)))] {
		entry := chat.Entry{Event: e}
		if m, ok := n.messages[e.Message]; ok {
			entry.Message = new(*m)
		}
		page = append(page, entry)
	}
	return page, n.town.changed
}
