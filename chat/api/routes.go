package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"time"
	"unicode/utf8"

	"parley/chat"
)

// prefix is where version 1 of the API lives.
const prefix = "/api/v1"

//go:embed openapi.json
var openapi string

// route is one line of the table that openapi.json describes.
type route struct {
	method, path string
	serve        http.HandlerFunc
}

// routes is the table of everything that can be asked.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/openapi.json", s.answer(s.getOpenAPI)},
		{"GET", "/version", s.answer(s.getVersion)},
		{"GET", "/status", s.answer(s.getStatus)},
		{"GET", "/peers", s.answer(s.getPeers)},
		{"GET", "/invites", s.answer(s.getInvites)},
		{"POST", "/invites", s.answer(s.postInvite)},
		{"DELETE", "/invites/{id}", s.answer(s.deleteInvite)},
		{"GET", "/members", s.answer(s.getMembers)},
		{"POST", "/members/{account}/revoke", s.answer(s.postRevokeMember)},
		{"GET", "/network/key", s.answer(s.getKey)},
		{"POST", "/network/key/rotate", s.answer(s.postRotateKey)},
		{"POST", "/network/key/end", s.answer(s.postEndKeyGrace)},
		{"GET", "/contacts", s.answer(s.getContacts)},
		{"POST", "/contacts", s.answer(s.postContact)},
		{"GET", "/contacts/link", s.answer(s.getContactLink)},
		{"POST", "/contacts/link/reset", s.answer(s.postContactLinkReset)},
		{"DELETE", "/contacts/{account}", s.answer(s.deleteContact)},
		{"POST", "/contacts/{account}/block", s.answer(s.postBlock)},
		{"POST", "/contacts/{account}/unblock", s.answer(s.postUnblock)},
		{"GET", "/contacts/{account}/safety-number", s.answer(s.getSafetyNumber)},
		{"PUT", "/contacts/{account}/trust", s.answer(s.putTrust)},
		{"POST", "/contacts/{account}/introduce", s.answer(s.postIntroduce)},
		{"PUT", "/contacts/{account}/receipts", s.answer(s.putContactReceipts)},
		{"PUT", "/receipts", s.answer(s.putReceipts)},
		{"GET", "/mailboxes", s.answer(s.getMailboxes)},
		{"PUT", "/mailboxes", s.answer(s.putMailboxes)},
		{"GET", "/requests", s.answer(s.getRequests)},
		{"POST", "/requests/{account}/accept", s.answer(s.postAccept)},
		{"POST", "/requests/{account}/reject", s.answer(s.postReject)},
		{"GET", "/conversations", s.answer(s.getConversations)},
		{"GET", "/conversations/{conversation}/messages", s.answer(s.getHistory)},
		{"POST", "/conversations/{conversation}/messages", s.answer(s.postMessages)},
		{"PUT", "/conversations/{conversation}/messages/{client_id}", s.answer(s.putMessage)},
		{"GET", "/messages/unread", s.answer(s.getUnread)},
		{"POST", "/messages/read", s.answer(s.postRead)},
		{"GET", "/messages/{id}", s.answer(s.getMessage)},
		{"GET", "/messages/{id}/info", s.answer(s.getInfo)},
		{"GET", "/events", s.getEvents},
		{"POST", "/shutdown", s.answer(s.postShutdown)},
	}
}

func (s *Server) getOpenAPI(*http.Request) (reply, error) {
	return reply{body: json.RawMessage(openapi)}, nil
}

func (s *Server) getVersion(*http.Request) (reply, error) {
	return reply{body: versionShape{Version: s.options.Version, API: "v1", Go: runtime.Version()}}, nil
}

func (s *Server) getStatus(r *http.Request) (reply, error) {
	st, err := s.backend.Status(r.Context())
	return reply{body: shapeStatus(st)}, err
}

func (s *Server) getPeers(r *http.Request) (reply, error) {
	peers, err := s.backend.Peers(r.Context())
	return reply{body: listOf(peers, shapePeer)}, err
}

