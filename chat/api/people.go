package api

import (
	"context"
	"net/http"

	"parley/chat"
)

// Requests and trust, both ends.

func (s *Server) postContactLinkReset(r *http.Request) (reply, error) {
	l, err := s.backend.ResetContactLink(r.Context())
	return reply{body: shapeLink(l)}, err
}

func (s *Server) getRequests(r *http.Request) (reply, error) {
	requests, err := s.backend.Requests(r.Context())
	return reply{body: listOf(requests, shapeRequest)}, err
}

func (s *Server) postAccept(r *http.Request) (reply, error) {
	account, err := accountOf(r.PathValue("account"))
	if err != nil {
		return reply{}, err
	}
	var accept acceptShape
	if err := decode(r.Body, &accept); err != nil {
		return reply{}, err
	}
	c, err := s.backend.AcceptRequest(r.Context(), account, accept.Name)
	return reply{body: shapeContact(c)}, err
}

func (s *Server) postReject(r *http.Request) (reply, error) {
	return s.about(r, s.backend.RejectRequest)
}

func (s *Server) postBlock(r *http.Request) (reply, error) {
	account, err := accountOf(r.PathValue("account"))
	if err != nil {
		return reply{}, err
	}
	c, err := s.backend.Block(r.Context(), account)
	return reply{body: shapeContact(c)}, err
}

func (s *Server) postUnblock(r *http.Request) (reply, error) {
	return s.about(r, s.backend.Unblock)
}

func (s *Server) getSafetyNumber(r *http.Request) (reply, error) {
	account, err := accountOf(r.PathValue("account"))
	if err != nil {
		return reply{}, err
	}
	n, err := s.backend.SafetyNumber(r.Context(), account)
	return reply{body: safetyShape{Number: string(n), Code: n.Code()}}, err
}

func (s *Server) putTrust(r *http.Request) (reply, error) {
	account, err := accountOf(r.PathValue("account"))
	if err != nil {
		return reply{}, err
	}
	var trust trustShape
	if err := decode(r.Body, &trust); err != nil {
		return reply{}, err
	}
	c, err := s.backend.SetTrust(r.Context(), account, trust.Trust)
	return reply{body: shapeContact(c)}, err
}

func (s *Server) postIntroduce(r *http.Request) (reply, error) {
	var introduce introduceShape
	if err := decode(r.Body, &introduce); err != nil {
		return reply{}, err
	}
	to, err := accountOf(introduce.To)
	if err != nil {
		return reply{}, err
	}
	return s.about(r, func(ctx context.Context, who chat.AccountID) error { return s.backend.Introduce(ctx, who, to) })
}

// about does something about the account in the path that is answered with nothing.
func (s *Server) about(r *http.Request, do func(context.Context, chat.AccountID) error) (reply, error) {
	account, err := accountOf(r.PathValue("account"))
	if err != nil {
		return reply{}, err
	}
	return reply{body: struct{}{}}, do(r.Context(), account)
}

func accountOf(s string) (chat.AccountID, error) {
	a, err := chat.ParseAccountID(s)
	if err != nil {
		return a, invalid("%s", err)
	}
	return a, nil
}

// Requests implements Backend.
func (c *Client) Requests(ctx context.Context) ([]chat.Request, error) {
	return many(ctx, c, call{method: "GET", path: "/requests"}, requestShape.parse)
}

// AcceptRequest implements Backend.
func (c *Client) AcceptRequest(ctx context.Context, account chat.AccountID, as string) (chat.Contact, error) {
	path := "/requests/" + account.String() + "/accept"
	return one(ctx, c, call{method: "POST", path: path, body: acceptShape{Name: as}}, contactShape.parse)
}

// RejectRequest implements Backend.
func (c *Client) RejectRequest(ctx context.Context, account chat.AccountID) error {
	return c.tell(ctx, "/requests/"+account.String()+"/reject", struct{}{})
}

// Block implements Backend.
func (c *Client) Block(ctx context.Context, account chat.AccountID) (chat.Contact, error) {
	path := "/contacts/" + account.String() + "/block"
	return one(ctx, c, call{method: "POST", path: path, body: struct{}{}}, contactShape.parse)
}

// Unblock implements Backend.
func (c *Client) Unblock(ctx context.Context, account chat.AccountID) error {
	return c.tell(ctx, "/contacts/"+account.String()+"/unblock", struct{}{})
}

