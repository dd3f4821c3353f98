package member

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Vault keeps the ledger of a device where a crash leaves the old one or the new one.
type Vault interface {
	// Load returns what was saved last; nil before the first time.
	Load() ([]byte, error)
	// Save returns nil once the bytes are kept for good. They hold no secret that lets anybody in.
	Save(ledger []byte) error
}

// Config is what a device brings to its membership.
type Config struct {
	Network   Network
	Claim     Claim              // whose device it is
	Device    ed25519.PrivateKey // signs the certificates of those whom the device invites
	Authority ed25519.PrivateKey // nil unless the device made the network
	Closed    bool               // whom the authority lets in invites nobody
	Vault     Vault              // nil: nothing outlives the process

	PSK      [pskSize]byte        // the network's key, before any rotation
	Rotation []byte               // that was taken last, as Turn has kept it; nil for none
	Turn     func(Rotation) error // keeps a rotation for good, and uses its key from then on; nil in a network without a key
}

// Ledger is all that a device knows of who is a member: its own chain, the newest list, the invites that it has made and whom they let in, and
// the members that it has met. Its methods may be called from several goroutines; what they change is kept when they return, but for whom the device has
// met: that is kept with the next change, or by Keep.
type Ledger struct {
	cfg Config

	mu       sync.Mutex
	kept     kept
	chain    Chain // ours; without certificates before there is one
	list     List
	rotation Rotation
	unsaved  bool // the list is newer than the one that is kept
	met      bool // somebody was met, or has followed the network's key, since it was kept
}

// kept is the ledger as it is saved.
type kept struct {
	Version int      `json:"v"`
	Chain   []byte   `json:"chain,omitempty"`
	List    []byte   `json:"list,omitempty"`
	Invites []invite `json:"invites,omitempty"`
	Known   []known  `json:"known,omitempty"`
}

const keptVersion = 1

// known is a certificate that was seen in a good chain, and who has signed it.
type known struct {
	Certificate []byte `json:"certificate"`
	Issuer      []byte `json:"issuer"`
	Follows     uint64 `json:"follows,omitempty"` // the sequence of the network's key that its device has said it has
}

// Open returns the ledger of a device. Who made the network gives itself the first certificate.
func Open(cfg Config, now time.Time) (*Ledger, error) {
	l := &Ledger{cfg: cfg, kept: kept{Version: keptVersion}}
	var err error
	if l.rotation, err = ParseRotation(cfg.Rotation); err != nil {
		return nil, fmt.Errorf("read the network's key: %w", err)
	}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("open the ledger of members: %w", err)
	}
	if l.cfg.Authority == nil || l.member() {
		return l, nil
	}
	first := issue(cfg.Network, cfg.Authority, Certificate{Claim: cfg.Claim, MayInvite: true, Issued: uint64(now.Unix())})
	chain := Chain{Authority: Key(cfg.Authority.Public().(ed25519.PublicKey)), Certificates: []Certificate{first}}
	if err := l.Take(chain.Marshal()); err != nil {
		return nil, fmt.Errorf("make the first member: %w", err)
	}
	return l, nil
}

func (l *Ledger) load() error {
	if l.cfg.Vault == nil {
		return nil
	}
	data, err := l.cfg.Vault.Load()
	if err != nil || data == nil {
		return err
	}
	if err := json.Unmarshal(data, &l.kept); err != nil {
		return err
	}
	if err := l.kept.check(); err != nil {
		return err
	}
	if l.list, err = ParseList(l.kept.List); err != nil || l.kept.Chain == nil {
		return err
	}
	if l.chain, err = ParseChain(l.kept.Chain); err != nil {
		return err
	}
	if v := l.chain.Judge(l.cfg.Network, l.cfg.Claim.Device); v != Admitted {
		return fmt.Errorf("our own certificate: %w", v)
	}
	return nil
}

