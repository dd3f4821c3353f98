package apitest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/chat"
	"parley/chat/api"
)

func contacts(s *story) {
	link, err := s.Carol.ContactLink(s.ctx)
	s.check(err)
	if link.Link == "" || link.Network == "" {
		s.Fatalf("Carol's link: %+v", link)
	}
	carol, err := s.Alice.AddContact(s.ctx, link.Link, "caro")
	s.check(err)
	again, err := s.Alice.AddContact(s.ctx, link.Link, "")
	s.check(err)
	s.same("Carol, added again", again.Account, carol.Account)
	list, err := s.Alice.Contacts(s.ctx)
	s.check(err)
	s.same("Alice's contacts", len(list), 2)
	s.same("the name that Alice gave", list[slices.IndexFunc(list, isContact(carol.Account))].Name, "caro")
	_, err = s.Alice.Send(s.ctx, chat.Draft{Conversation: carol.Conversation, Text: "hi Carol"})
	s.check(err)
	asks := s.asked(s.Carol)
	if asks.Name == "" || asks.State != chat.RequestPending || asks.At.IsZero() {
		s.Fatalf("Carol is asked %+v", asks)
	}
	_, err = s.Carol.AcceptRequest(s.ctx, asks.Account, "")
	s.check(err)
	s.same("what came to Carol", texts(s.hears(s.Carol, 1)), []string{"hi Carol"})
	known, err := s.Carol.Contacts(s.ctx)
	s.check(err)
	if len(known) != 1 || known[0].Conversation != carol.Conversation || known[0].Name == "" || known[0].At.IsZero() {
		s.Fatalf("Carol's contacts: %+v", known)
	}
	for _, bad := range []string{"", "no link", link.Link[:len(link.Link)-5]} {
		if _, err = s.Bob.AddContact(s.ctx, bad, "x"); chat.CodeOf(err) == chat.CodeInternal {
			s.Fatalf("adding by %q: %v is no error for people", bad, err)
		}
	}
	invite, err := s.Alice.Invite(s.ctx, chat.InviteOptions{For: "Dave", Uses: 2, TTL: time.Hour})
	s.check(err)
	if invite.Link == "" || invite.Network == "" || len(invite.Addresses) == 0 || invite.ID == "" || invite.Uses != 2 {
		s.Fatalf("Alice's invite: %+v", invite)
	}
}

// network tells of invites and members.
func network(s *story) {
	link, err := s.Alice.Invite(s.ctx, chat.InviteOptions{For: "Dave", Uses: 3, TTL: time.Hour})
	s.check(err)
	if _, err := s.Alice.Invite(s.ctx, chat.InviteOptions{Uses: -1}); chat.CodeOf(err) != chat.CodeInvalid {
		s.Fatalf("an invite for nobody: %v", err)
	}
	s.check(s.Alice.RevokeInvite(s.ctx, link.ID[:chat.MinInviteID+2]))
	for _, none := range []string{"", "/", ".", "../members", "ffffffffffffffff"} {
		if err := s.Alice.RevokeInvite(s.ctx, none); chat.CodeOf(err) != chat.CodeTarget || !strings.Contains(err.Error(), "invite") {
			s.Fatalf("revoking %q: %v", none, err)
		}
	}
	invites, err := s.Alice.Invites(s.ctx)
	s.check(err)
	i := slices.IndexFunc(invites, func(i chat.NetworkInvite) bool { return chat.InviteID(i.ID) == link.ID })
	if i < 0 || invites[i].For != "Dave" || invites[i].Uses != 3 || invites[i].State != chat.InviteRevoked || invites[i].Expires.IsZero() {
		s.Fatalf("Alice's invites: %+v", invites)
	}
	members, err := s.Alice.Members(s.ctx)
	s.check(err)
	self := slices.IndexFunc(members, func(m chat.Member) bool { return m.Self })
	other := slices.IndexFunc(members, func(m chat.Member) bool { return !m.Self })
	if self < 0 || other < 0 || members[self].Name == "" || members[self].Invite != "" || members[other].Invite == "" || members[other].Since.IsZero() {
		s.Fatalf("the members: %+v", members)
	}
	if err := s.Alice.RevokeMember(s.ctx, members[self].Account, false); chat.CodeOf(err) != chat.CodeRefused {
		s.Fatalf("Alice throws herself out: %v", err)
	}
	if err := s.Alice.RevokeMember(s.ctx, chat.AccountID{1}, false); chat.CodeOf(err) != chat.CodeTarget {
		s.Fatalf("throwing nobody out: %v", err)
	}
	networkKey(s, len(members))
	gone := members[other].Account
	s.check(s.Alice.RevokeMember(s.ctx, gone, true))
	members, err = s.Alice.Members(s.ctx)
	s.check(err)
	for _, m := range members {
		if m.Revoked != (m.Account == gone) {
			s.Fatalf("the members after one was thrown out: %+v", members)
		}
	}
}

