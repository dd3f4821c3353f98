package chat

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Network names a private network and holds what a node needs to be in it.
type Network struct {
	Name string
	ID   [16]byte
	PSK  []byte // 32 bytes, secret; nil in a network without a pre-shared key
}

// NewNetwork makes a network of that name; authority is the seed of the Ed25519 key that its id is the hash of.
func NewNetwork(name string, psk bool) (n Network, authority []byte, err error) {
	return Network{}, nil, errors.New("unfinished")
}

// Fingerprint returns the five characters that are always shown beside the name, "K7QD4".
func (n Network) Fingerprint() string { return "" }

// Seed is a node to connect to first.
type Seed struct {
	Device peer.ID
	Addrs  []string // multiaddrs without the /p2p part
}

// InviteKind is the first letter of a link.
type InviteKind byte

// The kinds of links.
const (
	InviteNetwork InviteKind = 'J' // join a network, and become contacts
	InviteContact InviteKind = 'C' // become contacts
)

// Invite is what a link holds.
type Invite struct {
	Kind    InviteKind
	Network Network // of a contact link only the ID
	Seeds   []Seed  // the inviter first
	Account AccountID
	Name    string // of the inviter
	Expires time.Time
}

// ParseInvite finds a link in text, which may surround it, and reads it. Every failure is a *Error of its own: no link in the
// text, damaged, made by a newer version. It does not judge the expiry: see Check.
func ParseInvite(text string) (Invite, error) { return Invite{}, errors.New("unfinished") }

// Check says why an invite cannot be used now by self (zero before an identity exists), as a *Error; nil when it can.
func (i Invite) Check(now time.Time, self AccountID) error { return errors.New("unfinished") }

// String returns the link.
func (i Invite) String() string { return "" }
