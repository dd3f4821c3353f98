package apitest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/api"
)

// Node is one node of a Town.
type Node struct {
	town    *Town
	name    string
	account chat.AccountID
	device  peer.ID
	since   time.Time

	// guarded by the town's lock
	contacts []chat.Contact
	requests []chat.Request // without texts
	history  []chat.MessageID
	messages map[chat.MessageID]*chat.Message
	events   []chat.Event
	away     map[*Node]bool
	chosen   []peer.ID // hosts of mailboxes; nil: nobody has chosen
	receipts chat.Receipts
	untold   map[chat.MessageID]bool // read here, and their authors will not learn it
	lost     uint64                  // see Lose
	invites  []chat.NetworkInvite
	revoked  map[chat.AccountID]bool
	key      chat.KeyRotation
}

var _ api.Backend = (*Node)(nil)

// Account returns who it is.
func (n *Node) Account() chat.AccountID { return n.account }

// Status implements api.Backend.
func (n *Node) Status(ctx context.Context) (chat.Status, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	s := chat.Status{
		Ready: true, Name: n.name, Account: n.account, Device: n.device, Peers: len(n.peers()), Addresses: []string{n.address()},
		Network:  chat.NetworkStatus{Name: "town", Fingerprint: "T0WN1", Private: true, Joined: true},
		Contacts: len(n.contacts), Database: "memory", LastEvent: uint64(len(n.events)), Since: n.since,
	}
	s.Receipts, s.Mailboxes, s.Drained = cmp.Or(n.receipts, chat.ReceiptsOn), len(n.chosen), len(n.chosen)
	s.Reach = chat.Reach{State: chat.ReachYes, Seeds: 2}
	for _, c := range n.contacts {
		if c.Trust == chat.TrustVerified {
			s.Verified++
		}
	}
	for _, r := range n.requests {
		if r.State == chat.RequestPending {
			s.Requests++
		}
	}
	for _, id := range n.history {
		if m := n.messages[id]; m.State == chat.StateQueued {
			s.Queued++
			if s.OldestQueue.IsZero() {
				s.OldestQueue = m.At
			}
		}
	}
	return s, ctx.Err()
}

// Peers implements api.Backend.
func (n *Node) Peers(ctx context.Context) ([]chat.Peer, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	return n.peers(), ctx.Err()
}

func (n *Node) peers() (peers []chat.Peer) {
	for _, other := range n.town.nodes {
		if other != n && !n.away[other] {
			peers = append(peers, chat.Peer{
				ID: other.device, Address: other.address(), Route: chat.RouteDirect, Since: other.since, RTT: time.Millisecond,
			})
		}
	}
	return peers
}

func (n *Node) address() string { return "/memory/" + n.name }

// linkPrefix begins the links of a town, which nobody else reads.
const linkPrefix = "town:"

// ContactLink implements api.Backend.
func (n *Node) ContactLink(ctx context.Context) (chat.InviteLink, error) {
	return chat.InviteLink{
		Link: linkPrefix + n.account.String(), Network: "town", Addresses: []string{n.address()}, Expires: n.since.Add(24 * time.Hour),
	}, ctx.Err()
}

// Contacts implements api.Backend.
func (n *Node) Contacts(ctx context.Context) ([]chat.Contact, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	list := slices.Clone(n.contacts)
	slices.SortFunc(list, func(a, b chat.Contact) int { return cmp.Compare(a.Name, b.Name) })
	return list, ctx.Err()
}

// RemoveContact implements api.Backend.
func (n *Node) RemoveContact(ctx context.Context, a chat.AccountID) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	i := slices.IndexFunc(n.contacts, func(c chat.Contact) bool { return c.Account == a })
	if i < 0 {
		return &chat.Error{Code: chat.CodeTarget, Detail: "no such contact: " + a.Short()}
	}
	c := n.contacts[i].Conversation
	n.contacts = slices.Delete(n.contacts, i, i+1)
	n.history = slices.DeleteFunc(n.history, func(id chat.MessageID) bool { return n.messages[id].Conversation == c })
	maps.DeleteFunc(n.messages, func(_ chat.MessageID, m *chat.Message) bool { return m.Conversation == c })
	for i, e := range n.events {
		if e.Conversation == c || e.Account == a {
			n.events[i] = chat.Event{Seq: e.Seq, Type: e.Type, At: e.At, State: e.State}
		}
	}
	n.note(chat.Event{Type: chat.EventContactRemoved})
	n.town.settle()
	return ctx.Err()
}