func (s *Server) getContacts(r *http.Request) (reply, error) {
	contacts, err := s.backend.Contacts(r.Context())
	return reply{body: listOf(contacts, shapeContact)}, err
}

func (s *Server) postContact(r *http.Request) (reply, error) {
	var add addShape
	if err := decode(r.Body, &add); err != nil {
		return reply{}, err
	}
	put := s.backend.AddContact
	if add.Replace {
		put = s.backend.ReplaceContact
	}
	c, err := put(r.Context(), add.Link, add.Name)
	return reply{body: shapeContact(c)}, err
}

func (s *Server) deleteContact(r *http.Request) (reply, error) {
	a, err := chat.ParseAccountID(r.PathValue("account"))
	if err != nil {
		return reply{}, invalid("%s", err)
	}
	return reply{body: struct{}{}}, s.backend.RemoveContact(r.Context(), a)
}

// postShutdown answers, and the node ends.
func (s *Server) postShutdown(*http.Request) (reply, error) {
	if s.options.Shutdown == nil {
		return reply{}, &chat.Error{Code: chat.CodeRefused, Detail: "this node is not ended from here"}
	}
	s.options.Shutdown()
	return reply{body: struct{}{}}, nil
}

func (s *Server) getContactLink(r *http.Request) (reply, error) {
	l, err := s.backend.ContactLink(r.Context())
	return reply{body: shapeLink(l)}, err
}

func (s *Server) getConversations(r *http.Request) (reply, error) {
	conversations, err := s.backend.Conversations(r.Context())
	return reply{body: listOf(conversations, shapeConversation)}, err
}

func (s *Server) getHistory(r *http.Request) (reply, error) {
	c, err := conversationOf(r.PathValue("conversation"))
	if err != nil {
		return reply{}, err
	}
	q := r.URL.Query()
	limit, err := limitOf(q)
	if err != nil {
		return reply{}, err
	}
	var before chat.MessageID
	if q.Has("before") {
		if before, err = messageOf(q.Get("before")); err != nil {
			return reply{}, err
		}
	}
	messages, err := s.backend.History(r.Context(), c, before, limit)
	l := listOf(messages, shapeMessage)
	if len(messages) == limit {
		l.Next = l.Items[0].ID
	}
	return reply{body: l}, err
}

func (s *Server) getUnread(r *http.Request) (reply, error) {
	q := r.URL.Query()
	limit, err := limitOf(q)
	if err != nil {
		return reply{}, err
	}
	var c chat.ConversationID
	if q.Has("conversation") {
		if c, err = conversationOf(q.Get("conversation")); err != nil {
			return reply{}, err
		}
	}
	messages, err := s.backend.Unread(r.Context(), c, limit)
	return reply{body: listOf(messages, shapeMessage)}, err
}

func (s *Server) postRead(r *http.Request) (reply, error) {
	var marks marksShape
	if err := decode(r.Body, &marks); err != nil {
		return reply{}, err
	}
	if len(marks.IDs) > maxMarks {
		return reply{}, refuse(http.StatusRequestEntityTooLarge, chat.CodeLimit, "%d ids in one request: at most %d", len(marks.IDs), maxMarks)
	}
	ids, err := itemsOf(marks.IDs, messageOf)
	if err != nil {
		return reply{}, err
	}
	return reply{body: struct{}{}}, s.backend.MarkRead(r.Context(), ids)
}

