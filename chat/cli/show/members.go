package show

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"parley/chat"
)

// Member is a device of the network.
type Member struct {
	V       int    `json:"v"`
	Name    string `json:"name"`
	Account string `json:"account"`
	Device  string `json:"device"`
	Invite  string `json:"invite"` // empty for the device that made the network
	Since   string `json:"since"`
	Revoked bool   `json:"revoked"`
	Self    bool   `json:"self"`
}

// OneMember returns a member.
func OneMember(m chat.Member) Member {
	return Member{Version, m.Name, m.Account.String(), m.Device.String(), m.Invite, Stamp(m.Since), m.Revoked, m.Self}
}

// WriteMembers writes a table of them; behind are those who have not followed the network's key.
func WriteMembers(out io.Writer, members, behind []chat.Member) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tACCOUNT\tDEVICE\tINVITE\tSINCE\tNOTES")
	for _, m := range members {
		notes := ""
		switch {
		case m.Self:
			notes = "this device"
		case m.Revoked:
			notes = "removed"
		case slices.ContainsFunc(behind, func(o chat.Member) bool { return o.Device == m.Device }):
			notes = "has not the new network key"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(Line(m.Name), "-"), m.Account.Short(), m.Device, cmp.Or(m.Invite, "-"),
			m.Since.Local().Format(time.DateOnly), notes)
	}
	return w.Flush()
}

// Invite is an invite that was made here.
type Invite struct {
	V       int      `json:"v"`
	ID      string   `json:"id"`
	For     string   `json:"for"`
	Made    string   `json:"made"`
	Expires string   `json:"expires"`
	Uses    int      `json:"uses"`
	Used    []string `json:"used"` // the devices that it has let in
	State   string   `json:"state"`
}

// OneInvite returns an invite.
func OneInvite(i chat.NetworkInvite) Invite {
	j := Invite{V: Version, ID: chat.InviteID(i.ID), For: i.For, Made: Stamp(i.Made), Expires: Stamp(i.Expires), Uses: i.Uses, Used: []string{}, State: i.State}
	for _, p := range i.Used {
		j.Used = append(j.Used, p.String())
	}
	return j
}

// WriteInvites writes a table of them, with whom of the members each has let in.
func WriteInvites(out io.Writer, invites []chat.NetworkInvite, members []chat.Member) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tFOR\tUSED\tSTATE\tEXPIRES\tLET IN")
	for _, i := range invites {
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s\t%s\n", chat.InviteID(i.ID), cmp.Or(Line(i.For), "-"), len(i.Used), i.Uses, i.State,
			i.Expires.Local().Format("Mon 2 Jan 15:04"), cmp.Or(letIn(i, members), "-"))
	}
	return w.Flush()
}

// letIn names the members that an invite has let in; "" for nobody.
func letIn(i chat.NetworkInvite, members []chat.Member) string {
	var names []string
	for _, m := range members {
		if slices.Contains(i.Used, m.Device) {
			name := cmp.Or(Line(m.Name), m.Account.Short())
			if m.Revoked {
				name += " (removed)"
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Key is how far the members have followed the network's key.
type Key struct {
	V        int      `json:"v"`
	Private  bool     `json:"private"`
	Own      bool     `json:"own"` // this device can change it
	State    string   `json:"state"`
	Made     string   `json:"made"` // empty where it never was changed
	Ends     string   `json:"ends"`
	Followed []Member `json:"followed"`
	Behind   []Member `json:"behind"`
}

// The states of a key.
const (
	KeyNone    = "none"    // the network has none
	KeyFirst   = "first"   // it was never changed
	KeyGrace   = "grace"   // the one before is still good
	KeyChanged = "changed" // the one before is worthless
)

func stateOfKey(k chat.KeyRotation, now time.Time) string {
	switch {
	case !k.Private:
		return KeyNone
	case k.Made.IsZero():
		return KeyFirst
	case k.Grace(now):
		return KeyGrace
	}
	return KeyChanged
}

// OneKey returns how far it is.
func OneKey(k chat.KeyRotation, now time.Time) Key {
	j := Key{V: Version, Private: k.Private, Own: k.Own, State: stateOfKey(k, now), Followed: []Member{}, Behind: []Member{}}
	if !k.Made.IsZero() {
		j.Made, j.Ends = Stamp(k.Made), Stamp(k.Ends)
	}
	for _, m := range k.Followed {
		j.Followed = append(j.Followed, OneMember(m))
	}
	for _, m := range k.Behind {
		j.Behind = append(j.Behind, OneMember(m))
	}
	return j
}

// WriteKey writes it in words, and a table of the members.
func WriteKey(out io.Writer, n chat.Network, k chat.KeyRotation, now time.Time) error {
	var b strings.Builder
	until := k.Ends.Local().Format("Mon 2 Jan 15:04:05")
	switch stateOfKey(k, now) {
	case KeyNone:
		fmt.Fprintf(&b, "%s has no pre-shared key\n", n)
	case KeyFirst:
		fmt.Fprintf(&b, "the key of %s is the first one: it was never changed\n", n)
	case KeyGrace:
		fmt.Fprintf(&b, "the key of %s was changed %s; the old one is good until %s\n", n, k.Made.Local().Format("Mon 2 Jan 15:04:05"), until)
	case KeyChanged:
		fmt.Fprintf(&b, "the key of %s was changed %s; the old one is worthless since %s\n", n, k.Made.Local().Format("Mon 2 Jan 15:04:05"), until)
	}
	if !k.Made.IsZero() {
		fmt.Fprintf(&b, "%d of %s known here have the new one\n", len(k.Followed), Count(len(k.Followed)+len(k.Behind), "device"))
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, m := range k.Behind {
		fmt.Fprintf(w, "has not\t%s\t%s\t%s\n", cmp.Or(Line(m.Name), "-"), m.Account.Short(), m.Device)
	}
	for _, m := range k.Followed {
		fmt.Fprintf(w, "has\t%s\t%s\t%s\n", cmp.Or(Line(m.Name), "-"), m.Account.Short(), m.Device)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, b.String())
	return err
}
