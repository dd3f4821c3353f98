// Package doctor says what is well with a node and what is not, and for everything that is not which command helps. [Examine] looks at facts
// and asks nobody: so everything that it can say is tested.
package doctor

import (
	"fmt"
	"slices"
	"time"

	"parley/chat"
	"parley/chat/cli/show"
	"parley/chat/home"
)

// Level is how bad a finding is.
type Level string

// The levels. OK asks for nothing.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, and could be better, or may stop to
	Fail Level = "fail" // something does not work
)

// Finding is one thing that was looked at. Codes are part of the interface to scripts, and never change.
type Finding struct {
	Code  string `json:"code"`
	Level Level  `json:"level"`
	Text  string `json:"text"`          // one line
	Try   string `json:"try,omitempty"` // the command that helps, without the program's name; empty where nothing is to be done
}

// Facts is what is known of a node and its machine.
type Facts struct {
	Sealing home.Sealing
	Up      bool           // a node runs; what follows is said of it
	Silent  bool           // one runs that says nothing, and nothing is known of it
	Status  chat.Status    // by itself
	Peers   []chat.Peer    // that are connected
	Own     chat.Mailboxes // who keeps something for it
	Key     chat.KeyRotation
	Free    uint64 // bytes on the disk of the home
	Files   uint64 // descriptors that a process may have
	Now     time.Time
}

// Examine looks at everything, in an order in which people would: from themselves to the network to their messages.
func Examine(f Facts) []Finding {
	findings := []Finding{identity(f), node(f)}
	if f.Up {
		findings = append(findings, database(f), network(f), key(f), seeds(f), reach(f), refused(f), contacts(f), mailboxes(f), delivery(f))
	}
	return append(findings, disk(f), files(f))
}

// Worst returns the worst level of some findings.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

func identity(f Facts) Finding {
	if f.Sealing == home.Unsealed {
		return Finding{"identity", Warn, "the keys lie open in the home: who copies it is you", "passphrase"}
	}
	return Finding{"identity", OK, "the keys are sealed", ""}
}

func node(f Facts) Finding {
	if f.Silent {
		return Finding{"node.silent", Fail, "a node runs here, and does not answer: another one says which process it is; end that, and start again", "up"}
	}
	if !f.Up {
		return Finding{"node", Fail, "no node is running: nothing is sent, and nothing comes in", "up"}
	}
	return Finding{"node", OK, fmt.Sprintf("runs since %s", f.Status.Since.Local().Format("Mon 2 Jan 15:04")), ""}
}

func database(f Facts) Finding {
	switch s := f.Status; {
	case s.Restored:
		return Finding{"database.restored", Warn, "the database is an older copy: what came since is missing in it", "up --only-copy"}
	case s.Trouble != "" && s.Network.Joined && s.Seeds > 0:
		return Finding{"trouble", Fail, s.Trouble, "status"}
	default:
		return Finding{"database", OK, s.Database, ""}
	}
}

func network(f Facts) Finding {
	n := f.Status.Network
	name := n.Name + " " + n.Fingerprint
	switch {
	case !n.Joined:
		return waiting(f, name)
	case n.Removed:
		return Finding{"network.removed", Fail, name + ": this device was removed, or who invited it was; then ask a member for a new invite", anotherInvite}
	case n.OtherKey:
		return Finding{"network.key", Fail, name + ": its key was changed while this device was away; ask a member for a new invite", anotherInvite}
	case n.Private:
		return Finding{"network", OK, name + ", with a network key: strangers see nothing of it; TCP and WebSocket, since QUIC knows no such keys", ""}
	default:
		return Finding{"network", OK, name + ", members only, without a network key: strangers can see that a node is here, and are served nothing; TCP, QUIC and WebSocket", ""}
	}
}

// waiting says why a device is in no network yet. Somebody who has answered may want another invite, and otherwise trying again is all that helps.
func waiting(f Facts, name string) Finding {
	switch why, helps := show.Why(f.Status.Trouble), f.Status.Network.WaitsFor; {
	case helps == chat.WaitsForInvite:
		return Finding{"network.waiting", Fail, name + ": " + why + "; ask a member for a new invite", anotherInvite}
	case helps == chat.WaitsForMember:
		return Finding{"network.waiting", Fail, name + ": " + why + "; this device goes on trying", "status"}
	case f.Up && f.Now.Sub(f.Status.Since) >= SeedPatience:
		return Finding{"network.waiting", Fail, name + ": no node of it has answered yet; " + elsewhere, anotherInvite}
	default:
		return Finding{"network.waiting", Fail, name + ": no node of it has answered yet", "status"}
	}
}

