package show

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"parley/chat"
)

// Contact is one entry of the address book.
type Contact struct {
	V            int         `json:"v,omitempty"` // only where it stands alone
	Name         string      `json:"name"`
	Account      string      `json:"account"`
	Short        string      `json:"short"`
	Conversation string      `json:"conversation"`
	Known        bool        `json:"known"`
	At           string      `json:"at"`
	Blocked      bool        `json:"blocked"`
	Trust        string      `json:"trust"`
	Receipts     string      `json:"receipts"` // on, off or default
	Introducer   *Introducer `json:"introduced_by,omitempty"`
}

// Introducer is who introduced somebody.
type Introducer struct {
	Name     string `json:"name"`
	Account  string `json:"account"`
	Verified bool   `json:"verified"`
}

func introducer(i chat.Introducer) *Introducer {
	if i.Account.IsZero() {
		return nil
	}
	return &Introducer{i.Name, i.Account.String(), i.Verified}
}

// OneContact returns a contact that stands alone.
func OneContact(c chat.Contact) Contact {
	return Contact{
		V: Version, Name: c.Name, Account: c.Account.String(), Short: c.Account.Short(), Conversation: c.Conversation.String(), Known: c.Known,
		At: Stamp(c.At), Blocked: c.Blocked, Trust: string(c.Trust), Introducer: introducer(c.Introducer),
		Receipts: cmp.Or(string(c.Receipts), "default"),
	}
}

// Contacts is the address book.
type Contacts struct {
	V        int       `json:"v"`
	Contacts []Contact `json:"contacts"`
}

// AllContacts returns the address book.
func AllContacts(contacts []chat.Contact) Contacts {
	list := Contacts{V: Version, Contacts: []Contact{}}
	for _, c := range contacts {
		j := OneContact(c)
		j.V = 0
		list.Contacts = append(list.Contacts, j)
	}
	return list
}

// Request is somebody who asked to be a contact.
type Request struct {
	Name       string      `json:"name"`
	Account    string      `json:"account"`
	Short      string      `json:"short"`
	State      string      `json:"state"`
	At         string      `json:"at"`
	Texts      []string    `json:"texts"`
	SameName   string      `json:"same_name,omitempty"`
	Claims     string      `json:"claims,omitempty"`
	Introducer *Introducer `json:"introduced_by,omitempty"`
}

// Requests is the list of them.
type Requests struct {
	V        int       `json:"v"`
	Requests []Request `json:"requests"`
}

// AllRequests returns who asked.
func AllRequests(requests []chat.Request) Requests {
	all := Requests{V: Version, Requests: []Request{}}
	for _, r := range requests {
		all.Requests = append(all.Requests, Request{
			r.Name, r.Account.String(), r.Account.Short(), string(r.State), Stamp(r.At), list(r.Texts), r.SameName, r.Claims, introducer(r.Introducer),
		})
	}
	return all
}

// Safety is a safety number, and what is known of it.
type Safety struct {
	V       int      `json:"v"`
	Name    string   `json:"name"`
	Account string   `json:"account"`
	Number  []string `json:"number"`
	Code    string   `json:"code"`
	Trust   string   `json:"trust"`
}

// OneSafety returns the safety number of a contact.
func OneSafety(c chat.Contact, n chat.Safety) Safety {
	return Safety{Version, c.Name, c.Account.String(), n.Groups(), n.Code(), string(c.Trust)}
}

// Identity is who one is.
type Identity struct {
	V       int           `json:"v"`
	Name    string        `json:"name"`
	Account string        `json:"account"`
	Short   string        `json:"short"`
	Device  string        `json:"device"`
	Network NetworkInName `json:"network"`
	Home    string        `json:"home,omitempty"`
}

// NetworkInName is the network that somebody is on.
type NetworkInName struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

