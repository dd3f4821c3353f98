package node

import (
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// knocks counts who came to a network with a pre-shared key and did not show that it has it: its handshake was noise, or nothing. It lets
// everybody pass; who has another key gets no further by itself.
type knocks struct {
	mu      sync.Mutex
	waiting map[string]time.Time // by remote address, since when; in the handshake
	wrong   int
	note    func(from ma.Multiaddr) // is told of each, and must not wait
}

var _ connmgr.ConnectionGater = (*knocks)(nil)

func newKnocks(note func(from ma.Multiaddr)) *knocks {
	return &knocks{waiting: make(map[string]time.Time), note: note}
}

// count returns how many there were so far.
func (k *knocks) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.judge(time.Now())
	return k.wrong
}

// judge counts those whose time is over; the caller holds mu.
func (k *knocks) judge(now time.Time) {
	before := len(k.waiting)
	maps.DeleteFunc(k.waiting, func(from string, since time.Time) bool {
		over := now.Sub(since) >= KnockLife
		if a, err := ma.NewMultiaddr(from); over && err == nil {
			k.note(a)
		}
		return over
	})
	k.wrong += before - len(k.waiting)
}

// InterceptAccept notes that somebody has come.
func (k *knocks) InterceptAccept(c network.ConnMultiaddrs) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.judge(now)
	if len(k.waiting) < TransientConns {
		k.waiting[c.RemoteMultiaddr().String()] = now
	}
	return true
}

// InterceptSecured notes that its handshake was good.
func (k *knocks) InterceptSecured(_ network.Direction, _ peer.ID, c network.ConnMultiaddrs) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.waiting, c.RemoteMultiaddr().String())
	return true
}

// InterceptPeerDial lets pass.
func (k *knocks) InterceptPeerDial(peer.ID) bool { return true }

// InterceptAddrDial lets pass.
func (k *knocks) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }

// InterceptUpgraded lets pass.
func (k *knocks) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
