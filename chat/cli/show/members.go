package show

import (
	"cmp"
	"fmt"
	"io"
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

// WriteMembers writes a table of them.
func WriteMembers(out io.Writer, members []chat.Member) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tACCOUNT\tDEVICE\tINVITE\tSINCE\tNOTES")
	for _, m := range members {
		notes := ""
		switch {
		case m.Self:
			notes = "this device"
		case m.Revoked:
			notes = "removed"
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

// WriteInvites writes a table of them.
func WriteInvites(out io.Writer, invites []chat.NetworkInvite) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tFOR\tUSED\tSTATE\tEXPIRES")
	for _, i := range invites {
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s\n", chat.InviteID(i.ID), cmp.Or(Line(i.For), "-"), len(i.Used), i.Uses, i.State,
			i.Expires.Local().Format("Mon 2 Jan 15:04"))
	}
	return w.Flush()
}
