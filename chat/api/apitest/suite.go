package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/chat"
	"parley/chat/api"
)

// World is what a suite runs in: three nodes of one network. Alice and Bob are contacts, Carol knows nobody yet.
type World struct {
	Alice, Bob, Carol api.Backend
	// Part puts Alice and Bob out of each other's reach, Meet lets them reach each other again.
	Part, Meet func()
}

// TestBackend checks that the nodes of a world do what api.Backend says. open makes a new world for each test.
func TestBackend(t *testing.T, open func(t *testing.T) World) {
	for _, test := range []struct {
		name string
		run  func(*story)
	}{
		{"a message goes out, arrives, is read", sendAndRead},
		{"the same client id is the same message", clientIDs},
		{"a hundred tries at once make one message", manyTries},
		{"what cannot be sent is refused", refusedDrafts},
		{"waiting says how far a message got", waiting},
		{"history pages backwards", history},
		{"unread counts until shown", unread},
		{"a contact is added once", contacts},
		{"invites and members", network},
		{"a stranger waits for an answer", strangers},
		{"blocking is silence", blocking},
		{"many at once are all or none", manyAtOnce},
		{"a look at a message says where it is", looking},
		{"people choose mailboxes, or let the node", mailboxes},
		{"without receipts nobody learns what was read", receipts},
		{"trust is what people say of a key", trust},
		{"a verified contact can be introduced", introductions},
		{"a contact is forgotten for good", forgetting},
		{"events come in order and go on", following},
		{"following resumes after a number", resuming},
		{"following ends as its caller wants", endings},
		{"a call whose time is over fails", overdue},
		{"the node says who it is", status},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(tell(t, open(t))) })
	}
}

// story is a world with a time in which everything has to happen, and the conversation of Alice and Bob.
type story struct {
	World
	*testing.T
	ctx  context.Context
	with chat.ConversationID
}

func tell(t *testing.T, w World) *story {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s := &story{World: w, T: t, ctx: ctx}
	list, err := w.Alice.Conversations(ctx)
	s.check(err)
	if len(list) != 1 {
		t.Fatalf("Alice begins with %d conversations, want the one with Bob", len(list))
	}
	s.with = list[0].ID
	return s
}

// check ends the test on an error.
func (s *story) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// refused ends the test unless err is a *chat.Error with a code and a detail.
func (s *story) refused(what string, err error, want chat.Code) {
	s.Helper()
	if chat.CodeOf(err) != want || err.Error() == "" {
		s.Fatalf("%s: got %v with the code %q, want %q", what, err, chat.CodeOf(err), want)
	}
}

// says sends a text to the other one.
func (s *story) says(who api.Backend, text string) chat.Message {
	s.Helper()
	m, err := who.Send(s.ctx, chat.Draft{Conversation: s.with, Text: text})
	s.check(err)
	return m
}

// reaches waits for a message to get somewhere.
func (s *story) reaches(who api.Backend, m chat.Message, state chat.State) chat.Message {
	s.Helper()
	m, err := who.Wait(s.ctx, m.ID, state)
	s.check(err)
	return m
}

// hears waits until so many messages are unread, and returns them.
func (s *story) hears(who api.Backend, n int) (list []chat.Message) {
	s.Helper()
	s.becomes(fmt.Sprintf("%d unread messages", n), func() (err error, ok bool) {
		list, err = who.Unread(s.ctx, chat.ConversationID{}, chat.MaxPage)
		return err, len(list) >= n
	})
	return list
}

// becomes waits for a condition.
func (s *story) becomes(what string, holds func() (error, bool)) {
	s.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		err, ok := holds()
		s.check(err)
		if ok {
			return
		}
		select {
		case <-again.C:
		case <-s.ctx.Done():
			s.Fatalf("no %s in time", what)
		}
	}
}

// texts returns what messages say, in their order.
func texts(list []chat.Message) (out []string) {
	for _, m := range list {
		out = append(out, m.Text)
	}
	return out
}

