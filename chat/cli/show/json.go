package show

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"parley/chat"
)

// Version is the version of every JSON object here, in its field v. Fields are added within it, and never change or go.
const Version = 1

// JSON writes one value on one line. Characters that would do something to a terminal are escaped: the value is the same.
func JSON(w io.Writer, v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, escapeControls(b.String()))
	return err
}

func escapeControls(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r <= 0xffff) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Stamp returns a time for programs: UTC with milliseconds; nothing for no time.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// Message is what recv and history tell of a message.
type Message struct {
	V            int    `json:"v"`
	Seq          uint64 `json:"seq"`
	Type         string `json:"type"`
	ID           string `json:"id"`
	Conversation string `json:"conversation"`
	From         string `json:"from"`
	FromName     string `json:"from_name"`
	Text         string `json:"text"`
	At           string `json:"at"`
	State        string `json:"state,omitempty"` // history only
	Reason       string `json:"reason,omitempty"`
	Missing      uint64 `json:"missing,omitempty"` // how many of this device right before it have not come in
}

// Received returns a message for recv.
func (r *Messages) Received(m chat.Message) Message {
	j := Message{
		V: Version, Seq: m.Seq, Type: string(chat.EventMessageReceived), ID: m.ID.String(), Conversation: m.Conversation.String(),
		From: m.Author.String(), FromName: r.Name(m), Text: m.Text, At: Stamp(m.At),
		Missing: m.Missing,
	}
	if m.Mine {
		j.Type = string(chat.EventMessageQueued)
	}
	return j
}

// Kept returns a message for history.
func (r *Messages) Kept(m chat.Message) Message {
	j := r.Received(m)
	j.State, j.Reason = string(m.State), m.Reason
	return j
}

// Sent is what send tells of a message.
type Sent struct {
	V            int    `json:"v"`
	ID           string `json:"id"`
	Conversation string `json:"conversation"`
	State        string `json:"state"`
	Seq          uint64 `json:"seq"`
	At           string `json:"at"`
}

// SentMessage returns a message for send.
func SentMessage(m chat.Message) Sent {
	return Sent{Version, m.ID.String(), m.Conversation.String(), string(m.State), m.Seq, Stamp(m.At)}
}

// Link is a link, and what it leads to.
type Link struct {
	V           int      `json:"v"`
	Link        string   `json:"link"`
	Network     string   `json:"network"`
	Fingerprint string   `json:"fingerprint"`
	Expires     string   `json:"expires,omitempty"`
	Addresses   []string `json:"addresses"`
	Reachable   bool     `json:"reachable"`
	ID          string   `json:"id,omitempty"`   // of an invite
	Uses        int      `json:"uses,omitempty"` // how many devices an invite lets in
}

// OneLink returns a link to a network, or to somebody on it.
func OneLink(l chat.InviteLink, n chat.Network) Link {
	return Link{Version, l.Link, n.Name, n.Fingerprint(), Stamp(l.Expires), list(l.Addresses), l.Reachable, l.ID, l.Uses}
}

// list keeps an empty list from becoming null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Network is the network of a home. It never holds a key.
type Network struct {
	V           int    `json:"v"`
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	ID          string `json:"id"`
	Private     bool   `json:"private"`
	Made        bool   `json:"made_here"`
	Joined      bool   `json:"joined"`
	Seeds       []Seed `json:"seeds"`
}

// Seed is a node to connect to first.
type Seed struct {
	Device    string   `json:"device"`
	Addresses []string `json:"addresses"`
}

// OneNetwork returns a network.
func OneNetwork(n chat.Network, seeds []chat.Seed, made, joined bool) Network {
	j := Network{Version, n.Name, n.Fingerprint(), hex.EncodeToString(n.ID[:]), n.PSK != nil, made, joined, []Seed{}}
	for _, s := range seeds {
		j.Seeds = append(j.Seeds, Seed{s.Device.String(), list(s.Addrs)})
	}
	return j
}

// Peer is a connected node.
type Peer struct {
	Name    string  `json:"name,omitempty"`
	ID      string  `json:"id"`
	Address string  `json:"address"`
	Route   string  `json:"route"`
	Seed    bool    `json:"seed"`
	Since   string  `json:"since"`
	RTT     float64 `json:"rtt_ms,omitempty"`
}

// Peers is the list of them.
type Peers struct {
	V     int    `json:"v"`
	Peers []Peer `json:"peers"`
}

// AllPeers returns the connected nodes, with the names that the members have here.
func AllPeers(peers []chat.Peer, members []chat.Member) Peers {
	list := Peers{V: Version, Peers: []Peer{}}
	for _, p := range peers {
		rtt := float64(p.RTT.Microseconds()) / 1000
		list.Peers = append(list.Peers, Peer{nameOf(p, members), p.ID.String(), p.Address, p.Route, p.Seed, Stamp(p.Since), rtt})
	}
	return list
}

// Status is how a node is doing.
type Status struct {
	V           int           `json:"v"`
	Ready       bool          `json:"ready"`
	Name        string        `json:"name"`
	Account     string        `json:"account"`
	Short       string        `json:"short"`
	Device      string        `json:"device"`
	Network     StatusNetwork `json:"network"`
	Peers       int           `json:"peers"`
	Seeds       int           `json:"seeds"`
	Addresses   []string      `json:"addresses"`
	Reachable   bool          `json:"reachable"`
	Queued      int           `json:"queued"`
	OldestQueue string        `json:"oldest_queue,omitempty"`
	Contacts    int           `json:"contacts"`
	Verified    int           `json:"verified"`
	Requests    int           `json:"requests"`
	Database    string        `json:"database"`
	Trouble     string        `json:"trouble,omitempty"`
	Restored    bool          `json:"restored,omitempty"`
	LastEvent   uint64        `json:"last_event"`
	Since       string        `json:"since"`
	Receipts    string        `json:"receipts"`
	Mailboxes   int           `json:"mailboxes"`
	Drained     int           `json:"drained_mailboxes"`
	Hosting     *Hosting      `json:"hosting,omitempty"`
	Reach       Reach         `json:"reach"`
}

// StatusNetwork is the network of a node.
type StatusNetwork struct {
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

	Refused map[string]uint64 `json:"refused,omitempty"` // by the name of the reason
}

// Reach is whether seeds could dial a node.
type Reach struct {
	State string `json:"state"`
	Seeds int    `json:"seeds"`
}

// OneStatus returns how a node is doing.
func OneStatus(s chat.Status) Status {
	return Status{
		V: Version, Ready: s.Ready, Name: s.Name, Account: s.Account.String(), Short: s.Account.Short(), Device: s.Device.String(),
		Network: StatusNetwork(s.Network), Peers: s.Peers, Seeds: s.Seeds, Addresses: list(s.Addresses), Reachable: s.Reachable,
		Queued: s.Queued, OldestQueue: Stamp(s.OldestQueue), Contacts: s.Contacts, Verified: s.Verified, Requests: s.Requests,
		Database: s.Database, Trouble: s.Trouble, Restored: s.Restored, LastEvent: s.LastEvent, Since: Stamp(s.Since),
		Receipts: string(s.Receipts), Mailboxes: s.Mailboxes, Drained: s.Drained, Hosting: oneHosting(s.Hosting), Reach: Reach(s.Reach),
	}
}
