package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/node/internal/frame"
	"parley/node/internal/guard"
)

// readBuffer is what a reader of an exchange begins with, in bytes; it grows with what is read.
const readBuffer = 512

// talk is one exchange on its stream.
type talk struct {
	stream network.Stream
	in     *frame.Reader
}

func newTalk(s network.Stream) talk {
	return talk{s, frame.NewReader(s, s.Scope(), frame.NewPool(readBuffer), maxHello)}
}

// next reads one frame of at most so many bytes.
func (t talk) next(most int) ([]byte, error) {
	t.in.Limit(most)
	b, err := t.in.Next(Probation, Probation)
	if err != nil {
		return nil, err
	}
	defer t.in.Release(b)
	return bytes.Clone(b), nil
}

// say writes frames.
func (t talk) say(frames ...[]byte) error {
	var b []byte
	for _, f := range frames {
		b = frame.Append(b, f)
	}
	_, err := t.stream.Write(b)
	return err
}

// news reads what the other side hands on.
func (t talk) news() (n news, err error) {
	if n.list, err = t.newsOf(kindList, MaxList); err == nil {
		n.rotation, err = t.newsOf(kindTurn, rotationSize)
	}
	return n, err
}

func (t talk) newsOf(kind byte, most int) ([]byte, error) {
	b, err := t.next(1 + most)
	if err != nil {
		return nil, err
	}
	return parseNews(kind, b)
}

// stage reads which key the other side has in the end.
func (t talk) stage() (stage, error) {
	b, err := t.next(1 + stageSize)
	if err != nil {
		return stage{}, err
	}
	return parseStage(b)
}

// ask opens a stream and runs one exchange on it.
func (g *Gate) ask(ctx context.Context, p peer.ID, exchange func(talk) error) error {
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(network.WithNoDial(ctx, "it is connected"), "by any way"), Probation)
	defer cancel()
	s, err := g.Host.NewStream(ctx, p, Protocol) // which waits until the peer has said who it is
	if err != nil {
		return fmt.Errorf("open a stream to be admitted: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	if v, err := g.Peerstore().Get(p, "ProtocolVersion"); err != nil || v != g.version {
		_ = s.Reset()
		return ErrForeign
	}
	t := newTalk(s)
	defer t.in.Close()
	err = exchange(t)
	if err != nil && Answer(err) == nil {
		_ = s.Reset()
		return err
	}
	_ = s.Close() // all is said, the verdict too
	return err
}

// greet makes a peer to which we have connected admit us, and becomes a member first, where we have an invite to do so with.
func (g *Gate) greet(p peer.ID) {
	var outside error
	if g.ledger.needs(g.invitation) {
		if outside = g.join(p); outside != nil && !g.ledger.Member() {
			g.refuse(p, outside)
			return
		}
	}
	err := g.ask(g.ctx, p, func(t talk) error { return g.introduce(t, p) })
	if outside != nil && errors.Is(err, Revoked) {
		err = outside // as expected: what comes of the invite says more
	}
	if err != nil && (Answer(err) != nil || !g.Settled(p)) { // a newer list that is not handed on now goes with the next connection
		g.refuse(p, err)
	}
}

// join asks to be let in by who has invited us, and keeps the chain that it gives. Who else is asked hands the request on.
func (g *Gate) join(p peer.ID) error {
	if g.invitation == (Invitation{}) {
		return NoMember
	}
	issuer, err := KeyOf(g.invitation.Issuer)
	if err != nil {
		return err
	}
	cfg := g.ledger.cfg
	asked := NewRequest(cfg.Network, issuer, g.invitation.Token, cfg.Claim, cfg.Device)
	chain, err := g.request(g.ctx, p, asked)
	if err != nil {
		return err
	}
	if c, err := ParseChain(chain); err != nil || !c.answers(asked) {
		return errFrame
	}
	return g.ledger.Take(chain)
}

// introduce is the asker's part between two members.
func (g *Gate) introduce(t talk, p peer.ID) error {
	if err := t.say(g.ledger.show()); err != nil {
		return err
	}
	b, err := t.next(maxHello)
	if err != nil {
		return err
	}
	if len(b) == 1 {
		v, err := parseVerdict(b)
		return errors.Join(err, g.hearVerdict(t, v))
	}
	peers, err := parseHello(b)
	if err != nil {
		return err
	}
	handed, err := t.news()
	if err != nil {
		return err
	}
	if err := g.take(handed, p); err != nil {
		return err
	}
	if err := g.admit(p, peers.chain); err != nil {
		return errors.Join(outsider(err), g.sayVerdict(t, err, peers))
	}
	frames := append([][]byte{{byte(Admitted)}}, g.newsFor(peers).frames()...)
	if err := t.say(append(frames, marshalStage(g.ledger.Rotation().stage()))...); err != nil {
		return err
	}
	g.change(p, func(s *standing) { s.theirs, s.err = true, nil })
	return g.hearStage(t, p)
}