func (s *story) same(what string, got, want any) {
	s.Helper()
	if d := cmp.Diff(want, got); d != "" {
		s.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func sendAndRead(s *story) {
	const hello = "Hello Bob — ¿qué tal? 你好 <b>&amp;</b> \"\\\u2028\n\t🙂"
	before := time.Now().Add(-time.Second)
	sent := s.says(s.Alice, hello)
	s.same("what Alice sent", []any{sent.Text, sent.Mine, sent.Conversation}, []any{hello, true, s.with})
	if sent.ID.IsZero() || sent.Author.IsZero() || sent.Device == "" || sent.Seq == 0 || sent.At.Before(before) {
		s.Fatalf("the message that Alice sent lacks something: %+v", sent)
	}
	came := s.hears(s.Bob, 1)[0]
	s.same("what came to Bob", []any{came.Text, came.Mine, came.Conversation, came.State}, []any{hello, false, s.with, chat.StateReceived})
	s.same("the author and id that Bob sees", []any{came.Author, came.Device, came.ID}, []any{sent.Author, sent.Device, sent.ID})
	s.reaches(s.Alice, sent, chat.StateDelivered)
	s.check(s.Bob.MarkRead(s.ctx, []chat.MessageID{came.ID}))
	if m := s.reaches(s.Alice, sent, chat.StateRead); m.State != chat.StateRead || m.ID != sent.ID {
		s.Fatalf("after Bob has read it: %+v", m)
	}
}

func clientIDs(s *story) {
	for _, id := range []string{"order-1", "..", ".", "a/b?c#d%2F&e", "ключ 🔑", strings.Repeat("x", chat.MaxClientID)} {
		d := chat.Draft{Conversation: s.with, Text: "for " + id, ClientID: id}
		first, err := s.Alice.Send(s.ctx, d)
		s.check(err)
		again, err := s.Alice.Send(s.ctx, d)
		s.check(err)
		s.same("the second try with "+id, again.ID, first.ID)
		s.same("the client id", again.ClientID, id)
		d.Text = "something else"
		_, err = s.Alice.Send(s.ctx, d)
		s.refused("another text under "+id, err, chat.CodeIDReused)
	}
	a, b := s.says(s.Alice, "twin"), s.says(s.Alice, "twin")
	if a.ID == b.ID {
		s.Fatal("two messages without a client id became one")
	}
	list, err := s.Alice.History(s.ctx, s.with, chat.MessageID{}, chat.MaxPage)
	s.check(err)
	s.same("how many messages there are", len(list), 8)
}

func manyTries(s *story) {
	ids := make([]chat.MessageID, 100)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			m, err := s.Alice.Send(s.ctx, chat.Draft{Conversation: s.with, Text: "once", ClientID: "one"})
			if err != nil {
				s.Error(err)
			}
			ids[i] = m.ID
		})
	}
	wg.Wait()
	s.same("different messages", len(slices.Compact(ids)), 1)
	list, err := s.Alice.History(s.ctx, s.with, chat.MessageID{}, chat.MaxPage)
	s.check(err)
	s.same("Alice's history", texts(list), []string{"once"})
	s.same("what came to Bob", texts(s.hears(s.Bob, 1)), []string{"once"})
}

