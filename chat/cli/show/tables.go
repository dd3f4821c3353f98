package show

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"parley/chat"
)

// WriteStatus writes one screen about a node.
func WriteStatus(out io.Writer, s chat.Status) error {
	joined := "joined"
	switch {
	case !s.Network.Joined:
		joined = "not joined yet, still trying"
	case s.Network.Removed:
		joined = "out: this device was removed"
	case s.Network.OtherKey:
		joined = "out: it has another key by now"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ready      %s, since %s\n", Yes(s.Ready), s.Since.Local().Format("Mon 2 Jan 15:04"))
	fmt.Fprintf(&b, "identity   %s %s\n", Line(s.Name), s.Account.Short())
	fmt.Fprintf(&b, "network    %s %s, %s\n", Line(s.Network.Name), s.Network.Fingerprint, joined)
	fmt.Fprintf(&b, "peers      %d, %d of %d seeds\n", s.Peers, s.Seeds, s.Network.Seeds)
	if n := s.Network; n.WrongKey+n.NoMember > 0 {
		fmt.Fprintf(&b, "refused    %s without the network's key, %d of no members\n", Count(n.WrongKey, "connection"), n.NoMember)
	}
	for i, addr := range s.Addresses {
		fmt.Fprintf(&b, "%-10s %s\n", []string{"address", ""}[min(i, 1)], Line(addr))
	}
	if !s.Reachable {
		fmt.Fprintln(&b, "           none of them is public")
	}
	fmt.Fprintf(&b, "reachable  %s\n", Reached(s.Reach))
	fmt.Fprintf(&b, "people     %s\n", people(s))
	fmt.Fprintf(&b, "waiting    %s\n", waiting(s))
	fmt.Fprintf(&b, "mailboxes  %s\n", mailboxes(s))
	writeHosting(&b, s.Hosting)
	if s.Receipts == chat.ReceiptsOff {
		fmt.Fprintln(&b, "receipts   off: others do not learn what you have read")
	}
	fmt.Fprintf(&b, "database   %s\n", s.Database)
	if s.Trouble != "" {
		fmt.Fprintf(&b, "trouble    %s\n", Line(s.Trouble))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// Reached says whether others can dial a node.
func Reached(r chat.Reach) string {
	switch r.State {
	case chat.ReachYes:
		return fmt.Sprintf("yes (confirmed by %s)", Count(r.Seeds, "seed"))
	case chat.ReachNo:
		have := "have"
		if r.Seeds == 1 {
			have = "has"
		}
		return fmt.Sprintf("no: behind a router (%s %s tried)", Count(r.Seeds, "seed"), have)
	}
	return "unknown: no seed has tried yet"
}

func waiting(s chat.Status) string {
	if s.Queued == 0 {
		return "0 messages"
	}
	return fmt.Sprintf("%s, the oldest for %v", Count(s.Queued, "message"), time.Since(s.OldestQueue).Round(time.Second))
}

func people(s chat.Status) string {
	text := Count(s.Contacts, "contact")
	if s.Verified > 0 {
		text += fmt.Sprintf(", %d verified %s", s.Verified, verifiedMark)
	}
	if s.Requests > 0 {
		text += ", " + Count(s.Requests, "request")
	}
	return text
}

// WritePeers writes the table of connected nodes, with the names that the members have here.
func WritePeers(out io.Writer, peers []chat.Peer, members []chat.Member) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tDEVICE\tROUTE\tSEED\tRTT\tSINCE\tADDRESS")
	for _, p := range peers {
		rtt := "-"
		if p.RTT > 0 {
			rtt = p.RTT.Round(100 * time.Microsecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(Line(nameOf(p, members)), "-"), p.ID, p.Route, Yes(p.Seed), rtt, p.Since.Local().Format(time.TimeOnly), Line(p.Address))
	}
	return w.Flush()
}

// nameOf returns the name of whom a node belongs to; "" for somebody of whom none is known here.
func nameOf(p chat.Peer, members []chat.Member) string {
	i := slices.IndexFunc(members, func(m chat.Member) bool { return m.Device == p.ID })
	if i < 0 {
		return ""
	}
	return members[i].Name
}

// WriteNetwork writes what is known of a network, but for its key.
func WriteNetwork(out io.Writer, n chat.Network, seeds []chat.Seed, made, joined bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "network      %s\nfingerprint  %s\nid           %s\n", Line(n.Name), n.Fingerprint(), hex.EncodeToString(n.ID[:]))
	fmt.Fprintf(&b, "pre-shared   %s\nmade here    %s\njoined       %s\n", Yes(n.PSK != nil), Yes(made), Yes(joined))
	for _, s := range seeds {
		for _, addr := range s.Addrs {
			fmt.Fprintf(&b, "seed         %s/p2p/%s\n", Line(addr), s.Device)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
