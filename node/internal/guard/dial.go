package guard

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Where a peer is, others say: the peer itself, its record, servers of the DHT. Whoever it is may name somebody else's addresses, and have us
// knock there. So on hearsay few addresses are dialled for a peer, and of private networks only those that we are on.

// mayDial reports whether an address may be dialled for a peer, and why not. Who asks is about to dial.
func (g *Guard) mayDial(p peer.ID, a ma.Multiaddr, now time.Time) (Reason, bool) {
	if relayed(a) {
		return DialBudget, g.bySeed(a)
	}
	ip, ok := address(a)
	if !ok { // a name comes back as what it leads to
		return 0, true
	}
	proven, remembered := g.knows(p, a)
	if proven || g.isSeed(p) {
		return 0, true
	}
	if !public(ip) && !g.ground.holds(ip, port(a), now) {
		return PrivateDial, false
	}
	return DialBudget, remembered || g.spend(p, ip, a, now)
}

// knows reports whether a peer is at an address without doubt, as a seed is where the network gives it and where it was met; and whether we remember it there. Either
// is dialled before hearsay (Order).
func (g *Guard) knows(p peer.ID, a ma.Multiaddr) (proven, remembered bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, proven = g.proven[proof{p, a.String()}]
	if s := g.seeds[p]; s != nil {
		proven = proven || s.at(a)
	}
	remembered = slices.ContainsFunc(g.known[p], a.Equal)
	if proven || remembered {
		makeRoomIn(g.sure, MaxSure)
		g.sure[a.String()] = struct{}{}
	}
	return proven, remembered
}

// Order is libp2p's order of dialling, for the addresses of one peer, with hearsay behind what we know ourselves: few are dialled at the same time, and
// those that lead nowhere would hold up the one that does.
func (g *Guard) Order(addrs []ma.Multiaddr) []network.AddrDelay {
	all := swarm.DefaultDialRanker(slices.Clone(addrs))
	g.mu.Lock()
	hearsay := slices.DeleteFunc(all, func(next network.AddrDelay) bool {
		_, sure := g.sure[next.Addr.String()]
		return sure
	})
	g.mu.Unlock()
	sure := slices.DeleteFunc(slices.Clone(addrs), func(a ma.Multiaddr) bool {
		return slices.ContainsFunc(hearsay, func(h network.AddrDelay) bool { return h.Addr.Equal(a) })
	})
	order := swarm.DefaultDialRanker(sure)
	for _, next := range hearsay {
		if len(sure) > 0 && !relayed(next.Addr) {
			next.Delay += HearsayAfter
		}
		order = append(order, next)
	}
	return order
}

// public reports whether an address is not of a range that is used again and again.
func public(ip netip.Addr) bool {
	a, err := manet.FromIP(ip.AsSlice()) // an IPv4 address may have been written as an IPv6 one
	return err == nil && manet.IsPublicAddr(a)
}

func relayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// bySeed reports whether a circuit goes by way of a seed, at an address where we know that seed to be. libp2p dials whatever relay the address
// names, as a peer of its own, at whatever place it names; and what it names for a seed it would dial for the seed later.
func (g *Guard) bySeed(a ma.Multiaddr) bool {
	before, _ := ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_CIRCUIT })
	at, relay := peer.SplitAddr(before)
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.seeds[relay]
	return ok && (len(at) == 0 || s.at(at))
}

// seed is where a seed of the network is: the addresses that the network gives, and those at which it was met last.
type seed struct{ given, met []ma.Multiaddr }

func (s *seed) at(a ma.Multiaddr) bool {
	return slices.ContainsFunc(s.given, a.Equal) || slices.ContainsFunc(s.met, a.Equal)
}

// meet notes at which address a seed is connected: if it has called us, circuits go there all the same.
func (g *Guard) meet(p peer.ID, at ma.Multiaddr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.seeds[p]
	if !ok || relayed(at) {
		return
	}
	s.met = append(slices.DeleteFunc(s.met, at.Equal), at)
	s.met = s.met[max(0, len(s.met)-SeedAddresses):]
}

// port returns the TCP or UDP port of an address, or 0.
func port(a ma.Multiaddr) int {
	for _, code := range []int{ma.P_TCP, ma.P_UDP} {
		if s, err := a.ValueForProtocol(code); err == nil {
			n, _ := strconv.Atoi(s) // a multiaddr holds no other ports
			return n
		}
	}
	return 0
}

// proof is where a peer has answered, or was found on the LAN.
type proof struct {
	peer peer.ID
	addr string
}

// Prove notes that a peer is at an address without doubt: it has answered there, or was found on the LAN.
func (g *Guard) Prove(p peer.ID, addrs ...ma.Multiaddr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addrs {
		makeRoomIn(g.proven, MaxProven)
		if b, last := ma.SplitLast(a); last != nil && last.Protocol().Code == ma.P_P2P {
			a = b
		}
		g.proven[proof{p, a.String()}] = struct{}{}
	}
}