// putMessage sends. 201 says that the message was queued during this request, 200 that it was there before: which of two
// requests at the same time was first, nobody can see, and nobody needs to.
func (s *Server) putMessage(r *http.Request) (reply, error) {
	d, err := draftOf(r)
	if err != nil {
		return reply{}, err
	}
	wait, err := waitOf(r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	started := time.Now().Truncate(time.Millisecond) // as coarse as a stored time may be
	m, err := s.backend.Send(r.Context(), d)
	if err != nil {
		return reply{}, err
	}
	if wait.state != "" {
		return s.await(r.Context(), m.ID, wait)
	}
	if m.At.Before(started) {
		return reply{body: shapeMessage(m)}, nil
	}
	return reply{status: http.StatusCreated, body: shapeMessage(m)}, nil
}

// getMessage looks at a message of ours, or waits for it.
func (s *Server) getMessage(r *http.Request) (reply, error) {
	id, err := messageOf(r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	wait, err := waitOf(r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	if wait.state != "" {
		return s.await(r.Context(), id, wait)
	}
	m, err := look(r.Context(), s.backend, id)
	return reply{body: shapeMessage(m)}, err
}

// look returns a message as it is: what Wait does when there is no time left.
func look(ctx context.Context, b Backend, id chat.MessageID) (chat.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	m, err := b.Wait(ctx, id, chat.StateRead)
	if m.ID.IsZero() {
		return m, err
	}
	return m, nil
}

// await answers 200 when the state was reached, 202 when it was not reached in time, and an error when it cannot be reached.
func (s *Server) await(ctx context.Context, id chat.MessageID, w wait) (reply, error) {
	ctx, cancel := s.untilStop(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, w.timeout)
	defer cancel()
	m, err := s.backend.Wait(ctx, id, w.state)
	switch {
	case m.ID.IsZero() && err != nil:
		return reply{}, err
	case chat.CodeOf(err) == chat.CodeNotReached:
		return reply{status: http.StatusAccepted, body: pendingShape{shapeMessage(m), problemOf(err).Detail}}, nil
	case err != nil:
		return reply{}, &fault{error: err, message: new(shapeMessage(m))}
	}
	return reply{body: shapeMessage(m)}, nil
}

// wait is what ?wait= and ?timeout= ask for; the empty state: nothing.
type wait struct {
	state   chat.State
	timeout time.Duration
}

func waitOf(q url.Values) (wait, error) {
	if !q.Has("wait") {
		return wait{}, nil
	}
	w := wait{state: chat.State(q.Get("wait"))}
	switch w.state {
	case chat.StateQueued, chat.StateSent, chat.StateDelivered, chat.StateRead:
	default:
		return w, invalid("wait=%.40q: want queued, sent, delivered or read", string(w.state))
	}
	var err error
	w.timeout, err = durationOf(q, "timeout", defaultWait)
	return w, err
}

// durationOf reads a duration like 20s, cut to maxWait.
func durationOf(q url.Values, name string, otherwise time.Duration) (time.Duration, error) {
	if !q.Has(name) {
		return otherwise, nil
	}
	d, err := time.ParseDuration(q.Get(name))
	if err != nil || d < 0 {
		return 0, invalid("%s=%.40q: want a time like 20s", name, q.Get(name))
	}
	return min(d, maxWait), nil
}

// limitOf reads ?limit=, cut to a page.
func limitOf(q url.Values) (int, error) {
	if !q.Has("limit") {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 {
		return 0, invalid("limit=%.40q: want a number from 1 to %d", q.Get("limit"), chat.MaxPage)
	}
	return min(n, chat.MaxPage), nil
}

func conversationOf(s string) (chat.ConversationID, error) {
	c, err := chat.ParseConversationID(s)
	if err != nil {
		return c, invalid("%s", err)
	}
	return c, nil
}

func messageOf(s string) (chat.MessageID, error) {
	m, err := chat.ParseMessageID(s)
	if err != nil {
		return m, invalid("%s", err)
	}
	return m, nil
}

func draftOf(r *http.Request) (chat.Draft, error) {
	c, err := conversationOf(r.PathValue("conversation"))
	if err != nil {
		return chat.Draft{}, err
	}
	var d draftShape
	if err := decode(r.Body, &d); err != nil {
		return chat.Draft{}, err
	}
	return chat.Draft{Conversation: c, Text: d.Text, ClientID: r.PathValue("client_id")}, nil
}

// decode reads the one JSON object that a body holds. Fields that it does not know are for newer nodes; bytes that are no UTF-8 it
// refuses, where encoding/json would put other characters in their place.
func decode(body io.Reader, v any) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return invalid("the body is not UTF-8")
	}
	if err := json.Unmarshal(b, v); err != nil {
		return invalid("the body is not the JSON that this route takes: %s", err)
	}
	return nil
}