// elsewhere is what helps where seeds do not come back.
const elsewhere = "where the seeds have moved, a new link of a member's leads to them"

// anotherInvite is the command for who has got a new link: it asks for that, or reads it.
const anotherInvite = "net join -"

// key says how far the members have followed the network's key. Who has made the network has met those whom it let in; what others know says
// little.
func key(f Facts) Finding {
	switch k := f.Key; {
	case !k.Private:
		return Finding{"key", OK, "the network has none", ""}
	case f.Status.Network.OtherKey:
		return Finding{"key", OK, "the network's newest key is not known here", ""}
	case k.Made.IsZero():
		return Finding{"key", OK, "the network's key was never changed", ""}
	case k.Grace(f.Now):
		return Finding{"key", OK, fmt.Sprintf("the network's key was changed; %s, and the old one is good until %s", followed(k), k.Ends.Local().Format("Mon 2 Jan 15:04")), ""}
	case k.Own && len(k.Behind) > 0:
		return Finding{"key.behind", Warn, "the network's key was changed; " + followed(k) + ", and the others need a new invite each", "net rotate-key --status"}
	default:
		return Finding{"key", OK, "the network's key was changed " + k.Made.Local().Format("Mon 2 Jan 15:04"), ""}
	}
}

func followed(k chat.KeyRotation) string {
	return fmt.Sprintf("%d of %d devices known here have the new one", len(k.Followed), len(k.Followed)+len(k.Behind))
}

func seeds(f Facts) Finding {
	s := f.Status
	switch {
	case s.Network.Seeds == 0:
		return Finding{"seeds", OK, "none is known: this node is where others begin", ""}
	case s.Seeds == 0 && s.Peers > 0:
		return Finding{"seeds.away", Warn, fmt.Sprintf("none of %d answers; peers that were met before are there: %s", s.Network.Seeds, s.Trouble), "peers"}
	case s.Seeds == 0 && s.Network.WaitsFor == chat.WaitsForInvite:
		return Finding{"seeds.away", Fail, fmt.Sprintf("none of %d is connected: %s", s.Network.Seeds, show.Why(s.Trouble)), anotherInvite}
	case s.Seeds == 0 && s.Network.WaitsFor == chat.WaitsForMember:
		return Finding{"seeds.away", Fail, fmt.Sprintf("none of %d is connected: %s", s.Network.Seeds, show.Why(s.Trouble)), "status"}
	case s.Seeds == 0 && f.Now.Sub(s.Since) >= SeedPatience:
		return Finding{"seeds.away", Fail, fmt.Sprintf("none of %d answers: %s; %s", s.Network.Seeds, show.Why(s.Trouble), elsewhere), anotherInvite}
	case s.Seeds == 0:
		return Finding{"seeds.away", Fail, fmt.Sprintf("none of %d answers: %s", s.Network.Seeds, s.Trouble), "status"}
	default:
		return Finding{"seeds", OK, fmt.Sprintf("%d of %d connected", s.Seeds, s.Network.Seeds), ""}
	}
}

func reach(f Facts) Finding {
	switch s := f.Status; {
	case s.Reachable && s.Reach.State == chat.ReachNo:
		return Finding{
			"reach.refuted", Warn, fmt.Sprintf("others are told to dial %s, and nobody got through: %s", s.Addresses[0], show.Reached(s.Reach)),
			"up --announce /dns/NAME/tcp/PORT",
		}
	case len(s.Addresses) > 0 && (s.Reachable || s.Reach.State == chat.ReachYes):
		text := "others can dial " + s.Addresses[0]
		if s.Reach.State == chat.ReachYes {
			text += ": " + show.Reached(s.Reach)
		}
		return Finding{"reach", OK, text, ""}
	case s.Network.Seeds == 0:
		return Finding{
			"reach.seed", Warn, "this node is where others begin, and none of its addresses is public: that is well on one LAN only",
			"up --seed --announce /dns/NAME/tcp/PORT",
		}
	default:
		return Finding{"reach", OK, "no public address: others come by the LAN, through both routers at once, or by way of a seed", ""}
	}
}

