package apitest

import (
	"context"
	"slices"
	"strings"
	"time"

	"parley/chat"
)

// Invite implements api.Backend. In a town everybody is on the network, so the link is the contact link.
func (n *Node) Invite(ctx context.Context, o chat.InviteOptions) (chat.InviteLink, error) {
	if o.Uses < 0 || o.Uses > chat.MaxInviteUses {
		return chat.InviteLink{}, &chat.Error{Code: chat.CodeInvalid, Detail: "that many devices cannot be invited"}
	}
	l, err := n.ContactLink(ctx)
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	i := chat.NetworkInvite{
		ID: [8]byte{byte(len(n.invites) + 1), 1, 2}, For: o.For, Made: n.since, Expires: n.since.Add(max(o.TTL, time.Minute)), Uses: max(o.Uses, 1),
		State: chat.InviteOpen,
	}
	n.invites = append(n.invites, i)
	l.ID, l.Uses, l.Expires = chat.InviteID(i.ID), i.Uses, i.Expires
	return l, err
}

// Invites implements api.Backend.
func (n *Node) Invites(ctx context.Context) ([]chat.NetworkInvite, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	return slices.Clone(n.invites), ctx.Err()
}

// RevokeInvite implements api.Backend.
func (n *Node) RevokeInvite(ctx context.Context, id string) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	for i := range n.invites {
		if len(id) >= chat.MinInviteID && strings.HasPrefix(chat.InviteID(n.invites[i].ID), id) {
			n.invites[i].State = chat.InviteRevoked
			return ctx.Err()
		}
	}
	return &chat.Error{Code: chat.CodeTarget, Detail: "no such invite"}
}

// Members implements api.Backend.
func (n *Node) Members(ctx context.Context) ([]chat.Member, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	var list []chat.Member
	for _, other := range n.town.nodes {
		m := chat.Member{Account: other.account, Device: other.device, Since: other.since, Self: other == n, Revoked: n.revoked[other.account]}
		if other == n {
			m.Name = n.name
		} else {
			m.Invite = chat.InviteID([8]byte{1, 1, 2})
		}
		list = append(list, m)
	}
	return list, ctx.Err()
}

// RevokeMember implements api.Backend. Nobody has made a town, so everybody may.
func (n *Node) RevokeMember(ctx context.Context, account chat.AccountID, _ bool) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	if account == n.account {
		return &chat.Error{Code: chat.CodeRefused, Detail: "that is this account itself"}
	}
	for _, other := range n.town.nodes {
		if other.account == account {
			n.revoked[account] = true
			return ctx.Err()
		}
	}
	return &chat.Error{Code: chat.CodeTarget, Detail: "no such member"}
}

// KeyRotation implements api.Backend.
func (n *Node) KeyRotation(ctx context.Context) (chat.KeyRotation, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	return n.key, ctx.Err()
}

// RotateKey implements api.Backend. The node itself follows, and nobody else.
func (n *Node) RotateKey(ctx context.Context, grace time.Duration) (chat.KeyRotation, error) {
	members, err := n.Members(ctx)
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	if grace < 0 {
		return n.key, &chat.Error{Code: chat.CodeInvalid, Detail: "no such grace"}
	}
	if time.Now().Before(n.key.Ends) {
		return n.key, &chat.Error{Code: chat.CodeRefused, Detail: "once at a time"}
	}
	if grace == 0 {
		grace = chat.KeyGrace
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	n.key = chat.KeyRotation{Private: true, Own: true, Made: now, Ends: now.Add(grace)}
	for _, m := range members {
		if m.Self {
			n.key.Followed = append(n.key.Followed, m)
		} else if !m.Revoked {
			n.key.Behind = append(n.key.Behind, m)
		}
	}
	return n.key, err
}

// EndKeyGrace implements api.Backend.
func (n *Node) EndKeyGrace(ctx context.Context) (chat.KeyRotation, error) {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	if !time.Now().Before(n.key.Ends) {
		return n.key, &chat.Error{Code: chat.CodeRefused, Detail: "there is no grace to end"}
	}
	n.key.Ends = time.Now().UTC().Truncate(time.Millisecond)
	return n.key, ctx.Err()
}
