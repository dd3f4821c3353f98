package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"parley/chat"
)

// Client is the node behind a socket. It may be used by many goroutines at once. Calls whose connection drops are tried again:
// none of them does a thing twice.
type Client struct {
	socket  string
	http    *http.Client
	silence time.Duration // limits.go; tests shorten it
}

var _ Backend = (*Client)(nil)

// Dial returns a client of the node that listens on a socket, after a look whether one does: else the error has
// chat.CodeUnavailable. Close it in the end.
func Dial(socket string) (*Client, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	c := &Client{socket: socket, silence: silence, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		IdleConnTimeout: clientIdle, DisableCompression: true,
		MaxConnsPerHost: clientConnections, MaxIdleConnsPerHost: clientConnections,
	}}}
	conn, err := dialer.Dial("unix", socket)
	if err != nil {
		return nil, c.unavailable(err)
	}
	_ = conn.Close() // nothing was said
	return c, nil
}

// Close closes the connections that are kept for further calls; calls under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status implements Backend.
func (c *Client) Status(ctx context.Context) (chat.Status, error) {
	return one(ctx, c, call{method: "GET", path: "/status"}, statusShape.parse)
}

// Peers implements Backend.
func (c *Client) Peers(ctx context.Context) ([]chat.Peer, error) {
	return many(ctx, c, call{method: "GET", path: "/peers"}, peerShape.parse)
}

// Contacts implements Backend.
func (c *Client) Contacts(ctx context.Context) ([]chat.Contact, error) {
	return many(ctx, c, call{method: "GET", path: "/contacts"}, contactShape.parse)
}

// AddContact implements Backend.
func (c *Client) AddContact(ctx context.Context, link, as string) (chat.Contact, error) {
	return one(ctx, c, call{method: "POST", path: "/contacts", body: addShape{Link: link, Name: as}}, contactShape.parse)
}

// RemoveContact implements Backend. When its connection drops, the second try may say that there is no such contact any more.
func (c *Client) RemoveContact(ctx context.Context, a chat.AccountID) error {
	_, err := c.do(ctx, call{method: "DELETE", path: "/contacts/" + a.String()}, new(struct{}))
	return err
}

// Shutdown asks the node to end. It has not ended yet when this returns.
func (c *Client) Shutdown(ctx context.Context) error {
	_, err := c.do(ctx, call{method: "POST", path: "/shutdown", body: struct{}{}}, new(struct{}))
	return err
}

// ContactLink implements Backend.
func (c *Client) ContactLink(ctx context.Context) (chat.InviteLink, error) {
	return one(ctx, c, call{method: "GET", path: "/contacts/link"}, linkShape.parse)
}

// ReplaceContact implements Backend.
func (c *Client) ReplaceContact(ctx context.Context, link, as string) (chat.Contact, error) {
	return one(ctx, c, call{method: "POST", path: "/contacts", body: addShape{Link: link, Name: as, Replace: true}}, contactShape.parse)
}

// ResetContactLink implements Backend. When its connection drops, the link may be renewed twice, and the last one is returned.
func (c *Client) ResetContactLink(ctx context.Context) (chat.InviteLink, error) {
	return one(ctx, c, call{method: "POST", path: "/contacts/link/reset", body: struct{}{}}, linkShape.parse)
}

// Conversations implements Backend.
func (c *Client) Conversations(ctx context.Context) ([]chat.Conversation, error) {
	return many(ctx, c, call{method: "GET", path: "/conversations"}, conversationShape.parse)
}

// Send implements Backend. A draft without a client id gets a random one: a second try cannot make a second message of it.
func (c *Client) Send(ctx context.Context, d chat.Draft) (chat.Message, error) {
	if !utf8.ValidString(d.Text) {
		return chat.Message{}, invalid("the message is not UTF-8 text: nothing was sent") // JSON would change it
	}
	switch d.ClientID {
	case "":
		d.ClientID = rand.Text()
	case "/": // which a path cannot name: it reads as the end of one
		return chat.Message{}, invalid("%q is no id of a message: nothing was sent", d.ClientID)
	}
	path := "/conversations/" + escape(d.Conversation.String()) + "/messages/" + escape(d.ClientID)
	return one(ctx, c, call{method: "PUT", path: path, body: draftShape{Text: d.Text}}, messageShape.parse)
}

