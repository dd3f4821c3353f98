package guard

import (
	"bytes"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Config says what a guard has to know of its node.
type Config struct {
	Seeds    []peer.AddrInfo // of the network: dialled wherever they are, and never shut out
	Loopback bool            // the node itself listens on loopback addresses alone
	Logger   *zap.Logger     // nil: nothing is logged
	// Ground lists the networks of the machine's interfaces; nil: the system is asked.
	Ground func() []netip.Prefix
}

// Guard is a connection gater that counts. Its methods may be called from several goroutines.
type Guard struct {
	log    *zap.Logger
	lines  *rate.Limiter
	seeds  map[peer.ID]*seed // their addresses are behind mu
	ground ground
	counts counts

	mu       sync.Mutex
	budgets  map[peer.ID]*budget
	proven   map[proof]struct{}
	known    map[peer.ID][]ma.Multiaddr
	sure     map[string]struct{} // addresses dialled lately at which a peer was known to be
	culprits map[culprit]*record
}

var _ connmgr.ConnectionGater = (*Guard)(nil)

// New returns the guard of a node.
func New(cfg Config) *Guard {
	g := &Guard{
		log: cfg.Logger, lines: rate.NewLimiter(LinesPerSecond, LineBurst), seeds: make(map[peer.ID]*seed),
		ground:  newGround(cfg),
		budgets: make(map[peer.ID]*budget), proven: make(map[proof]struct{}), known: make(map[peer.ID][]ma.Multiaddr), sure: make(map[string]struct{}), culprits: make(map[culprit]*record),
	}
	if g.log == nil {
		g.log = zap.NewNop()
	}
	for _, s := range cfg.Seeds {
		if !g.isSeed(s.ID) {
			g.seeds[s.ID] = &seed{}
		}
		g.seeds[s.ID].given = append(g.seeds[s.ID].given, s.Addrs...)
	}
	return g
}

func (g *Guard) isSeed(p peer.ID) bool { return g.seeds[p] != nil }

// Refuse counts that a peer, which may be unknown (""), was refused at the address from which it came, and writes a line about it, unless there
// were many.
func (g *Guard) Refuse(r Reason, p peer.ID, from ma.Multiaddr) {
	g.Count(r)
	g.Note(r, p, from)
}

// Note is Refuse for what somebody else counts.
func (g *Guard) Note(r Reason, p peer.ID, from ma.Multiaddr) {
	if !g.log.Core().Enabled(zap.InfoLevel) || !g.lines.Allow() {
		return
	}
	fields := []zap.Field{zap.Stringer("reason", r)}
	if ip, ok := address(from); ok {
		fields = append(fields, zap.Stringer("ip", ip))
	}
	if p != "" {
		fields = append(fields, zap.Stringer("peer", p))
	}
	g.log.Info("refused", fields...)
}

// address returns the IP address in a multiaddr, where it begins with one: an IPv4 address also where it is written as an IPv6 one, for hosts or for NAT64.
func address(a ma.Multiaddr) (netip.Addr, bool) {
	if len(a) == 0 {
		return netip.Addr{}, false
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(ip)
	if b := addr.Unmap().AsSlice(); len(b) == 16 && bytes.HasPrefix(b, nat64) {
		return netip.AddrFrom4([4]byte(b[12:])), ok
	}
	return addr.Unmap(), ok
}

// nat64 begins the addresses by which IPv4 is reached from networks that have none (RFC 6052).
var nat64 = []byte{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}

// place returns the network that one household has: an IPv4 address, or an IPv6 prefix of some bits.
func place(ip netip.Addr, bits int) netip.Prefix {
	if ip.Is4() {
		bits = ip.BitLen()
	}
	p, _ := ip.WithZone("").Prefix(bits) // of an address that is valid, with bits that it has
	return p
}

// InterceptPeerDial says no to who is shut out.
func (g *Guard) InterceptPeerDial(p peer.ID) bool { return !g.outcast(p, time.Now()) }

// InterceptAddrDial says no to addresses that others had better not have us dial.
func (g *Guard) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	reason, ok := g.mayDial(p, a, time.Now())
	if !ok {
		g.Count(reason)
	}
	return ok
}

// InterceptAccept lets pass: of who comes nothing is known yet, and the resource manager bounds how often an address may.
func (g *Guard) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured says no to who is shut out at the place that it comes from.
func (g *Guard) InterceptSecured(_ network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	if !g.banned(p, c.RemoteMultiaddr(), time.Now()) {
		return true
	}
	g.Refuse(Banned, p, c.RemoteMultiaddr())
	return false
}

// InterceptUpgraded notes where a peer that we have dialled has answered, and where a seed is.
func (g *Guard) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	if c.Stat().Direction == network.DirOutbound {
		g.Prove(c.RemotePeer(), c.RemoteMultiaddr())
	}
	g.meet(c.RemotePeer(), c.RemoteMultiaddr())
	return true, 0
}
