package guard

import (
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// culprit is a peer at the place that it comes from: who shares its address, and the peer elsewhere, are not to blame.
type culprit struct {
	peer peer.ID
	at   netip.Prefix // an IPv4 address or an IPv6 /56; zero for who came by a relay
}

// record is what a culprit has done.
type record struct {
	wrongs float64 // as of
	at     time.Time
	until  time.Time // shut out
}

// now returns how much of what was done is not forgiven yet.
func (r *record) now(now time.Time) float64 {
	return r.wrongs * math.Exp2(-now.Sub(r.at).Seconds()/Forgive.Seconds())
}

func culpritOf(p peer.ID, from ma.Multiaddr) culprit { return culprit{peer: p, at: Place(from)} }

// Place returns what tells strangers apart who can call themselves what they like: the IPv4 address or the IPv6 /56 that they come from; zero for all
// together who come by a relay.
func Place(from ma.Multiaddr) (at netip.Prefix) {
	if ip, ok := address(from); ok && !relayed(from) {
		at = place(ip, 56)
	}
	return at
}

// offend notes that a peer has broken the protocol on a connection, and hangs up when that was once too often.
func (g *Guard) offend(c network.Conn) {
	p := c.RemotePeer()
	g.Refuse(BadFrame, p, c.RemoteMultiaddr())
	if !g.blame(p, c.RemoteMultiaddr(), time.Now()) {
		return
	}
	g.Refuse(Banned, p, c.RemoteMultiaddr())
	_ = c.CloseWithError(network.ConnProtocolViolation)
}

// blame adds a wrong of a peer, and reports whether it is shut out from now on. Seeds are not: without them there is no network.
func (g *Guard) blame(p peer.ID, from ma.Multiaddr, now time.Time) bool {
	if g.isSeed(p) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := culpritOf(p, from)
	r := g.culprits[c]
	if r == nil {
		g.forgive(now)
		r = &record{}
		g.culprits[c] = r
	}
	r.wrongs, r.at = r.now(now)+1, now
	if r.wrongs < BanAfter {
		return false
	}
	r.wrongs, r.until = 0, now.Add(BanFor)
	return true
}

// forgive makes room for one more culprit; the caller holds mu.
func (g *Guard) forgive(now time.Time) {
	if len(g.culprits) < MaxCulprits {
		return
	}
	var least culprit
	done := math.Inf(1)
	for c, r := range g.culprits {
		wrongs := r.now(now)
		if now.Before(r.until) {
			wrongs = BanAfter
		}
		if wrongs < done {
			least, done = c, wrongs
		}
	}
	delete(g.culprits, least)
}

// banned reports whether a peer is shut out at a place.
func (g *Guard) banned(p peer.ID, from ma.Multiaddr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.culprits[culpritOf(p, from)]
	return r != nil && now.Before(r.until)
}

// outcast reports whether a peer is shut out at any place.
func (g *Guard) outcast(p peer.ID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c, r := range g.culprits {
		if c.peer == p && now.Before(r.until) {
			return true
		}
	}
	return false
}