// WriteIdentity writes who one is.
func WriteIdentity(out io.Writer, i Identity) error {
	var b strings.Builder
	fmt.Fprintf(&b, "name     %s\naccount  %s\n         %s\ndevice   %s\n", Line(i.Name), i.Short, i.Account, i.Device)
	fmt.Fprintf(&b, "network  %s %s\n", Line(i.Network.Name), i.Network.Fingerprint)
	if i.Home != "" {
		fmt.Fprintf(&b, "home     %s\n", Line(i.Home))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// verifiedMark stands beside verified contacts. No name holds it.
const verifiedMark = "✔"

// Mark returns what stands behind a contact's name: that they are verified, or that something is wrong.
func (s Style) Mark(c chat.Contact) string {
	switch {
	case c.Blocked:
		return " (blocked)"
	case c.Trust == chat.TrustVerified:
		return s.Pick(verifiedMark, "[verified]")
	case c.Trust == chat.TrustMismatch || c.Trust == chat.TrustDoubted:
		return " !!"
	}
	return ""
}

// notes says what there is to know of a contact, beside the name.
func notes(c chat.Contact) string {
	var list []string
	if c.Blocked {
		list = append(list, "blocked")
	}
	switch c.Trust {
	case chat.TrustVerified:
		list = append(list, verifiedMark+" verified")
	case chat.TrustMismatch:
		list = append(list, "!! the safety number did not match")
	case chat.TrustDoubted:
		list = append(list, "!! another account has their device: verify again")
	}
	if c.Receipts != chat.ReceiptsDefault {
		list = append(list, "read receipts "+Line(string(c.Receipts)))
	}
	if by := IntroducedBy(c.Introducer); by != "" {
		list = append(list, by)
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ", ")
}

// IntroducedBy says who introduced somebody, and whether that counts; nothing where nobody did.
func IntroducedBy(i chat.Introducer) string {
	switch {
	case i.Account.IsZero():
		return ""
	case i.Verified:
		return "introduced by " + Line(i.Name) + " (verified)"
	}
	return "introduced by " + Line(i.Name) + " (not verified)"
}

// WriteContacts writes the table of contacts.
func WriteContacts(out io.Writer, contacts []chat.Contact) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tACCOUNT\tSINCE\tDEVICES\tNOTES")
	for _, c := range contacts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", Line(c.Name), c.Account.Short(), c.At.Local().Format(time.DateOnly), found(c), notes(c))
	}
	return w.Flush()
}

func found(c chat.Contact) string {
	if c.Known {
		return "found"
	}
	return "not found yet"
}

// WriteContact writes everything about one contact.
func WriteContact(out io.Writer, c chat.Contact, n chat.Safety) error {
	groups := n.Groups()
	_, err := fmt.Fprintf(out, "name     %s\naccount  %s\n         %s\nsince    %s\ndevices  %s\nnotes    %s\nnumber   %s\n         %s\n",
		Line(c.Name), c.Account.Short(), c.Account, c.At.Local().Format(time.DateOnly), found(c), notes(c),
		strings.Join(groups[:6], " "), strings.Join(groups[6:], " "))
	return err
}

// Request returns a request as lines that end: who asks, what there is to know of them, and what they wrote, behind the bar.
func (s Style) Request(r chat.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, %s\n", requestName(r), r.Account.Short(), r.At.Local().Format("Mon 2 Jan 15:04"))
	if by := IntroducedBy(r.Introducer); by != "" {
		fmt.Fprintf(&b, "   %s\n", by)
	}
	if r.SameName != "" {
		fmt.Fprintf(&b, "!! not the %s you know: another key\n", Line(r.SameName))
	}
	if r.Claims != "" {
		fmt.Fprintf(&b, "!! writes with a device that was %s's: compare safety numbers with both\n", Line(r.Claims))
	}
	for _, text := range r.Texts {
		for line := range strings.SplitSeq(Fit(chat.CleanText(text), MaxColumns), "\n") {
			fmt.Fprintf(&b, "   %s %s\n", s.bar(), line)
		}
	}
	return b.String()
}

func requestName(r chat.Request) string {
	if r.Name == "" {
		return "(no name)"
	}
	return Line(r.Name)
}
