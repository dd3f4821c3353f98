package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// How messages get where they go, and what people decide about it, both ends.

// postMessages sends many, in their order. It is 201 also where all of them were there before: who tries again cannot tell, and need not.
func (s *Server) postMessages(r *http.Request) (reply, error) {
	c, err := conversationOf(r.PathValue("conversation"))
	if err != nil {
		return reply{}, err
	}
	var many manyShape
	if err := decode(r.Body, &many); err != nil {
		return reply{}, err
	}
	drafts := make([]chat.Draft, len(many.Items))
	for i, d := range many.Items {
		drafts[i] = chat.Draft{Conversation: c, Text: d.Text, ClientID: d.ClientID}
	}
	messages, err := s.backend.SendAll(r.Context(), drafts)
	return reply{status: http.StatusCreated, body: listOf(messages, shapeMessage)}, err
}

func (s *Server) getInfo(r *http.Request) (reply, error) {
	id, err := messageOf(r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	info, err := s.backend.Info(r.Context(), id)
	return reply{body: shapeInfo(info)}, err
}

func (s *Server) getMailboxes(r *http.Request) (reply, error) {
	m, err := s.backend.Mailboxes(r.Context())
	return reply{body: mailboxesShape{Automatic: m.Automatic, list: listOf(m.Hosts, shapeMailbox)}}, err
}

// putMailboxes takes a list, or the word that there is none; a body that says neither, or both, is a mistake.
func (s *Server) putMailboxes(r *http.Request) (reply, error) {
	var choice choiceShape
	if err := decode(r.Body, &choice); err != nil {
		return reply{}, err
	}
	if choice.Automatic == (choice.Hosts != nil) {
		return reply{}, invalid(`say either "automatic": true or "hosts": [...]`)
	}
	var hosts []peer.ID
	if choice.Hosts != nil {
		list, err := itemsOf(*choice.Hosts, deviceOf)
		if err != nil {
			return reply{}, err
		}
		hosts = append([]peer.ID{}, list...)
	}
	return reply{body: struct{}{}}, s.backend.ChooseMailboxes(r.Context(), hosts)
}

func deviceOf(s string) (peer.ID, error) {
	device, err := peer.Decode(s)
	if err != nil {
		return "", invalid("%.80q is no device id", s)
	}
	return device, nil
}

func (s *Server) putReceipts(r *http.Request) (reply, error) {
	return s.setReceipts(r, chat.AccountID{})
}

func (s *Server) putContactReceipts(r *http.Request) (reply, error) {
	account, err := accountOf(r.PathValue("account"))
	if err != nil {
		return reply{}, err
	}
	return s.setReceipts(r, account)
}

func (s *Server) setReceipts(r *http.Request, account chat.AccountID) (reply, error) {
	var choice receiptsShape
	if err := decode(r.Body, &choice); err != nil {
		return reply{}, err
	}
	return reply{body: struct{}{}}, s.backend.SetReceipts(r.Context(), account, choice.Receipts)
}

// SendAll implements Backend. Drafts without a client id get random ones: a second try cannot make second messages of them.
func (c *Client) SendAll(ctx context.Context, drafts []chat.Draft) ([]chat.Message, error) {
	if err := chat.CheckDrafts(drafts); err != nil || len(drafts) == 0 {
		return nil, err
	}
	body := manyShape{Items: make([]manyItem, len(drafts))}
	for i, d := range drafts {
		if d.ClientID == "" {
			d.ClientID = rand.Text()
		}
		body.Items[i] = manyItem{ClientID: d.ClientID, Text: d.Text}
	}
	path := "/conversations/" + escape(drafts[0].Conversation.String()) + "/messages"
	return many(ctx, c, call{method: "POST", path: path, body: body}, messageShape.parse)
}

// Info implements Backend.
func (c *Client) Info(ctx context.Context, id chat.MessageID) (chat.Info, error) {
	return one(ctx, c, call{method: "GET", path: "/messages/" + id.String() + "/info"}, infoShape.parse)
}

// Mailboxes implements Backend.
func (c *Client) Mailboxes(ctx context.Context) (chat.Mailboxes, error) {
	return one(ctx, c, call{method: "GET", path: "/mailboxes"}, mailboxesShape.parse)
}

// ChooseMailboxes implements Backend.
func (c *Client) ChooseMailboxes(ctx context.Context, hosts []peer.ID) error {
	choice := choiceShape{Automatic: hosts == nil}
	if hosts != nil {
		choice.Hosts = new(deviceTexts(hosts))
	}
	return c.put(ctx, "/mailboxes", choice)
}

// SetReceipts implements Backend.
func (c *Client) SetReceipts(ctx context.Context, account chat.AccountID, r chat.Receipts) error {
	path := "/receipts"
	if !account.IsZero() {
		path = "/contacts/" + account.String() + "/receipts"
	}
	return c.put(ctx, path, receiptsShape{Receipts: r})
}

// put makes a call that changes something and is answered with nothing.
func (c *Client) put(ctx context.Context, path string, body any) error {
	_, err := c.do(ctx, call{method: "PUT", path: path, body: body}, new(struct{}))
	return err
}

type infoShape struct {
	Message messageShape   `json:"message"`
	Ways    []wayShape     `json:"ways"`
	Waits   []waitingShape `json:"waits"`
}

type wayShape struct {
	Device  string     `json:"device"`
	State   chat.State `json:"state"`
	Route   string     `json:"route"`
	Holders []string   `json:"holders"`
	At      stamp      `json:"at"`
}

type waitingShape struct {
	Device   string   `json:"device,omitempty"`
	Holders  []string `json:"holders"`
	Attempts int      `json:"attempts"`
	Last     stamp    `json:"last_at,omitzero"`
	Next     stamp    `json:"next_at,omitzero"`
	Reason   string   `json:"reason,omitempty"`
}

func shapeInfo(i chat.Info) infoShape {
	s := infoShape{Message: shapeMessage(i.Message), Ways: []wayShape{}, Waits: []waitingShape{}}
	for _, w := range i.Ways {
		s.Ways = append(s.Ways, wayShape{w.Device.String(), w.State, w.Route, deviceTexts(w.Holders), stamp{w.At}})
	}
	for _, w := range i.Waits {
		s.Waits = append(s.Waits, waitingShape{w.Device.String(), deviceTexts(w.Holders), w.Attempts, stamp{w.Last}, stamp{w.Next}, w.Reason})
	}
	return s
}

func (s infoShape) parse() (chat.Info, error) {
	m, err := s.Message.parse()
	r := reader{err: err}
	info := chat.Info{Message: m}
	for _, w := range s.Ways {
		info.Ways = append(info.Ways, chat.Way{
			Device: read(&r, w.Device, peer.Decode), State: w.State, Route: w.Route, Holders: readDevices(&r, w.Holders), At: w.At.Time,
		})
	}
	for _, w := range s.Waits {
		info.Waits = append(info.Waits, chat.Waiting{
			Device: read(&r, w.Device, peer.Decode), Holders: readDevices(&r, w.Holders), Attempts: w.Attempts, Last: w.Last.Time,
			Next: w.Next.Time, Reason: w.Reason,
		})
	}
	return info, r.err
}

func deviceTexts(devices []peer.ID) []string {
	texts := make([]string, len(devices))
	for i, d := range devices {
		texts[i] = d.String()
	}
	return texts
}

func readDevices(r *reader, texts []string) (devices []peer.ID) {
	for _, text := range texts {
		devices = append(devices, read(r, text, peer.Decode))
	}
	return devices
}

type mailboxesShape struct {
	Automatic bool `json:"automatic"`
	list[mailboxShape]
}

func (s mailboxesShape) parse() (chat.Mailboxes, error) {
	hosts, err := itemsOf(s.Items, mailboxShape.parse)
	return chat.Mailboxes{Automatic: s.Automatic, Hosts: slices.Clip(hosts)}, err
}

type mailboxShape struct {
	Host    string `json:"host"`
	Seen    stamp  `json:"seen_at,omitzero"`
	Drained bool   `json:"drained"`
	Trouble string `json:"trouble,omitempty"`
}

func shapeMailbox(k chat.KeptMailbox) mailboxShape {
	return mailboxShape{Host: k.Host.String(), Seen: stamp{k.Seen}, Drained: k.Drained, Trouble: k.Trouble}
}

func (s mailboxShape) parse() (chat.KeptMailbox, error) {
	host, err := peer.Decode(s.Host)
	return chat.KeptMailbox{Host: host, Seen: s.Seen.Time, Drained: s.Drained, Trouble: s.Trouble}, err
}

// What requests about delivery carry.
type (
	manyShape struct {
		Items []manyItem `json:"items"`
	}
	manyItem struct {
		ClientID string `json:"client_id,omitempty"`
		Text     string `json:"text"`
	}
	choiceShape struct {
		Automatic bool      `json:"automatic,omitempty"`
		Hosts     *[]string `json:"hosts,omitempty"`
	}
	receiptsShape struct {
		Receipts chat.Receipts `json:"receipts"`
	}
)
