package member

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Vault keeps the ledger of a device where a crash leaves the old one or the new one. A Vault that has a method Damaged(why error) error is asked what to
// say to people about a ledger that cannot be read.
type Vault interface {
	// Load returns what was saved last; nil before the first time.
	Load() ([]byte, error)
	// Save returns nil once the bytes, at most MaxLedger, are kept for good. They hold no secret that lets anybody in.
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
	LetIn     func(Claim)        // is told whom an invite of the device's has just let in; it must neither wait nor ask the ledger. nil: nobody is

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
	err = l.read(data)
	if v, ok := l.cfg.Vault.(interface{ Damaged(why error) error }); ok && err != nil {
		return v.Damaged(err)
	}
	return err
}

// read takes what was kept, as far as it is whole, and this device's.
func (l *Ledger) read(data []byte) (err error) {
	if err := json.Unmarshal(data, &l.kept); err != nil {
		return err
	}
	if err := l.kept.check(); err != nil {
		return err
	}
	l.kept.relink()
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

// needs reports whether the device has yet to become a member with an invitation.
func (l *Ledger) needs(i Invitation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.member() || i.Anew && l.cfg.Authority == nil && l.list.Judge(l.chain) != Admitted
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

// Take keeps a chain that leads to this device as its own, unless the newest list ends it: then the error is Revoked.
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
	if v := l.list.Judge(c); v != Admitted {
		return v
	}
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
