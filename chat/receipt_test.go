package chat_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// Bob turns read receipts off for all, and on again for Alice alone; then off for her alone. What he reads while they are off stays
// delivered at Alice for ever, also when they are on again.
func TestWhoTurnsReceiptsOffTellsNobodyWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t) // she has said hello
		her, all := alice.Identity.Account(), chat.AccountID{}
		var unseen []chat.Message
		for n, step := range []struct {
			of    chat.AccountID
			set   chat.Receipts
			reads chat.State
		}{
			{all, chat.ReceiptsDefault, chat.StateRead},
			{all, chat.ReceiptsOff, chat.StateDelivered},
			{her, chat.ReceiptsOn, chat.StateRead},
			{her, chat.ReceiptsDefault, chat.StateDelivered},
			{all, chat.ReceiptsOn, chat.StateRead},
			{her, chat.ReceiptsOff, chat.StateDelivered},
		} {
			if err := bob.SetReceipts(t.Context(), step.of, step.set); err != nil {
				t.Fatal(err)
			}
			m := alice.Sees(alice.Say(bob, "did you read this?"), chat.StateDelivered)
			bob.Hears(alice, n+2)
			if err := bob.MarkRead(t.Context(), []chat.MessageID{m.ID}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			if list, err := bob.Unread(t.Context(), bob.With(alice), chat.MaxPage); err != nil || len(list) != 1 {
				t.Errorf("step %d: Bob has %d unread, %v", n, len(list), err)
			}
			if now := alice.Sees(m, chat.StateDelivered); now.State != step.reads {
				t.Errorf("step %d: it is %s at Alice, want %s", n, now.State, step.reads)
			}
			if step.reads == chat.StateDelivered {
				unseen = append(unseen, m)
			}
		}
		for _, m := range unseen {
			if now := alice.Sees(m, chat.StateDelivered); now.State != chat.StateDelivered {
				t.Errorf("Alice learned later that %q was read", m.Text)
			}
		}
	})
}

// What Bob has decided of receipts outlives a restart, shows among his contacts and in his status, and is told once as an event.
func TestWhatIsSaidOfReceiptsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t)
		before, err := bob.Status(t.Context())
		if err != nil || before.Receipts != chat.ReceiptsOn {
			t.Fatalf("in the beginning they are %q, %v", before.Receipts, err)
		}
		for range 2 {
			if err := bob.SetReceipts(t.Context(), alice.Identity.Account(), chat.ReceiptsOff); err != nil {
				t.Fatal(err)
			}
		}
		if after, err := bob.Status(t.Context()); err != nil || after.LastEvent != before.LastEvent+1 {
			t.Errorf("%d events for one change, %v", after.LastEvent-before.LastEvent, err)
		}
		if _, err := bob.Block(t.Context(), alice.Identity.Account()); err != nil {
			t.Fatal(err)
		}
		if err := bob.SetReceipts(t.Context(), chat.AccountID{}, chat.ReceiptsOff); err != nil {
			t.Fatal(err)
		}
		bob.Stop()
		bob.Start(nil)
		list, err := bob.Contacts(t.Context())
		if err != nil || len(list) != 1 || list[0].Receipts != chat.ReceiptsOff || !list[0].Blocked {
			t.Errorf("of Alice it says %+v, %v", list, err)
		}
		if s, err := bob.Status(t.Context()); err != nil || s.Receipts != chat.ReceiptsOff {
			t.Errorf("of all it says %q, %v", s.Receipts, err)
		}
		if err := bob.SetReceipts(t.Context(), chat.AccountID{}, "sometimes"); chat.CodeOf(err) != chat.CodeInvalid {
			t.Errorf("an odd word: %v", err)
		}
		if err := bob.SetReceipts(t.Context(), chat.AccountID{1}, chat.ReceiptsOff); chat.CodeOf(err) != chat.CodeTarget {
			t.Errorf("of nobody: %v", err)
		}
	})
}

