package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"

	"parley/node/internal/guard"
	"parley/node/internal/pace"
)

// EvtAdmitted is on the host's event bus when a peer and we have admitted each other.
type EvtAdmitted struct{ Peer peer.ID }

// Errors of those who wait for a peer to be admitted, beside verdicts.
var (
	ErrGone    = errors.New("the connection ended before it was admitted")
	ErrForeign = errors.New("it belongs to another network")
	ErrUnshown = errors.New("the node there says that this device was removed, and cannot show it")
)

// Invitation is what a joiner has: the token in its link, and the device that has made it.
type Invitation struct {
	Issuer peer.ID
	Token  Token
	Anew   bool // it counts also where there is a certificate, once the list of revocations ends that
}

// Gate is a host whose peers are members. Everything that the host serves stands behind it, whoever has registered it, but for identify
// and Protocol itself.
type Gate struct {
	host.Host
	ledger     *Ledger
	invitation Invitation // zero: none
	version    string     // what the nodes of this network call their protocol
	log        *zap.Logger
	guard      *guard.Guard
	unspoken   time.Duration // Unspoken, but in tests
	open       []protocol.ID // what serves peers on probation, beside ours and identify
	pace       *pace.Pace
	requests   *handing
	away       time.Duration // AwayAfter, but in tests
	admitted   event.Emitter
	spoken     event.Emitter // what a peer speaks to us has changed

	ctx  context.Context
	end  context.CancelFunc
	work sync.WaitGroup // exchanges that we have begun

	mu      sync.Mutex
	ended   bool
	keeping bool // whom we have met will be kept soon
	peers   map[peer.ID]*standing
	unkept  map[string]string // why something could not be kept, as it was said last
}

// standing is how far a connected peer and we are.
type standing struct {
	chain   *Chain // the peer's, once we have admitted it
	theirs  bool   // the peer has admitted us
	err     error  // why nothing comes of it
	at      stage  // which key of the network it has, as it has said
	heard   bool   // it has said so
	again   bool   // it will be greeted again
	changed chan struct{}
}

// settled reports whether each has admitted the other.
func (s *standing) settled() bool { return s.chain != nil && s.theirs && s.err == nil }

// Options is what a Gate needs beside its host.
type Options struct {
	Ledger     *Ledger
	Invitation Invitation // what to become a member with; zero: nothing
	Version    string     // what the nodes of this network call their protocol in identify
	Logger     *zap.Logger
	Guard      *guard.Guard  // counts who was refused; nil: the gate has its own
	Open       []protocol.ID // what serves peers on probation, beside Protocol and identify
}

// NewGate puts a gate around a host that serves nothing of ours yet. Close closes both.
func NewGate(h host.Host, o Options) (*Gate, error) {
	admitted, err := h.EventBus().Emitter(new(EvtAdmitted))
	if err != nil {
		return nil, fmt.Errorf("make the gate: %w", err)
	}
	spoken, err := h.EventBus().Emitter(new(event.EvtPeerProtocolsUpdated))
	if err != nil {
		return nil, fmt.Errorf("make the gate: %w", err)
	}
	if o.Guard == nil {
		o.Guard = guard.New(guard.Config{})
	}
	g := &Gate{
		Host: h, ledger: o.Ledger, invitation: o.Invitation, version: o.Version, log: o.Logger,
		guard: o.Guard, unspoken: Unspoken, open: append([]protocol.ID{Protocol, identify.ID, identify.IDPush}, o.Open...),
		pace: pace.New(GreetingsPerSecond, GreetingBurst), requests: newHanding(), away: AwayAfter,
		admitted: admitted, spoken: spoken, peers: make(map[peer.ID]*standing), unkept: make(map[string]string),
	}
	g.ctx, g.end = context.WithCancel(context.Background())
	h.SetStreamHandler(Protocol, g.answering)
	h.Network().SetStreamHandler(g.serve)
	h.Network().Notify(&network.NotifyBundle{ConnectedF: g.connected, DisconnectedF: g.disconnected})
	for _, c := range h.Network().Conns() { // who was quicker than the gate
		g.connected(h.Network(), c)
	}
	return g, nil
}

// Close closes the host and waits for what the gate has begun.
func (g *Gate) Close() error {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.end()
	err := g.Host.Close()
	g.work.Wait()
	g.keep()
	return errors.Join(err, g.admitted.Close(), g.spoken.Close())
}

