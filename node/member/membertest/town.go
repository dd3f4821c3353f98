// Package membertest makes networks and their members, for tests.
package membertest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/member"
)

// Town is a network with its authority. Its accounts are the devices themselves, and what they prove is a hash: what accounts are, is not what
// is tested here.
type Town struct {
	member.Network
	Authority ed25519.PrivateKey
	mayor     *member.Ledger
	t         testing.TB

	mu   sync.Mutex
	keys map[member.Key]ed25519.PrivateKey // that NewKey has made, by the public half
}

// NewTown makes a network.
func NewTown(t testing.TB) *Town {
	t.Helper()
	town := &Town{Authority: NewKey(t), t: t, keys: map[member.Key]ed25519.PrivateKey{}}
	town.Network = member.Network{IDOf: IDOf, Proven: Proven}
	town.ID = IDOf(town.Authority.Public().(ed25519.PublicKey))
	town.mayor = town.Ledger(town.NewKey(), town.Authority, nil)
	return town
}

// IDOf returns the id of the network of an authority.
func IDOf(authority []byte) [16]byte {
	sum := sha256.Sum256(authority)
	return [16]byte(sum[:])
}

// Proven reports whether a proof is the one of Claim.
func Proven(network [16]byte, account [32]byte, device peer.ID, proof []byte) bool {
	sum := sha512.Sum512(append(append(network[:], account[:]...), device...))
	return bytes.Equal(sum[:], proof)
}

// NewKey makes a key.
func NewKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// NewKey makes the key of a device that may be let in: Request signs with it.
func (town *Town) NewKey() ed25519.PrivateKey {
	town.t.Helper()
	key := NewKey(town.t)
	town.know(key)
	return key
}

func (town *Town) know(key ed25519.PrivateKey) {
	town.mu.Lock()
	defer town.mu.Unlock()
	town.keys[KeyOf(key)] = key
}

// Claim says that a device is its own account's.
func (town *Town) Claim(device member.Key) member.Claim {
	town.t.Helper()
	return town.ClaimOf(device, device)
}

// ClaimOf says that a device is an account's.
func (town *Town) ClaimOf(account [32]byte, device member.Key) member.Claim {
	town.t.Helper()
	c := member.Claim{Device: device, Account: account}
	id, err := c.Device.Peer()
	if err != nil {
		town.t.Fatal(err)
	}
	c.Proof = sha512.Sum512(append(append(town.ID[:], c.Account[:]...), id...))
	return c
}

// Ledger opens the ledger of a device; authority is nil but for who made the network, and vault may be nil. In a *Vault the network's key is kept
// too; a device without one has a network without a key.
func (town *Town) Ledger(device, authority ed25519.PrivateKey, vault member.Vault) *member.Ledger {
	town.t.Helper()
	town.know(device)
	cfg := member.Config{Network: town.Network, Claim: town.Claim(KeyOf(device)), Device: device, Authority: authority, Vault: vault}
	if v, ok := vault.(*Vault); ok && v != nil {
		cfg.PSK, cfg.Rotation, cfg.Turn = [32]byte{1}, v.Rotation(), v.Turn
	}
	l, err := member.Open(cfg, time.Now())
	if err != nil {
		town.t.Fatal(err)
	}
	return l
}

// Admit makes a device a member, and returns where its ledger lies.
func (town *Town) Admit(device ed25519.PrivateKey) *Vault {
	town.t.Helper()
	v := &Vault{}
	if err := town.Ledger(device, nil, v).Take(town.Chain(town.mayor, KeyOf(device))); err != nil {
		town.t.Fatal(err)
	}
	return v
}

// Member opens the ledger of a member.
func (town *Town) Member(device ed25519.PrivateKey) *member.Ledger {
	town.t.Helper()
	l := town.Ledger(device, nil, nil)
	if err := l.Take(town.Chain(town.mayor, KeyOf(device))); err != nil {
		town.t.Fatal(err)
	}
	return l
}

// KeyOf returns the public half of a key.
func KeyOf(key ed25519.PrivateKey) member.Key { return member.Key(key.Public().(ed25519.PublicKey)) }

// Bystander opens the ledger of a member of which nobody has the private key: it can invite nobody. The authority certifies it, as node/SPEC.md says
// ("Certificates"), without being asked by it.
func (town *Town) Bystander(device member.Key) *member.Ledger {
	town.t.Helper()
	c := town.Claim(device)
	authority := []byte(town.Authority.Public().(ed25519.PublicKey))
	certificate := slices.Concat(c.Device[:], c.Account[:], []byte{0}, make([]byte, 8), binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix())), c.Proof[:])
	const label = "parley member certificate v1"
	signed := slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(label))), []byte(label), town.ID[:], authority, certificate)
	l, err := member.Open(member.Config{Network: town.Network, Claim: c}, time.Now())
	if err == nil {
		err = l.Take(slices.Concat(authority, []byte{1}, certificate, ed25519.Sign(town.Authority, signed)))
	}
	if err != nil {
		town.t.Fatal(err)
	}
	return l
}

// Chain makes somebody invite a device, and returns the chain that it gets.
func (town *Town) Chain(inviter *member.Ledger, device member.Key) []byte {
	town.t.Helper()
	now := time.Now()
	token, _, err := inviter.NewInvite("", 1, now.Add(time.Hour), now)
	if err != nil {
		town.t.Fatal(err)
	}
	chain, err := inviter.Redeem(town.Request(token, town.Claim(device)), now)
	if err != nil {
		town.t.Fatal(err)
	}
	return chain
}

// Request is how a joiner asks whoever has made an invite. The device's key is one of NewKey, or has a ledger.
func (town *Town) Request(t member.Token, c member.Claim) member.Request {
	town.t.Helper()
	return town.RequestOf(member.Key{}, t, c)
}

// RequestOf is Request of one issuer in particular.
func (town *Town) RequestOf(issuer member.Key, t member.Token, c member.Claim) member.Request {
	town.t.Helper()
	town.mu.Lock()
	defer town.mu.Unlock()
	key := town.keys[c.Device]
	if key == nil {
		town.t.Fatal("the device's key is not one of the town's")
	}
	return member.NewRequest(town.Network, issuer, t, c, key)
}

// Vault is a vault in memory.
type Vault struct {
	mu     sync.Mutex
	ledger []byte
	turned []byte
	full   bool
	stuck  bool
	saves  int
}

// Load returns what was saved last.
func (v *Vault) Load() ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Clone(v.ledger), nil
}

// Save keeps a ledger, unless the vault is full.
func (v *Vault) Save(ledger []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full {
		return errors.New("no space")
	}
	v.ledger = bytes.Clone(ledger)
	v.saves++
	return nil
}

// Saves returns how often a ledger was kept.
func (v *Vault) Saves() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.saves
}

// Turn keeps a rotation, unless the vault is stuck.
func (v *Vault) Turn(r member.Rotation) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stuck {
		return errors.New("no space for a key")
	}
	v.turned = r.Marshal()
	return nil
}

// Rotation returns the one that was kept last.
func (v *Vault) Rotation() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Clone(v.turned)
}

// Stick makes Turn alone fail from now on, or work again.
func (v *Vault) Stick(stuck bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stuck = stuck
}

// Fill makes Save fail from now on, or work again.
func (v *Vault) Fill(full bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.full = full
}
