package talk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/chat"
	"parley/chat/cli/show"
)

// follow passes on what happens from the beginning of the chat.
func (s *Session) follow(ctx context.Context, entries chan<- chat.Entry) error {
	return s.node.Follow(ctx, s.status.LastEvent, func(e chat.Entry) error {
		select {
		case entries <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// batch returns an entry and those that wait behind it.
func batch(first chat.Entry, more <-chan chat.Entry) []chat.Entry {
	all := []chat.Entry{first}
	for len(all) < entryBuffer {
		select {
		case e := <-more:
			all = append(all, e)
		default:
			return all
		}
	}
	return all
}

// happened shows events, all of them as one piece: a thousand messages redraw the prompt a few times only.
func (s *Session) happened(ctx context.Context, entries []chat.Entry) error {
	if err := s.meet(ctx, entries); err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range entries {
		text, err := s.event(ctx, e)
		if err != nil {
			return err
		}
		b.WriteString(text)
	}
	if b.Len() > 0 {
		s.editor.Print(b.String())
	}
	if s.focused {
		return s.seen(ctx)
	}
	return nil
}

// meet learns what is new about contacts.
func (s *Session) meet(ctx context.Context, entries []chat.Entry) error {
	for _, e := range entries {
		unknown := !s.lines.Knows(e.Account) && e.Account != s.status.Account && !e.Account.IsZero()
		if unknown || e.Type == chat.EventContactChanged || e.Type == chat.EventKeyChanged || e.Type == chat.EventContactRemoved {
			return s.refresh(ctx)
		}
	}
	return nil
}

func (s *Session) refresh(ctx context.Context) error {
	contacts, err := s.node.Contacts(ctx)
	if err != nil {
		return err
	}
	for _, c := range contacts {
		if !s.lines.Knows(c.Account) {
			s.note("%s %s is a contact now: /open %s", show.Line(c.Name), c.Account.Short(), show.Line(c.Name))
		}
	}
	s.learn(contacts)
	return nil
}

// learn takes over the contacts. A chat with somebody who is none any more is closed.
func (s *Session) learn(contacts []chat.Contact) {
	s.contacts = contacts
	if s.current != nil {
		i := slices.IndexFunc(contacts, func(c chat.Contact) bool { return c.Account == s.current.Account })
		if i < 0 {
			s.note("%s was forgotten", show.Line(s.current.Name))
			s.current, s.last, s.shown = nil, nil, nil
		} else {
			s.current = &contacts[i]
		}
	}
	s.lines.Know(contacts)
	s.tellWords()
}

// event returns what to show of one event.
func (s *Session) event(ctx context.Context, e chat.Entry) (string, error) {
	m := e.Message
	switch {
	case m == nil:
		return s.people(ctx, e)
	case e.Type == chat.EventMessageReceived:
		return s.received(*m), nil
	case e.Type == chat.EventMessageQueued:
		return s.queued(*m), nil
	case e.Type == chat.EventMessageState && m.Mine:
		return s.moved(*m), nil
	}
	return "", nil
}

func (s *Session) received(m chat.Message) string {
	for _, c := range s.contacts {
		if c.Account == m.Author {
			s.sender = &c
		}
	}
	if s.isOpen(m.Conversation) {
		s.shown = append(s.shown, m.ID)
	} else {
		s.unread[m.Conversation]++
	}
	return s.lines.Lines(m)
}

// queued shows a message of ours that another program sent.
func (s *Session) queued(m chat.Message) string {
	if s.mine[m.ID] {
		delete(s.mine, m.ID)
		return ""
	}
	if s.isOpen(m.Conversation) {
		s.last = &m
	}
	return s.lines.Lines(m)
}

// moved follows a message of ours: the prompt shows how far the last one has come, a line tells what is not expected.
func (s *Session) moved(m chat.Message) string {
	if s.last != nil && s.last.ID == m.ID {
		s.last = &m
	}
	quote := show.Fit(show.Line(m.Text), quoteColumns)
	switch {
	case m.State == chat.StateFailed:
		return fmt.Sprintf("!! not delivered: %q: %s\n", quote, show.Line(m.Reason))
	case m.State == chat.StateDelivered && time.Since(m.At) > lateDelivery:
		return fmt.Sprintf("%s delivered: %q\n", s.style.Rule(), quote)
	}
	return ""
}

// seen marks what the open chat shows as read: the person is looking.
func (s *Session) seen(ctx context.Context) error {
	if len(s.shown) == 0 {
		return nil
	}
	ids := s.shown
	s.shown = nil
	return s.node.MarkRead(ctx, ids)
}
