package chat

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/wire"
)

// Who is on the network. The node knows it by certificates (node/SPEC.md, "Membership"); what accounts are, it is told from here.

// NetworkID returns the id of the network whose authority has this public key.
func NetworkID(authority []byte) [16]byte {
	sum := sha256.Sum256(append([]byte(wire.LabelNetworkID), authority...))
	return [16]byte(sum[:16])
}

// MemberProof returns the account's word that this device is its own, for one network.
func (i *Identity) MemberProof(network [16]byte) [ed25519.SignatureSize]byte {
	body := memberBody(network, i.Device())
	return [ed25519.SignatureSize]byte(wire.Sign(wire.LabelMember, i.account, body)[len(body):])
}

// CheckMemberProof reports whether a proof is the one that the account has made for the device. It is a pure function.
func CheckMemberProof(network [16]byte, account [32]byte, device peer.ID, proof []byte) bool {
	return wire.CheckSigningKey(account[:]) == nil && wire.Verify(wire.LabelMember, account[:], memberBody(network, device), proof) == nil
}

func memberBody(network [16]byte, device peer.ID) []byte {
	return append(network[:], device...)
}

// Members is what the messenger needs of what its node knows about who is on the network. An error is a line for people.
type Members interface {
	// MakeInvite makes an invite that lets so many devices in, for so long, and returns the token that does it.
	MakeInvite(note string, uses int, life time.Duration) (token [16]byte, made NetworkInvite, err error)
	// Invites lists those that were made here, the oldest first.
	Invites() []NetworkInvite
	// RevokeInvite makes one worthless, if there is one of that id.
	RevokeInvite(id [8]byte) (found bool, err error)
	// Members lists the devices that are known to be, or to have been, on the network.
	Members() []MemberDevice
	// RevokeMember throws an account out with all devices that it has or will have, and, if asked, whom they have let in.
	RevokeMember(account [32]byte, withInvited bool) error
}

// NetworkInvite is an invite that was made here. (NetworkInvite and MemberDevice are aliases of unnamed structs, so that the node can name
// them without importing this package.)
type NetworkInvite = struct {
	ID            [8]byte
	For           string // in the words of who made it
	Made, Expires time.Time
	Uses          int       // how many devices it lets in
	Used          []peer.ID // those that it has let in
	State         string    // InviteOpen, or why it leads nowhere any more
}

// The states of an invite.
const (
	InviteOpen    = "open"
	InviteUsed    = "used"
	InviteExpired = "expired"
	InviteRevoked = "revoked"
	// InviteOutdated carries a key that the network had before, and that is good no more.
	InviteOutdated = "outdated"
)

// MemberDevice is a device with a certificate.
type MemberDevice = struct {
	Device  peer.ID
	Account [32]byte
	Invite  [8]byte // zero for the device that made the network
	Since   time.Time
	Revoked bool
}

// Member is a device of the network, with the name under which people know its account.
type Member struct {
	Name    string // ours, a contact's, or what the invite that let it in was noted for here; "" for somebody else
	Account AccountID
	Device  peer.ID
	Invite  string // as InviteID writes it; "" for the device that made the network
	Since   time.Time
	Revoked bool
	Self    bool
}

// LetIn tells that an invite of ours has let a device of an account into the network, once. Where the store does not take that now, it is not told: what counts is what
// Invites says.
func (m *Messenger) LetIn(account [32]byte) {
	ctx, cancel := context.WithTimeout(context.Background(), letInTimeout)
	defer cancel()
	err := m.update(ctx, func(tx Tx, _ *aftermath) error { return m.tell(tx, EventInviteUsed, account) })
	if err != nil {
		m.log.Warn("an invite was used, and nobody is told", zap.Error(err))
	}
}

// InviteOptions is what an invite shall be like. The zero value is one for one device, and for InviteLifetime.
type InviteOptions struct {
	For  string
	Uses int
	TTL  time.Duration
}

