package reach

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/node/internal/pace"
)

// The ways on which a connection can be.
const (
	LAN     = "lan"
	Direct  = "direct"
	Punched = "punched"
	Relayed = "relayed"
)

// Config says what a node is in its network.
type Config struct {
	Open    bool            // everybody can dial it: it needs no circuits
	Relays  bool            // it relays for others
	Seeds   []peer.AddrInfo // without itself
	PortMap bool            // ask the router for a port
	// Dialling is how a seed dials who asks it whether that works.
	Dialling Dialling
	// Confirmed takes what seeds have found out about our addresses; nil: nobody asks for it.
	Confirmed *Confirmed
	// Refused is told of who was not relayed for, and must not wait; nil: nobody is.
	Refused func(from peer.ID, at ma.Multiaddr)
}

// Options returns what the host of a node needs.
func Options(cfg Config) []libp2p.Option {
	options := []libp2p.Option{libp2p.EnableRelay()}
	if cfg.Open {
		return append(options, libp2p.ForceReachabilityPublic())
	}
	options = append(options, libp2p.ForceReachabilityPrivate()) // libp2p's own way to find out (AutoNAT v1) wakes up all the time, and asks anybody
	if cfg.PortMap {
		options = append(options, libp2p.NATPortMap())
	}
	return options
}

// Host is a host with its identify service, which is nil where it has none.
type Host interface {
	host.Host
	IDService() identify.IDService
}

// Reach works beside a host that was made with Options.
type Reach struct {
	host    Host
	cfg     Config
	log     *zap.Logger
	member  func(peer.ID) bool
	punches *punches
	asked   *pace.Pace // how often a peer may have us dial it
	seen    *sightings
	doubts  doubts
	tell    func()
	// anywhere takes private addresses for public ones: tests have no others.
	anywhere bool
}

// New returns what works beside h, once Run runs. member says who is of the network: for nobody else is anything relayed or punched. moved is called
// when this machine has got other addresses or has slept, and must not wait for anything.
func New(h Host, cfg Config, member func(peer.ID) bool, moved func(), log *zap.Logger) *Reach {
	if cfg.Confirmed == nil {
		cfg.Confirmed = NewConfirmed()
	}
	if cfg.Refused == nil {
		cfg.Refused = func(peer.ID, ma.Multiaddr) {}
	}
	return &Reach{
		host: h, cfg: cfg, log: log, member: member, tell: moved,
		punches: newPunches(), asked: pace.New(PunchesPerSecond, PunchBurst), seen: newSightings(),
	}
}

// Run relays and punches until ctx ends.
func (r *Reach) Run(ctx context.Context) error {
	if r.cfg.Relays {
		service, err := relay.New(r.host, relay.WithResources(Resources()), relay.WithACL(members{r}),
			relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return true })) // a network may be all on one LAN
		if err != nil {
			return fmt.Errorf("start relay: %w", err)
		}
		defer func() { _ = service.Close() }() // it only waits for its circuits
	}
	work, ctx := errgroup.WithContext(ctx)
	if !r.cfg.Open {
		work.Go(func() error { return r.keepReserved(ctx) })
	}
	work.Go(func() error { return r.keepPunching(ctx) })
	if r.cfg.Relays || len(r.cfg.Seeds) > 0 {
		work.Go(func() error { return r.keepConfirmed(ctx) })
	}
	work.Go(func() error { return r.keepUp(ctx) })
	work.Go(func() error { return r.doubts.serve(ctx) })
	return work.Wait()
}

// members lets a relay serve those for whom its node relays.
type members struct{ *Reach }

// AllowReserve implements relay.ACLFilter.
func (m members) AllowReserve(p peer.ID, at ma.Multiaddr) bool { return m.allow(p, at, m.member(p)) }

// AllowConnect implements relay.ACLFilter.
func (m members) AllowConnect(from peer.ID, at ma.Multiaddr, to peer.ID) bool {
	return m.allow(from, at, m.member(from) && m.member(to))
}

func (m members) allow(p peer.ID, at ma.Multiaddr, may bool) bool {
	if !may {
		m.cfg.Refused(p, at)
	}
	return may
}

// Circuits returns addresses of a device by way of the seeds that are connected: it has a reservation at one of the seeds, if it has any.
func (r *Reach) Circuits(device peer.ID) (through []ma.Multiaddr) {
	for _, seed := range r.cfg.Seeds {
		if seed.ID == device || len(through) == MaxCircuits {
			continue
		}
		if via := r.connectedAt(seed.ID); via != nil {
			through = append(through, via.Encapsulate(circuit(seed.ID)))
		}
	}
	return through
}

// connectedAt returns the address at which a peer is connected, not by way of a relay; nil where it is not.
func (r *Reach) connectedAt(p peer.ID) ma.Multiaddr {
	for _, c := range r.host.Network().ConnsToPeer(p) {
		if via := c.RemoteMultiaddr(); !IsCircuit(via) {
			return via
		}
	}
	return nil
}

// circuit returns the part of an address that leads through a relay.
func circuit(through peer.ID) ma.Multiaddr {
	return ma.Join(ma.StringCast("/p2p/"+through.String()), ma.StringCast("/p2p-circuit"))
}

// IsCircuit reports whether an address leads through a relay.
func IsCircuit(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// IsWebSocket reports whether an address is spoken to over WebSocket.
func IsWebSocket(a ma.Multiaddr) bool {
	_, ws := a.ValueForProtocol(ma.P_WS)
	_, wss := a.ValueForProtocol(ma.P_WSS)
	return ws == nil || wss == nil
}

// nudge puts a token into a channel of one, if there is none in it yet: whoever takes it looks at everything that has happened since.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Route says by which way a connection goes.
func (r *Reach) Route(c network.Conn) string {
	remote := c.RemoteMultiaddr()
	switch {
	case c.Stat().Limited || IsCircuit(remote):
		return Relayed
	case r.punches.made(c):
		return Punched
	case manet.IsPublicAddr(remote):
		return Direct
	}
	return LAN
}
