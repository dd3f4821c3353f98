package apitest

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"parley/chat"
)

// Who may write to whom in a town: contacts who are not blocked. Everybody else's letters wait, and their request shows what they say.

// AddContact implements api.Backend.
func (n *Node) AddContact(ctx context.Context, link, as string) (chat.Contact, error) {
	return n.add(ctx, link, as, false)
}

// ReplaceContact implements api.Backend.
func (n *Node) ReplaceContact(ctx context.Context, link, as string) (chat.Contact, error) {
	return n.add(ctx, link, as, true)
}

func (n *Node) add(ctx context.Context, link, as string, replace bool) (chat.Contact, error) {
	text, isLink := strings.CutPrefix(link, linkPrefix)
	account, err := chat.ParseAccountID(text)
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	other := n.town.nodes[account]
	if !isLink || err != nil || other == nil {
		return chat.Contact{}, &chat.Error{Code: chat.CodeInvalid, Detail: "there is no contact link in this text"}
	}
	if other == n {
		return chat.Contact{}, &chat.Error{Code: chat.CodeRefused, Detail: "the link is your own"}
	}
	for i, c := range n.contacts {
		if strings.EqualFold(c.Name, cmp.Or(as, other.name)) && c.Account != account {
			if !replace {
				return chat.Contact{}, &chat.Error{Code: chat.CodeIdentity, Detail: "another key has this name"}
			}
			n.contacts[i].Name, n.contacts[i].Trust = c.Account.Short(), chat.TrustNone
			n.tell(chat.EventKeyChanged, c)
		}
	}
	c := n.befriend(other, as)
	other.isAskedBy(n)
	n.town.settle()
	return c, ctx.Err()
}

// isAskedBy notes a request, once.
func (n *Node) isAskedBy(other *Node) {
	if n.contact(other.account) != nil || n.request(other.account) != nil {
		return
	}
	n.requests = append(n.requests, chat.Request{Account: other.account, State: chat.RequestPending, Name: other.name, At: now()})
	n.note(chat.Event{Type: chat.EventContactRequest, Account: other.account})
}

// befriend makes other a contact, once.
func (n *Node) befriend(other *Node, as string) chat.Contact {
	if c := n.contact(other.account); c != nil {
		return *c
	}
	c := chat.Contact{
		Account: other.account, Name: cmp.Or(as, other.name), At: now(), Known: true,
		Conversation: chat.DirectConversation(n.account, other.account),
	}
	if r := n.request(other.account); r != nil {
		c.Introducer = r.Introducer
	}
	n.forget(other.account)
	n.contacts = append(n.contacts, c)
	n.tell(chat.EventContactAdded, c)
	return c
}

func (n *Node) tell(what chat.EventType, c chat.Contact) {
	n.note(chat.Event{Type: what, Conversation: c.Conversation, Account: c.Account})
}

func (n *Node) contact(account chat.AccountID) *chat.Contact {
	i := slices.IndexFunc(n.contacts, func(c chat.Contact) bool { return c.Account == account })
	if i < 0 {
		return nil
	}
	return &n.contacts[i]
}

func (n *Node) request(account chat.AccountID) *chat.Request {
	i := slices.IndexFunc(n.requests, func(r chat.Request) bool { return r.Account == account })
	if i < 0 {
		return nil
	}
	return &n.requests[i]
}

func (n *Node) forget(account chat.AccountID) {
	n.requests = slices.DeleteFunc(n.requests, func(r chat.Request) bool { return r.Account == account })
}

// hears reports whether letters of another node pass.
func (n *Node) hears(other *Node) bool {
	c := n.contact(other.account)
	return c != nil && !c.Blocked
}

// Doubt puts a verified contact in doubt, as their device does when it speaks for another account.
func (n *Node) Doubt(other *Node) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	c := n.contact(other.account)
	c.Trust = chat.TrustDoubted
	n.tell(chat.EventKeyChanged, *c)
	n.town.settle()
}

// Tell notes an event about a contact.
func (n *Node) Tell(what chat.EventType, about *Node) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	n.tell(what, *n.contact(about.account))
	n.town.settle()
}

func mayWrite(c chat.Contact) error {
	switch {
	case c.Blocked:
		return &chat.Error{Code: chat.CodeRefused, Detail: c.Name + " is blocked", Try: "parley contact unblock " + c.Name}
	case c.Trust == chat.TrustMismatch || c.Trust == chat.TrustDoubted:
		return &chat.Error{Code: chat.CodeIdentity, Detail: c.Name + " is not who they were", Try: "parley contact verify " + c.Name}
	}
	return nil
}

