package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// The JSON of this API, one struct for each schema of openapi.json. Each has a function that makes it from the messenger's type
// and a method that reads it back; ids are text, an absent id is an absent field.

// list is how every list is answered, so that fields can be added beside the items.
type list[T any] struct {
	Items []T `json:"items"`
	// Next is the id to give as ?before= for the page before this one; absent on the first page of a conversation.
	Next string `json:"next,omitempty"`
}

// listOf makes the answer's items with one of the functions below; never null.
func listOf[T, S any](from []T, shape func(T) S) list[S] {
	l := list[S]{Items: make([]S, 0, len(from))}
	for _, v := range from {
		l.Items = append(l.Items, shape(v))
	}
	return l
}

// itemsOf reads a list's items back with one of the methods below.
func itemsOf[S, T any](items []S, parse func(S) (T, error)) ([]T, error) {
	out := make([]T, 0, len(items))
	for _, s := range items {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// stamp is a time as this API writes it: RFC 3339, UTC, milliseconds.
type stamp struct{ time.Time }

const stampLayout = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON writes the time in UTC, whatever zone it was made in.
func (s stamp) MarshalJSON() ([]byte, error) { return json.Marshal(s.UTC().Format(stampLayout)) }

type versionShape struct {
	Version string `json:"version"`
	API     string `json:"api"`
	Go      string `json:"go"`
}

type networkShape struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Private     bool   `json:"private"`
	Joined      bool   `json:"joined"`
	Seeds       int    `json:"seeds"`
	WrongKey    int    `json:"refused_wrong_key"`
	NoMember    int    `json:"refused_no_member"`
	OtherKey    bool   `json:"other_key,omitempty"`
	Removed     bool   `json:"removed,omitempty"`
	WaitsFor    string `json:"waits_for,omitempty"`

	Refused map[string]uint64 `json:"refused,omitempty"`
}

type reachShape struct {
	State string `json:"state"`
	Seeds int    `json:"seeds"`
}

type statusShape struct {
	Ready       bool         `json:"ready"`
	Name        string       `json:"name"`
	Account     string       `json:"account"`
	Device      string       `json:"device"`
	Network     networkShape `json:"network"`
	Peers       int          `json:"peers"`
	Seeds       int          `json:"seeds"`
	Addresses   []string     `json:"addresses"`
	Reachable   bool         `json:"reachable"`
	Queued      int          `json:"queued"`
	OldestQueue stamp        `json:"oldest_queued_at,omitzero"`
	Database    string       `json:"database"`
	Contacts    int          `json:"contacts"`
	Verified    int          `json:"verified"`
	Requests    int          `json:"requests"`
	Trouble     string       `json:"trouble,omitempty"`
	Restored    bool         `json:"restored,omitempty"`
	LastEvent   uint64       `json:"last_event"`
	Since       stamp        `json:"since"`

	Receipts  chat.Receipts `json:"receipts"`
	Mailboxes int           `json:"mailboxes"`
	Drained   int           `json:"drained_mailboxes"`
	Hosting   *hostingShape `json:"hosting,omitempty"`
	Reach     reachShape    `json:"reach"`
}

type hostingShape struct {
	Contact roomShape     `json:"contact"`
	Link    roomShape     `json:"link"`
	Open    roomShape     `json:"open"`
	Mailbox roomShape     `json:"mailbox"`
	Host    roomShape     `json:"host"`
	Owners  int           `json:"owners"`
	Sure    roomShape     `json:"sure"`
	Life    time.Duration `json:"life_ns"`
}

type roomShape struct {
	Boxes int   `json:"boxes"`
	Bytes int64 `json:"bytes"`
}

func shapeHosting(l *chat.HostLimits) *hostingShape {
	if l == nil {
		return nil
	}
	q := l.Quota
	return &hostingShape{
		Contact: roomShape(q.Contact), Link: roomShape(q.Link), Open: roomShape(q.Open), Mailbox: roomShape(q.Mailbox), Host: roomShape(q.Host),
		Owners: q.Owners, Sure: roomShape(q.Sure), Life: l.Life,
	}
}

func (s *hostingShape) parse() *chat.HostLimits {
	if s == nil {
		return nil
	}
	return &chat.HostLimits{Life: s.Life, Quota: chat.Quota{
		Contact: chat.Room(s.Contact), Link: chat.Room(s.Link), Open: chat.Room(s.Open), Mailbox: chat.Room(s.Mailbox), Host: chat.Room(s.Host),
		Owners: s.Owners, Sure: chat.Room(s.Sure),
	}}
}

func shapeStatus(s chat.Status) statusShape {
	return statusShape{
		Ready: s.Ready, Name: s.Name, Account: text(s.Account), Device: s.Device.String(), Network: networkShape(s.Network),
		Peers: s.Peers, Seeds: s.Seeds, Addresses: notNull(s.Addresses), Reachable: s.Reachable, Queued: s.Queued,
		OldestQueue: stamp{s.OldestQueue}, Database: s.Database, Contacts: s.Contacts, Verified: s.Verified, Requests: s.Requests,
		Trouble: s.Trouble, Restored: s.Restored, LastEvent: s.LastEvent, Since: stamp{s.Since},
		Receipts: s.Receipts, Mailboxes: s.Mailboxes, Drained: s.Drained, Hosting: shapeHosting(s.Hosting), Reach: reachShape(s.Reach),
	}
}

func (s statusShape) parse() (chat.Status, error) {
	var r reader
	status := chat.Status{
		Ready: s.Ready, Name: s.Name, Account: read(&r, s.Account, chat.ParseAccountID), Device: read(&r, s.Device, peer.Decode),
		Network: chat.NetworkStatus(s.Network), Peers: s.Peers, Seeds: s.Seeds, Addresses: s.Addresses, Reachable: s.Reachable,
		Queued: s.Queued, OldestQueue: s.OldestQueue.Time, Database: s.Database, Contacts: s.Contacts, Verified: s.Verified,
		Requests: s.Requests, Trouble: s.Trouble, Restored: s.Restored, LastEvent: s.LastEvent, Since: s.Since.Time,
		Receipts: s.Receipts, Mailboxes: s.Mailboxes, Drained: s.Drained, Hosting: s.Hosting.parse(), Reach: chat.Reach(s.Reach),
	}
	return status, r.err
}

type peerShape struct {
	ID      string        `json:"id"`
	Address string        `json:"address"`
	Route   string        `json:"route"`
	Seed    bool          `json:"seed"`
	Since   stamp         `json:"since"`
	RTT     time.Duration `json:"rtt_ns"`
}

func shapePeer(p chat.Peer) peerShape {
	return peerShape{ID: p.ID.String(), Address: p.Address, Route: p.Route, Seed: p.Seed, Since: stamp{p.Since}, RTT: p.RTT}
}

func (s peerShape) parse() (chat.Peer, error) {
	var r reader
	p := chat.Peer{
		ID: read(&r, s.ID, peer.Decode), Address: s.Address, Route: s.Route, Seed: s.Seed, Since: s.Since.Time, RTT: s.RTT,
	}
	return p, r.err
}

type linkShape struct {
	Link      string   `json:"link"`
	Network   string   `json:"network"`
	Expires   stamp    `json:"expires_at,omitzero"`
	Addresses []string `json:"addresses"`
	Reachable bool     `json:"reachable"`
	ID        string   `json:"id,omitempty"`
	Uses      int      `json:"uses,omitempty"`
}

func shapeLink(l chat.InviteLink) linkShape {
	return linkShape{
		Link: l.Link, Network: l.Network, Expires: stamp{l.Expires}, Addresses: notNull(l.Addresses), Reachable: l.Reachable, ID: l.ID, Uses: l.Uses,
	}
}

func (s linkShape) parse() (chat.InviteLink, error) {
	return chat.InviteLink{
		Link: s.Link, Network: s.Network, Expires: s.Expires.Time, Addresses: s.Addresses, Reachable: s.Reachable, ID: s.ID, Uses: s.Uses,
	}, nil
}

type conversationShape struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Peer   string `json:"peer"`
	Unread int    `json:"unread"`
}