// Invite makes a link that lets somebody join the network, and makes them and us contacts.
func (m *Messenger) Invite(_ context.Context, o InviteOptions) (InviteLink, error) {
	if err := o.check(); err != nil {
		return InviteLink{}, err
	}
	addrs, reachable := m.addresses()
	if len(addrs) == 0 || m.members == nil {
		return InviteLink{}, &Error{Code: CodeUnavailable, Detail: "this node listens on no address yet, so an invite would lead nowhere", Try: "parley up"}
	}
	if health := m.health(); health.Removed {
		return InviteLink{}, &Error{Code: CodeRefused, Detail: health.late()}
	}
	token, made, err := m.members.MakeInvite(o.For, o.Uses, o.TTL)
	if err != nil {
		return InviteLink{}, notAllowed(err)
	}
	network := m.network
	network.PSK = m.networkKey()
	invite := Invite{
		Kind: InviteNetwork, Network: network, Account: m.self, Name: m.name, Expires: made.Expires, Member: token,
		Seeds: append([]Seed{{Device: m.device, Addrs: addrs}}, m.otherSeeds()...), Token: m.links.LinkKey().Invite(),
	}
	return InviteLink{
		Link: invite.String(), Network: m.network.Name, Expires: invite.Expires, Addresses: addrs, Reachable: reachable, ID: InviteID(made.ID), Uses: made.Uses,
	}, nil
}

// check fills in what was left open, and refuses what makes no sense.
func (o *InviteOptions) check() error {
	if o.Uses == 0 {
		o.Uses = 1
	}
	if o.TTL == 0 {
		o.TTL = InviteLifetime
	}
	err := CheckInvite(o.Uses, o.TTL)
	if err == nil && o.For != "" {
		err = CheckInvitee(o.For)
	}
	return err
}

// CheckInvite says why an invite cannot be for so many devices, or for so long, as a *Error; nil when it can. Zero is none of both here: who may leave
// them open asks before.
func CheckInvite(uses int, ttl time.Duration) error {
	switch {
	case uses < 1 || uses > MaxInviteUses:
		return &Error{
			Code: CodeInvalid, Detail: fmt.Sprintf("an invite may be used 1 to %d times, not %d", MaxInviteUses, uses),
			Try: fmt.Sprintf("parley net invite --uses %d", min(max(uses, 1), MaxInviteUses)),
		}
	case ttl < time.Minute || ttl > MaxInviteLifetime:
		return &Error{
			Code: CodeInvalid, Detail: fmt.Sprintf("an invite may last from 1m to %dh, not %v", MaxInviteLifetime/time.Hour, ttl),
			Try: fmt.Sprintf("parley net invite --ttl %dh", InviteLifetime/time.Hour),
		}
	}
	return nil
}

// CheckInvitee says why a note about whom an invite is for cannot be kept, as a *Error; nil when it can.
func CheckInvitee(name string) error { return CheckName("invitee's name", name) }

// notAllowed is what the node says about members as an error for people; nil stays nil.
func notAllowed(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeRefused, Detail: err.Error()}
}

