package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	ma "github.com/multiformats/go-multiaddr"

	"parley/node/internal/guard"
	"parley/node/member"
	"parley/node/psk"
	"parley/node/reach"
)

// build makes a host, puts the gate around it, and a node around both.
func build(cfg Config, listen, announced []ma.Multiaddr) (*Node, error) {
	ring, err := openRing(cfg.Network)
	if err != nil {
		return nil, err
	}
	g, good := newGuard(cfg), reach.NewConfirmed()
	if ring != nil {
		ring.Tell(func(from ma.Multiaddr) { g.Note(guard.WrongKey, "", from) })
	}
	h, err := newHost(cfg, listen, announced, ring, g, good)
	if err != nil {
		return nil, err
	}
	n, err := enclose(cfg, h, announced, ring, g, good)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return n, nil
}

// Refused counts what was refused in this run, by reason: a closed set, of which all are there.
func (n *Node) Refused() map[string]uint64 {
	all := n.guard.Refused()
	if n.ring != nil {
		all[guard.WrongKey.String()] += uint64(n.ring.Wrong())
	}
	return all
}

// enclose puts the gate around a host, and a node around both. ring is nil in a network without a key.
func enclose(cfg Config, h host.Host, announced []ma.Multiaddr, ring *psk.Ring, g *guard.Guard, good *reach.Confirmed) (*Node, error) {
	m, letIn := cfg.Member, make(chan [32]byte, LetInQueue)
	ledger, err := member.Open(keyed(cfg, ring, member.Config{
		Network:   member.Network{ID: cfg.Network.ID, IDOf: m.IDOf, Proven: m.Proven},
		Claim:     member.Claim{Device: member.Key(cfg.Key.Public().(ed25519.PublicKey)), Account: m.Account, Proof: m.Proof},
		Device:    cfg.Key,
		Authority: m.Authority,
		Closed:    m.Closed,
		Vault:     m.Vault,
		LetIn: func(c member.Claim) {
			select {
			case letIn <- c.Account:
			default: // a crowd: the list of invites has them all
			}
		},
	}), time.Now())
	if err != nil {
		return nil, err
	}
	if punching, ok := h.(reach.Host); ok {
		h = reach.Uncrossed(punching)
	}
	gate, err := member.NewGate(h, member.Options{
		Ledger: ledger, Invitation: member.Invitation{Issuer: m.Issuer, Token: m.Token, Anew: m.Anew}, Version: cfg.Network.version(), Logger: cfg.logger(),
		Guard: g, Open: []protocol.ID{autonatv2.DialBackProtocol}, // a seed dials under another key
	})
	if err != nil {
		return nil, err
	}
	n := assemble(cfg, gate, ledger, announced, ring, g, good)
	n.letIn = letIn
	return n, nil
}

// tellLetIn tells whom invites of this device let in, until ctx ends.
func (n *Node) tellLetIn(ctx context.Context, m Messenger) error {
	for {
		select {
		case account := <-n.letIn:
			m.LetIn(account)
		case <-ctx.Done():
			return nil
		}
	}
}

// mayCall reports whether there is any sense in connecting to a peer: who is no member yet is let in by who has invited it, whom seeds may see.
func (n *Node) mayCall(p peer.ID) bool {
	return n.members.Member() || p == n.cfg.Member.Issuer || n.isSeed(p)
}

// Invite is an invite that was made here, for people to look at. (Invite and Member are aliases of unnamed structs, so that a messenger can name
// the same types without importing this package.)
type Invite = struct {
	ID            [8]byte
	For           string
	Made, Expires time.Time
	Uses          int
	Used          []peer.ID
	State         string
}

// Member is a device with a certificate.
type Member = struct {
	Device  peer.ID
	Account [32]byte
	Invite  [8]byte
	Since   time.Time
	Revoked bool
}

// MakeInvite makes an invite that lets so many devices in, for so long, and returns the token that does it.
func (n *Node) MakeInvite(note string, uses int, life time.Duration) (token [16]byte, made Invite, err error) {
	now := time.Now()
	t, i, err := n.members.NewInvite(note, uses, now.Add(life), now)
	if err != nil {
		return token, made, err
	}
	made, err = inviteOf(i)
	return t, made, err
}

// Invites lists the invites that were made here, the oldest first.
func (n *Node) Invites() []Invite {
	var list []Invite
	for _, i := range n.members.Invites(time.Now()) {
		if v, err := inviteOf(i); err == nil {
			list = append(list, v)
		}
	}
	return list
}

func inviteOf(i member.Invite) (Invite, error) {
	v := Invite{ID: i.ID, For: i.Note, Made: i.Made, Expires: i.Expires, Uses: i.Most}
	switch i.State {
	case member.Admitted:
		v.State = "open"
	case member.UsedInvite:
		v.State = "used"
	case member.ExpiredInvite:
		v.State = "expired"
	case member.RevokedInvite:
		v.State = "revoked"
	}
	for _, k := range i.Used {
		p, err := k.Peer()
		if err != nil {
			return v, fmt.Errorf("invite %x: %w", i.ID, err)
		}
		v.Used = append(v.Used, p)
	}
	return v, nil
}

// RevokeInvite makes an invite worthless, if there is one of that id. Whom it has let in stays in.
func (n *Node) RevokeInvite(id [8]byte) (found bool, err error) {
	err = n.members.RevokeInvite(id)
	if errors.Is(err, member.UnknownInvite) {
		return false, nil
	}
	return err == nil, err
}

// Members lists the devices that this one has let in or met, itself included.
func (n *Node) Members() []Member {
	var list []Member
	for _, m := range n.members.Members() {
		if p, err := m.Device.Peer(); err == nil {
			list = append(list, Member{Device: p, Account: m.Account, Invite: m.Invite, Since: time.Unix(int64(m.Issued), 0), Revoked: m.Revoked})
		}
	}
	return list
}

// RevokeMember throws an account out of the network with all devices that it has or will have, and, if asked, whom they have let in. Connected members hear
// of it at once, all others when they meet one who has heard. It may be done in any state: lists of a home that was put back are united with those of others.
func (n *Node) RevokeMember(account [32]byte, withInvited bool) error {
	if err := n.members.Revoke([]member.Key{account}, withInvited, time.Now()); err != nil {
		return err
	}
	n.gate.Spread("")
	return nil
}