func shapeConversation(c chat.Conversation) conversationShape {
	return conversationShape{ID: text(c.ID), Name: c.Name, Peer: text(c.Peer), Unread: c.Unread}
}

func (s conversationShape) parse() (chat.Conversation, error) {
	var r reader
	c := chat.Conversation{
		ID: read(&r, s.ID, chat.ParseConversationID), Name: s.Name, Peer: read(&r, s.Peer, chat.ParseAccountID), Unread: s.Unread,
	}
	return c, r.err
}

type messageShape struct {
	ID           string     `json:"id"`
	Conversation string     `json:"conversation"`
	Author       string     `json:"author"`
	Device       string     `json:"device,omitempty"`
	Mine         bool       `json:"mine"`
	Text         string     `json:"text"`
	State        chat.State `json:"state"`
	Reason       string     `json:"reason,omitempty"`
	ClientID     string     `json:"client_id,omitempty"`
	At           stamp      `json:"at"`
	Seq          uint64     `json:"seq"`
	Number       uint64     `json:"number,omitempty"`
	Missing      uint64     `json:"missing,omitempty"`
}

func shapeMessage(m chat.Message) messageShape {
	return messageShape{
		ID: text(m.ID), Conversation: text(m.Conversation), Author: text(m.Author), Device: m.Device.String(), Mine: m.Mine,
		Text: m.Text, State: m.State, Reason: m.Reason, ClientID: m.ClientID, At: stamp{m.At}, Seq: m.Seq,
		Number: m.Number, Missing: m.Missing,
	}
}