// note appends an event and returns its number.
func (n *Node) note(e chat.Event) uint64 {
	e.Seq, e.At = uint64(len(n.events)+1), now()
	n.events = append(n.events, e)
	return e.Seq
}

// Send implements api.Backend.
func (n *Node) Send(ctx context.Context, d chat.Draft) (chat.Message, error) {
	if err := ctx.Err(); err != nil {
		return chat.Message{}, err
	}
	if err := check(d); err != nil {
		return chat.Message{}, err
	}
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	if old := n.sentAs(d); old != nil {
		if old.Text != d.Text {
			return chat.Message{}, errReused
		}
		return *old, nil
	}
	return n.queue(d)
}

var errReused = &chat.Error{Code: chat.CodeIDReused, Detail: "the id belongs to a message with another text"}

func check(d chat.Draft) error {
	switch {
	case strings.TrimSpace(d.Text) == "":
		return &chat.Error{Code: chat.CodeInvalid, Detail: "the message is empty: nothing was sent"}
	case len(d.Text) > chat.MaxText:
		return &chat.Error{Code: chat.CodeLimit, Detail: "the message is too long: nothing was sent"}
	case !utf8.ValidString(d.Text):
		return &chat.Error{Code: chat.CodeInvalid, Detail: "the message is not UTF-8 text: nothing was sent"}
	case len(d.ClientID) > chat.MaxClientID || !utf8.ValidString(d.ClientID):
		return &chat.Error{Code: chat.CodeInvalid, Detail: "the client id is too long, or no text"}
	}
	return nil
}

func (n *Node) sentAs(d chat.Draft) *chat.Message {
	for _, m := range n.messages {
		if m.Mine && d.ClientID != "" && m.ClientID == d.ClientID && m.Conversation == d.Conversation {
			return m
		}
	}
	return nil
}

// queue keeps a message of ours, and returns it as it was before it got any further.
func (n *Node) queue(d chat.Draft) (chat.Message, error) {
	to, err := n.receiverOf(d)
	if err != nil {
		return chat.Message{}, err
	}
	m := chat.Message{
		Number:       uint64(len(n.history) + 1),
		ID:           sha256.Sum256(fmt.Appendf(nil, "%s %d %s", n.device, len(n.history), d.Text)),
		Conversation: d.Conversation, Author: n.account, Device: n.device, Mine: true, Text: d.Text, ClientID: d.ClientID,
	}
	n.keep(&m, chat.EventMessageQueued, chat.StateQueued)
	queued := m
	n.town.letters = append(n.town.letters, &letter{from: n, to: to, sent: m.ID})
	n.town.settle()
	return queued, nil
}

// receiverOf returns whose message a draft would be.
func (n *Node) receiverOf(d chat.Draft) (*Node, error) {
	i := slices.IndexFunc(n.contacts, func(c chat.Contact) bool { return c.Conversation == d.Conversation })
	if i < 0 {
		return nil, &chat.Error{Code: chat.CodeTarget, Detail: "no such conversation: " + d.Conversation.String()}
	}
	return n.town.nodes[n.contacts[i].Account], mayWrite(n.contacts[i])
}

// receive keeps a message that came in.
func (n *Node) receive(m chat.Message) chat.MessageID {
	m.Mine, m.ClientID, m.Missing, n.lost = false, "", n.lost, 0
	n.keep(&m, chat.EventMessageReceived, chat.StateReceived)
	return m.ID
}

func (n *Node) keep(m *chat.Message, event chat.EventType, s chat.State) {
	m.State, m.At = s, now()
	m.Seq = n.note(chat.Event{Type: event, Conversation: m.Conversation, Message: m.ID, Account: m.Author, State: s})
	n.messages[m.ID] = m
	n.history = append(n.history, m.ID)
}

// advance moves a message to a state, if that is forward, and reports whether it is there.
func (n *Node) advance(m *chat.Message, to chat.State, reason string) bool {
	next, changed := m.State.Advance(to)
	if changed {
		m.State, m.Reason = next, reason
		n.note(chat.Event{
			Type: chat.EventMessageState, Conversation: m.Conversation, Message: m.ID, Account: m.Author, State: next,
		})
	}
	return m.State == to
}

// Fail makes a message of ours fail, as the network does when a device refuses it for good.
func (n *Node) Fail(id chat.MessageID, reason string) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	n.advance(n.messages[id], chat.StateFailed, reason)
	n.town.settle()
}