// newsFor returns what a member lacks.
func (g *Gate) newsFor(h hello) news {
	return news{g.ledger.listFor(h), g.ledger.rotationFor(h.at)}
}

// hearStage reads which key a member has in the end, and writes it down.
func (g *Gate) hearStage(t talk, p peer.ID) error {
	s, err := t.stage()
	if err != nil {
		return err
	}
	device, err := KeyOf(p)
	if err != nil {
		return err
	}
	g.ledger.follows(device, s)
	g.keepSoon()
	g.change(p, func(st *standing) { st.at, st.heard = s, true })
	return nil
}

// sayVerdict writes the verdict in an error, if there is one: Revoked with the list that says so, where the other side has an older one.
func (g *Gate) sayVerdict(t talk, err error, to hello) error {
	var v Verdict
	switch {
	case !errors.As(err, &v):
		return nil
	case v == Revoked:
		return t.say([]byte{byte(v)}, append([]byte{kindList}, g.ledger.listFor(to)...))
	}
	return t.say([]byte{byte(v)})
}

// hearVerdict returns why a member has not admitted us. That we were removed counts where the authority's list says so: anybody can say it.
func (g *Gate) hearVerdict(t talk, v Verdict) error {
	switch v {
	case Admitted: // and nothing else
		return errFrame
	case Revoked:
	default:
		return verdictError(v)
	}
	list, err := t.newsOf(kindList, MaxList)
	if err != nil {
		return err
	}
	changed, err := g.takeList(list)
	switch {
	case err != nil:
		return errors.Join(ErrUnshown, err)
	case g.ledger.Standing() == Revoked: // and nobody hears us any more
		_ = g.sweep()
		return Revoked
	case changed: // it is about others
		g.Spread("")
	}
	return ErrUnshown
}