// networkKey changes the network's key, which nobody follows but Alice.
func networkKey(s *story, members int) {
	s.Helper()
	if _, err := s.Alice.RotateKey(s.ctx, -time.Hour); chat.CodeOf(err) != chat.CodeInvalid {
		s.Fatalf("a key whose grace is over before: %v", err)
	}
	if _, err := s.Alice.EndKeyGrace(s.ctx); chat.CodeOf(err) != chat.CodeRefused {
		s.Fatalf("the end of no grace: %v", err)
	}
	before, err := s.Alice.KeyRotation(s.ctx)
	s.check(err)
	if !before.Made.IsZero() || before.Grace(time.Now()) || len(before.Followed)+len(before.Behind) != 0 {
		s.Fatalf("the key before: %+v", before)
	}
	made, err := s.Alice.RotateKey(s.ctx, time.Hour)
	s.check(err)
	left := time.Until(made.Ends)
	if !made.Private || !made.Own || left > time.Hour || left < 50*time.Minute || len(made.Followed) != 1 || !made.Followed[0].Self || len(made.Behind) != members-1 {
		s.Fatalf("the key was changed: %+v", made)
	}
	if _, err := s.Alice.RotateKey(s.ctx, 0); chat.CodeOf(err) != chat.CodeRefused {
		s.Fatalf("changing it twice: %v", err)
	}
	ended, err := s.Alice.EndKeyGrace(s.ctx)
	s.check(err)
	if ended.Grace(time.Now()) || !ended.Made.Equal(made.Made) {
		s.Fatalf("the grace was ended: %+v", ended)
	}
	if made, err = s.Alice.RotateKey(s.ctx, 0); err != nil || time.Until(made.Ends) < chat.KeyGrace-time.Hour {
		s.Fatalf("the usual grace: %+v, %v", made, err)
	}
	now, err := s.Alice.KeyRotation(s.ctx)
	s.check(err)
	if !now.Made.Equal(made.Made) || !now.Ends.Equal(made.Ends) || len(now.Behind) != members-1 || now.Behind[0].Device == "" {
		s.Fatalf("the key in the end: %+v", now)
	}
}

// asked waits until somebody waits for an answer.
func (s *story) asked(who api.Backend) (r chat.Request) {
	s.Helper()
	s.becomes("request", func() (error, bool) {
		list, err := who.Requests(s.ctx)
		i := slices.IndexFunc(list, func(r chat.Request) bool { return r.State == chat.RequestPending })
		if i >= 0 {
			r = list[i]
		}
		return err, i >= 0
	})
	return r
}

func strangers(s *story) {
	link, err := s.Carol.ResetContactLink(s.ctx)
	s.check(err)
	carol, err := s.Alice.AddContact(s.ctx, link.Link, "")
	s.check(err)
	m, err := s.Alice.Send(s.ctx, chat.Draft{Conversation: carol.Conversation, Text: "it's me"})
	s.check(err)
	alice := s.asked(s.Carol).Account
	s.check(s.Carol.RejectRequest(s.ctx, alice))
	s.check(s.Carol.RejectRequest(s.ctx, alice))
	list, err := s.Carol.Requests(s.ctx)
	s.check(err)
	s.same("who was turned away", []any{len(list), list[0].State, len(list[0].Texts)}, []any{1, chat.RequestRejected, 0})
	s.same("contacts of Carol, who said no", s.contactsOf(s.Carol), 0)
	aliceLink, err := s.Alice.ContactLink(s.ctx)
	s.check(err)
	_, err = s.Carol.AddContact(s.ctx, aliceLink.Link, "") // she thinks better of it
	s.check(err)
	s.reaches(s.Alice, m, chat.StateDelivered)
	s.same("what came to Carol", texts(s.hears(s.Carol, 1)), []string{"it's me"})
	list, err = s.Carol.Requests(s.ctx)
	s.check(err)
	s.same("requests in the end", len(list), 0)
	for _, err := range []error{
		s.Carol.RejectRequest(s.ctx, chat.AccountID{1}), s.Carol.Unblock(s.ctx, chat.AccountID{1}),
		errorOf(s.Carol.AcceptRequest(s.ctx, chat.AccountID{1}, "")), errorOf(s.Carol.Block(s.ctx, chat.AccountID{1})),
	} {
		s.refused("nobody", err, chat.CodeTarget)
	}
}

