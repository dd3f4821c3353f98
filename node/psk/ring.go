package psk

import (
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Key is a network's pre-shared key.
type Key [KeySize]byte

// Format shows nothing, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[network key]")) }

// Ring holds the keys of a network that are good now. Its methods may be called from several goroutines.
type Ring struct {
	mu            sync.Mutex
	newest, older Key
	until         time.Time       // when older ends; zero where there is none
	behind        map[peer.ID]Key // who has answered to the older key, and not to the newest
	wrong         int
	tell          func(from ma.Multiaddr)
}

// NewRing returns a ring with one key.
func NewRing(key Key) *Ring { return &Ring{newest: key, behind: make(map[peer.ID]Key)} }

// Turn makes a key the newest, and lets the one before it be good until then. Connections that are open go on.
func (r *Ring) Turn(newest, older Key, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest, r.older, r.until = newest, older, until
	clear(r.behind)
}

// Tell names who is told of each connection that did not show a key that was good. It must not wait.
func (r *Ring) Tell(tell func(from ma.Multiaddr)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell = tell
}

// Newest returns the key of new connections.
func (r *Ring) Newest() Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

// Wrong counts the connections that came in and did not show a key that was good.
func (r *Ring) Wrong() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wrong
}

// count counts a connection; where it came from only matters to who is told.
func (r *Ring) count(c interface{ RemoteMultiaddr() ma.Multiaddr }) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong++
	if r.tell != nil {
		r.tell(c.RemoteMultiaddr())
	}
}

// good returns the keys that are good now, the newest first.
func (r *Ring) good() []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.goodAt(time.Now())
}

// goodAt is good; the caller holds mu.
func (r *Ring) goodAt(now time.Time) []Key {
	if now.Before(r.until) && r.older != r.newest {
		return []Key{r.newest, r.older}
	}
	return []Key{r.newest}
}

// toDial returns the keys to call a peer with, the one that it has answered to last first.
func (r *Ring) toDial(p peer.ID) []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.goodAt(time.Now())
	if len(keys) == 2 && r.behind[p] == keys[1] {
		keys[0], keys[1] = keys[1], keys[0]
	}
	return keys
}

// answered remembers which key a peer has answered to.
func (r *Ring) answered(p peer.ID, to Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case to == r.newest:
		delete(r.behind, p)
	case len(r.behind) < maxBehind:
		r.behind[p] = to
	}
}
