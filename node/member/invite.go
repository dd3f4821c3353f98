package member

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Token is what a link is worth to a joiner: who shows it first is let in.
type Token [TokenSize]byte

// Format shows nothing, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[token]")) }

// key is what a token stands for: whoever has the token signs with it, and the issuer keeps its public half.
func (t Token) key(n Network) ed25519.PrivateKey {
	seed := sha256.Sum256(slices.Concat([]byte(labelToken), n.ID[:], t[:]))
	return ed25519.NewKeyFromSeed(seed[:])
}

// id is the public name of the invite.
func (t Token) id(n Network) InviteID { return InviteID(t.key(n).Public().(ed25519.PublicKey)) }

// invite is an invite as the ledger keeps it.
type invite struct {
	Key     []byte    `json:"key"` // public
	Note    string    `json:"note,omitempty"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Most    int       `json:"uses"`
	Revoked bool      `json:"revoked,omitempty"`
	Used    []use     `json:"used,omitempty"`
}

// use is one device that an invite has let in: what was signed for it, and behind which chain. That was ours, so it need not be kept with each.
type use struct {
	Certificate []byte    `json:"certificate,omitempty"`
	Above       []byte    `json:"above,omitempty"` // as that of known
	Chain       []byte    `json:"chain,omitempty"` // both, in a ledger that was kept before they were
	At          time.Time `json:"at"`
}

// useOf returns the use that a chain came of.
func useOf(c Chain, at time.Time) use {
	own := c.links()[len(c.Certificates)-1]
	return use{Certificate: own.Certificate, Above: own.Above, At: at}
}

// id is the public name.
func (i invite) id() InviteID { return InviteID(i.Key) }

// state says what the invite is worth now: Admitted while it lets somebody in.
func (i invite) state(now time.Time) Verdict {
	switch {
	case i.Revoked:
		return RevokedInvite
	case len(i.Used) >= i.Most:
		return UsedInvite
	case now.After(i.Expires):
		return ExpiredInvite
	}
	return Admitted
}

// Invite is an invite, for people to look at. The token is not in it: who made it has kept its hash alone.
type Invite struct {
	ID            InviteID
	Note          string // whom it is for, in the words of who made it
	Made, Expires time.Time
	Most          int
	Used          []Key // the devices that it has let in
	State         Verdict
}

// NewInvite makes an invite that lets most devices in until it expires, and returns its token, which is nowhere else. Invites that lead
// nowhere any more make room for it.
func (l *Ledger) NewInvite(note string, most int, expires, now time.Time) (Token, Invite, error) {
	switch {
	case most < 1 || most > MaxUses:
		return Token{}, Invite{}, fmt.Errorf("an invite may be used 1 to %d times, not %d", MaxUses, most)
	case len(note) > MaxNote:
		return Token{}, Invite{}, fmt.Errorf("whom an invite is for: at most %d bytes", MaxNote)
	case !expires.After(now):
		return Token{}, Invite{}, errors.New("an invite must be good for some time")
	}
	var token Token
	if _, err := rand.Read(token[:]); err != nil {
		return token, Invite{}, fmt.Errorf("make a token: %w", err)
	}
	i := invite{Key: token.key(l.cfg.Network).Public().(ed25519.PublicKey), Note: note, Made: now.UTC(), Expires: expires.UTC(), Most: most}
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.mayInvite(); v != Admitted {
		return Token{}, Invite{}, cannotInvite(v)
	}
	invites, ok := roomFor(l.kept.Invites, i, now)
	if !ok {
		return Token{}, Invite{}, fmt.Errorf("%d invites, for %d devices together, are the most that are open at a time: net revoke ID makes room", MaxInvites, MaxPlaces)
	}
	return token, i.look(now), l.save(func(k *kept) { k.Invites = append(invites, i) })
}

// ours is a verdict on this device, in words for its own people.
type ours struct {
	verdict Verdict
	text    string
}

// Error returns the words.
func (o *ours) Error() string { return o.text }

// Unwrap returns the verdict.
func (o *ours) Unwrap() error { return o.verdict }

// cannotInvite says why this device makes no invites.
func cannotInvite(v Verdict) error {
	switch v {
	case NoMember:
		return &ours{v, "this device is not a member of the network yet, and cannot invite to it"}
	case MayNotInvite:
		return &ours{v, "this device may not invite: the one that made the network may, and others where it was made so, if they are near enough"}
	}
	return v
}

// roomFor drops the oldest of the invites that lead nowhere, until there is room for another one.
func roomFor(invites []invite, another invite, now time.Time) (left []invite, ok bool) {
	left = slices.Clone(invites)
	for full(left, another) {
		i := slices.IndexFunc(left, func(i invite) bool { return i.state(now) != Admitted })
		if i < 0 {
			return nil, false
		}
		left = slices.Delete(left, i, i+1)
	}
	return left, true
}

func full(invites []invite, another invite) bool {
	places := another.Most
	for _, i := range invites {
		places += i.Most
	}
	return len(invites) >= MaxInvites || places > MaxPlaces
}

// mayInvite says whether this device can let somebody in; the caller holds mu.
func (l *Ledger) mayInvite() Verdict {
	switch {
	case l.cfg.Authority != nil:
		return Admitted
	case !l.member():
		return NoMember
	case l.list.Judge(l.chain) != Admitted:
		return Revoked
	case !l.chain.Own().MayInvite || len(l.chain.Certificates) >= MaxDepth:
		return MayNotInvite
	}
	return Admitted
}

// Invites lists what was made here, the newest last.
func (l *Ledger) Invites(now time.Time) []Invite {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Invite, 0, len(l.kept.Invites))
	may := l.mayInvite() == Admitted
	for _, i := range l.kept.Invites {
		v := i.look(now)
		if !may && v.State == Admitted { // it has died with what this device was
			v.State = RevokedInvite
		}
		list = append(list, v)
	}
	return list
}

func (i invite) look(now time.Time) Invite {
	v := Invite{ID: i.id(), Note: i.Note, Made: i.Made, Expires: i.Expires, Most: i.Most, State: i.state(now)}
	for _, u := range i.Used {
		if c, _, err := parseCertificate(u.Certificate); err == nil {
			v.Used = append(v.Used, c.Device)
		}
	}
	return v
}

// RevokeInvite makes an invite worthless from now on; whom it has let in stays in. The error is UnknownInvite where there is none of that name.
func (l *Ledger) RevokeInvite(id InviteID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.kept.Invites, func(i invite) bool { return i.id() == id })
	if i < 0 {
		return UnknownInvite
	}
	return l.save(func(k *kept) { k.Invites[i].Revoked = true })
}

// Redeem lets in the device that a request is for, and returns its chain, which is kept before; for a device that has used the invite already it
// is the same chain again. An error that is no verdict says that nothing was kept, and that the device should ask again.
func (l *Ledger) Redeem(r Request, now time.Time) (chain []byte, err error) {
	claim := r.Claim
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.kept.Invites, func(i invite) bool { return i.id() == r.Invite && r.signed(l.cfg.Network, i.Key) })
	if at < 0 {
		return nil, UnknownInvite // and nothing else: who has no invite of ours learns nothing
	}
	if !claim.holds(l.cfg.Network) || !r.agreed(l.cfg.Network) {
		return nil, Unproven
	}
	i := l.kept.Invites[at]
	if c, ok := l.letIn(claim, i); ok && l.list.Judge(c) == Admitted {
		return c.Marshal(), nil
	}
	if v := l.mayInvite(); v != Admitted {
		return nil, MayNotInvite
	}
	if l.list.names(claim) {
		return nil, Revoked
	}
	if v := i.state(now); v != Admitted {
		return nil, v
	}
	c := l.issue(claim, i.id(), now)
	err = l.save(func(k *kept) {
		k.Invites[at].Used = append(slices.Clone(i.Used), useOf(c, now.UTC()))
		k.meet(c, l.made)
	})
	if err == nil && l.cfg.LetIn != nil {
		l.cfg.LetIn(claim)
	}
	return c.Marshal(), err
}

// letIn returns the chain that a device got for an invite last; not ok where ours was another one then, which has fallen. The caller holds mu.
func (l *Ledger) letIn(claim Claim, i invite) (chain Chain, ok bool) {
	for _, u := range slices.Backward(i.Used) {
		if c, _, err := parseCertificate(u.Certificate); err == nil && c.Claim == claim {
			chain = l.behindOurs(c)
			return chain, bytes.Equal(useOf(chain, u.At).Above, u.Above)
		}
	}
	return Chain{}, false
}

// issue makes the chain of a device that is let in; the caller holds mu, and knows that this device may.
func (l *Ledger) issue(claim Claim, id InviteID, now time.Time) Chain {
	key := l.cfg.Device
	if l.cfg.Authority != nil {
		key = l.cfg.Authority
	}
	c := Certificate{Claim: claim, Invite: id, Issued: uint64(now.Unix())}
	c.MayInvite = !l.cfg.Closed && len(l.behindOurs(c).Certificates) < MaxDepth
	return l.behindOurs(issue(l.cfg.Network, key, c))
}

// behindOurs returns the chain that ends with what this device has signed: as the authority, if it is that. The caller holds mu.
func (l *Ledger) behindOurs(c Certificate) Chain {
	var above []Certificate
	if l.cfg.Authority == nil {
		above = l.chain.Certificates
	}
	return Chain{Authority: l.chain.Authority, Certificates: append(slices.Clone(above), c)}
}