// check returns what is wrong with a ledger that was read.
func (k kept) check() error {
	if k.Version != keptVersion {
		return fmt.Errorf("it is of version %d", k.Version)
	}
	for _, i := range k.Invites {
		if len(i.Key) != ed25519.PublicKeySize {
			return fmt.Errorf("an invite is named by %d bytes", len(i.Key))
		}
	}
	for _, o := range k.Known {
		if len(o.Certificate) != certificateSize || len(o.Issuer) != keySize {
			return errCertificate
		}
	}
	return nil
}

// save writes the ledger as change makes it, and takes it for true only then; the caller holds mu.
func (l *Ledger) save(change func(*kept)) error {
	next := l.kept
	next.Invites, next.Known = slices.Clone(next.Invites), slices.Clone(next.Known)
	change(&next)
	if l.cfg.Vault != nil {
		data, err := json.Marshal(next)
		if err != nil {
			return fmt.Errorf("write the ledger of members: %w", err)
		}
		if err := l.cfg.Vault.Save(data); err != nil {
			return fmt.Errorf("keep the ledger of members: %w", err)
		}
	}
	l.kept, l.unsaved, l.met = next, false, false
	return nil
}

// member reports whether there is a chain of ours; the caller holds mu, or nobody else has the ledger yet.
func (l *Ledger) member() bool { return len(l.chain.Certificates) > 0 }

// Member reports whether the device has a certificate of its own.
func (l *Ledger) Member() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.member()
}

// Standing is what others will say to us: Admitted, Revoked where the list names us, NoMember before there is a certificate.
func (l *Ledger) Standing() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.member() {
		return NoMember
	}
	return l.list.Judge(l.chain)
}

// Take keeps a chain that leads to this device as its own.
func (l *Ledger) Take(chain []byte) error {
	c, err := ParseChain(chain)
	if err != nil {
		return err
	}
	if v := c.Judge(l.cfg.Network, l.cfg.Claim.Device); v != Admitted {
		return v
	}
	if c.Own().Claim != l.cfg.Claim {
		return errors.New("the certificate is for another account")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.adopt(c)
}

// adopt makes a good chain ours; the caller holds mu.
func (l *Ledger) adopt(c Chain) error {
	if err := l.save(func(k *kept) { k.Chain = c.Marshal(); k.meet(c, l.made) }); err != nil {
		return err
	}
	l.chain = c
	return nil
}

// Judge says whether a peer may come in, by its chain and the newest list, and remembers who the members are that it is about.
func (l *Ledger) Judge(c Chain, device Key) Verdict {
	if v := c.Judge(l.cfg.Network, device); v != Admitted {
		return v
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.list.Judge(c); v != Admitted {
		return v
	}
	if !l.kept.knows(c) {
		l.kept.meet(c, l.made)
		l.met = true
	}
	return Admitted
}

// Met reports whether there is something for Keep to keep.
func (l *Ledger) Met() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.met
}

// Keep keeps whom the device has met, and who of them has followed the network's key. The ledger is written as a whole: doing so for each who is met
// would cost the more the more there are.
func (l *Ledger) Keep() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.met {
		return nil
	}
	return l.save(func(*kept) {})
}

// Stands says what the newest list makes of a chain that was good.
func (l *Ledger) Stands(c Chain) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list.Judge(c)
}

// show returns what is said to another member: how far we are; nil where we are none yet.
func (l *Ledger) show() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.member() {
		return nil
	}
	return hello{l.list.Sequence, l.rotation.stage(), l.chain}.marshal()
}

// List returns the newest list of revocations that this device has, as the authority has signed it; nothing before the first.
func (l *Ledger) List() []byte { return l.newer(0) }

// newer returns the list if it is newer than a sequence number, and nil otherwise.
func (l *Ledger) newer(than uint64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list.Sequence <= than {
		return nil
	}
	return l.list.Marshal()
}

