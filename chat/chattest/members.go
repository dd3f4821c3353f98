package chattest

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Members is what a node knows of its network, in memory: its invites are not redeemed, and whoever is in it was put there.
type Members struct {
	mu      sync.Mutex
	invites []chat.NetworkInvite
	devices []chat.MemberDevice
	psk     []byte // the network's key, once it was changed
	key     chat.NetworkKeyState
	// First is the network's key before it is changed.
	First []byte
	// Refuses, when set, is what every change fails with.
	Refuses error
}

var (
	_ chat.Members    = (*Members)(nil)
	_ chat.NetworkKey = (*Members)(nil)
)

// NewMembers returns those of a network that a device of an account has made.
func NewMembers(id *chat.Identity) *Members {
	return &Members{devices: []chat.MemberDevice{{Device: id.Device(), Account: id.Account(), Since: time.Now()}}}
}

// Meet puts a device in.
func (m *Members) Meet(d chat.MemberDevice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.devices = append(m.devices, d)
}

// MakeInvite implements chat.Members.
func (m *Members) MakeInvite(note string, uses int, life time.Duration) (token [16]byte, made chat.NetworkInvite, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Refuses != nil {
		return token, made, m.Refuses
	}
	now := time.Now()
	made = chat.NetworkInvite{For: note, Made: now, Expires: now.Add(life), Uses: uses, State: chat.InviteOpen}
	_, err1 := rand.Read(token[:])
	_, err2 := rand.Read(made.ID[:])
	m.invites = append(m.invites, made)
	return token, made, errors.Join(err1, err2)
}

// Use lets a device in with an invite.
func (m *Members) Use(id [8]byte, device peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.invites {
		if i := &m.invites[n]; i.ID == id {
			if i.Used = append(slices.Clone(i.Used), device); len(i.Used) == i.Uses {
				i.State = chat.InviteUsed
			}
		}
	}
}

// Invites implements chat.Members.
func (m *Members) Invites() []chat.NetworkInvite {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.invites)
}

// RevokeInvite implements chat.Members.
func (m *Members) RevokeInvite(id [8]byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.invites, func(i chat.NetworkInvite) bool { return i.ID == id })
	if i >= 0 {
		m.invites[i].State = chat.InviteRevoked
	}
	return i >= 0, m.Refuses
}

// Members implements chat.Members.
func (m *Members) Members() []chat.MemberDevice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.devices)
}

// RevokeMember implements chat.Members. It knows nobody whom somebody else has let in.
func (m *Members) RevokeMember(account [32]byte, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.devices {
		if m.devices[i].Account == account && m.Refuses == nil {
			m.devices[i].Revoked = true
		}
	}
	return m.Refuses
}

// NetworkKey implements chat.NetworkKey.
func (m *Members) NetworkKey() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.psk == nil {
		return m.First
	}
	return m.psk
}

// RotateKey implements chat.NetworkKey. Nobody follows but the device itself, which is the first.
func (m *Members) RotateKey(grace time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Refuses != nil {
		return m.Refuses
	}
	m.psk = make([]byte, 32)
	_, err := rand.Read(m.psk)
	m.key = chat.NetworkKeyState{Made: time.Now(), Ends: time.Now().Add(grace), Followed: []peer.ID{m.devices[0].Device}}
	return err
}

// EndKeyGrace implements chat.NetworkKey.
func (m *Members) EndKeyGrace() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Refuses == nil && !time.Now().Before(m.key.Ends) {
		return errors.New("there is no grace to end")
	}
	if m.Refuses == nil {
		m.key.Ends = time.Now()
	}
	return m.Refuses
}

// KeyRotation implements chat.NetworkKey.
func (m *Members) KeyRotation() chat.NetworkKeyState {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.key
	for _, d := range m.devices[1:] {
		if !k.Made.IsZero() && !d.Revoked {
			k.Behind = append(k.Behind, d.Device)
		}
	}
	return k
}