// ResetContactLink implements api.Backend. The links of a town are as good as ever.
func (n *Node) ResetContactLink(ctx context.Context) (chat.InviteLink, error) {
	return n.ContactLink(ctx)
}

// Requests implements api.Backend.
func (n *Node) Requests(ctx context.Context) ([]chat.Request, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	list := slices.Clone(n.requests)
	for i, r := range list {
		for _, c := range n.contacts {
			if strings.EqualFold(c.Name, r.Name) {
				list[i].SameName = c.Name
			}
		}
		for _, l := range n.town.letters {
			if l.to == n && l.from.account == r.Account && r.State == chat.RequestPending && len(list[i].Texts) < chat.HeldTexts {
				list[i].Texts = append(list[i].Texts, l.from.messages[l.sent].Text)
			}
		}
	}
	return list, ctx.Err()
}

func nobody(account chat.AccountID) error {
	return &chat.Error{Code: chat.CodeTarget, Detail: account.Short() + " is nobody we know"}
}

// AcceptRequest implements api.Backend.
func (n *Node) AcceptRequest(ctx context.Context, account chat.AccountID, as string) (chat.Contact, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	r, known := n.request(account), n.contact(account)
	if known != nil {
		return *known, ctx.Err()
	}
	if r == nil || r.State != chat.RequestPending {
		return chat.Contact{}, nobody(account)
	}
	c := n.befriend(n.town.nodes[account], as)
	n.tell(chat.EventContactAccepted, c)
	n.town.nodes[account].isAskedBy(n)
	n.town.settle()
	return c, ctx.Err()
}

// RejectRequest implements api.Backend.
func (n *Node) RejectRequest(ctx context.Context, account chat.AccountID) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	r := n.request(account)
	if r == nil {
		return nobody(account)
	}
	r.State = chat.RequestRejected
	return ctx.Err()
}

// Block implements api.Backend.
func (n *Node) Block(ctx context.Context, account chat.AccountID) (chat.Contact, error) {
	return n.change(ctx, account, func(c *chat.Contact) { c.Blocked = true })
}

// Unblock implements api.Backend.
func (n *Node) Unblock(ctx context.Context, account chat.AccountID) error {
	n.town.mu.Lock()
	if r := n.request(account); r != nil {
		n.forget(account)
		n.isAskedBy(n.town.nodes[account])
		n.town.settle()
		n.town.mu.Unlock()
		return ctx.Err()
	}
	n.town.mu.Unlock()
	_, err := n.change(ctx, account, func(c *chat.Contact) { c.Blocked = false })
	return err
}

// SetTrust implements api.Backend.
func (n *Node) SetTrust(ctx context.Context, account chat.AccountID, t chat.Trust) (chat.Contact, error) {
	if t == chat.TrustDoubted || t != chat.TrustNone && t != chat.TrustVerified && t != chat.TrustMismatch {
		return chat.Contact{}, &chat.Error{Code: chat.CodeInvalid, Detail: "no such trust"}
	}
	return n.change(ctx, account, func(c *chat.Contact) { c.Trust = t })
}

func (n *Node) change(ctx context.Context, account chat.AccountID, change func(*chat.Contact)) (chat.Contact, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	c := n.contact(account)
	if c == nil {
		return chat.Contact{}, nobody(account)
	}
	change(c)
	n.tell(chat.EventContactChanged, *c)
	n.town.settle()
	return *c, ctx.Err()
}

// SafetyNumber implements api.Backend.
func (n *Node) SafetyNumber(ctx context.Context, account chat.AccountID) (chat.Safety, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	if n.contact(account) == nil {
		return "", nobody(account)
	}
	return chat.SafetyNumber(n.account, account), ctx.Err()
}

// Introduce implements api.Backend.
func (n *Node) Introduce(ctx context.Context, who, to chat.AccountID) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	subject, reader := n.contact(who), n.contact(to)
	switch {
	case subject == nil:
		return nobody(who)
	case reader == nil:
		return nobody(to)
	case subject.Trust != chat.TrustVerified:
		return &chat.Error{Code: chat.CodeIdentity, Detail: subject.Name + " is not verified", Try: "parley contact verify " + subject.Name}
	}
	other := n.town.nodes[to]
	other.isAskedBy(n.town.nodes[who])
	if r, us := other.request(who), other.contact(n.account); r != nil && us != nil {
		r.Introducer = chat.Introducer{Account: n.account, Name: us.Name, Verified: us.Trust == chat.TrustVerified}
	}
	n.town.settle()
	return ctx.Err()
}