// TakeList takes a list that the authority has signed, if it is newer than ours, and reports whether it is. A newer one counts from now on, also
// when the error says that it could not be kept: it will be with the next change.
func (l *Ledger) TakeList(list []byte) (newer bool, err error) {
	next, err := ParseList(list)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if next.Sequence <= l.list.Sequence {
		return false, nil
	}
	if !l.member() || !next.Signed(l.cfg.Network, l.chain.Authority) {
		return false, errors.New("the list of revocations is not the authority's")
	}
	err = l.replaceList(next)
	l.list, l.kept.List, l.unsaved = next, next.Marshal(), err != nil
	return true, err
}

// replaceList keeps a good list; the caller holds mu.
func (l *Ledger) replaceList(next List) error {
	if err := l.save(func(k *kept) { k.List = next.Marshal() }); err != nil {
		return err
	}
	l.list = next
	return nil
}

// knows reports whether all of a chain was seen before.
func (k *kept) knows(c Chain) bool {
	for _, certificate := range c.Certificates {
		if k.place(certificate.marshal()) < 0 {
			return false
		}
	}
	return true
}

func (k *kept) place(certificate []byte) int {
	return slices.IndexFunc(k.Known, func(o known) bool { return bytes.Equal(o.Certificate, certificate) })
}

// made reports whether a certificate is this device's own, or was signed by it: strangers' certificates never push these out.
func (l *Ledger) made(k known) bool {
	issuer := Key(k.Issuer)
	if issuer == l.cfg.Claim.Device || bytes.HasPrefix(k.Certificate, l.cfg.Claim.Device[:]) {
		return true
	}
	return l.cfg.Authority != nil && issuer == Key(l.cfg.Authority.Public().(ed25519.PublicKey))
}

// meet remembers the certificates of a good chain, and forgets the oldest that keep does not want kept where there are too many.
func (k *kept) meet(c Chain, keep func(known) bool) {
	issuer := c.Authority
	for _, certificate := range c.Certificates {
		if b := certificate.marshal(); k.place(b) < 0 {
			k.Known = append(k.Known, known{Certificate: b, Issuer: bytes.Clone(issuer[:])})
		}
		issuer = certificate.Device
	}
	for len(k.Known) > MaxKnown {
		i := slices.IndexFunc(k.Known, func(o known) bool { return !keep(o) })
		k.Known = slices.Delete(slices.Clone(k.Known), max(i, 0), max(i, 0)+1)
	}
}

// ErrNotAuthority says that only the device that made the network can do this.
var ErrNotAuthority = errors.New("only the device that made the network can remove members")