func errorOf[T any](_ T, err error) error { return err }

func (s *story) contactsOf(who api.Backend) int {
	s.Helper()
	list, err := who.Contacts(s.ctx)
	s.check(err)
	return len(list)
}

func blocking(s *story) {
	list, err := s.Bob.Contacts(s.ctx)
	s.check(err)
	alice := list[0].Account
	c, err := s.Bob.Block(s.ctx, alice)
	s.check(err)
	s.same("blocked", c.Blocked, true)
	m := s.says(s.Alice, "do you hear me?")
	_, err = s.Bob.Send(s.ctx, chat.Draft{Conversation: s.with, Text: "no"})
	s.refused("writing to whom one blocks", err, chat.CodeRefused)
	soon, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
	defer cancel()
	_, err = s.Alice.Wait(soon, m.ID, chat.StateSent)
	s.refused("waiting for somebody who blocks", err, chat.CodeNotReached)
	s.check(s.Bob.Unblock(s.ctx, alice))
	s.reaches(s.Bob, s.says(s.Bob, "yes"), chat.StateDelivered)
	s.reaches(s.Alice, m, chat.StateDelivered)
}

func trust(s *story) {
	list, err := s.Alice.Contacts(s.ctx)
	s.check(err)
	st, err := s.Alice.Status(s.ctx)
	s.check(err)
	bob := list[0].Account
	hers, err := s.Alice.SafetyNumber(s.ctx, bob)
	s.check(err)
	his, err := s.Bob.SafetyNumber(s.ctx, st.Account)
	s.check(err)
	s.same("the safety number of both", []any{hers, len(hers)}, []any{his, 60})
	c, err := s.Alice.SetTrust(s.ctx, bob, chat.TrustMismatch)
	s.check(err)
	s.same("a mismatch", c.Trust, chat.TrustMismatch)
	_, err = s.Alice.Send(s.ctx, chat.Draft{Conversation: s.with, Text: "who are you?"})
	s.refused("writing in spite of it", err, chat.CodeIdentity)
	_, err = s.Alice.SetTrust(s.ctx, bob, "blind")
	s.refused("a trust that is none", err, chat.CodeInvalid)
	c, err = s.Alice.SetTrust(s.ctx, bob, chat.TrustVerified)
	s.check(err)
	s.same("verified", c.Trust, chat.TrustVerified)
	s.reaches(s.Alice, s.says(s.Alice, "Bob!"), chat.StateDelivered)
	if st, err = s.Alice.Status(s.ctx); err != nil || st.Verified != 1 || st.Contacts != 1 {
		s.Fatalf("the status: %+v, %v", st, err)
	}
	_, err = s.Alice.SafetyNumber(s.ctx, chat.AccountID{1})
	s.refused("the number of nobody", err, chat.CodeTarget)
}

