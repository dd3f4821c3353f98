package chat

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// Network names a private network and holds what a node needs to be in it.
type Network struct {
	Name string
	ID   [16]byte
	PSK  []byte // 32 bytes, secret; nil in a network without a pre-shared key
}

// NewNetwork makes a network of that name; authority is the seed of the Ed25519 key that its id is the hash of.
func NewNetwork(name string, psk bool) (n Network, authority []byte, err error) {
	if err := CheckName("network name", name); err != nil {
		return Network{}, nil, err
	}
	authority = make([]byte, ed25519.SeedSize)
	mustRandom(authority)
	public := ed25519.NewKeyFromSeed(authority).Public().(ed25519.PublicKey)
	n = Network{Name: name, ID: NetworkID(public)}
	if psk {
		n.PSK = make([]byte, 32)
		mustRandom(n.PSK)
	}
	return n, authority, nil
}

// Fingerprint returns the five characters that are always shown beside the name, "K7QD4". They come from the id alone, so they stay
// when the pre-shared key is changed.
func (n Network) Fingerprint() string {
	sum := sha256.Sum256(append([]byte(wire.LabelFingerprint), n.ID[:]...))
	return wire.Fingerprint(sum[:])
}

// String names the network and shows no key.
func (n Network) String() string { return n.Name + " " + n.Fingerprint() }

// Format is String for every verb, so that no %+v prints the key.
func (n Network) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(n.String())) }

// Seed is a node to connect to first. (It is an alias of an unnamed struct, so that the node can name it without importing this package.)
type Seed = struct {
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
	Name    string    // of the inviter; empty where the link holds none that is fit to be shown
	Expires time.Time // whole minutes; zero: never
	Token   Token     // what the inviter lets its bearer in with; zero for none
	Member  Token     // what lets its bearer into the network; zero in a contact link
}

// Format shows who invites, and no key, whatever the verb.
func (i Invite) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[invite %c from %s]", i.Kind, i.Account.Short())
}

// String returns the link (SPEC.md, "Links"). It holds the network's key: show it to nobody but the person it is for.
func (i Invite) String() string {
	l := wire.Link{
		Kind: byte(i.Kind), PSK: i.Network.PSK, NetworkName: i.Network.Name, NetworkID: i.Network.ID,
		Account: i.Account[:], Name: i.Name,
	}
	if !i.Expires.IsZero() {
		l.Expires = uint32(i.Expires.Unix() / 60)
	}
	l.Token, l.Member = i.Token.bytes(), i.Member.bytes()
	for _, s := range i.Seeds {
		if key, err := wire.DeviceKey(string(s.Device)); err == nil && len(l.Seeds) < MaxInviteSeeds {
			l.Seeds = append(l.Seeds, wire.LinkSeed{Key: key, Addrs: s.Addrs})
		}
	}
	return l.Encode()
}

// ParseInvite finds a link in text, which may surround it, and reads it; of several the first one of a kind that is wanted, else the first. Every failure is a
// *Error of its own: no link in the text, damaged, made by a newer version. It does not judge the expiry: see Check.
func ParseInvite(text string, wanted ...InviteKind) (Invite, error) {
	l, err := wire.ParseLink(text, []byte(string(wanted))...)
	if err != nil {
		return Invite{}, linkError(err)
	}
	i := Invite{
		Kind: InviteKind(l.Kind), Account: AccountID(l.Account), Name: l.Name,
		Network: Network{Name: l.NetworkName, ID: l.NetworkID, PSK: l.PSK},
	}
	if l.Expires != 0 {
		i.Expires = time.Unix(int64(l.Expires)*60, 0).UTC()
	}
	copy(i.Token[:], l.Token)
	copy(i.Member[:], l.Member)
	for _, s := range l.Seeds {
		i.Seeds = append(i.Seeds, Seed{Device: peer.ID(wire.DeviceID(s.Key)), Addrs: s.Addrs})
	}
	if CheckName("name", i.Name) != nil {
		i.Name = ""
	}
	if i.Kind == InviteNetwork && CheckName("network name", i.Network.Name) != nil {
		return Invite{}, linkError(wire.ErrLinkDamaged)
	}
	if i.Kind == InviteNetwork && i.Member.IsZero() {
		return Invite{}, &Error{
			Code: CodeInvalid, Detail: "the invite was made by an older parley, which knew no members: ask for a new one", Try: "on the inviter's side: parley net invite",
		}
	}
	return i, nil
}