// Wait implements Backend.
func (c *Client) Wait(ctx context.Context, id chat.MessageID, s chat.State) (chat.Message, error) {
	for ctx.Err() == nil {
		m, err := c.await(ctx, id, s, maxWait)
		if err == nil || ctx.Err() == nil && chat.CodeOf(err) != chat.CodeNotReached {
			return m, err
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	m, err := c.await(last, id, s, 0)
	if err != nil && last.Err() != nil {
		return m, c.unavailable(last.Err())
	}
	return m, err
}

// await asks once, for a message that reaches a state within the timeout. Its answers are those of Backend.Wait.
func (c *Client) await(ctx context.Context, id chat.MessageID, s chat.State, timeout time.Duration) (chat.Message, error) {
	var shape pendingShape
	status, err := c.do(ctx, call{
		method: "GET", path: "/messages/" + escape(id.String()), extra: timeout,
		query: url.Values{"wait": {string(s)}, "timeout": {timeout.String()}},
	}, &shape)
	if f, ok := errors.AsType[*fault](err); ok {
		m, _ := f.message.parse() // the error says more than a message that does not parse
		return m, f.error
	}
	if err != nil {
		return chat.Message{}, err
	}
	m, err := shape.parse()
	if err == nil && status == http.StatusAccepted {
		return m, &chat.Error{Code: chat.CodeNotReached, Detail: shape.Detail}
	}
	return m, c.unreadable(err)
}

// History implements Backend.
func (c *Client) History(ctx context.Context, id chat.ConversationID, before chat.MessageID, limit int) ([]chat.Message, error) {
	q := url.Values{"limit": {pageSize(limit)}}
	if !before.IsZero() {
		q.Set("before", before.String())
	}
	path := "/conversations/" + escape(id.String()) + "/messages"
	return many(ctx, c, call{method: "GET", path: path, query: q}, messageShape.parse)
}

// Unread implements Backend.
func (c *Client) Unread(ctx context.Context, id chat.ConversationID, limit int) ([]chat.Message, error) {
	q := url.Values{"limit": {pageSize(limit)}}
	if id != (chat.ConversationID{}) {
		q.Set("conversation", id.String())
	}
	return many(ctx, c, call{method: "GET", path: "/messages/unread", query: q}, messageShape.parse)
}

// MarkRead implements Backend.
func (c *Client) MarkRead(ctx context.Context, ids []chat.MessageID) error {
	for some := range slices.Chunk(ids, maxMarks) {
		marks := marksShape{IDs: make([]string, len(some))}
		for i, id := range some {
			marks.IDs[i] = id.String()
		}
		if _, err := c.do(ctx, call{method: "POST", path: "/messages/read", body: marks}, new(struct{})); err != nil {
			return err
		}
	}
	return nil
}

// pageSize asks for a full page where the limit is none.
func pageSize(limit int) string {
	if limit < 1 || limit > chat.MaxPage {
		limit = chat.MaxPage
	}
	return strconv.Itoa(limit)
}

// escape makes one segment of a path. Dots too: a client id of ".." must not climb.
func escape(segment string) string { return strings.ReplaceAll(url.PathEscape(segment), ".", "%2E") }

// call is one request.
type call struct {
	method, path string
	query        url.Values
	body         any           // nil for none
	extra        time.Duration // what the answer may take beyond requestTimeout
}

// one makes a call that is answered with one thing.
func one[S, T any](ctx context.Context, c *Client, q call, parse func(S) (T, error)) (T, error) {
	var shape S
	if _, err := c.do(ctx, q, &shape); err != nil {
		return *new(T), err
	}
	v, err := parse(shape)
	return v, c.unreadable(err)
}

// many makes a call that is answered with a list.
func many[S, T any](ctx context.Context, c *Client, q call, parse func(S) (T, error)) ([]T, error) {
	var l list[S]
	if _, err := c.do(ctx, q, &l); err != nil {
		return nil, err
	}
	items, err := itemsOf(l.Items, parse)
	return items, c.unreadable(err)
}

// do makes a call, again where the connection drops, and reads the answer into out or returns it as the error that it is.
func (c *Client) do(ctx context.Context, q call, out any) (status int, err error) {
	body, err := encode(q.body)
	if err != nil {
		return 0, fmt.Errorf("encode the request: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, requestTimeout+q.extra)
	defer cancel()
	for attempt := 1; ; attempt++ {
		var answer []byte
		status, answer, err = c.exchange(limited, q, body)
		switch {
		case err == nil && status >= http.StatusBadRequest:
			return status, parseProblem(status, answer)
		case err == nil:
			return status, c.unreadable(json.Unmarshal(answer, out))
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case attempt == attempts || isGone(err) || limited.Err() != nil:
			return 0, c.unavailable(err)
		}
		pause(limited, retryPause<<(attempt-1))
	}
}

// exchange sends a request and reads the whole answer, over one connection, once.
func (c *Client) exchange(ctx context.Context, q call, body []byte) (status int, answer []byte, err error) {
	req, err := q.request(ctx, body)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}

func (q call) request(ctx context.Context, body []byte) (*http.Request, error) {
	address := "http://parley" + prefix + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	if q.body == nil {
		return http.NewRequestWithContext(ctx, q.method, address, nil)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// pause waits, or not so long when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// isGone reports whether nobody listens: trying again at once is no use.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ECONNREFUSED)
}

// unavailable says for people why a node cannot be asked.
func (c *Client) unavailable(err error) error {
	e := &chat.Error{Code: chat.CodeUnavailable}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Detail = fmt.Sprintf("the node on %s belongs to another user", c.socket)
	case isGone(err):
		e.Detail, e.Try = fmt.Sprintf("no node is running: nothing listens on %s", c.socket), "parley up"
	case errors.Is(err, context.DeadlineExceeded):
		e.Detail = fmt.Sprintf("the node on %s does not answer", c.socket)
	default:
		e.Detail, e.Try = fmt.Sprintf("the node on %s hung up: %s", c.socket, err), "parley status"
	}
	return e
}

// unreadable wraps the error of an answer that makes no sense; nil stays nil.
func (c *Client) unreadable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read the answer of the node on %s: %w", c.socket, err)
}