// InviteID writes the public id of an invite; "" for none.
func InviteID(id [8]byte) string {
	if id == [8]byte{} {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// ParseInviteID reads what InviteID wrote.
func ParseInviteID(s string) (id [8]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != copy(id[:], b) || len(b) != len(id) {
		return id, fmt.Errorf("%.40q is no id of an invite", s)
	}
	return id, nil
}

// CheckInviteID says why a word cannot be the id of an invite, or how one begins, as a *Error; nil when it can.
func CheckInviteID(word string) error {
	if len(word) < MinInviteID || len(word) > 2*len(NetworkInvite{}.ID) || strings.Trim(strings.ToLower(word), "0123456789abcdef") != "" {
		return &Error{
			Code:   CodeTarget,
			Detail: fmt.Sprintf("%.40q is no id of an invite: one has %d characters, 0 to 9 and a to f, of which %d or more name it", word, 2*len(NetworkInvite{}.ID), MinInviteID),
			Try:    "parley net invites",
		}
	}
	return nil
}

// Invites lists the invites that were made here, the oldest first.
func (m *Messenger) Invites(context.Context) ([]NetworkInvite, error) {
	if m.members == nil {
		return nil, nil
	}
	all := m.members.Invites()
	if m.netKey == nil {
		return all, nil
	}
	key := m.netKey.KeyRotation()
	for i, invite := range all {
		if invite.State == InviteOpen && invite.Made.Before(key.Made) && !m.now().Before(key.Ends) {
			all[i].State = InviteOutdated
		}
	}
	return all, nil
}

// RevokeInvite makes an invite worthless; whom it has let in stays in. The id may be cut short, as long as it names one alone. One that was used up is
// refused, so that nobody takes it for a way to remove a member.
func (m *Messenger) RevokeInvite(ctx context.Context, id string) error {
	if err := CheckInviteID(id); err != nil {
		return err
	}
	invites, err := m.Invites(ctx)
	if err != nil {
		return err
	}
	var found []NetworkInvite
	for _, i := range invites {
		if strings.HasPrefix(InviteID(i.ID), strings.ToLower(id)) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) > 1:
		return &Error{Code: CodeTarget, Detail: fmt.Sprintf("more than one invite's id begins with %q", id), Try: "parley net invites"}
	case len(found) == 1 && found[0].State == InviteUsed:
		return &Error{
			Code:   CodeRefused,
			Detail: "that invite was used up, and lets nobody in any more as it is; whom it let in stays in: net revoke-member removes them",
			Try:    "parley net members",
		}
	case len(found) == 1:
		there, err := m.members.RevokeInvite(found[0].ID)
		if err != nil || there {
			return wrap(err, "revoke the invite")
		}
	}
	return &Error{Code: CodeTarget, Detail: fmt.Sprintf("no invite %.40q was made here", id), Try: "parley net invites"}
}

// revokeOpenInvites makes all invites worthless that nobody has used.
func (m *Messenger) revokeOpenInvites(ctx context.Context) error {
	invites, err := m.Invites(ctx)
	for _, i := range invites {
		if err == nil && i.State == InviteOpen {
			_, err = m.members.RevokeInvite(i.ID)
		}
	}
	return wrap(err, "revoke the invites")
}

// Members lists the devices of the network that this one has let in or met, itself included.
func (m *Messenger) Members(ctx context.Context) ([]Member, error) {
	if m.members == nil {
		return nil, nil
	}
	names := map[AccountID]string{m.self: m.name}
	contacts, err := m.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range contacts {
		names[c.Account] = c.Name
	}
	notes := map[[8]byte]string{}
	for _, i := range m.members.Invites() {
		if i.Uses == 1 {
			notes[i.ID] = i.For
		}
	}
	var list []Member
	for _, d := range m.members.Members() {
		list = append(list, Member{
			Name: cmp.Or(names[d.Account], notes[d.Invite]), Account: d.Account, Device: d.Device, Invite: InviteID(d.Invite), Since: d.Since, Revoked: d.Revoked, Self: d.Device == m.device,
		})
	}
	return list, nil
}

// RevokeMember throws an account out of the network for good, with all devices that it has or will have, and, if asked, whom they have let in. Only
// the device that made the network can.
func (m *Messenger) RevokeMember(ctx context.Context, account AccountID, withInvited bool) error {
	if account == m.self {
		return &Error{Code: CodeRefused, Detail: "that is this account itself: it cannot be removed from its own network"}
	}
	list, err := m.Members(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(member Member) bool { return member.Account == account }) {
		return &Error{Code: CodeTarget, Detail: "no device of " + account.Short() + " is known to be on the network", Try: "parley net members"}
	}
	return notAllowed(m.members.RevokeMember(account, withInvited))
}