// IDService returns the identify service of the host, nil where it has none: what is behind the gate may ask who said what.
func (g *Gate) IDService() identify.IDService {
	if h, ok := g.Host.(interface{ IDService() identify.IDService }); ok {
		return h.IDService()
	}
	return nil
}

// keepSoon keeps whom we have met, all together with those whom we meet in the next moments.
func (g *Gate) keepSoon() {
	if !g.ledger.Met() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keeping || g.ended {
		return
	}
	g.keeping = true
	time.AfterFunc(KeepMet, func() {
		g.mu.Lock()
		g.keeping = false
		g.mu.Unlock()
		g.begin(g.keep)
	})
}

func (g *Gate) keep() {
	if err := g.ledger.Keep(); err != nil {
		g.log.Warn("cannot write down whom this node has met", zap.Error(err)) // that is for people to look at, and goes with the next change
	}
}

// complain says what could not be kept, and why: once, however often it is tried, until it works or there is another reason.
func (g *Gate) complain(what string, err error) {
	why := fmt.Sprint(err)
	g.mu.Lock()
	again := g.unkept[what] == why
	g.unkept[what] = why
	g.mu.Unlock()
	if err != nil && !again {
		g.log.Error(what, zap.Error(err))
	}
}

// answering is answer, unless the gate is closed: Close waits for what an exchange keeps.
func (g *Gate) answering(s network.Stream) {
	g.mu.Lock()
	ended := g.ended
	if !ended {
		g.work.Add(1)
	}
	g.mu.Unlock()
	if ended {
		_ = s.ResetWithError(network.StreamShutdown)
		return
	}
	defer g.work.Done()
	g.answer(s)
}

// turnAway counts a peer that we do not let in, or no more.
func (g *Gate) turnAway(p peer.ID, v Verdict) {
	reason := guard.NoMember
	if v == Revoked {
		reason = guard.Revoked
	}
	var from ma.Multiaddr
	if conns := g.Network().ConnsToPeer(p); len(conns) > 0 {
		from = conns[0].RemoteMultiaddr()
	}
	g.guard.Refuse(reason, p, from)
}

// serve takes the place of the host's own handler of incoming streams: it agrees on a protocol, and serves it where the peer may have it.
func (g *Gate) serve(s network.Stream) {
	s = g.guard.Stream(s)
	if err := s.SetDeadline(time.Now().Add(Probation)); err != nil {
		_ = s.Reset()
		return
	}
	id, handle, err := g.Mux().Negotiate(s)
	if err != nil {
		_ = s.ResetWithError(network.StreamProtocolNegotiationFailed)
		return
	}
	if !slices.Contains(g.open, id) && !g.Admits(s.Conn().RemotePeer()) {
		_ = s.ResetWithError(network.StreamGated)
		return
	}
	if err := s.SetDeadline(time.Now().Add(g.unspoken)); err != nil { // which handlers set anew, or take away
		_ = s.Reset()
		return
	}
	if err := s.SetProtocol(id); err != nil {
		_ = s.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	_ = handle(id, s) // handlers of streams return nothing
}

// NewStream opens a stream once the peer and we have admitted each other, and connects first if need be.
func (g *Gate) NewStream(ctx context.Context, p peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	if noDial, _ := network.GetNoDial(ctx); !noDial {
		if err := g.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
			return nil, err
		}
	}
	if err := g.Await(ctx, p); err != nil {
		return nil, fmt.Errorf("open a stream to %s: %w", p, err)
	}
	return g.Host.NewStream(ctx, p, protocols...)
}

// Admits reports whether a peer is served: it has shown that it is a member, and is connected since.
func (g *Gate) Admits(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.peers[p]
	return s != nil && s.chain != nil && s.err == nil
}

// Settled reports whether a connected peer and we have admitted each other.
func (g *Gate) Settled(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.peers[p]
	return s != nil && s.settled() && len(g.Network().ConnsToPeer(p)) > 0
}

