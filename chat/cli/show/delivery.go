package show

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Info is all that is known of where a message is.
type Info struct {
	V            int      `json:"v"`
	ID           string   `json:"id"`
	Conversation string   `json:"conversation"`
	From         string   `json:"from"`
	FromName     string   `json:"from_name"`
	FromDevice   string   `json:"from_device"`
	ToName       string   `json:"to_name,omitempty"` // where it is ours
	Text         string   `json:"text"`
	At           string   `json:"at"`
	Seq          uint64   `json:"seq"`
	State        string   `json:"state"`
	Means        string   `json:"means"`
	Reason       string   `json:"reason,omitempty"`
	Number       uint64   `json:"number"`
	Missing      uint64   `json:"missing"`
	Devices      []Device `json:"devices"`
}

// Device is how far a message of ours has come to one device of its recipient.
type Device struct {
	Device   string   `json:"device,omitempty"` // absent: none has been found yet
	State    string   `json:"state"`
	Route    string   `json:"route,omitempty"`
	Holders  []string `json:"holders"`
	At       string   `json:"at,omitempty"` // when it came so far
	Waits    bool     `json:"waits"`        // the device has not acknowledged it
	Attempts int      `json:"attempts"`
	Last     string   `json:"last,omitempty"`
	Next     string   `json:"next,omitempty"`
	Reason   string   `json:"reason,omitempty"`

	last, next, at time.Time
}

// OneInfo returns what is known of a message, with names of the contacts.
func OneInfo(i chat.Info, contacts []chat.Contact) Info {
	names := NewMessages(contacts, Style{})
	j := Info{
		V: Version, ID: i.ID.String(), Conversation: i.Conversation.String(), From: i.Author.String(), FromName: names.Name(i.Message),
		FromDevice: i.Device.String(), Text: i.Text, At: Stamp(i.At), Seq: i.Seq, State: string(i.State), Means: means(i), Reason: i.Reason,
		Number: i.Number, Missing: i.Missing, Devices: []Device{},
	}
	if at := slices.IndexFunc(contacts, func(c chat.Contact) bool { return c.Conversation == i.Conversation }); i.Mine && at >= 0 {
		j.ToName = contacts[at].Name
	}
	for _, w := range i.Ways {
		j.Devices = append(j.Devices, Device{
			Device: w.Device.String(), State: string(w.State), Route: w.Route, Holders: ids(w.Holders), At: Stamp(w.At), at: w.At,
		})
	}
	for _, w := range i.Waits {
		at := slices.IndexFunc(j.Devices, func(d Device) bool { return d.Device == w.Device.String() })
		if at < 0 {
			at = len(j.Devices)
			j.Devices = append(j.Devices, Device{Device: w.Device.String(), State: string(chat.StateQueued), Holders: ids(w.Holders)})
		}
		d := &j.Devices[at]
		d.Waits, d.Attempts, d.Last, d.Next, d.Reason = true, w.Attempts, Stamp(w.Last), Stamp(w.Next), w.Reason
		d.last, d.next = w.Last, w.Next
	}
	return j
}

func ids(devices []peer.ID) []string {
	texts := []string{}
	for _, d := range devices {
		texts = append(texts, d.String())
	}
	return texts
}

// means says what a state means for this message.
func means(i chat.Info) string {
	switch {
	case i.State == chat.StateQueued:
		return "kept here; no other node has it yet"
	case i.State == chat.StateSent:
		return "another node holds it; the recipient's device has not acknowledged it yet"
	case i.State == chat.StateDelivered:
		return "a device of the recipient has opened and stored it"
	case i.State == chat.StateRead && i.Mine:
		return "the recipient has seen it"
	case i.State == chat.StateRead:
		return "it was shown here"
	case i.State == chat.StateReceived:
		return "it came in, and was not shown yet"
	case i.State == chat.StateFailed:
		return "it will never arrive"
	}
	return "a state that this program does not know"
}