// answer serves a stream of Protocol.
func (g *Gate) answer(s network.Stream) {
	p := s.Conn().RemotePeer()
	if err := s.SetDeadline(time.Now().Add(Probation)); err != nil {
		_ = s.Reset()
		return
	}
	if err := s.Scope().SetService(Service); err != nil {
		_ = s.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	if !g.pace.Allow(p) {
		_ = s.ResetWithError(network.StreamRateLimited)
		return
	}
	t := newTalk(s)
	defer t.in.Close()
	if err := g.hear(t, p); err != nil {
		g.log.Debug("an exchange with a peer failed", zap.Stringer("peer", p), zap.Error(err))
		_ = s.ResetWithError(frame.ResetCode(err))
		return
	}
	_ = s.Close()
}

// hear is the answerer's part. An error is something that no verdict says.
func (g *Gate) hear(t talk, p peer.ID) error {
	b, err := t.next(maxHello)
	if err != nil {
		return err
	}
	if b[0] == kindRequest {
		return g.let(t, p, b)
	}
	asker, err := parseHello(b)
	if err != nil {
		return frame.Malformed(err)
	}
	ours := g.ledger.show()
	if ours == nil {
		return t.say([]byte{byte(NoMember)})
	}
	if err := g.admit(p, asker.chain); err != nil {
		defer g.refuse(p, outsider(err))
		return g.sayVerdict(t, err, asker)
	}
	if err := t.say(append([][]byte{ours}, g.newsFor(asker).frames()...)...); err != nil {
		return err
	}
	if b, err = t.next(1); err != nil {
		return err
	}
	if v, err := parseVerdict(b); err != nil {
		return frame.Malformed(err)
	} else if v != Admitted {
		g.refuse(p, g.hearVerdict(t, v))
		return nil
	}
	handed, err := t.news()
	if err != nil {
		return err
	}
	if err := g.take(handed, p); err != nil {
		return err
	}
	g.change(p, func(s *standing) { s.theirs = true })
	if err := g.hearStage(t, p); err != nil {
		return err
	}
	return t.say(marshalStage(g.ledger.Rotation().stage()))
}

// let answers a request: our own invites' we decide, others' we hand on.
func (g *Gate) let(t talk, p peer.ID, b []byte) error {
	r, err := parseRequest(b)
	if err != nil {
		return frame.Malformed(err)
	}
	device, err := KeyOf(p)
	if err != nil {
		return err
	}
	var chain []byte
	switch ours := r.Issuer == g.ledger.cfg.Claim.Device; {
	case r.Claim.Device != device && !(ours && g.Admits(p)): // a member hands on what others ask
		err = frame.Malformed(errFrame)
	case ours:
		if chain, err = g.ledger.Redeem(r, time.Now()); !errors.As(err, new(Verdict)) {
			g.complain("cannot write down whom an invite lets in, so nobody is let in", err)
		}
	default:
		chain, err = g.handRequest(t.stream.Conn(), r)
	}
	var v Verdict
	switch {
	case errors.As(err, &v):
		switch {
		case v == Busy:
			g.guard.Count(guard.RateLimited)
		case v.Refused() && !g.Admits(p): // whoever hands a request on has done nothing wrong
			g.turnAway(p, v)
		}
		return t.say([]byte{byte(v)})
	case err != nil:
		return err
	}
	g.log.Info("let a device in", zap.Stringer("peer", p))
	return t.say(append([]byte{byte(Admitted)}, chain...))
}

// admit serves a peer from now on, if its chain is good: then it returns nil, and a Verdict or worse otherwise.
func (g *Gate) admit(p peer.ID, c Chain) error {
	device, err := KeyOf(p)
	if err != nil {
		return err
	}
	v := g.ledger.Judge(c, device)
	g.keepSoon()
	if v != Admitted {
		g.turnAway(p, v)
		return v
	}
	g.change(p, func(s *standing) { s.chain, s.err = &c, nil })
	if v := g.ledger.Stands(c); v != Admitted { // a list came meanwhile, and its sweep was too early for this one
		g.turnAway(p, v)
		g.change(p, func(s *standing) { s.chain = nil })
		return v
	}
	return nil
}

// takeList keeps a list, where it is newer than ours, and reports whether ours has changed.
func (g *Gate) takeList(list []byte) (changed bool, err error) {
	changed, err = g.ledger.TakeList(list)
	switch {
	case errors.Is(err, errListsFull):
		g.log.Error("the list of who was removed is not made whole", zap.Error(err)) // and with who has handed it on nothing is wrong
	case err != nil && !changed:
		return false, err
	case changed:
		g.complain("cannot write down who was removed from the network", err)
	}
	return changed, nil
}

// take keeps what a peer has handed on, where it is newer than ours: it ends the connections that a list is about, and hands on what is new.
func (g *Gate) take(n news, from peer.ID) error {
	listed, err := g.takeList(n.list)
	if err != nil {
		return err
	}
	if listed && !bytes.Equal(g.ledger.List(), n.list) { // we have made one of both
		from = ""
	}
	turned, err := g.ledger.TakeRotation(n.rotation)
	if err != nil && !turned {
		return err
	}
	if turned {
		g.complain("cannot take the network's new key", err) // which is offered again
	}
	if listed || turned && err == nil { // what cannot be kept is offered to us again, and is nothing to hand on
		g.Spread(from)
	}
	return nil
}

// Spread acts on what is new: it closes the connections to those who are no members any more, and hands it on to all others but one.
// It returns at once.
func (g *Gate) Spread(but peer.ID) {
	rest := g.sweep()
	g.begin(func() {
		var handing errgroup.Group
		handing.SetLimit(Spreaders)
		for _, p := range rest {
			if p != but {
				handing.Go(func() error { g.handOn(p); return nil })
			}
		}
		_ = handing.Wait() // handOn returns nothing
	})
}

// sweep closes the connections to those who are no members any more, and returns the others.
func (g *Gate) sweep() (rest []peer.ID) {
	for p, c := range g.chains() {
		if v := g.ledger.Stands(c); v != Admitted {
			g.turnAway(p, v)
			g.refuse(p, outsider(v))
		} else {
			rest = append(rest, p)
		}
	}
	return rest
}

// handOn greets a member, and again after a while as long as it is connected and has not the key that we have: who misses that is shut out.
func (g *Gate) handOn(p peer.ID) {
	g.greet(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.peers[p]
	if s == nil || s.again || !s.settled() || !s.at.behind(g.ledger.Rotation().stage()) {
		return
	}
	s.again = true
	time.AfterFunc(HandOnAgain, func() {
		g.mu.Lock()
		s.again = false
		g.mu.Unlock()
		g.begin(func() { g.handOn(p) })
	})
}

// chains returns the chains of the peers that are admitted.
func (g *Gate) chains() map[peer.ID]Chain {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[peer.ID]Chain, len(g.peers))
	for p, s := range g.peers {
		if s.chain != nil {
			all[p] = *s.chain
		}
	}
	return all
}