// Await returns nil once a connected peer and we have admitted each other, and otherwise why not: a Verdict that we were told, an *Outsider, ErrUnshown, ErrForeign, or ErrGone.
func (g *Gate) Await(ctx context.Context, p peer.ID) error {
	var last *standing
	for {
		s, now, changed := g.look(p)
		switch {
		case s == nil:
			return g.gone(last)
		case s.err != nil:
			return s.err
		case s.settled():
			return nil
		}
		last = now
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gone returns why nothing came of a peer that is not connected any more: what it was told last, if we have seen it before.
func (g *Gate) gone(last *standing) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last != nil && last.err != nil {
		return last.err
	}
	return ErrGone
}

// Heard returns once a peer that we have greeted has said which key of the network it has. That is the last that it says: by then it knows which we
// have. It returns when the context or the connection ends, too.
func (g *Gate) Heard(ctx context.Context, p peer.ID) {
	for {
		s, _, changed := g.look(p)
		if s == nil || s.err != nil || s.heard {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// look returns how far we are with a connected peer, as a copy and as what mu guards, and a channel that is closed when that changes.
func (g *Gate) look(p peer.ID) (then, now *standing, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.at(p)
	if s == nil {
		return nil, nil, nil
	}
	return new(*s), s, s.changed
}

// at returns the standing of a connected peer, of which the network may have told others before it told us; nil where it is not connected. The
// caller holds mu.
func (g *Gate) at(p peer.ID) *standing {
	if s, ok := g.peers[p]; ok {
		return s
	}
	if len(g.Network().ConnsToPeer(p)) == 0 {
		return nil
	}
	s := &standing{changed: make(chan struct{})}
	g.peers[p] = s
	return s
}

// change changes how far we are with a connected peer, and tells who waits.
func (g *Gate) change(p peer.ID, fn func(*standing)) {
	g.mu.Lock()
	s := g.at(p)
	if s == nil {
		g.mu.Unlock()
		return
	}
	before := s.settled()
	fn(s)
	now := s.settled()
	close(s.changed)
	s.changed = make(chan struct{})
	g.mu.Unlock()
	if now == before {
		return
	}
	// Nobody listens once the host is closed. The DHT looks again at whom it may ask.
	_ = g.spoken.Emit(event.EvtPeerProtocolsUpdated{Peer: p})
	if now {
		_ = g.admitted.Emit(EvtAdmitted{Peer: p})
	}
}

// connected puts a connection on probation, whatever came of an earlier one. The side that has dialled begins the exchange.
func (g *Gate) connected(_ network.Network, c network.Conn) {
	p := c.RemotePeer()
	g.change(p, func(s *standing) {
		if s.err != nil {
			s.err, s.chain, s.theirs = nil, nil, false
		}
	})
	time.AfterFunc(Probation, func() {
		if !c.IsClosed() && !g.Settled(p) {
			g.guard.Refuse(guard.NoMember, p, c.RemoteMultiaddr())
			_ = c.CloseWithError(network.ConnGated)
		}
	})
	if c.Stat().Direction == network.DirOutbound {
		g.begin(func() { g.greet(p) })
	}
}

// disconnected forgets a peer with its last connection.
func (g *Gate) disconnected(n network.Network, c network.Conn) {
	p := c.RemotePeer()
	g.mu.Lock()
	defer g.mu.Unlock()
	if s, ok := g.peers[p]; ok && len(n.ConnsToPeer(p)) == 0 {
		delete(g.peers, p)
		close(s.changed)
	}
}

// begin runs fn on a goroutine that Close waits for, unless the gate is closed.
func (g *Gate) begin(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		g.work.Go(fn)
	}
}

// refuse notes why nothing comes of a peer, and closes its connections: not at once, so that it can read why, unless it was admitted and may have
// streams that are being served.
func (g *Gate) refuse(p peer.ID, why error) {
	g.log.Debug("a peer is not admitted", zap.Stringer("peer", p), zap.Error(why))
	served := false
	g.change(p, func(s *standing) {
		served = s.chain != nil
		s.err, s.chain = why, nil
	})
	conns := g.Network().ConnsToPeer(p)
	hangUp := func() {
		for _, c := range conns {
			_ = c.CloseWithError(network.ConnGated)
		}
	}
	if served {
		hangUp()
		return
	}
	farewell := Farewell
	if o := (*Outsider)(nil); errors.As(why, &o) && o.Verdict == Revoked {
		farewell = Probation // the list goes with that
	}
	time.AfterFunc(farewell, hangUp)
}