func introductions(s *story) {
	link, err := s.Carol.ContactLink(s.ctx)
	s.check(err)
	carol, err := s.Alice.AddContact(s.ctx, link.Link, "")
	s.check(err)
	list, err := s.Alice.Contacts(s.ctx)
	s.check(err)
	bob := list[slices.IndexFunc(list, func(c chat.Contact) bool { return c.Account != carol.Account })].Account
	s.refused("vouching for whom one has not verified", s.Alice.Introduce(s.ctx, carol.Account, bob), chat.CodeIdentity)
	_, err = s.Alice.SetTrust(s.ctx, carol.Account, chat.TrustVerified)
	s.check(err)
	s.check(s.Alice.Introduce(s.ctx, carol.Account, bob))
	asks := s.asked(s.Bob)
	s.same("who is introduced to Bob", []any{asks.Account, asks.Introducer.Verified}, []any{carol.Account, false})
	c, err := s.Bob.AcceptRequest(s.ctx, carol.Account, "the new one")
	s.check(err)
	s.same("Bob's new contact", []any{c.Name, c.Introducer.Account, c.Introducer.Name}, []any{"the new one", asks.Introducer.Account, asks.Introducer.Name})
	s.refused("introducing nobody", s.Alice.Introduce(s.ctx, chat.AccountID{1}, bob), chat.CodeTarget)
	bobLink, err := s.Bob.ContactLink(s.ctx)
	s.check(err)
	_, err = s.Carol.AddContact(s.ctx, bobLink.Link, "Alice")
	s.check(err)
	aliceLink, err := s.Alice.ContactLink(s.ctx)
	s.check(err)
	_, err = s.Carol.AddContact(s.ctx, aliceLink.Link, "alice")
	s.refused("another key under a name that is taken", err, chat.CodeIdentity)
	now, err := s.Carol.ReplaceContact(s.ctx, aliceLink.Link, "Alice")
	s.check(err)
	s.same("the name's new owner", []any{now.Name, now.Account != bob}, []any{"Alice", true})
	s.same("Carol's contacts", s.contactsOf(s.Carol), 2)
}

// forgetting: Alice forgets Bob. Of him she is shown nothing any more, the numbers of events stay, and they can begin anew.
func forgetting(s *story) {
	said := s.says(s.Alice, "do you remember?")
	s.hears(s.Bob, 1)
	bob, err := s.Alice.Contacts(s.ctx)
	s.check(err)
	st, err := s.Alice.Status(s.ctx)
	s.check(err)
	s.check(s.Alice.RemoveContact(s.ctx, bob[0].Account))
	if err := s.Alice.RemoveContact(s.ctx, bob[0].Account); chat.CodeOf(err) != chat.CodeTarget {
		s.Fatalf("forgetting again: %v", err)
	}
	left, err := s.Alice.Contacts(s.ctx)
	s.check(err)
	chats, err := s.Alice.Conversations(s.ctx)
	s.check(err)
	page, err := s.Alice.History(s.ctx, s.with, chat.MessageID{}, 10)
	s.check(err)
	if len(left)+len(chats)+len(page) > 0 {
		s.Fatalf("left are %+v, %+v, %+v", left, chats, page)
	}
	if _, err := look(s.ctx, s.Alice, said.ID); chat.CodeOf(err) != chat.CodeTarget {
		s.Fatalf("the message is still there: %v", err)
	}
	events, err := s.events(s.Alice, 0, func(e chat.Entry) bool { return e.Type == chat.EventContactRemoved })
	s.check(err)
	if last := events[len(events)-1].Seq; last <= st.LastEvent || uint64(len(events)) != last {
		s.Fatalf("%d events, the last with number %d", len(events), last)
	}
	for _, e := range events {
		if e.Message != nil || !e.Account.IsZero() || !e.Event.Message.IsZero() {
			s.Fatalf("event %d still tells of %+v", e.Seq, e)
		}
	}
	link, err := s.Bob.ContactLink(s.ctx)
	s.check(err)
	_, err = s.Alice.AddContact(s.ctx, link.Link, "")
	s.check(err)
	s.says(s.Alice, "now again")
	s.same("what Bob heard", texts(s.hears(s.Bob, 2))[1], "now again")
}

// look returns a message as it is.
func look(ctx context.Context, b api.Backend, id chat.MessageID) (chat.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return b.Wait(ctx, id, chat.StateRead)
}

func isContact(a chat.AccountID) func(chat.Contact) bool {
	return func(c chat.Contact) bool { return c.Account == a }
}

// errEnough ends a Follow that has seen what it came for.
var errEnough = errors.New("seen enough")

