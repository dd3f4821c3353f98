package apitest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/api"
)

func manyAtOnce(s *story) {
	var drafts []chat.Draft
	var want []string
	for i := range chat.SendBatch {
		want = append(want, strconv.Itoa(i))
		drafts = append(drafts, chat.Draft{Conversation: s.with, Text: want[i]})
	}
	drafts[7].ClientID = "seven \u2028 ключ"
	sent, err := s.Alice.SendAll(s.ctx, drafts)
	s.check(err)
	s.same("what is sent", texts(sent), want)
	again, err := s.Alice.SendAll(s.ctx, drafts[7:8])
	s.check(err)
	s.same("the same client id", []any{len(again), again[0].ID, again[0].ClientID}, []any{1, sent[7].ID, drafts[7].ClientID})
	none, err := s.Alice.SendAll(s.ctx, nil)
	s.check(err)
	s.same("nothing at once", len(none), 0)
	s.reaches(s.Alice, sent[len(sent)-1], chat.StateDelivered)
	s.same("what came to Bob", texts(s.hears(s.Bob, chat.MaxPage)), want[:chat.MaxPage])
	good := chat.Draft{Conversation: s.with, Text: "good"}
	for name, test := range map[string]struct {
		drafts []chat.Draft
		want   chat.Code
	}{
		"one that is empty":       {[]chat.Draft{good, {Conversation: s.with}}, chat.CodeInvalid},
		"one that is no text":     {[]chat.Draft{good, {Conversation: s.with, Text: "\xff"}}, chat.CodeInvalid},
		"one for somebody else":   {[]chat.Draft{good, {Conversation: chat.ConversationID{1, 2}, Text: "x"}}, chat.CodeInvalid},
		"one under another's id":  {[]chat.Draft{good, {Conversation: s.with, Text: "x", ClientID: drafts[7].ClientID}}, chat.CodeIDReused},
		"one for nobody":          {[]chat.Draft{{Conversation: chat.ConversationID{1, 2}, Text: "x"}}, chat.CodeTarget},
		"one too many":            {slices.Repeat([]chat.Draft{good}, chat.SendBatch+1), chat.CodeLimit},
		"two too long for a page": {slices.Repeat([]chat.Draft{{Conversation: s.with, Text: strings.Repeat("x", chat.MaxText/2+1)}}, 2), chat.CodeLimit},
	} {
		_, err := s.Alice.SendAll(s.ctx, test.drafts)
		s.refused(name, err, test.want)
	}
	page, err := s.Alice.History(s.ctx, s.with, chat.MessageID{}, 1)
	s.check(err)
	s.same("her last message", texts(page), want[len(want)-1:])
}

func looking(s *story) {
	s.Part()
	m := s.says(s.Alice, "where are you?")
	var info chat.Info
	s.becomes("attempt to reach Bob", func() (err error, ok bool) {
		info, err = s.Alice.Info(s.ctx, m.ID)
		return err, len(info.Waits) == 1 && info.Waits[0].Attempts > 0
	})
	wait := info.Waits[0]
	if info.ID != m.ID || !info.Mine || info.State != chat.StateQueued || len(info.Ways) > 0 || wait.Device == "" || wait.Reason == "" || wait.Last.IsZero() {
		s.Fatalf("while Bob is away: %+v", info)
	}
	s.Meet()
	s.reaches(s.Alice, m, chat.StateDelivered)
	info, err := s.Alice.Info(s.ctx, m.ID)
	s.check(err)
	if len(info.Waits) > 0 || len(info.Ways) != 1 || info.Ways[0].State != chat.StateDelivered || info.Ways[0].Route != chat.RouteDirect ||
		info.Ways[0].Device != wait.Device || info.Ways[0].At.IsZero() {
		s.Fatalf("when he has it: %+v", info)
	}
	came := s.hears(s.Bob, 1)[0]
	his, err := s.Bob.Info(s.ctx, came.ID)
	s.check(err)
	if his.ID != m.ID || his.Mine || his.Device != m.Device || his.Number == 0 || his.Missing != 0 || len(his.Ways)+len(his.Waits) > 0 {
		s.Fatalf("Bob's look: %+v", his)
	}
	_, err = s.Alice.Info(s.ctx, chat.MessageID{7})
	s.refused("a look at no message", err, chat.CodeTarget)
}