// SafetyNumber implements Backend.
func (c *Client) SafetyNumber(ctx context.Context, account chat.AccountID) (chat.Safety, error) {
	path := "/contacts/" + account.String() + "/safety-number"
	return one(ctx, c, call{method: "GET", path: path}, func(s safetyShape) (chat.Safety, error) { return chat.Safety(s.Number), nil })
}

// SetTrust implements Backend.
func (c *Client) SetTrust(ctx context.Context, account chat.AccountID, t chat.Trust) (chat.Contact, error) {
	path := "/contacts/" + account.String() + "/trust"
	return one(ctx, c, call{method: "PUT", path: path, body: trustShape{Trust: t}}, contactShape.parse)
}

// Introduce implements Backend. When its connection drops, the introduction may be sent twice, which the reader takes for one.
func (c *Client) Introduce(ctx context.Context, who, to chat.AccountID) error {
	return c.tell(ctx, "/contacts/"+who.String()+"/introduce", introduceShape{To: to.String()})
}

// tell makes a call that is answered with nothing.
func (c *Client) tell(ctx context.Context, path string, body any) error {
	_, err := c.do(ctx, call{method: "POST", path: path, body: body}, new(struct{}))
	return err
}

type contactShape struct {
	Account      string `json:"account"`
	Name         string `json:"name"`
	Conversation string `json:"conversation"`
	At           stamp  `json:"at"`
	Known        bool   `json:"known"`
	Blocked      bool   `json:"blocked"`

	Trust      chat.Trust       `json:"trust,omitempty"`
	Receipts   chat.Receipts    `json:"receipts,omitempty"`
	Introducer *introducerShape `json:"introduced_by,omitempty"`
}

func shapeContact(c chat.Contact) contactShape {
	return contactShape{
		Account: text(c.Account), Name: c.Name, Conversation: text(c.Conversation), At: stamp{c.At}, Known: c.Known,
		Blocked: c.Blocked, Trust: c.Trust, Introducer: shapeIntroducer(c.Introducer), Receipts: c.Receipts,
	}
}

func (s contactShape) parse() (chat.Contact, error) {
	var r reader
	c := chat.Contact{
		Account: read(&r, s.Account, chat.ParseAccountID), Name: s.Name,
		Conversation: read(&r, s.Conversation, chat.ParseConversationID), At: s.At.Time, Known: s.Known,
		Blocked: s.Blocked, Trust: s.Trust, Introducer: s.Introducer.parse(&r), Receipts: s.Receipts,
	}
	return c, r.err
}

type introducerShape struct {
	Account  string `json:"account"`
	Name     string `json:"name"`
	Verified bool   `json:"verified"`
}

func shapeIntroducer(i chat.Introducer) *introducerShape {
	if i.Account.IsZero() {
		return nil
	}
	return &introducerShape{Account: text(i.Account), Name: i.Name, Verified: i.Verified}
}

func (s *introducerShape) parse(r *reader) chat.Introducer {
	if s == nil {
		return chat.Introducer{}
	}
	return chat.Introducer{Account: read(r, s.Account, chat.ParseAccountID), Name: s.Name, Verified: s.Verified}
}

type requestShape struct {
	Account    string            `json:"account"`
	State      chat.RequestState `json:"state"`
	Name       string            `json:"name,omitempty"`
	At         stamp             `json:"at"`
	Texts      []string          `json:"texts"`
	SameName   string            `json:"same_name,omitempty"`
	Claims     string            `json:"claims,omitempty"`
	Introducer *introducerShape  `json:"introduced_by,omitempty"`
}

func shapeRequest(r chat.Request) requestShape {
	return requestShape{
		Account: text(r.Account), State: r.State, Name: r.Name, At: stamp{r.At}, Texts: notNull(r.Texts), SameName: r.SameName,
		Claims: r.Claims, Introducer: shapeIntroducer(r.Introducer),
	}
}

func (s requestShape) parse() (chat.Request, error) {
	var r reader
	request := chat.Request{
		Account: read(&r, s.Account, chat.ParseAccountID), State: s.State, Name: s.Name, At: s.At.Time, Texts: s.Texts,
		SameName: s.SameName, Claims: s.Claims, Introducer: s.Introducer.parse(&r),
	}
	return request, r.err
}

// What requests about people carry.
type (
	acceptShape struct {
		Name string `json:"name,omitempty"`
	}
	trustShape struct {
		Trust chat.Trust `json:"trust"`
	}
	introduceShape struct {
		To string `json:"to"`
	}
	safetyShape struct {
		Number string `json:"number"`
		Code   string `json:"code"`
	}
)
