package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"go.uber.org/zap"

	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
)

// patient is how long a test waits for what should happen at once.
const patient = 30 * time.Second

// scene is Bob, who keeps a mailbox, Alice, who deposits, and the host between them.
type scene struct {
	*testing.T
	alice, bob, home host.Host
	store            *mailboxtest.Store
	server           *mailbox.Server
	lane             mailbox.Lane // Alice's
	capability       [32]byte
	opened           []mailbox.Lane // those of Bob's mailbox
}

const overTCP, overQUIC = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"

func newHost(t testing.TB, listen string) host.Host {
	t.Helper()
	conns, err := connmgr.NewConnManager(100, 200)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ConnectionManager(conns))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func connect(t testing.TB, from, to host.Host) {
	t.Helper()
	if err := from.Connect(t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

func hosting(store mailbox.Store) mailbox.Hosting {
	limits := mailbox.Limits{Quota: mailbox.DefaultQuota(), Life: mailbox.TimeToLive}
	return mailbox.Hosting{Store: store, Limits: limits, Logger: zap.NewNop()}
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return newSceneOver(t, overTCP)
}

func newSceneOver(t *testing.T, listen string) *scene {
	t.Helper()
	s := &scene{T: t, store: mailboxtest.NewStore(), capability: capability(7)}
	s.alice, s.bob, s.home = newHost(t, listen), newHost(t, listen), newHost(t, listen)
	s.lane = mailbox.Lane{Key: mailbox.LaneOf(s.capability), Class: mailbox.ClassContact}
	connect(t, s.alice, s.home)
	connect(t, s.bob, s.home)
	s.serve(hosting(s.store))
	return s
}

// serve begins to host, in the place of what hosted before.
func (s *scene) serve(h mailbox.Hosting) {
	s.Helper()
	if s.server != nil {
		s.server.Stop(s.home, time.Second)
	}
	server := mailbox.NewServer(s.home, h)
	server.Hurry(patient, patient, 10*time.Millisecond)
	server.Serve(s.home)
	s.server = server
	s.Cleanup(func() { server.Stop(s.home, time.Second) })
}

// context ends with the patience of the test.
func (s *scene) context() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), patient)
	s.Cleanup(cancel)
	return ctx
}

// opens opens Bob's mailbox for Alice and others.
func (s *scene) opens(others ...mailbox.Lane) {
	s.Helper()
	s.opened = s.lanes(others...)
	if _, err := mailbox.Open(s.context(), s.bob, s.home.ID(), s.opened); err != nil {
		s.Fatalf("Bob opens his mailbox: %v", err)
	}
}

func (s *scene) lanes(others ...mailbox.Lane) []mailbox.Lane {
	return append([]mailbox.Lane{s.lane}, others...)
}

// leave deposits boxes as a depositor would, with a capability.
func (s *scene) leave(from host.Host, capability [32]byte, boxes ...[]byte) (int, error) {
	at := mailbox.Mailbox{Host: s.home.ID(), Cap: capability}
	return mailbox.Leave(s.context(), from, at, s.bob.ID(), len(boxes), func(i int) (mailbox.Box, error) {
		return mailbox.Box{ID: mailbox.IDOf(s.bob.ID(), boxes[i:i+1]), Box: boxes[i]}, nil
	})
}

func (s *scene) mustLeave(boxes ...[]byte) {
	s.Helper()
	if n, err := s.leave(s.alice, s.capability, boxes...); err != nil || n != len(boxes) {
		s.Fatalf("%d of %d boxes are stored: %v", n, len(boxes), err)
	}
}

// boxes makes n boxes that differ.
func boxes(n, size int) (all [][]byte) {
	for i := range n {
		b := make([]byte, size)
		copy(b, fmt.Sprintf("box %d", i))
		all = append(all, b)
	}
	return all
}

// desk is where Bob keeps what he fetches.
type desk struct {
	before func(boxes [][]byte) error

	mu      sync.Mutex
	kept    []string
	drained int
	changed chan struct{}
}

func newDesk() *desk { return &desk{changed: make(chan struct{}, 1)} }

func (d *desk) take(_ context.Context, boxes [][]byte) error {
	if d.before != nil {
		if err := d.before(boxes); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range boxes {
		d.kept = append(d.kept, string(b))
	}
	d.tell()
	return nil
}

func (d *desk) drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drained++
	d.tell()
}

func (d *desk) tell() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *desk) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.kept)
}

func (d *desk) drains() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.drained
}

// fetches makes Bob fetch until the test ends or what is returned is called, which returns why the fetch ended.
func (s *scene) fetches(d *desk) (stop func() error) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.context())
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- mailbox.Fetch(ctx, s.bob, mailbox.Fetching{
			Host: s.home.ID(), Lanes: s.opened, Began: func() { close(began) }, Take: d.take, Drained: d.drain,
			Pause: func(context.Context, int) error { return nil }, Silence: patient,
		})
	}()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	s.Cleanup(func() { _ = stop() })
	select {
	case <-began:
	case err := <-ended:
		ended <- err
		s.Fatalf("Bob fetches: %v", err)
	}
	return stop
}

// waits waits until something holds.
func (s *scene) waits(what string, condition func() bool) {
	s.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patient)
	for !condition() {
		select {
		case <-tick.C:
		case <-end:
			s.Fatalf("waited %s for %s", patient, what)
		}
	}
}

// busy counts the streams of this protocol that are open at the host.
func (s *scene) busy() (n int) {
	for _, c := range s.home.Network().Conns() {
		for _, stream := range c.GetStreams() {
			if strings.HasPrefix(string(stream.Protocol()), string(protocolOf(""))) {
				n++
			}
		}
	}
	return n
}

// verdict is what a host has said, or 0.
func verdict(err error) mailbox.Verdict {
	var refusal *mailbox.Refusal
	if errors.As(err, &refusal) {
		return refusal.Verdict
	}
	return 0
}

// stream opens a stream to the host on which a test writes what it likes.
func (s *scene) stream(from host.Host, id string) network.Stream {
	s.Helper()
	stream, err := from.NewStream(s.context(), s.home.ID(), protocolOf(id))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = stream.Reset() })
	return stream
}

func protocolOf(verb string) protocol.ID { return protocol.ID("/parley/mailbox/1/" + verb) }