func refusedDrafts(s *story) {
	for _, test := range []struct {
		name  string
		draft chat.Draft
		want  chat.Code
	}{
		{"an empty text", chat.Draft{Conversation: s.with}, chat.CodeInvalid},
		{"nothing but blanks", chat.Draft{Conversation: s.with, Text: " \n"}, chat.CodeInvalid},
		{"bytes that are no text", chat.Draft{Conversation: s.with, Text: "caf\xe9"}, chat.CodeInvalid},
		{"a text that is too long", chat.Draft{Conversation: s.with, Text: strings.Repeat("é", chat.MaxText/2+1)}, chat.CodeLimit},
		{"an unknown conversation", chat.Draft{Conversation: chat.ConversationID{1, 2}, Text: "hello?"}, chat.CodeTarget},
		{"a client id that is too long", chat.Draft{Conversation: s.with, Text: "x", ClientID: strings.Repeat("x", 129)}, chat.CodeInvalid},
		{"a client id that is no text", chat.Draft{Conversation: s.with, Text: "x", ClientID: "\xff"}, chat.CodeInvalid},
	} {
		_, err := s.Alice.Send(s.ctx, test.draft)
		s.refused(test.name, err, test.want)
	}
	longest := strings.Repeat("\x01", chat.MaxText) // six bytes each in JSON
	s.says(s.Alice, longest)
	s.same("all that came to Bob", texts(s.hears(s.Bob, 1)), []string{longest})
}

func waiting(s *story) {
	over, cancel := context.WithCancel(s.ctx)
	cancel()
	s.Part()
	m := s.says(s.Alice, "are you there?")
	look, err := s.Alice.Wait(over, m.ID, chat.StateDelivered)
	s.refused("a look at a message that waits", err, chat.CodeNotReached)
	s.same("the message looked at", []any{look.ID, look.Text, look.State}, []any{m.ID, m.Text, chat.StateQueued})
	soon, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
	defer cancel()
	look, err = s.Alice.Wait(soon, m.ID, chat.StateSent)
	s.refused("a wait that is too short", err, chat.CodeNotReached)
	s.same("the message waited for", []any{look.ID, look.State}, []any{m.ID, chat.StateQueued})
	_, err = s.Alice.Wait(s.ctx, chat.MessageID{7}, chat.StateSent)
	s.refused("a message that is none", err, chat.CodeTarget)
	s.Meet()
	s.reaches(s.Alice, m, chat.StateDelivered)
	look, err = s.Alice.Wait(over, m.ID, chat.StateDelivered)
	s.check(err)
	s.same("the message, arrived", look.State, chat.StateDelivered)
}

func history(s *story) {
	for i := range 7 {
		s.says(s.Alice, fmt.Sprint(i))
	}
	var before chat.MessageID
	for _, want := range [][]string{{"4", "5", "6"}, {"1", "2", "3"}, {"0"}, nil} {
		page, err := s.Alice.History(s.ctx, s.with, before, 3)
		s.check(err)
		s.same("a page of three", texts(page), want)
		if len(page) > 0 {
			before = page[0].ID
		}
	}
	all, err := s.Alice.History(s.ctx, s.with, chat.MessageID{}, 0)
	s.check(err)
	s.same("messages without a limit", len(all), 7)
	_, err = s.Alice.History(s.ctx, s.with, chat.MessageID{9}, 3)
	s.refused("a page before no message", err, chat.CodeTarget)
}

func unread(s *story) {
	for _, text := range []string{"one", "two", "three"} {
		s.says(s.Alice, text)
	}
	list := s.hears(s.Bob, 3)
	s.same("unread, oldest first", texts(list), []string{"one", "two", "three"})
	some, err := s.Bob.Unread(s.ctx, s.with, 2)
	s.check(err)
	s.same("two of the conversation", texts(some), []string{"one", "two"})
	none, err := s.Bob.Unread(s.ctx, chat.ConversationID{1, 9}, 2)
	s.check(err)
	s.same("unread of an empty conversation", len(none), 0)
	ids := []chat.MessageID{list[0].ID, list[2].ID, {4}}
	s.check(s.Bob.MarkRead(s.ctx, ids))
	s.check(s.Bob.MarkRead(s.ctx, ids))
	s.check(s.Bob.MarkRead(s.ctx, nil))
	s.same("unread after reading", texts(s.hears(s.Bob, 1)), []string{"two"})
	threads, err := s.Bob.Conversations(s.ctx)
	s.check(err)
	if len(threads) != 1 || threads[0].Unread != 1 || threads[0].ID != s.with || threads[0].Name == "" {
		s.Fatalf("Bob's conversations: %+v", threads)
	}
}
