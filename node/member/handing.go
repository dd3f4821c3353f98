package member

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/node/internal/guard"
	"parley/node/internal/pace"
)

// handing bounds which requests of joiners are handed on. We cannot tell whether there is such an invite, so a stranger who has the network's key must not
// be able to use up what others need: nobody has much under one address, and an issuer is never asked more than it answers.
type handing struct {
	places  *pace.Of[netip.Prefix] // that joiners come from
	issuers *pace.Of[Key]          // also of those who are away: what we say must not depend on that

	mu    sync.Mutex
	conns map[string]bool // with a request under way
	asked map[Key]int     // requests for an issuer under way
}

func newHanding() *handing {
	return &handing{
		places: pace.NewOf[netip.Prefix](PlaceRequestsPerSecond, PlaceRequestBurst), issuers: pace.NewOf[Key](RequestsPerSecond, RequestBurst),
		conns: make(map[string]bool), asked: make(map[Key]int),
	}
}

// begin reports whether a request that came on a connection may be handed on; then the caller calls done when it is answered.
func (h *handing) begin(c network.Conn, issuer Key) (done func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := c.ID()
	if h.conns[id] || h.asked[issuer] >= IssuerRequests || !h.places.Allow(guard.Place(c.RemoteMultiaddr())) || !h.issuers.Allow(issuer) {
		return nil, false
	}
	h.conns[id] = true
	h.asked[issuer]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.conns, id)
		if h.asked[issuer]--; h.asked[issuer] == 0 {
			delete(h.asked, issuer)
		}
	}, true
}

// handRequest asks a connected member that has made an invite to let in who has come to us with it. Whoever has no invite of that member hears
// IssuerAway or Busy, and cannot tell from which, nor from when it comes, whether the member is connected.
func (g *Gate) handRequest(c network.Conn, r Request) (chain []byte, err error) {
	issuer, err := r.Issuer.Peer()
	if err != nil {
		return nil, err
	}
	if !g.ledger.Member() {
		return nil, NoMember
	}
	done, ok := g.requests.begin(c, r.Issuer)
	if !ok {
		return nil, Busy
	}
	defer done()
	if g.ledger.Outcast(r.Issuer) { // the joiner would wait for ever
		return nil, MayNotInvite
	}
	ctx, cancel := context.WithTimeout(g.ctx, g.away)
	defer cancel()
	if g.Settled(issuer) {
		chain, err = g.request(ctx, issuer, r)
		if v := Verdict(0); err == nil || errors.As(err, &v) && v.ofIssuer() {
			return chain, err
		}
		g.log.Debug("a request came to nothing", zap.Stringer("issuer", issuer), zap.Error(err))
	}
	<-ctx.Done()
	return nil, IssuerAway
}

// request asks a peer to let a device in, and returns its chain.
func (g *Gate) request(ctx context.Context, p peer.ID, r Request) (chain []byte, err error) {
	err = g.ask(ctx, p, func(t talk) error {
		if err := t.say(r.Marshal()); err != nil {
			return err
		}
		b, err := t.next(1 + maxChain)
		if err == nil {
			chain, err = parseGranted(b)
		}
		return err
	})
	return chain, err
}
