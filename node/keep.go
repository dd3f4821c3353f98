package node

import (
	"context"
	"slices"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/node/internal/guard"
	"parley/node/mailbox"
)

// Mailbox is a mailbox of a device, as its correspondents know it. (Mailbox, Lane, Keeping and KeptMailbox are aliases of unnamed structs,
// so that a messenger can name the same types without importing this package.)
type Mailbox = mailbox.Mailbox

// Lane is one way into a mailbox of ours.
type Lane = mailbox.Lane

// Keeping is one mailbox that this device keeps: at which host, and who may deposit there.
type Keeping = mailbox.Keeping

// KeptMailbox says how one of them is doing.
type KeptMailbox = mailbox.Kept

// MailboxLimits returns limits of a host with what is usual in the place of what is zero. The error says, in words of an operator, what cannot
// be; New refuses the same.
func MailboxLimits(said mailbox.Limits) (mailbox.Limits, error) { return mailbox.Fill(said) }

// Hosting returns what this node keeps for others at most; nil where it hosts no mailboxes.
func (n *Node) Hosting() *mailbox.Limits {
	if n.mailboxes == nil {
		return nil
	}
	return &n.cfg.MailboxLimits
}

// Keep says which mailboxes this device keeps from now on, at most mailbox.MaxKept. The node opens them, hands what is deposited there to
// Messenger.Collect, and closes those that are not named any more, if their hosts can be reached. It does not wait for the network.
func (n *Node) Keep(hosts []Keeping) { n.keeper.Keep(hosts) }

// Kept says how the mailboxes of this device are doing.
func (n *Node) Kept() []KeptMailbox { return n.keeper.Kept() }

// Candidates lists nodes of this network that host mailboxes and can be reached now, best first: connected ones, seeds before others and
// then the longest connected; behind them those that connected seeds know of. It asks and dials, and ends with ctx at the latest.
func (n *Node) Candidates(ctx context.Context) []peer.ID {
	found := n.connectedHosts()
	for _, p := range n.Peers() {
		if !p.Seed {
			continue
		}
		told, err := mailbox.Hosts(ctx, n.host, p.ID)
		if err != nil {
			n.log.Debug("a seed does not say who hosts mailboxes", zap.Stringer("seed", p.ID), zap.Error(err))
		}
		for _, info := range told {
			known := info.ID == n.ID() || slices.Contains(found, info.ID)
			if !known && n.connect(ctx, info) == nil && n.hostsMailboxes(info.ID) {
				found = append(found, info.ID)
			}
		}
	}
	return found
}

// connectedHosts lists the connected peers that host mailboxes, best first.
func (n *Node) connectedHosts() (found []peer.ID) {
	var others []peer.ID
	for _, p := range n.Peers() {
		switch {
		case !n.hostsMailboxes(p.ID):
		case p.Seed:
			found = append(found, p.ID)
		default:
			others = append(others, p.ID)
		}
	}
	return append(found, others...)
}

// hostsMailboxes reports whether a peer has said that it does.
func (n *Node) hostsMailboxes(p peer.ID) bool {
	spoken, err := n.host.Peerstore().SupportsProtocols(p, mailbox.ProtocolDeposit)
	return err == nil && len(spoken) > 0
}

// knownHosts is what this node answers to those who look for hosts: itself if it is one, and connected ones with their addresses.
func (n *Node) knownHosts() (hosts []peer.AddrInfo) {
	if n.mailboxes != nil {
		hosts = append(hosts, peer.AddrInfo{ID: n.ID(), Addrs: n.host.Addrs()})
	}
	for _, p := range n.connectedHosts() {
		hosts = append(hosts, peer.AddrInfo{ID: p, Addrs: rank(nil, n.host.Peerstore().Addrs(p))})
	}
	return hosts
}

// newMailboxes returns the host of mailboxes in this node, or nil where it is none.
func newMailboxes(cfg Config, h host.Host, g *guard.Guard) *mailbox.Server {
	if cfg.Mailboxes == nil {
		return nil
	}
	return mailbox.NewServer(h, mailbox.Hosting{
		Store: cfg.Mailboxes, Limits: cfg.MailboxLimits, Shared: cfg.MailboxShared, Logger: cfg.logger(),
		Refused: func(v mailbox.Verdict) {
			if v == mailbox.Closed {
				g.Count(guard.MailboxGone)
			} else {
				g.Count(guard.MailboxFull)
			}
		},
	})
}