// refused says what the node has refused unusually often since it runs. The first that is found is the one that explains most.
func refused(f Facts) Finding {
	hours := max(f.Now.Sub(f.Status.Since).Hours(), 1)
	often := func(most float64, reasons ...string) (text string, yes bool) {
		times := 0
		for _, r := range reasons {
			times += int(f.Status.Network.Refused[r])
		}
		return show.Count(times, "time"), float64(times)/hours >= most
	}
	if n, yes := often(ManyStrangers, "wrong_key"); yes {
		return Finding{"refused.wrong-key", Warn, n + " somebody came with another network key: an old link, or the port of another network", "net invite"}
	}
	if n, yes := often(ManyStrangers, "bad_frame", "banned"); yes {
		return Finding{"refused.protocol", Warn, n + " somebody broke the protocol: another version of this program, or an attack", "peers"}
	}
	if n, yes := often(ManyStrangers, "no_member", "revoked"); yes {
		return Finding{"refused.no-member", Warn, n + " somebody came who is no member, or no more", "net members"}
	}
	if n, yes := often(ManyDeposits, "mailbox_full"); yes {
		return Finding{"refused.mailbox", Warn, n + " a message found no room in a mailbox here: its owner has been away for long, or the limits are tight", "up --mailbox-limits LIMITS"}
	}
	if n, yes := often(ManyLimits, "rate_limited", "resource_limit"); yes {
		return Finding{"refused.limits", Warn, n + " a limit was met: many people behind one router, or a flood", "up --trust-prefix NETWORK"}
	}
	return Finding{"refused", OK, "nobody was refused unusually often", ""}
}

// contacts says by which ways the connected nodes that are no seeds are connected.
func contacts(f Facts) Finding {
	ways := map[string]int{}
	total := 0
	for _, p := range f.Peers {
		if !p.Seed {
			ways[p.Route]++
			total++
		}
	}
	text := fmt.Sprintf("%d connected beside the seeds", total)
	separator := ": "
	for _, way := range []string{chat.RouteLAN, chat.RouteDirect, chat.RoutePunched, chat.RouteRelayed} {
		if ways[way] > 0 {
			text += fmt.Sprintf("%s%d %s", separator, ways[way], way)
			separator = ", "
		}
	}
	if ways[chat.RouteRelayed] == 0 {
		return Finding{"ways", OK, text, ""}
	}
	return Finding{"ways.relayed", Warn, text + "; routers on both sides let nothing else through, and files will be slow", "peers"}
}

func mailboxes(f Facts) Finding {
	switch n := len(f.Own.Hosts); {
	case n == 0 && f.Own.Automatic && f.Status.Network.Seeds == 0: // there is nobody to choose among
		return Finding{
			"mailboxes.none", Warn, "nobody keeps messages for this device while it is off; another member that runs as a seed, or with --mailbox, can: invite one",
			"net invite",
		}
	case n == 0:
		return Finding{"mailboxes.none", Warn, "nobody keeps messages for this device while it is off", "mailbox auto"}
	case !slices.ContainsFunc(f.Own.Hosts, func(h chat.KeptMailbox) bool { return h.Trouble == "" }):
		return Finding{"mailboxes.away", Warn, fmt.Sprintf("none of %d hosts of mailboxes answers", n), "mailbox list"}
	default:
		return Finding{"mailboxes", OK, fmt.Sprintf("%d keep messages for this device while it is off", n), ""}
	}
}

func delivery(f Facts) Finding {
	s := f.Status
	if s.Queued == 0 {
		return Finding{"delivery", OK, "nothing waits to be sent", ""}
	}
	age := f.Now.Sub(s.OldestQueue)
	text := fmt.Sprintf("%d wait to be sent, the oldest for %v", s.Queued, age.Round(time.Second))
	if age < Patience {
		return Finding{"delivery", OK, text, ""}
	}
	return Finding{"delivery.waiting", Warn, text + ": its info says what it waits for", "history NAME"}
}

func disk(f Facts) Finding {
	text := fmt.Sprintf("%d MB free", f.Free>>20)
	if f.Free < LowDisk {
		return Finding{"disk.low", Warn, text, "up --database URL"}
	}
	return Finding{"disk", OK, text, ""}
}

func files(f Facts) Finding {
	text := fmt.Sprintf("%d files may be open", f.Files)
	if f.Files < FewFiles {
		return Finding{"files.few", Warn, text + ": a seed with many connections needs more; say ulimit -n 4096 before it starts", "up"}
	}
	return Finding{"files", OK, text, ""}
}
