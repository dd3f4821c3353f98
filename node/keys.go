package node

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/member"
	"parley/node/psk"
)

// KeyVault keeps the network's pre-shared key where a crash leaves the old one or the new one.
type KeyVault interface {
	// SaveKey returns nil once the key of new connections is kept for good, and with it the rotation that says how long the one before it
	// is good: what Network.PSK and Network.Rotation are at the next start. Both are secret.
	SaveKey(key [32]byte, rotation []byte) error
}

// KeyRotation is what is known of the network's key, for people to look at. (It is an alias of an unnamed struct, so that a messenger can name
// the same type without importing this package.)
type KeyRotation = struct {
	Made     time.Time // when the key was changed last; zero: never
	Ends     time.Time // until when the one before it is good
	Followed []peer.ID // the members that have said that they have the newest, as far as this device knows, itself included
	Behind   []peer.ID // the members that have not
}

// openRing returns the keys of a network; nil where it has none. A key that is tried is good alone, and the rotation says then what is newer.
func openRing(n Network) (*psk.Ring, error) {
	if n.PSK == nil {
		return nil, nil
	}
	r, err := member.ParseRotation(n.Rotation)
	if err != nil {
		return nil, fmt.Errorf("read the network's key: %w", err)
	}
	ring := psk.NewRing(psk.Key(n.PSK))
	if r.Sequence > 0 && bytes.Equal(r.Key[:], n.PSK) {
		turn(ring, r)
	}
	return ring, nil
}

func turn(ring *psk.Ring, r member.Rotation) { ring.Turn(r.Key, r.Older, time.Unix(int64(r.Ends), 0)) }

// keyed adds to what a device brings to its membership the key of its network, if it has one.
func keyed(cfg Config, ring *psk.Ring, m member.Config) member.Config {
	if ring == nil {
		return m
	}
	m.PSK, m.Rotation = [32]byte(cfg.Network.PSK), cfg.Network.Rotation
	m.Turn = func(r member.Rotation) error {
		if v := cfg.Member.Keys; v != nil {
			if err := v.SaveKey(r.Key, r.Marshal()); err != nil {
				return err
			}
		}
		turn(ring, r)
		return nil
	}
	return m
}

// NetworkKey returns the key of new connections, which invites carry; nil in a network without one.
func (n *Node) NetworkKey() []byte {
	if n.ring == nil {
		return nil
	}
	key := n.ring.Newest()
	return key[:]
}

// ErrBehind says that the network's key was changed already, as far as this device can see from outside: in its own home, from before a copy of
// that was put back. Another key beside that one would part the network in two.
var ErrBehind = errors.New("the network has another key than this device, which comes first: ask a member for a new invite, and join with it")

// RotateKey puts a new key in the place of the network's, and lets the older one be good as long as the grace is. Connected members hear of it at
// once, all others when they meet one who has heard. The error is ErrBehind, or one of member's: ErrNotFounder, ErrNoKey, or a *GraceError.
func (n *Node) RotateKey(grace time.Duration) error {
	if n.OtherKey() {
		return ErrBehind
	}
	if err := n.members.Rotate(grace, time.Now()); err != nil {
		return err
	}
	n.gate.Spread("")
	return nil
}

// EndKeyGrace makes the older key worthless here now, and elsewhere as soon as others hear of it. The error is member.ErrNoGrace, or one that
// RotateKey returns.
func (n *Node) EndKeyGrace() error {
	if err := n.members.EndGrace(time.Now()); err != nil {
		return err
	}
	n.gate.Spread("")
	return nil
}

// KeyRotation says when the key was changed, and who has followed.
func (n *Node) KeyRotation() (k KeyRotation) {
	r := n.members.Rotation()
	if r.Sequence == 0 {
		return k
	}
	k.Made, k.Ends = time.Unix(int64(r.Made), 0), time.Unix(int64(r.Ends), 0)
	for _, m := range n.members.Members() {
		p, err := m.Device.Peer()
		switch {
		case err != nil || m.Revoked:
		case m.Follows >= r.Sequence:
			k.Followed = append(k.Followed, p)
		default:
			k.Behind = append(k.Behind, p)
		}
	}
	return k
}

// OtherKey reports whether nobody is connected, and seeds have another key than this node, as far as that can be told: the network's was changed while this
// device was away for longer than the grace, or the invite is from before.
func (n *Node) OtherKey() bool { return n.rebuffs.otherKey() && len(n.peers()) == 0 }

// rebuffed notes what a failed attempt to connect says of our key. Seeds have it; others may have any router, and any network, at an address of yesterday. Who knows of no
// seed, as who has made the network may, goes by those whom it remembers all the same, but for who was thrown out, and for a node that has no key at all: the network has one.
func (n *Node) rebuffed(p peer.ID, err error) {
	device, bad := member.KeyOf(p)
	if n.isSeed(p) || len(n.seeds) == 0 && !errors.Is(err, psk.ErrOtherKey) && bad == nil && !n.members.Outcast(device) {
		n.rebuffs.note(p, err)
	}
}

// rebuffs are what others say of our key by how they hang up.
type rebuffs struct {
	mu    sync.Mutex
	row   map[peer.ID]int // how often each has hung up without a word
	other bool
}

// note judges an attempt to connect to a seed that has failed.
func (r *rebuffs) note(seed peer.ID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, psk.ErrHungUp) {
		r.row[seed]++
	}
	r.other = r.other || errors.Is(err, psk.ErrOtherKey) || r.row[seed] >= KeyRebuffs
}

// over says that somebody has taken our key.
func (r *rebuffs) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.other = false
	clear(r.row)
}

func (r *rebuffs) otherKey() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.other
}
