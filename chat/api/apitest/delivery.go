package apitest

import (
	"context"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// How letters get where they go in a town, and what its people decide about that.

// SendAll implements api.Backend.
func (n *Node) SendAll(ctx context.Context, drafts []chat.Draft) (sent []chat.Message, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := chat.CheckDrafts(drafts); err != nil {
		return nil, err
	}
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	for _, d := range drafts { // all or none: whatever is refused is refused before anything is kept
		if old := n.sentAs(d); old != nil && old.Text != d.Text {
			return nil, errReused
		}
		if _, err := n.receiverOf(d); err != nil {
			return nil, err
		}
	}
	for _, d := range drafts {
		m := n.sentAs(d)
		if m == nil {
			queued, err := n.queue(d)
			if err != nil {
				return nil, err
			}
			m = &queued
		}
		sent = append(sent, *m)
	}
	return sent, nil
}

// Info implements api.Backend.
func (n *Node) Info(ctx context.Context, id chat.MessageID) (chat.Info, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	m, ok := n.messages[id]
	if !ok {
		return chat.Info{}, &chat.Error{Code: chat.CodeTarget, Detail: "no such message: " + id.String()}
	}
	info := chat.Info{Message: *m}
	i := slices.IndexFunc(n.contacts, func(c chat.Contact) bool { return c.Conversation == m.Conversation })
	if !m.Mine || i < 0 {
		return info, ctx.Err()
	}
	device := n.town.nodes[n.contacts[i].Account].device
	switch m.State {
	case chat.StateDelivered, chat.StateRead:
		info.Ways = []chat.Way{{Device: device, State: chat.StateDelivered, Route: chat.RouteDirect, At: m.At}}
	case chat.StateQueued:
		info.Waits = []chat.Waiting{{Device: device, Attempts: 2, Last: m.At, Next: m.At, Reason: "nobody is at home"}}
	}
	return info, ctx.Err()
}

// Mailboxes implements api.Backend. In a town they are always there.
func (n *Node) Mailboxes(ctx context.Context) (chat.Mailboxes, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	all := chat.Mailboxes{Automatic: n.chosen == nil}
	for _, host := range n.chosen {
		all.Hosts = append(all.Hosts, chat.KeptMailbox{Host: host, Seen: n.since, Drained: true})
	}
	return all, ctx.Err()
}

// ChooseMailboxes implements api.Backend.
func (n *Node) ChooseMailboxes(ctx context.Context, hosts []peer.ID) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	switch {
	case len(hosts) > chat.MaxMailboxes:
		return &chat.Error{Code: chat.CodeLimit, Detail: "too many mailboxes"}
	case slices.Contains(hosts, n.device):
		return &chat.Error{Code: chat.CodeInvalid, Detail: "that is this device"}
	}
	n.chosen = slices.Clone(hosts)
	return ctx.Err()
}

// SetReceipts implements api.Backend.
func (n *Node) SetReceipts(ctx context.Context, account chat.AccountID, r chat.Receipts) error {
	if r != chat.ReceiptsDefault && r != chat.ReceiptsOn && r != chat.ReceiptsOff {
		return &chat.Error{Code: chat.CodeInvalid, Detail: "receipts are on or off"}
	}
	if !account.IsZero() {
		_, err := n.change(ctx, account, func(c *chat.Contact) { c.Receipts = r })
		return err
	}
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	n.receipts = r
	return ctx.Err()
}

// tells reports whether the author of a message learns that it was shown here.
func (n *Node) tells(m *chat.Message) bool {
	said := n.receipts
	if c := n.contact(m.Author); c != nil && c.Receipts != chat.ReceiptsDefault {
		said = c.Receipts
	}
	return said != chat.ReceiptsOff
}

// Lose makes the next message that comes in say that so many before it have not.
func (n *Node) Lose(missing uint64) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	n.lost = missing
}