func mailboxes(s *story) {
	before, err := s.Alice.Mailboxes(s.ctx)
	s.check(err)
	s.same("in the beginning", []any{before.Automatic, len(before.Hosts)}, []any{true, 0})
	bob, carol := s.deviceOf(s.Bob), s.deviceOf(s.Carol)
	for _, step := range []struct {
		choose    []peer.ID
		automatic bool
	}{{[]peer.ID{carol, bob}, false}, {[]peer.ID{bob}, false}, {[]peer.ID{}, false}} {
		s.check(s.Alice.ChooseMailboxes(s.ctx, step.choose))
		now, err := s.Alice.Mailboxes(s.ctx)
		s.check(err)
		hosts := []peer.ID{}
		for _, k := range now.Hosts {
			hosts = append(hosts, k.Host)
		}
		s.same("what was chosen", []any{now.Automatic, hosts}, []any{step.automatic, step.choose})
		st, err := s.Alice.Status(s.ctx)
		s.check(err)
		s.same("what the status counts", st.Mailboxes, len(step.choose))
	}
	s.refused("this device", s.Alice.ChooseMailboxes(s.ctx, []peer.ID{s.deviceOf(s.Alice)}), chat.CodeInvalid)
	s.refused("too many", s.Alice.ChooseMailboxes(s.ctx, []peer.ID{bob, carol, bob, carol}), chat.CodeLimit)
	now, err := s.Alice.Mailboxes(s.ctx)
	s.check(err)
	s.same("after what was refused", []any{now.Automatic, len(now.Hosts)}, []any{false, 0})
	s.check(s.Alice.ChooseMailboxes(s.ctx, nil))
	now, err = s.Alice.Mailboxes(s.ctx)
	s.check(err)
	s.same("the node chooses again", now.Automatic, true)
}

func (s *story) deviceOf(who api.Backend) peer.ID {
	s.Helper()
	st, err := who.Status(s.ctx)
	s.check(err)
	return st.Device
}

func receipts(s *story) {
	all, alice := chat.AccountID{}, s.contactOf(s.Bob)
	s.same("what is said of Alice in the beginning", alice.Receipts, chat.ReceiptsDefault)
	st, err := s.Bob.Status(s.ctx)
	s.check(err)
	s.same("what is said of all in the beginning", st.Receipts, chat.ReceiptsOn)
	s.check(s.Bob.SetReceipts(s.ctx, all, chat.ReceiptsOff))
	quiet := s.shown("for his eyes")
	s.check(s.Bob.SetReceipts(s.ctx, alice.Account, chat.ReceiptsOn))
	s.same("what is said of Alice", s.contactOf(s.Bob).Receipts, chat.ReceiptsOn)
	s.reaches(s.Alice, s.shown("for both"), chat.StateRead)
	st, err = s.Bob.Status(s.ctx)
	s.check(err)
	s.same("what is said of all", st.Receipts, chat.ReceiptsOff)
	s.check(s.Bob.SetReceipts(s.ctx, all, chat.ReceiptsDefault))
	s.check(s.Bob.SetReceipts(s.ctx, alice.Account, chat.ReceiptsOff))
	more := s.shown("for his eyes again")
	s.check(s.Bob.SetReceipts(s.ctx, alice.Account, chat.ReceiptsDefault))
	s.reaches(s.Alice, s.shown("for both again"), chat.StateRead) // after it, whatever was to come of those before has come
	for _, m := range []chat.Message{quiet, more} {
		s.same("what Alice knows of "+m.Text, s.reaches(s.Alice, m, chat.StateDelivered).State, chat.StateDelivered)
	}
	s.refused("an odd word", s.Bob.SetReceipts(s.ctx, all, "sometimes"), chat.CodeInvalid)
	s.refused("somebody unknown", s.Bob.SetReceipts(s.ctx, chat.AccountID{1}, chat.ReceiptsOff), chat.CodeTarget)
	over, cancel := context.WithDeadline(s.ctx, time.Now())
	defer cancel()
	if err := s.Bob.SetReceipts(over, all, chat.ReceiptsOff); err == nil {
		s.Fatal("it was done after its time")
	}
}

// contactOf returns the only contact that somebody has.
func (s *story) contactOf(who api.Backend) chat.Contact {
	s.Helper()
	list, err := who.Contacts(s.ctx)
	s.check(err)
	s.same("how many contacts there are", len(list), 1)
	return list[0]
}

// shown lets Alice say something, and Bob see it.
func (s *story) shown(text string) chat.Message {
	s.Helper()
	m := s.says(s.Alice, text)
	s.hears(s.Bob, 1)
	s.check(s.Bob.MarkRead(s.ctx, []chat.MessageID{m.ID}))
	return m
}