// WriteInfo writes one message's way for people, as it is at a time.
func WriteInfo(out io.Writer, i Info, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "message  %s\n", i.ID)
	if i.ToName != "" {
		fmt.Fprintf(&b, "to       %s\n", Line(i.ToName))
	} else {
		fmt.Fprintf(&b, "from     %s, device %s\n", Line(i.FromName), Line(i.FromDevice))
	}
	fmt.Fprintf(&b, "text     %q\n", Fit(Line(i.Text), quoteColumns))
	fmt.Fprintf(&b, "at       %s\n", localStamp(i.At))
	fmt.Fprintf(&b, "number   %d of this device in this conversation%s\n", i.Number, missingBefore(i.Missing))
	fmt.Fprintf(&b, "state    %s: %s\n", Line(i.State), i.Means)
	if i.Reason != "" {
		fmt.Fprintf(&b, "reason   %s\n", Line(i.Reason))
	}
	for _, d := range i.Devices {
		d.write(&b, now)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func missingBefore(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d right before it %s missing here", n, are(n))
}

// write writes the lines about one device: how far the message has come, who holds it, and what comes next.
func (d Device) write(b *strings.Builder, now time.Time) {
	name := d.Device
	if name == "" {
		name = "not found yet"
	}
	fmt.Fprintf(b, "device   %s: %s", Line(name), Line(d.State))
	if d.Route != "" {
		fmt.Fprintf(b, ", %s", route(d.Route))
	}
	if !d.at.IsZero() {
		fmt.Fprintf(b, ", %s", local(d.at))
	}
	b.WriteByte('\n')
	held := "held by "
	if !d.Waits {
		held = "was held by "
	}
	for _, host := range d.Holders {
		fmt.Fprintf(b, "         %s%s\n", held, Line(host))
	}
	if !d.Waits {
		return
	}
	if d.Attempts > 0 {
		fmt.Fprintf(b, "         %s in vain, the last %s: %s\n", Count(d.Attempts, "attempt"), local(d.last), Line(d.Reason))
	} else if d.Reason != "" {
		fmt.Fprintf(b, "         %s\n", Line(d.Reason))
	}
	next := "at once, or when something changes"
	if wait := d.next.Sub(now).Round(time.Second); !d.next.IsZero() && wait > 0 {
		next = fmt.Sprintf("in %v, or when the device connects", wait)
	}
	fmt.Fprintf(b, "         next attempt %s\n", next)
}

func route(r string) string {
	switch r {
	case chat.RouteMailbox:
		return "by mailbox"
	case chat.RouteLAN:
		return "on the same network"
	case chat.RouteDirect, chat.RoutePunched, chat.RouteRelayed:
		return r
	}
	return Line(r)
}

func local(t time.Time) string { return t.Local().Format("Mon 2 Jan 15:04:05") }

// localStamp writes a stamp as people read it.
func localStamp(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return Line(s)
	}
	return local(t)
}

// Mailboxes is who keeps mailboxes for this device.
type Mailboxes struct {
	V         int       `json:"v"`
	Automatic bool      `json:"automatic"` // the node chooses; else people have
	Mailboxes []Mailbox `json:"mailboxes"`
}

// Mailbox is how one of them is doing.
type Mailbox struct {
	Host    string `json:"host"`
	Seen    string `json:"seen,omitempty"` // when it last answered; absent: not in this run
	Drained bool   `json:"drained"`
	Trouble string `json:"trouble,omitempty"`
}

// AllMailboxes returns who keeps mailboxes.
func AllMailboxes(m chat.Mailboxes) Mailboxes {
	all := Mailboxes{V: Version, Automatic: m.Automatic, Mailboxes: []Mailbox{}}
	for _, k := range m.Hosts {
		all.Mailboxes = append(all.Mailboxes, Mailbox{k.Host.String(), Stamp(k.Seen), k.Drained, k.Trouble})
	}
	return all
}

// WriteMailboxes writes the table of them.
func WriteMailboxes(out io.Writer, m chat.Mailboxes) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	chosen := "people"
	if m.Automatic {
		chosen = "the node"
	}
	fmt.Fprintln(w, "HOST\tCHOSEN BY\tLAST CONTACT\tDRAINED\tTROUBLE")
	for _, k := range m.Hosts {
		seen, trouble := "not yet", "-"
		if !k.Seen.IsZero() {
			seen = local(k.Seen)
		}
		if k.Trouble != "" {
			trouble = Line(k.Trouble)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.Host, chosen, seen, Yes(k.Drained), trouble)
	}
	return w.Flush()
}

// NoMailboxes is what it means that nobody keeps one.
const NoMailboxes = "none: messages to this device wait at their senders while it is off"

func mailboxes(s chat.Status) string {
	if s.Mailboxes == 0 {
		return NoMailboxes
	}
	return fmt.Sprintf("%d (%d drained)", s.Mailboxes, s.Drained)
}