func (s messageShape) parse() (chat.Message, error) {
	var r reader
	m := chat.Message{
		ID: read(&r, s.ID, chat.ParseMessageID), Conversation: read(&r, s.Conversation, chat.ParseConversationID),
		Author: read(&r, s.Author, chat.ParseAccountID), Device: read(&r, s.Device, peer.Decode), Mine: s.Mine,
		Text: s.Text, State: s.State, Reason: s.Reason, ClientID: s.ClientID, At: s.At.Time, Seq: s.Seq,
		Number: s.Number, Missing: s.Missing,
	}
	return m, r.err
}

// pendingShape is a message that did not reach in time what was waited for, and why.
type pendingShape struct {
	messageShape
	Detail string `json:"detail"`
}

type eventShape struct {
	Seq          uint64         `json:"seq"`
	Type         chat.EventType `json:"type"`
	At           stamp          `json:"at"`
	Conversation string         `json:"conversation,omitempty"`
	MessageID    string         `json:"message_id,omitempty"`
	Account      string         `json:"account,omitempty"`
	State        chat.State     `json:"state,omitempty"`
	Message      *messageShape  `json:"message,omitempty"`
}

func shapeEvent(e chat.Entry) eventShape {
	s := eventShape{
		Seq: e.Seq, Type: e.Type, At: stamp{e.At}, Conversation: text(e.Conversation), MessageID: text(e.Event.Message),
		Account: text(e.Account), State: e.State,
	}
	if e.Message != nil {
		s.Message = new(shapeMessage(*e.Message))
	}
	return s
}

func (s eventShape) parse() (chat.Entry, error) {
	var r reader
	e := chat.Entry{Event: chat.Event{
		Seq: s.Seq, Type: s.Type, At: s.At.Time, Conversation: read(&r, s.Conversation, chat.ParseConversationID),
		Message: read(&r, s.MessageID, chat.ParseMessageID), Account: read(&r, s.Account, chat.ParseAccountID), State: s.State,
	}}
	if s.Message == nil || r.err != nil {
		return e, r.err
	}
	m, err := s.Message.parse()
	e.Message = &m
	return e, err
}

// What requests carry.
type (
	draftShape struct {
		Text string `json:"text"`
	}
	marksShape struct {
		IDs []string `json:"ids"`
	}
	addShape struct {
		Link    string `json:"link"`
		Name    string `json:"name,omitempty"`
		Replace bool   `json:"replace,omitempty"`
	}
)

// text writes an id; the zero id is nothing, and its field is left out.
func text[T interface {
	comparable
	fmt.Stringer
}](id T) string {
	var zero T
	if id == zero {
		return ""
	}
	return id.String()
}

// reader keeps the first error of a row of reads.
type reader struct{ err error }

// read parses an id that text wrote.
func read[T any](r *reader, s string, parse func(string) (T, error)) (v T) {
	if s == "" || r.err != nil {
		return v
	}
	v, r.err = parse(s)
	return v
}

func notNull(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