// events collects what Follow brings until enough says so of the last one.
func (s *story) events(who api.Backend, after uint64, enough func(chat.Entry) bool) (list []chat.Entry, err error) {
	err = who.Follow(s.ctx, after, func(e chat.Entry) error {
		if e.Seq <= after {
			return fmt.Errorf("event %d after %d", e.Seq, after)
		}
		after = e.Seq
		list = append(list, e)
		if enough(e) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

// received keeps the events about messages that came in.
func received(list []chat.Entry) (out []string) {
	for _, e := range list {
		if e.Type == chat.EventMessageReceived {
			out = append(out, e.Message.Text)
		}
	}
	return out
}

func isText(text string) func(chat.Entry) bool {
	return func(e chat.Entry) bool { return e.Message != nil && e.Message.Text == text }
}

func following(s *story) {
	s.says(s.Alice, "before")
	s.hears(s.Bob, 1)
	var want []string
	var followers errgroup.Group
	heard := make([][]chat.Entry, 2)
	for i := range heard {
		followers.Go(func() (err error) {
			heard[i], err = s.events(s.Bob, 0, isText("last"))
			return err
		})
	}
	for i := range 300 { // more than a page, while they follow
		text := fmt.Sprint(i)
		s.says(s.Alice, text)
		want = append(want, text)
	}
	s.says(s.Alice, "last")
	s.check(followers.Wait())
	for _, list := range heard {
		s.same("what Bob heard", received(list), append(append([]string{"before"}, want...), "last"))
		for _, e := range list {
			if e.Type == "" || e.At.IsZero() || e.Type == chat.EventMessageReceived && (e.Event.Message != e.Message.ID || e.Account != e.Message.Author) {
				s.Fatalf("an event lacks something: %+v", e)
			}
		}
	}
}

func resuming(s *story) {
	m := s.says(s.Alice, "one")
	s.reaches(s.Alice, m, chat.StateDelivered)
	list, err := s.events(s.Alice, m.Seq-1, func(e chat.Entry) bool { return e.State == chat.StateDelivered })
	s.check(err)
	s.same("the first event", []any{list[0].Type, list[0].Seq, list[0].Event.Message}, []any{chat.EventMessageQueued, m.Seq, m.ID})
	last := list[len(list)-1]
	s.same("the last event", []any{last.Type, last.Event.Message}, []any{chat.EventMessageState, m.ID})
	st, err := s.Alice.Status(s.ctx)
	s.check(err)
	if st.LastEvent < last.Seq {
		s.Fatalf("the status says %d, and there is an event %d", st.LastEvent, last.Seq)
	}
	n := s.says(s.Alice, "two")
	next, err := s.events(s.Alice, st.LastEvent, func(chat.Entry) bool { return true })
	s.check(err)
	s.same("the event after the last", next[0].Event.Message, n.ID)
}

func endings(s *story) {
	s.says(s.Alice, "hello")
	ctx, cancel := context.WithCancel(s.ctx)
	err := s.Bob.Follow(ctx, 0, func(e chat.Entry) error {
		if e.Type == chat.EventMessageReceived {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		s.Fatalf("following that was cancelled ended with %v", err)
	}
	calls := 0
	err = s.Bob.Follow(s.ctx, 0, func(chat.Entry) error { calls++; return errEnough })
	if !errors.Is(err, errEnough) || calls != 1 {
		s.Fatalf("following that had enough ended with %v after %d calls", err, calls)
	}
}

func overdue(s *story) {
	ctx, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err := s.Alice.Send(ctx, chat.Draft{Conversation: s.with, Text: "too late"})
	if !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("sending too late: %v", err)
	}
	if err := s.Alice.Follow(ctx, 0, func(chat.Entry) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("following too late: %v", err)
	}
}

func status(s *story) {
	s.Part()
	s.says(s.Alice, "for later")
	st, err := s.Alice.Status(s.ctx)
	s.check(err)
	if !st.Ready || st.Name == "" || st.Account.IsZero() || st.Device == "" || st.Network.Name == "" || st.Since.IsZero() {
		s.Fatalf("the status lacks something: %+v", st)
	}
	s.same("what waits", []any{st.Queued, st.OldestQueue.IsZero()}, []any{1, false})
	s.Meet()
	s.becomes("empty queue", func() (error, bool) {
		st, err = s.Alice.Status(s.ctx)
		return err, st.Queued == 0 && st.OldestQueue.IsZero()
	})
	peers, err := s.Alice.Peers(s.ctx)
	s.check(err)
	s.same("how many peers are connected", len(peers), st.Peers)
}
