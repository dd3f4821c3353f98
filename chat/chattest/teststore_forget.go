package chattest

import (
	"errors"

	"parley/chat"
)

// testDeleteConversation deletes what Alice has with Bob: nothing of it is left but the ids of messages and the numbers of events, and
// nothing else is touched.
func testDeleteConversation(l ledger) {
	bob, carol := accountOf("Bob"), accountOf("Carol")
	l.update(func(tx chat.Tx) error {
		var errs []error
		for n, account := range []chat.AccountID{bob, carol} {
			c := chat.DirectConversation(accountOf("Alice"), account)
			text := textTo("Bob", n+1)
			text.Conversation, text.ClientID = c, "one"
			_, err := tx.AppendEvent(chat.Event{Type: chat.EventMessageQueued, Conversation: c, At: noon(), State: chat.StateQueued, Cell: []byte("x")})
			out := envelopeFor("device", n+1)
			out.Account = account
			errs = append(errs, err, tx.InsertMessage(text), tx.InsertOutbox(out), tx.AddUnaddressed(chat.WaitingRow{Account: account, Message: text.Row}),
				tx.PutContact(chat.ContactRow{Account: account, At: noon()}), tx.PutConversation(chat.ConversationRow{ID: c, At: noon()}))
		}
		return errors.Join(errs...)
	})
	for range 2 { // a second time changes nothing
		l.update(func(tx chat.Tx) error { return tx.DeleteConversation(talk("Bob"), bob, noon()) })
		l.view(func(tx chat.Tx) error {
			var is []bool
			var errs []error
			for n, account := range []chat.AccountID{bob, carol} {
				_, message, err1 := tx.MessageByID(messageID(n + 1))
				_, client, err2 := tx.MessageByClientID(chat.DirectConversation(accountOf("Alice"), account), "one")
				_, conversation, err3 := tx.Conversation(chat.DirectConversation(accountOf("Alice"), account))
				_, contact, err4 := tx.Contact(account)
				waiting, err5 := tx.Waits(account)
				forgotten, err6 := tx.Forgotten(messageID(n + 1))
				is = append(is, message, client, conversation, contact, waiting, forgotten)
				errs = append(errs, err1, err2, err3, err4, err5, err6)
			}
			l.same("what is left", is, []bool{false, false, false, false, false, true, true, true, true, true, true, false})
			events, err := tx.Events(0, 10)
			l.same("events", events, []chat.Event{
				{Seq: 1, Type: chat.EventMessageQueued, At: noon(), State: chat.StateQueued},
				{Seq: 2, Type: chat.EventMessageQueued, At: noon(), State: chat.StateQueued, Conversation: talk("Carol"), Cell: []byte("x")},
			})
			return errors.Join(append(errs, err)...)
		})
		l.same("outbox", rowsOf(l.outbox("device", 10), outboxRow), numbers(2))
	}
	again := textTo("Bob", 1)
	again.Row = rowOf(3)
	l.insert(again) // the tombstone forbids nothing: what it means is the messenger's
}

// testKeepsCellsAlone hands a store what nobody should: of what belongs into the cell it keeps nothing.
func testKeepsCellsAlone(l ledger) {
	m := textTo("Bob", 1)
	m.Author, m.Device, m.Content = accountOf("Alice"), "phone", []byte("plain")
	l.insert(m)
	got, _ := l.message(m.Row)
	l.same("message", got, textTo("Bob", 1))

	o := envelopeFor("bob", 1)
	o.Tag, o.Envelope, o.Content, o.Session = chat.AckTag{1}, []byte("plain"), []byte("plain"), chat.SessionID{1}
	l.queue(o)
	l.same("outbox row", l.outbox("bob", 1), []chat.OutboxRow{envelopeFor("bob", 1)})

	l.update(func(tx chat.Tx) error {
		_, err := tx.AppendEvent(chat.Event{Type: chat.EventContactAdded, At: noon(), Message: messageID(1), Account: accountOf("Bob")})
		return errors.Join(err,
			tx.PutContact(chat.ContactRow{Account: accountOf("Bob"), At: noon(), Name: "Bob", Trust: chat.TrustVerified, Token: chat.Token{1}}),
			tx.PutRequest(chat.RequestRow{Account: accountOf("Bob"), State: chat.RequestPending, At: noon(), Name: "Bob", Introduction: []byte("plain")}),
			tx.PutHeld(chat.HeldRow{Message: messageID(2), Account: accountOf("Bob"), At: noon(), Device: "phone", Content: []byte("plain")}),
			tx.PutSession(chat.SessionRow{Device: "phone", At: noon(), Account: accountOf("Bob"), State: []byte("plain")}),
			tx.PutSecret(chat.SecretRow{Kind: chat.SecretGiven, Key: []byte("k"), Value: []byte("plain")}),
			tx.PutConversation(chat.ConversationRow{ID: talk("Bob"), At: noon(), Peer: accountOf("Bob"), Seq: 7}),
			tx.PutRecord(chat.RecordRow{Key: "x", At: noon(), Sequence: 7, Value: []byte("plain")}),
			tx.InsertSeen(chat.SeenRow{ID: chat.EnvelopeIDOf(nil), At: noon(), Tag: chat.AckTag{1}, Message: messageID(1)}))
	})
	l.view(func(tx chat.Tx) error {
		contact, _, err1 := tx.Contact(accountOf("Bob"))
		conversation, _, err2 := tx.Conversation(talk("Bob"))
		record, _, err3 := tx.Record("x")
		seen, _, err4 := only(tx.Seen(chat.EnvelopeIDOf(nil)))
		events, err5 := tx.Events(0, 1)
		l.same("contact", contact, chat.ContactRow{Account: accountOf("Bob"), At: noon()})
		l.same("conversation", conversation, chat.ConversationRow{ID: talk("Bob"), At: noon()})
		l.same("record", record, chat.RecordRow{Key: "x", At: noon()})
		l.same("seen envelope", seen, chat.SeenRow{ID: chat.EnvelopeIDOf(nil), At: noon()})
		l.same("event", events, []chat.Event{{Seq: 1, Type: chat.EventContactAdded, At: noon()}})
		request, _, err6 := tx.Request(accountOf("Bob"))
		held, err7 := tx.HeldOf(accountOf("Bob"))
		session, _, err8 := tx.Session(chat.SessionID{})
		secret, _, err9 := tx.Secret(chat.SecretGiven, []byte("k"))
		l.same("request", request, chat.RequestRow{Account: accountOf("Bob"), State: chat.RequestPending, At: noon()})
		l.same("held", held, []chat.HeldRow{{Message: messageID(2), Account: accountOf("Bob"), At: noon()}})
		l.same("session", session, chat.SessionRow{Device: "phone", At: noon()})
		l.same("secret", secret, chat.SecretRow{Kind: chat.SecretGiven, Key: []byte("k")})
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9)
	})
}