// Alice sends many at once: all in their order, the same ones when she tries again, and none where one of them cannot be sent.
func TestManyAtOnceAreAllOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, alice, bob := friends(t)
		draft := func(text, id string) chat.Draft {
			return chat.Draft{Conversation: alice.With(bob), Text: text, ClientID: id}
		}
		drafts := []chat.Draft{draft("one", "1"), draft("two", "2"), draft("three", "3")}
		first, err := alice.SendAll(t.Context(), drafts)
		if err != nil || len(first) != 3 {
			t.Fatalf("%d sent: %v", len(first), err)
		}
		again, err := alice.SendAll(t.Context(), append(drafts, draft("four", "4")))
		if err != nil || len(again) != 4 || again[2].ID != first[2].ID {
			t.Fatalf("the second time %d are sent: %v", len(again), err)
		}
		for name, bad := range map[string]struct {
			drafts []chat.Draft
			want   chat.Code
		}{
			"one is empty":       {[]chat.Draft{draft("five", ""), draft(" ", "")}, chat.CodeInvalid},
			"one has a used id":  {[]chat.Draft{draft("five", ""), draft("six", "1")}, chat.CodeIDReused},
			"one is for another": {[]chat.Draft{draft("five", ""), {Conversation: chat.ConversationID{1}, Text: "x"}}, chat.CodeInvalid},
			"too many":           {slices.Repeat([]chat.Draft{draft("x", "")}, chat.SendBatch+1), chat.CodeLimit},
			"too long together":  {slices.Repeat([]chat.Draft{draft(strings.Repeat("x", chat.MaxText/2+1), "")}, 2), chat.CodeLimit},
			"nobody's":           {[]chat.Draft{{Conversation: chat.ConversationID{1}, Text: "x"}}, chat.CodeTarget},
		} {
			if sent, err := alice.SendAll(t.Context(), bad.drafts); chat.CodeOf(err) != bad.want || len(sent) > 0 {
				t.Errorf("%s: %d sent, %v", name, len(sent), err)
			}
		}
		alice.Sees(again[3], chat.StateDelivered)
		if texts := alice.Texts(bob)[2:]; !slices.Equal(texts, []string{"one", "two", "three", "four"}) {
			t.Errorf("she has sent %q", texts)
		}
		if texts := bob.Hears(alice, 5)[1:]; !slices.Equal(texts, []string{"one", "two", "three", "four"}) {
			t.Errorf("Bob hears %q", texts)
		}
	})
}

// A gap is told wherever a message is shown: by events, by what is unread, and by a look at the message itself.
func TestAGapIsToldWhereverAMessageIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 53)
		host := hostsOf(s, 1)[0]
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Started("Bob", chattest.NewMemStore())
		alice.Befriend(bob)
		alice.Sees(alice.Say(bob, "one"), chat.StateDelivered)
		time.Sleep(time.Minute)
		bob.Sees(bob.Say(alice, "and you?"), chat.StateDelivered)
		time.Sleep(time.Minute)
		if st, err := bob.Status(t.Context()); err != nil || st.Mailboxes != 1 || st.Drained != 1 {
			t.Errorf("his mailboxes: %d, %d of them drained, %v", st.Mailboxes, st.Drained, err)
		}
		bob.Stop()
		host.SetFaults(chattest.HostFaults{Withhold: 1})
		alice.Sees(alice.Say(bob, "two"), chat.StateSent)
		host.SetFaults(chattest.HostFaults{})
		three := alice.Sees(alice.Say(bob, "three"), chat.StateSent)
		alice.Stop()
		bob.Start(nil)
		bob.Hears(alice, 2)
		info, err := bob.Info(t.Context(), three.ID)
		if err != nil || info.Missing != 1 || info.Mine || info.Device != alice.Identity.Device() || info.Number == 0 {
			t.Errorf("Bob's look: %+v, %v", info, err)
		}
		unread, err := bob.Unread(t.Context(), bob.With(alice), 10)
		if err != nil || len(unread) != 2 || unread[1].Missing != 1 {
			t.Errorf("unread are %+v, %v", unread, err)
		}
		seen := errors.New("seen")
		err = bob.Follow(t.Context(), 0, func(e chat.Entry) error {
			if e.Message == nil || e.Message.ID != three.ID {
				return nil
			}
			if e.Message.Missing != 1 {
				t.Errorf("the event says that %d are missing", e.Message.Missing)
			}
			return seen
		})
		if !errors.Is(err, seen) {
			t.Error(err)
		}
	})
}
