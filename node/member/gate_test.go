package member_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"parley/node/internal/frame"
	"parley/node/internal/guard"
	"parley/node/member"
	"parley/node/member/membertest"
)

const (
	version = "parley/test"
	// echo stands for all protocols behind the gate.
	echo protocol.ID = "/parley/echo/1"
	// patience is how long a test waits for what should happen at once, on a machine that is busy with other tests.
	patience = time.Minute
)

// neighbour is a device behind its gate, which serves echo.
type neighbour struct {
	*member.Gate
	key    ed25519.PrivateKey
	ledger *member.Ledger
	guard  *guard.Guard
	vault  *membertest.Vault
	served atomic.Int32
	failed *observer.ObservedLogs // errors in its log, on the square
}

// newHost makes a host on loopback.
func newHost(t *testing.T, key ed25519.PrivateKey, options ...libp2p.Option) host.Host {
	t.Helper()
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	options = append(options, libp2p.Identity(k), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
	h, err := libp2p.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// move brings a device into the street, with the ledger that is in a vault and an invitation, if it has one.
func move(t *testing.T, town *membertest.Town, key, authority ed25519.PrivateKey, vault *membertest.Vault, invitation member.Invitation) *neighbour {
	t.Helper()
	n := &neighbour{key: key, ledger: town.Ledger(key, authority, vault), guard: guard.New(guard.Config{}), vault: vault}
	h := newHost(t, key, libp2p.ProtocolVersion(version))
	gate, err := member.NewGate(h, member.Options{Ledger: n.ledger, Invitation: invitation, Version: version, Logger: zap.NewNop(), Guard: n.guard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	n.Gate = gate
	gate.SetStreamHandler(echo, func(s network.Stream) {
		n.served.Add(1)
		_, _ = s.Write([]byte{'x'})
		_ = s.Close()
	})
	return n
}

// newMember is a neighbour whom the town has let in.
func newMember(t *testing.T, town *membertest.Town) *neighbour {
	t.Helper()
	key := town.NewKey()
	return move(t, town, key, nil, town.Admit(key), member.Invitation{})
}

// newFounder is the neighbour who has the town's authority.
func newFounder(t *testing.T, town *membertest.Town) *neighbour {
	t.Helper()
	return move(t, town, town.NewKey(), town.Authority, &membertest.Vault{}, member.Invitation{})
}

// invited is somebody who has a token of another.
func (n *neighbour) invited(t *testing.T, town *membertest.Town, token member.Token) *neighbour {
	t.Helper()
	return move(t, town, town.NewKey(), nil, &membertest.Vault{}, member.Invitation{Issuer: n.ID(), Token: token})
}

// invite makes an invite for so many.
func (n *neighbour) invite(t *testing.T, most int) member.Token {
	t.Helper()
	now := time.Now()
	token, _, err := n.ledger.NewInvite("", most, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// calls connects to another, and returns what came of it.
func (n *neighbour) calls(t *testing.T, other host.Host) error {
	t.Helper()
	if err := n.Connect(soon(t), peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}); err != nil {
		t.Fatal(err)
	}
	return n.Await(soon(t), other.ID())
}

// hears opens a stream to another and reads what it says; "" where it is reset.
func hears(t *testing.T, h host.Host, other peer.ID, id protocol.ID) string {
	t.Helper()
	s, err := h.NewStream(network.WithNoDial(soon(t), "they are connected"), other, id)
	if err != nil {
		return ""
	}
	defer s.Reset()
	_ = s.SetReadDeadline(time.Now().Add(patience))
	_ = s.CloseWrite()
	b := make([]byte, 1)
	if _, err := s.Read(b); err != nil {
		return ""
	}
	return string(b)
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// TestMembersMeet lets both use what the other serves, from the first moment on.
func TestMembersMeet(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob := newMember(t, town), newMember(t, town)
	met, err := bob.EventBus().Subscribe(new(member.EvtAdmitted))
	if err != nil {
		t.Fatal(err)
	}
	defer met.Close()
	if err := alice.calls(t, bob); err != nil {
		t.Fatal(err)
	}
	if got := hears(t, alice, bob.ID(), echo); got != "x" {
		t.Errorf("Alice hears %q", got)
	}
	if got := hears(t, bob, alice.ID(), echo); got != "x" {
		t.Errorf("Bob hears %q", got)
	}
	if e := (<-met.Out()).(member.EvtAdmitted); e.Peer != alice.ID() || !bob.Settled(alice.ID()) || !bob.Admits(alice.ID()) {
		t.Errorf("Bob was told of %s", e.Peer)
	}
	if known := alice.ledger.Members(); len(known) != 2 {
		t.Errorf("Alice knows %d members", len(known))
	}
	if err := alice.Network().ClosePeer(bob.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Bob to forget her", func() bool { return !bob.Admits(alice.ID()) })
	if err := bob.Await(soon(t), alice.ID()); !errors.Is(err, member.ErrGone) {
		t.Errorf("waiting for who is gone: %v", err)
	}
}

// TestStrangerWithTheKey connects, as everybody can who has the network's key, and gets nothing but identify and the question who she is.
func TestStrangerWithTheKey(t *testing.T) {
	town := membertest.NewTown(t)
	bob := newMember(t, town)
	mallory := newHost(t, town.NewKey(), libp2p.ProtocolVersion(version))
	if err := mallory.Connect(soon(t), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []protocol.ID{echo, ping.ID, "/libp2p/autonat/1.0.0"} {
		if got := hears(t, mallory, bob.ID(), id); got != "" {
			t.Errorf("%s: Mallory hears %q", id, got)
		}
	}
	if got := hears(t, mallory, bob.ID(), identify.ID); got == "" {
		t.Error("Bob does not say who he is")
	}
	other := membertest.NewTown(t)
	foreign, err := member.ParseChain(other.Chain(newFounder(t, other).ledger, membertest.KeyOf(other.NewKey())))
	if err != nil {
		t.Fatal(err)
	}
	hello := append(append([]byte{1}, make([]byte, 24)...), foreign.Marshal()...)
	if got := tells(t, mallory, bob.ID(), hello); len(got) != 1 || member.Verdict(got[0]) != member.Unproven {
		t.Errorf("for a chain of another network she hears %x", got)
	}
	if served := bob.served.Load(); served != 0 {
		t.Errorf("she was served %d times", served)
	}
	eventually(t, "Bob to hang up", func() bool { return len(bob.Network().ConnsToPeer(mallory.ID())) == 0 })
	counted := bob.guard.Refused()
	for _, r := range []guard.Reason{guard.NoMember, guard.NoOpenDoor} {
		if counted[r.String()] == 0 {
			t.Errorf("nobody has counted her as %s: %v", r, counted)
		}
	}
}

// tells sends a frame on the protocol itself, and returns the first one that comes back; nil where the stream is reset.
func tells(t *testing.T, h host.Host, other peer.ID, payload []byte) []byte {
	t.Helper()
	s, err := h.NewStream(soon(t), other, member.Protocol)
	if err != nil {
		return nil
	}
	defer s.Reset()
	if _, err := s.Write(frame.Append(nil, payload)); err != nil {
		return nil
	}
	in := frame.NewReader(s, s.Scope(), frame.NewPool(512), 1<<16)
	defer in.Close()
	answer, err := in.Next(patience, patience)
	if err != nil {
		return nil
	}
	return answer
}

// TestHostileExchanges resets whatever is of no good form, and nobody is admitted by it.
func TestHostileExchanges(t *testing.T) {
	town := membertest.NewTown(t)
	bob := newMember(t, town)
	mallory := newHost(t, town.NewKey(), libp2p.ProtocolVersion(version))
	if err := mallory.Connect(soon(t), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{
		"a list":             {0, 1, 2},
		"half a hello":       {1, 0, 0},
		"a hello of no form": append([]byte{1}, make([]byte, 300)...),
		"half a joiner":      {2, 1, 1},
		"an unknown kind":    {9},
		"too much":           append([]byte{1}, make([]byte, 1<<16)...),
	} {
		if got := tells(t, mallory, bob.ID(), payload); got != nil {
			t.Errorf("%s: answered with %x", name, got)
		}
	}
	if bob.Admits(mallory.ID()) {
		t.Error("she is in")
	}
}

// TestNobodyAsksForEver lets Mallory begin more exchanges than any member needs.
func TestNobodyAsksForEver(t *testing.T) {
	town := membertest.NewTown(t)
	bob := newMember(t, town)
	bob.Hasty(time.Millisecond)
	key := town.NewKey()
	mallory := newHost(t, key, libp2p.ProtocolVersion(version))
	if err := mallory.Connect(soon(t), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	joiner := town.Request(member.Token{1}, town.Claim(membertest.KeyOf(key))).Marshal()
	answered := 0
	for range 4 * member.GreetingBurst {
		if tells(t, mallory, bob.ID(), joiner) != nil {
			answered++
		}
	}
	if answered < member.GreetingBurst || answered > 2*member.GreetingBurst {
		t.Errorf("%d were answered, %d at once are the most", answered, member.GreetingBurst)
	}
}

// TestLeakedLink is used by Bob, and then by Mallory, who has found it: she is told that it was used, and is out.
func TestLeakedLink(t *testing.T) {
	town := membertest.NewTown(t)
	alice := newFounder(t, town)
	token := alice.invite(t, 1)
	bob, mallory := alice.invited(t, town, token), alice.invited(t, town, token)
	if err := bob.calls(t, alice); err != nil {
		t.Fatal(err)
	}
	if got := hears(t, bob, alice.ID(), echo); got != "x" {
		t.Errorf("Bob hears %q", got)
	}
	if err := mallory.calls(t, alice); !errors.Is(err, member.UsedInvite) {
		t.Errorf("Mallory: %v", err)
	}
	if mallory.ledger.Member() || hears(t, mallory.Host, alice.ID(), echo) != "" {
		t.Error("Mallory is in")
	}
	carol := newMember(t, town)
	carol.Hasty(time.Millisecond)
	if err := bob.calls(t, carol); err != nil {
		t.Errorf("Bob and Carol, who was not there: %v", err)
	}
	if err := mallory.calls(t, carol); !errors.Is(err, member.IssuerAway) {
		t.Errorf("Mallory asks Carol, who does not see Alice: %v", err)
	}
}

// TestAnswerLost has no room for its certificate at first: asking again, it gets in.
func TestAnswerLost(t *testing.T) {
	town := membertest.NewTown(t)
	alice := newFounder(t, town)
	bob := alice.invited(t, town, alice.invite(t, 1))
	bob.vault.Fill(true)
	if err := bob.calls(t, alice); err == nil {
		t.Fatal("he is in, and has not kept it")
	}
	eventually(t, "the connection to end", func() bool { return len(bob.Network().ConnsToPeer(alice.ID())) == 0 })
	bob.vault.Fill(false)
	if err := bob.calls(t, alice); err != nil {
		t.Errorf("asking again: %v", err)
	}
	if invites := alice.ledger.Invites(time.Now()); len(invites[0].Used) != 1 {
		t.Errorf("the invite has let in %d", len(invites[0].Used))
	}
}

// TestFiftyKnock is the race for one place, with hosts.
func TestFiftyKnock(t *testing.T) {
	town := membertest.NewTown(t)
	alice := newFounder(t, town)
	token := alice.invite(t, 1)
	var knocking sync.WaitGroup
	var in atomic.Int32
	for range 50 {
		joiner := alice.invited(t, town, token)
		knocking.Go(func() {
			switch err := joiner.calls(t, alice); {
			case err == nil:
				in.Add(1)
			case !errors.Is(err, member.UsedInvite):
				t.Errorf("shut out because %v", err)
			}
		})
	}
	knocking.Wait()
	if in.Load() != 1 {
		t.Errorf("%d are in", in.Load())
	}
}

// TestRevokedEverywhere throws Mallory out: also Bob shuts her out, who has never met the authority and heard of it from Carol.
func TestRevokedEverywhere(t *testing.T) {
	town := membertest.NewTown(t)
	mayor, mallory, bob, carol := newFounder(t, town), newMember(t, town), newMember(t, town), newMember(t, town)
	for _, c := range []struct{ from, to *neighbour }{{mayor, carol}, {carol, bob}, {mallory, bob}, {mallory, carol}} {
		if err := c.from.calls(t, c.to); err != nil {
			t.Fatal(err)
		}
	}
	if err := mayor.ledger.Revoke([]member.Key{membertest.KeyOf(mallory.key)}, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	mayor.Spread("")
	for name, n := range map[string]*neighbour{"Carol": carol, "Bob": bob} {
		eventually(t, name+" to hang up", func() bool { return len(n.Network().ConnsToPeer(mallory.ID())) == 0 })
		if hears(t, mallory.Host, n.ID(), echo) != "" {
			t.Errorf("%s serves her", name)
		}
	}
	if err := mallory.calls(t, bob); !errors.Is(err, member.Revoked) {
		t.Errorf("knocking again: %v", err)
	}
	if err := bob.calls(t, carol); err != nil || !bob.Settled(carol.ID()) {
		t.Errorf("Bob and Carol go on: %v", err)
	}
	dave := newMember(t, town) // who was away, and hears of it from the first whom he meets
	if err := bob.calls(t, dave); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Dave to hear of it", func() bool { return len(dave.ledger.List()) > 0 })
	if err := mallory.calls(t, dave); !errors.Is(err, member.Revoked) {
		t.Errorf("knocking at Dave's: %v", err)
	}
}

// TestWhoIsCalledIsTold lets the authority call Mallory, whom it has just thrown out: she hears it from the one who calls.
func TestWhoIsCalledIsTold(t *testing.T) {
	town := membertest.NewTown(t)
	mayor, mallory := newFounder(t, town), newMember(t, town)
	if err := mayor.ledger.Revoke([]member.Key{membertest.KeyOf(mallory.key)}, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	mallory.Network().Notify(&network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) {
		go func() { told <- mallory.Await(soon(t), mayor.ID()) }() // before it is all over
	}})
	if err := mayor.Connect(soon(t), peer.AddrInfo{ID: mallory.ID(), Addrs: mallory.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, member.Revoked) {
		t.Errorf("Mallory is told %v", err)
	}
	err := mayor.Await(soon(t), mallory.ID())
	if o := (*member.Outsider)(nil); !errors.Is(err, member.ErrGone) && (!errors.As(err, &o) || o.Verdict != member.Revoked || !strings.HasPrefix(o.Error(), "the node there was removed")) {
		t.Errorf("who calls has %v", err)
	}
}

// TestOtherNetwork shows nothing to a node of another network.
func TestOtherNetwork(t *testing.T) {
	town := membertest.NewTown(t)
	alice := newMember(t, town)
	stranger := newHost(t, town.NewKey(), libp2p.ProtocolVersion("parley/other"))
	asked := make(chan struct{}, 1)
	stranger.SetStreamHandler(member.Protocol, func(s network.Stream) {
		if n, _ := s.Read(make([]byte, 1)); n > 0 {
			asked <- struct{}{}
		}
		_ = s.Reset()
	})
	if err := alice.calls(t, stranger); !errors.Is(err, member.ErrForeign) {
		t.Errorf("got %v", err)
	}
	select {
	case <-asked:
		t.Error("she has shown herself")
	default:
	}
}

// TestLyingAnswers admit nobody.
func TestLyingAnswers(t *testing.T) {
	town := membertest.NewTown(t)
	for name, answer := range map[string][]byte{
		"admitted, and nothing":      frame.Append(nil, []byte{1}),
		"admitted, and no chain":     frame.Append(nil, append([]byte{1}, make([]byte, 20)...)),
		"a chain, and half a list":   frame.Append(frame.Append(nil, somebodys(t, town)), []byte{0, 1, 2}),
		"a list, and no key":         frame.Append(frame.Append(nil, somebodys(t, town)), []byte{0}),
		"a list, and half a key":     frame.Append(frame.Append(frame.Append(nil, somebodys(t, town)), []byte{0}), []byte{3, 1}),
		"a key of nobody's":          frame.Append(frame.Append(frame.Append(nil, somebodys(t, town)), []byte{0}), append([]byte{3}, bytes.Repeat([]byte{1}, 152)...)),
		"somebody else's, no list":   frame.Append(frame.Append(frame.Append(nil, somebodys(t, town)), []byte{0}), []byte{3}),
		"a verdict that is not one":  frame.Append(nil, []byte{0}),
		"nothing":                    nil,
		"a list in place of a hello": frame.Append(nil, []byte{0, 0, 0}),
	} {
		alice := newMember(t, town)
		mallory := newHost(t, town.NewKey(), libp2p.ProtocolVersion(version))
		mallory.SetStreamHandler(member.Protocol, func(s network.Stream) {
			_, _ = s.Write(answer)
			_ = s.CloseWrite()
		})
		if err := alice.calls(t, mallory); err == nil {
			t.Errorf("%s: she is in", name)
		}
		if alice.Admits(mallory.ID()) {
			t.Errorf("%s: she is served", name)
		}
	}
}

// somebodys is a good hello of a member.
func somebodys(t *testing.T, town *membertest.Town) []byte {
	t.Helper()
	chain := town.Chain(town.Ledger(town.NewKey(), town.Authority, nil), membertest.KeyOf(town.NewKey()))
	return append(append([]byte{1}, make([]byte, 24)...), chain...)
}

// TestProbationEnds closes a connection whose other side says nothing, when its time is over and not before.
func TestProbationEnds(t *testing.T) {
	town := membertest.NewTown(t)
	synctest.Test(t, func(t *testing.T) {
		net := mocknet.New()
		defer net.Close()
		h, err := net.GenPeer()
		if err != nil {
			t.Fatal(err)
		}
		mute, err := net.GenPeer()
		if err != nil {
			t.Fatal(err)
		}
		ledger, counts := town.Ledger(town.NewKey(), nil, nil), guard.New(guard.Config{})
		gate, err := member.NewGate(h, member.Options{Ledger: ledger, Logger: zap.NewNop(), Guard: counts})
		if err != nil {
			t.Fatal(err)
		}
		defer gate.Close()
		if err := net.LinkAll(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.ConnectPeers(mute.ID(), h.ID()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(member.Probation - time.Second)
		if len(h.Network().ConnsToPeer(mute.ID())) != 1 {
			t.Error("it was closed before its time")
		}
		time.Sleep(2 * time.Second)
		if len(h.Network().ConnsToPeer(mute.ID())) != 0 || counts.Refused()["no_member"] != 1 {
			t.Errorf("it is open after its time, %v counted", counts.Refused())
		}
	})
}

// TestAHandlerThatForgetsItsDeadlineHasOne cuts a stream on which nothing is said, though whoever serves it would wait for ever.
func TestAHandlerThatForgetsItsDeadlineHasOne(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob := newMember(t, town), newMember(t, town)
	bob.Forgetful(50 * time.Millisecond)
	const patientWith protocol.ID = "/parley/patient/1"
	ended := make(chan error, 1)
	bob.SetStreamHandler(patientWith, func(s network.Stream) {
		_, err := s.Read(make([]byte, 1))
		ended <- err
	})
	if err := alice.calls(t, bob); err != nil {
		t.Fatal(err)
	}
	s, err := alice.NewStream(soon(t), bob.ID(), patientWith)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Reset() }()
	if _, err := s.Write(nil); err != nil { // says which protocol it is
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if late := net.Error(nil); !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(patience):
		t.Error("it waits")
	}
}

// TestWhatThePeerSpeaksChanges is said once it is admitted, so that the DHT looks at it again.
func TestWhatThePeerSpeaksChanges(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob := newMember(t, town), newMember(t, town)
	changes, err := alice.EventBus().Subscribe(new(event.EvtPeerProtocolsUpdated))
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	if err := alice.calls(t, bob); err != nil {
		t.Fatal(err)
	}
	if e := (<-changes.Out()).(event.EvtPeerProtocolsUpdated); e.Peer != bob.ID() {
		t.Errorf("said of %s", e.Peer)
	}
}