func linkError(err error) error {
	switch {
	case errors.Is(err, wire.ErrNoLink):
		return &Error{Code: CodeInvalid, Detail: "there is no parley link in that text: a link begins with \"parley:\""}
	case errors.Is(err, wire.ErrLinkNewer):
		return &Error{Code: CodeInvalid, Detail: "the link was made by a newer parley: please update this one", Try: "parley version"}
	}
	return &Error{Code: CodeInvalid, Detail: "the link is damaged: a part of it is missing or was changed; copy it once more, whole"}
}

// Issuer returns the device that has made the invite, and that alone can let its bearer in; "" where there is no invite.
func (i *Invite) Issuer() peer.ID {
	if i == nil || i.Kind != InviteNetwork || len(i.Seeds) == 0 {
		return ""
	}
	return i.Seeds[0].Device
}

// MemberToken returns what lets the invite's bearer in; zeros where there is no invite.
func (i *Invite) MemberToken() Token {
	if i == nil {
		return Token{}
	}
	return i.Member
}

// Until returns when the invite ends; zero where there is none, or it has no end.
func (i *Invite) Until() time.Time {
	if i == nil {
		return time.Time{}
	}
	return i.Expires
}

// Check says why an invite cannot be used now by self (zero before an identity exists), as a *Error; nil when it can. Expiry is
// judged by our own clock here, to tell people early; it protects nothing.
func (i Invite) Check(now time.Time, self AccountID) error {
	who := i.Name
	if who == "" {
		who = i.Account.Short()
	}
	switch {
	case i.Account == self:
		return &Error{Code: CodeRefused, Detail: "that is your own link: give it to somebody else"}
	case !i.Expires.IsZero() && now.After(i.Expires):
		return &Error{
			Code:   CodeRefused,
			Detail: fmt.Sprintf("the invite expired on %s (by this computer's clock); ask %s for a new one", i.Expires.Format("2 Jan 2006 15:04 MST"), who),
			Try:    "on the inviter's side: parley net invite",
		}
	}
	return nil
}

// InviteLink is a link together with what people should know about it.
type InviteLink struct {
	Link      string
	Network   string
	Expires   time.Time // zero: never
	Addresses []string
	Reachable bool   // false: nobody outside this LAN (or machine) can use the addresses in it
	ID        string // of an invite, to revoke it by; "" for a contact link
	Uses      int    // how many devices an invite lets in; 0 for a contact link
}

// Token is what a link is worth to its owner: a stranger who shows it has the link, and may ask. It looks random to everybody else.
// The zero token is none.
type Token [16]byte

// Format shows nothing, whatever the verb: who holds a token may knock.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[token]")) }

// IsZero reports whether t is no token.
func (t Token) IsZero() bool { return t == Token{} }

func (t Token) bytes() []byte {
	if t.IsZero() {
		return nil
	}
	return t[:]
}

// is compares a token that came in, in a time that says nothing about ours. No token is never the same.
func (t Token) is(shown []byte) bool {
	return !t.IsZero() && subtle.ConstantTimeCompare(t[:], shown) == 1
}

// LinkKey makes the tokens of our links. Another generation makes other tokens, so that all links from before reach nobody.
type LinkKey struct {
	Secret     [32]byte
	Generation uint32
}

// NewLinkKey returns a key of the first generation.
func NewLinkKey() LinkKey {
	k := LinkKey{Generation: 1}
	mustRandom(k.Secret[:])
	return k
}

// Format shows no secret, whatever the verb.
func (k LinkKey) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[link key, generation %d]", k.Generation)
}

// Contact returns the token of our contact link: its bearer may ask to be a contact.
func (k LinkKey) Contact() Token { return k.token(wire.LabelLinkToken) }

// Invite returns the token of our network invites: its bearer is a contact at once.
func (k LinkKey) Invite() Token { return k.token(wire.LabelInviteToken) }

func (k LinkKey) token(label string) Token {
	if k == (LinkKey{}) {
		return Token{}
	}
	mac := hmac.New(sha256.New, k.Secret[:])
	mac.Write(binary.BigEndian.AppendUint32([]byte(label), k.Generation))
	return Token(mac.Sum(nil)[:len(Token{})])
}

// Links keeps the key of our links where every process of this device finds it.
type Links interface {
	// LinkKey returns the key as it is now.
	LinkKey() LinkKey
	// RenewLinks raises the key's generation, durably.
	RenewLinks() error
}

// noLinks stands for Links where there is none: links hold no token, and no stranger is let in.
type noLinks struct{}

func (noLinks) LinkKey() LinkKey { return LinkKey{} }

func (noLinks) RenewLinks() error {
	return &Error{Code: CodeUnavailable, Detail: "this messenger only reads: it has no links to renew"}
}
