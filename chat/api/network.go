package api

import (
	"context"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Who is on the network, and its key, both ends.

func (s *Server) postInvite(r *http.Request) (reply, error) {
	var want inviteOptionsShape
	if err := decode(r.Body, &want); err != nil {
		return reply{}, err
	}
	o := chat.InviteOptions{For: want.For, Uses: want.Uses}
	if want.TTL != "" {
		var err error
		if o.TTL, err = time.ParseDuration(want.TTL); err != nil || o.TTL == 0 {
			return reply{}, invalid("ttl=%.40q: want a time like 24h", want.TTL)
		}
	}
	l, err := s.backend.Invite(r.Context(), o)
	return reply{status: http.StatusCreated, body: shapeLink(l)}, err
}

func (s *Server) getInvites(r *http.Request) (reply, error) {
	invites, err := s.backend.Invites(r.Context())
	return reply{body: listOf(invites, shapeInvite)}, err
}

func (s *Server) deleteInvite(r *http.Request) (reply, error) {
	return reply{body: struct{}{}}, s.backend.RevokeInvite(r.Context(), r.PathValue("id"))
}

func (s *Server) getMembers(r *http.Request) (reply, error) {
	members, err := s.backend.Members(r.Context())
	return reply{body: listOf(members, shapeMember)}, err
}

func (s *Server) postRevokeMember(r *http.Request) (reply, error) {
	var revoke revokeShape
	if err := decode(r.Body, &revoke); err != nil {
		return reply{}, err
	}
	return s.about(r, func(ctx context.Context, account chat.AccountID) error {
		return s.backend.RevokeMember(ctx, account, revoke.WithInvited)
	})
}

// Invite implements Backend. When its connection drops, an invite may have been made that nobody saw: it expires.
func (c *Client) Invite(ctx context.Context, o chat.InviteOptions) (chat.InviteLink, error) {
	want := inviteOptionsShape{For: o.For, Uses: o.Uses}
	if o.TTL != 0 {
		want.TTL = o.TTL.String()
	}
	return one(ctx, c, call{method: "POST", path: "/invites", body: want}, linkShape.parse)
}

// Invites implements Backend.
func (c *Client) Invites(ctx context.Context) ([]chat.NetworkInvite, error) {
	return many(ctx, c, call{method: "GET", path: "/invites"}, inviteShape.parse)
}

// RevokeInvite implements Backend. What is no id is not asked about: in a path it would ask for something else.
func (c *Client) RevokeInvite(ctx context.Context, id string) error {
	if err := chat.CheckInviteID(id); err != nil {
		return err
	}
	_, err := c.do(ctx, call{method: "DELETE", path: "/invites/" + escape(id)}, new(struct{}))
	return err
}

// Members implements Backend.
func (c *Client) Members(ctx context.Context) ([]chat.Member, error) {
	return many(ctx, c, call{method: "GET", path: "/members"}, memberShape.parse)
}

// RevokeMember implements Backend.
func (c *Client) RevokeMember(ctx context.Context, account chat.AccountID, withInvited bool) error {
	return c.tell(ctx, "/members/"+account.String()+"/revoke", revokeShape{WithInvited: withInvited})
}

// What requests about the network carry.
type (
	inviteOptionsShape struct {
		For  string `json:"for,omitempty"`
		Uses int    `json:"uses,omitempty"`
		TTL  string `json:"ttl,omitempty"`
	}
	revokeShape struct {
		WithInvited bool `json:"with_invited,omitempty"`
	}
)

type inviteShape struct {
	ID      string   `json:"id"`
	For     string   `json:"for,omitempty"`
	Made    stamp    `json:"made"`
	Expires stamp    `json:"expires"`
	Uses    int      `json:"uses"`
	Used    []string `json:"used"`
	State   string   `json:"state"`
}

func shapeInvite(i chat.NetworkInvite) inviteShape {
	s := inviteShape{
		ID: chat.InviteID(i.ID), For: i.For, Made: stamp{i.Made}, Expires: stamp{i.Expires}, Uses: i.Uses, Used: []string{}, State: i.State,
	}
	for _, p := range i.Used {
		s.Used = append(s.Used, p.String())
	}
	return s
}

func (s inviteShape) parse() (chat.NetworkInvite, error) {
	var r reader
	i := chat.NetworkInvite{
		ID: read(&r, s.ID, chat.ParseInviteID), For: s.For, Made: s.Made.Time, Expires: s.Expires.Time, Uses: s.Uses, State: s.State,
	}
	for _, p := range s.Used {
		i.Used = append(i.Used, read(&r, p, peer.Decode))
	}
	return i, r.err
}

type memberShape struct {
	Name    string `json:"name,omitempty"`
	Account string `json:"account"`
	Device  string `json:"device"`
	Invite  string `json:"invite,omitempty"`
	Since   stamp  `json:"since"`
	Revoked bool   `json:"revoked"`
	Self    bool   `json:"self"`
}

func shapeMember(m chat.Member) memberShape {
	return memberShape{
		Name: m.Name, Account: text(m.Account), Device: m.Device.String(), Invite: m.Invite, Since: stamp{m.Since}, Revoked: m.Revoked, Self: m.Self,
	}
}

func (s memberShape) parse() (chat.Member, error) {
	var r reader
	m := chat.Member{
		Name: s.Name, Account: read(&r, s.Account, chat.ParseAccountID), Device: read(&r, s.Device, peer.Decode), Invite: s.Invite,
		Since: s.Since.Time, Revoked: s.Revoked, Self: s.Self,
	}
	return m, r.err
}

// The network's key, both ends. The key itself is never said.

func (s *Server) getKey(r *http.Request) (reply, error) {
	k, err := s.backend.KeyRotation(r.Context())
	return reply{body: shapeKey(k)}, err
}

func (s *Server) postRotateKey(r *http.Request) (reply, error) {
	var want graceShape
	if err := decode(r.Body, &want); err != nil {
		return reply{}, err
	}
	grace := time.Duration(0)
	if want.Grace != "" {
		var err error
		if grace, err = time.ParseDuration(want.Grace); err != nil || grace == 0 {
			return reply{}, invalid("grace=%.40q: want a time like 168h", want.Grace)
		}
	}
	k, err := s.backend.RotateKey(r.Context(), grace)
	return reply{body: shapeKey(k)}, err
}

func (s *Server) postEndKeyGrace(r *http.Request) (reply, error) {
	k, err := s.backend.EndKeyGrace(r.Context())
	return reply{body: shapeKey(k)}, err
}

// KeyRotation implements Backend.
func (c *Client) KeyRotation(ctx context.Context) (chat.KeyRotation, error) {
	return one(ctx, c, call{method: "GET", path: "/network/key"}, keyShape.parse)
}

// RotateKey implements Backend. When its connection drops, the key may have been changed: KeyRotation says so.
func (c *Client) RotateKey(ctx context.Context, grace time.Duration) (chat.KeyRotation, error) {
	var want graceShape
	if grace != 0 {
		want.Grace = grace.String()
	}
	return one(ctx, c, call{method: "POST", path: "/network/key/rotate", body: want}, keyShape.parse)
}

// EndKeyGrace implements Backend.
func (c *Client) EndKeyGrace(ctx context.Context) (chat.KeyRotation, error) {
	return one(ctx, c, call{method: "POST", path: "/network/key/end", body: struct{}{}}, keyShape.parse)
}

type graceShape struct {
	Grace string `json:"grace,omitempty"`
}

type keyShape struct {
	Private  bool          `json:"private"`
	Own      bool          `json:"own"`
	Made     stamp         `json:"made,omitzero"`
	Ends     stamp         `json:"ends,omitzero"`
	Followed []memberShape `json:"followed"`
	Behind   []memberShape `json:"behind"`
}

func shapeKey(k chat.KeyRotation) keyShape {
	return keyShape{
		Private: k.Private, Own: k.Own, Made: stamp{k.Made}, Ends: stamp{k.Ends},
		Followed: listOf(k.Followed, shapeMember).Items, Behind: listOf(k.Behind, shapeMember).Items,
	}
}

func (s keyShape) parse() (k chat.KeyRotation, err error) {
	k = chat.KeyRotation{Private: s.Private, Own: s.Own, Made: s.Made.Time, Ends: s.Ends.Time}
	if k.Followed, err = itemsOf(s.Followed, memberShape.parse); err == nil {
		k.Behind, err = itemsOf(s.Behind, memberShape.parse)
	}
	return k, err
}