// Revoke throws devices out for good, and whose they are, with whatever other devices they have; and, if withInvited, whom they have let in, as far as it is
// known. The next list is kept when it returns; the Gate hands it on.
func (l *Ledger) Revoke(devices []Key, withInvited bool, now time.Time) error {
	if l.cfg.Authority == nil {
		return ErrNotAuthority
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(devices, l.cfg.Claim.Device) {
		return errors.New("this device made the network: it cannot remove itself")
	}
	next := l.list
	devices, accounts := l.persons(devices)
	for _, device := range devices {
		e, again := next.entry(device)
		switch {
		case withInvited:
			e = Entry{Who: device}
		case !again: // who fell with somebody does not rise again
			e = Entry{Who: device, Spared: l.invitedBy(device)}
		}
		next = next.with(e, uint64(now.Unix()))
	}
	for _, account := range accounts {
		if _, again := next.entry(account); !again {
			next = next.with(Entry{Who: account}, uint64(now.Unix()))
		}
	}
	next.Sequence = l.list.Sequence + 1
	next = next.sign(l.cfg.Network, l.cfg.Authority)
	if n := len(next.Marshal()); n > MaxList {
		return listFull(n, withInvited)
	}
	return l.replaceList(next)
}

// listFull says what helps who would remove more than fit.
func listFull(size int, withInvited bool) error {
	remedy := "make another network, and invite to it who shall stay"
	if !withInvited {
		remedy = "remove with --with-invited, which takes less room, or " + remedy
	}
	return fmt.Errorf("nobody was removed: the list of revocations would have %d bytes, and %d are the most; %s", size, MaxList, remedy)
}

// persons returns whose devices these are, and all devices of theirs that are known. This device's own account stays out of it: it may remove a device of
// its own, and not itself. The caller holds mu.
func (l *Ledger) persons(devices []Key) (all, accounts []Key) {
	var known []Claim
	for _, k := range l.kept.Known {
		if c, _, err := parseCertificate(k.Certificate); err == nil && c.Account != l.cfg.Claim.Account {
			known = append(known, c.Claim)
		}
	}
	for _, c := range known {
		if slices.Contains(devices, c.Device) && !slices.Contains(accounts, c.Account) {
			accounts = append(accounts, c.Account)
		}
	}
	all = slices.Clone(devices)
	for _, c := range known {
		if slices.Contains(accounts, c.Account) && !slices.Contains(all, c.Device) {
			all = append(all, c.Device)
		}
	}
	return all, accounts
}

// invitedBy returns the hashes of the certificates that a device has signed and that stand; the caller holds mu.
func (l *Ledger) invitedBy(device Key) (hashes [][hashSize]byte) {
	for _, k := range l.kept.Known {
		c, _, err := parseCertificate(k.Certificate)
		if err == nil && Key(k.Issuer) == device {
			hashes = append(hashes, c.hash())
		}
	}
	return hashes
}

// Member is one device of the network, as this one knows it.
type Member struct {
	Certificate
	Inviter Key // of the device that has let it in; the authority's key for the first
	Revoked bool
	Follows uint64 // the sequence of the network's key that it has said it has
}

// Members lists whom this device has let in or met, itself included, in the order in which it learned of them. Of several certificates of
// one device for one account the newest counts; a device that was certified for two accounts is listed with both.
func (l *Ledger) Members() []Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	var members []Member
	at := map[Claim]int{}
	for _, k := range l.kept.Known {
		c, _, err := parseCertificate(k.Certificate)
		if err != nil {
			continue
		}
		m := Member{Certificate: c, Inviter: Key(k.Issuer), Revoked: l.ended(c, Key(k.Issuer)), Follows: k.Follows}
		if c.Device == l.cfg.Claim.Device {
			m.Follows = l.rotation.Sequence
		}
		who := Claim{Device: c.Device, Account: c.Account}
		i, again := at[who]
		switch {
		case !again:
			at[who] = len(members)
			members = append(members, m)
		case members[i].Issued <= c.Issued:
			members[i] = m
		}
	}
	return members
}

// ended reports whether the list ends a certificate: its own device, or who signed it, as far up as is known. The caller holds mu.
func (l *Ledger) ended(c Certificate, issuer Key) bool {
	if l.list.names(c.Claim) {
		return true
	}
	for range MaxDepth {
		above, by, found := l.known(issuer)
		if !found {
			return l.list.ends(Claim{Device: issuer}, c)
		}
		if l.list.ends(above.Claim, c) {
			return true
		}
		c, issuer = above, by
	}
	return false
}

// known returns a certificate of a device, and who has signed it; the caller holds mu.
func (l *Ledger) known(device Key) (c Certificate, issuer Key, found bool) {
	i := slices.IndexFunc(l.kept.Known, func(k known) bool { return bytes.HasPrefix(k.Certificate, device[:]) })
	if i < 0 {
		return c, issuer, false
	}
	c, _, err := parseCertificate(l.kept.Known[i].Certificate)
	return c, Key(l.kept.Known[i].Issuer), err == nil
}

// outcast reports whether a device was thrown out, or fell with somebody, as far as this one knows.
func (l *Ledger) outcast(device Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, issuer, found := l.known(device)
	return l.list.names(Claim{Device: device}) || found && l.ended(c, issuer)
}