// Remember notes where we know a peer to be ourselves: from an earlier run, or from a link that the user has taken. Of that, and what was noted before, so
// much is dialled as on hearsay, in its order, and hearsay takes nothing of it away: else whoever is asked for a peer could name four hosts before the
// right one. (It may be the peer that had us note them, so there is an end here too.)
func (g *Guard) Remember(p peer.ID, addrs ...ma.Multiaddr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var known []ma.Multiaddr
	b := newBudget(time.Time{})
	for _, a := range slices.Concat(addrs, g.known[p]) {
		if ip, ok := address(a); ok && !relayed(a) && !slices.ContainsFunc(known, a.Equal) && b.take(ip, a) {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return
	}
	if g.known[p] == nil {
		makeRoomIn(g.known, MaxKnown)
	}
	g.known[p] = known
}

// makeRoomIn forgets some, whichever, until one more fits.
func makeRoomIn[K comparable, V any](all map[K]V, most int) {
	for old := range all {
		if len(all) < most {
			break
		}
		delete(all, old)
	}
}

// budget is what was dialled for one peer on what others say of it.
type budget struct {
	since   time.Time
	places  map[netip.Prefix][]string
	private []string
}

func newBudget(now time.Time) *budget {
	return &budget{since: now, places: make(map[netip.Prefix][]string)}
}

// spend reports whether an address is among those that may be dialled for a peer, or one more.
func (g *Guard) spend(p peer.ID, ip netip.Addr, a ma.Multiaddr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.budgets[p]
	if b == nil || now.Sub(b.since) >= BudgetLife {
		g.makeRoom(now)
		b = newBudget(now)
		g.budgets[p] = b
	}
	return b.take(ip, a)
}

// take reports whether an address is in a budget, or there is room for it; then it is.
func (b *budget) take(ip netip.Addr, a ma.Multiaddr) bool {
	if !public(ip) {
		return take(&b.private, a.String(), PrivateAddresses)
	}
	at := place(ip, 64)
	dialled, known := b.places[at]
	if !known && len(b.places) >= Places {
		return false
	}
	ok := take(&dialled, a.String(), PlaceAddresses)
	b.places[at] = dialled
	return ok
}

// take reports whether an address is on a list, or there is room for it; then it is.
func take(list *[]string, a string, most int) bool {
	if slices.Contains(*list, a) {
		return true
	}
	if len(*list) >= most {
		return false
	}
	*list = append(*list, a)
	return true
}

// makeRoom forgets budgets that are over, and where that is not enough any; the caller holds mu.
func (g *Guard) makeRoom(now time.Time) {
	if len(g.budgets) < MaxBudgets {
		return
	}
	for p, b := range g.budgets {
		if now.Sub(b.since) >= BudgetLife || len(g.budgets) >= MaxBudgets && rand.IntN(2) == 0 {
			delete(g.budgets, p)
		}
	}
}

// ground is what of the private address ranges is ours: there others may send us, and nowhere else.
type ground struct {
	loopback bool // nodes of this network are on this machine
	inward   bool // the network is one that nobody outside knows the way to: its seeds have private addresses alone
	list     func() []netip.Prefix

	mu    *sync.Mutex
	known *[]netip.Prefix
	until *time.Time
}

func newGround(cfg Config) ground {
	gr := ground{loopback: cfg.Loopback, list: cfg.Ground, mu: new(sync.Mutex), known: new([]netip.Prefix), until: new(time.Time)}
	if gr.list == nil {
		gr.list = interfaces
	}
	outward := 0
	for _, s := range cfg.Seeds {
		for _, a := range s.Addrs {
			gr.loopback = gr.loopback || manet.IsIPLoopback(a)
			if manet.IsPublicAddr(a) { // a name is public too
				outward++
			}
		}
	}
	gr.inward = len(cfg.Seeds) > 0 && outward == 0
	return gr
}

// holds reports whether an address of a private range may be dialled on what others say.
func (gr ground) holds(ip netip.Addr, port int, now time.Time) bool {
	if port < PrivatePort || ip.IsUnspecified() || ip.IsMulticast() {
		return false
	}
	nets := gr.networks(now)
	if ip.IsLoopback() {
		return gr.loopback || len(nets) == 0 // a machine without a network has no other
	}
	return gr.inward || slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// networks returns the networks of the machine, as the system said lately.
func (gr ground) networks(now time.Time) []netip.Prefix {
	gr.mu.Lock()
	defer gr.mu.Unlock()
	if !now.Before(*gr.until) {
		*gr.known, *gr.until = gr.list(), now.Add(GroundLife)
	}
	return *gr.known
}

// interfaces asks the system for the networks of this machine, but for loopback. An interface that is alone in its network is the end of a tunnel: then its
// range is what is behind that.
func interfaces() (nets []netip.Prefix) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		n, err := netip.ParsePrefix(a.String())
		if err != nil || n.Addr().IsLoopback() || n.Addr().IsLinkLocalUnicast() {
			continue
		}
		if n.IsSingleIP() {
			n = rangeOf(n.Addr())
		}
		nets = append(nets, n.Masked())
	}
	return nets
}

// rangeOf returns the private range that an address is in, or its own network of one.
func rangeOf(ip netip.Addr) netip.Prefix {
	for _, r := range privateRanges() {
		if r.Contains(ip) {
			return r
		}
	}
	return netip.PrefixFrom(ip, ip.BitLen())
}

// privateRanges are those of RFC 1918, 6598 and 4193.
func privateRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16}), 12),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168}), 16),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfc}), 7),
	}
}
