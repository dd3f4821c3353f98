package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	kad "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"parley/node/directory"
	"parley/node/internal/frame"
	"parley/node/internal/sybil"
	"parley/node/member"
	"parley/node/member/membertest"
	"parley/node/reach"
)

var (
	eclipseWorlds = flag.Int("worlds", 0, "how many networks TestRecordAmongSybils builds; 0: a single one, of fewer servers")
	eclipseSeed   = flag.Uint64("seed", 1, "what the ids of the first network are made from, and of the next ones each one more")
)

// crowd is a network in memory, of honest nodes and of Sybils that surround one place in the space of ids.
type crowd struct {
	t      *testing.T
	net    mocknet.Mocknet
	town   *membertest.Town // Sybils are members: who may invite lets in as many as he likes
	rng    *rand.ChaCha8
	place  uint64 // where the Sybils are
	honest []*Node

	mu     sync.Mutex // for what follows, which Sybils look at while others come
	sybils []*member.Gate
	ids    []peer.ID // of the Sybils
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	t.Helper()
	var s [32]byte
	binary.BigEndian.PutUint64(s[:], seed)
	c := &crowd{t: t, net: mocknet.New(), town: membertest.NewTown(t), rng: rand.NewChaCha8(s)}
	c.place = c.rng.Uint64()
	t.Cleanup(func() { _ = c.net.Close() })
	return c
}

// shared counts the bits with which two ids begin alike, as the DHT sees them.
func shared(a, b peer.ID) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return bits.LeadingZeros64(binary.BigEndian.Uint64(x[:]) ^ binary.BigEndian.Uint64(y[:]))
}

// closeness is how many bits of the place a name begins with, as the DHT sees it.
func (c *crowd) closeness(name string) int {
	sum := sha256.Sum256([]byte(name))
	return bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:]) ^ c.place)
}

// id makes up a peer id: nobody needs its private key here.
func (c *crowd) id() peer.ID {
	c.t.Helper()
	key := make([]byte, ed25519.PublicKeySize)
	_, _ = c.rng.Read(key)
	public, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// ground is how many bits of the place the Sybils begin with: more than any honest server does.
const ground = 13

// chosen makes up ids until one is at the place.
func (c *crowd) chosen() peer.ID {
	for {
		if id := c.id(); c.closeness(string(id)) >= ground {
			return id
		}
	}
}

// key makes up record keys until one is at the place.
func (c *crowd) key() string {
	for {
		if key := fmt.Sprintf("/note/%x", c.rng.Uint64()); c.closeness(key) >= ground {
			return key
		}
	}
}

// host adds a member's host at an address, and lets it reach all others.
func (c *crowd) host(id peer.ID, address string) (*member.Gate, *member.Ledger) {
	c.t.Helper()
	ps, err := pstoremem.NewPeerstore()
	if err != nil {
		c.t.Fatal(err)
	}
	ps.AddAddr(id, ma.StringCast(address), peerstore.PermanentAddrTTL)
	h, err := c.net.AddPeerWithPeerstore(id, ps)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, other := range c.net.Peers() {
		if other != id {
			if _, err := c.net.LinkPeers(id, other); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	key, err := member.KeyOf(id)
	if err != nil {
		c.t.Fatal(err)
	}
	ledger := c.town.Bystander(key)
	gate, err := member.NewGate(h, member.Options{Ledger: ledger, Logger: zap.NewNop()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = gate.Close() })
	return gate, ledger
}

// inside is an address for the n-th host of a network that is not public.
func inside(n int) string { return fmt.Sprintf("/ip4/10.0.%d.%d/tcp/4101", n/250, n%250+1) }

// node adds a node that serves the DHT, or only uses it.
func (c *crowd) node(address string, serve bool, seeds ...peer.AddrInfo) *Node {
	c.t.Helper()
	counted := map[string]Validator{"note": func(_ string, value []byte) (uint64, error) {
		if len(value) < 8 {
			return 0, errors.New("damaged")
		}
		return binary.BigEndian.Uint64(value), nil
	}}
	cfg := Config{Network: Network{ID: c.town.ID, Seeds: seeds}, Validators: counted}
	id := c.id()
	for c.closeness(string(id)) >= ground-1 {
		id = c.id()
	}
	gate, ledger := c.host(id, address)
	n := assemble(cfg, gate, ledger, nil, nil, newGuard(cfg), reach.NewConfirmed())
	if err := n.startDHT(serve); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = n.stopDHT() })
	return n
}

// meet connects hosts to one.
func (c *crowd) meet(one *member.Gate, others ...*member.Gate) {
	c.t.Helper()
	var meeting errgroup.Group
	meeting.SetLimit(8)
	for _, h := range others {
		meeting.Go(func() error {
			err := h.Connect(c.t.Context(), peer.AddrInfo{ID: one.ID(), Addrs: one.Addrs()})
			return errors.Join(err, h.Await(c.t.Context(), one.ID()), one.Await(c.t.Context(), h.ID()))
		})
	}
	if err := meeting.Wait(); err != nil {
		c.t.Fatal(err)
	}
}

// sybil adds a server that stores nothing, and names only its like.
func (c *crowd) sybil(id peer.ID, address string) *member.Gate {
	h, _ := c.host(id, address)
	c.mu.Lock()
	c.sybils, c.ids = append(c.sybils, h), append(c.ids, h.ID())
	c.mu.Unlock()
	h.SetStreamHandler(c.kadProtocol(), func(s network.Stream) {
		defer s.Close()
		in := frame.NewReader(s, s.Scope(), frame.NewPool(512), network.MessageSizeMax)
		for {
			var m kad.Message
			data, err := in.Next(time.Minute, time.Minute)
			if err != nil || proto.Unmarshal(data, &m) != nil {
				return
			}
			in.Release(data)
			if _, err := s.Write(frame.Append(nil, c.lie(&m))); err != nil {
				return
			}
		}
	})
	return h
}

func (c *crowd) kadProtocol() protocol.ID { return Network{ID: c.town.ID}.dhtPrefix() + "/kad/1.0.0" }

// lie is what a Sybil answers: that it has stored what it was given, and that there are none but Sybils.
func (c *crowd) lie(m *kad.Message) []byte {
	if m.Type != kad.Message_PUT_VALUE {
		c.mu.Lock()
		defer c.mu.Unlock()
		m.Record, m.CloserPeers = nil, nil
		for _, i := range rand.Perm(len(c.sybils))[:min(len(c.sybils), BucketSize)] {
			m.CloserPeers = append(m.CloserPeers, &kad.Message_Peer{Id: []byte(c.ids[i]), Addrs: [][]byte{c.sybils[i].Addrs()[0].Bytes()}})
		}
	}
	data, err := proto.Marshal(m)
	if err != nil {
		c.t.Error(err)
	}
	return data
}

// refresh fills everybody's table.
func (c *crowd) refresh(nodes ...*Node) {
	c.t.Helper()
	var refreshing errgroup.Group
	refreshing.SetLimit(8)
	for _, n := range nodes {
		refreshing.Go(func() error { return <-n.table.Load().ForceRefresh() })
	}
	_ = refreshing.Wait() // one lost look-up of many is no matter
}

// settle lets servers come, with Sybils that connect to each from its first moment on.
func (c *crowd) settle(servers, sybils int) {
	c.t.Helper()
	for i := range sybils {
		c.sybil(c.chosen(), inside(i))
	}
	for i := range servers {
		n := c.node(inside(sybils+i), true)
		c.meet(n.gate, c.sybils...)
		for range min(i, 3) {
			c.meet(n.gate, c.honest[rand.IntN(i)].gate)
		}
		c.honest = append(c.honest, n)
	}
	c.refresh(c.honest...)
}

// newcomer is a node that knows a few honest servers, and no Sybil yet.
func (c *crowd) newcomer(address string) *Node {
	c.t.Helper()
	n := c.node(address, false)
	for range 4 {
		c.meet(n.gate, c.honest[rand.IntN(len(c.honest))].gate)
	}
	c.refresh(n)
	return n
}

// score counts the tries of TestRecordAmongSybils, and which way found how many records.
type score struct{ tries, naive, alone, lookup, helped int }

// TestRecordAmongSybils surrounds the keys of Bob's records with servers that lie. What kad-dht puts is lost; what Bob puts, Alice finds,
// and what Carol has, who knows Bob's record, she finds without fail.
func TestRecordAmongSybils(t *testing.T) {
	servers, sybils, tries := 50, 24, 5
	if *eclipseWorlds > 0 {
		servers, sybils, tries = 255, 45, 10
	}
	var s score
	start := time.Now()
	for world := range uint64(max(*eclipseWorlds, 1)) {
		t.Run(fmt.Sprintf("world %d", world), func(t *testing.T) {
			c := newCrowd(t, *eclipseSeed+world)
			c.settle(servers, sybils)
			c.search(tries, &s)
		})
	}
	t.Logf("%d honest servers and %d Sybils, seed %d, %s: of %d records, kad-dht found %d, the walk alone %d, a look-up %d, with Carol %d",
		servers, sybils, *eclipseSeed, time.Since(start).Round(time.Second), s.tries, s.naive, s.alone, s.lookup, s.helped)
	if s.tries == 0 || s.naive*10 > s.tries || min(s.alone, s.lookup)*100 < s.tries*95 || s.helped < s.tries {
		t.Error("that is not enough")
	}
}

// search has records put and looked for, in each of the three ways.
func (c *crowd) search(tries int, s *score) {
	alice, bob, carol := c.newcomer("/ip4/10.9.0.1/tcp/1"), c.newcomer("/ip4/10.9.0.2/tcp/1"), c.newcomer("/ip4/10.9.0.3/tcp/1")
	directory.NewServer(carol.shelf).Serve(carol.host)
	ctx := c.t.Context()
	finds := func(key string, value []byte, hints ...peer.ID) bool {
		got, err := alice.Lookup(ctx, key, hints...)
		return err == nil && bytes.Equal(got, value)
	}
	for i := range tries {
		s.tries++
		value := binary.BigEndian.AppendUint64(nil, uint64(i))
		if c.naive(alice, bob, c.key(), value) {
			s.naive++
		}
		key := c.key()
		if err := errors.Join(bob.shelf.Publish(key, value), bob.put(ctx, bob.table.Load(), key)); err != nil {
			c.t.Errorf("Bob cannot put his record: %v", err)
		}
		alone := false
		if err := sybil.Look(ctx, alice.table.Load(), key, walkLimits(), sybil.Once(func([]byte) { alone = true })); err == nil && alone {
			s.alone++
		}
		if finds(key, value) {
			s.lookup++
		}
		key = c.key()
		if err := carol.shelf.Publish(key, value); err != nil {
			c.t.Fatal(err)
		}
		c.meet(alice.gate, carol.gate)
		if finds(key, value, carol.ID()) {
			s.helped++
		}
	}
}

// naive puts and gets a record as kad-dht does by itself.
func (c *crowd) naive(alice, bob *Node, key string, value []byte) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), LookupTimeout)
	defer cancel()
	if err := bob.table.Load().PutValue(ctx, key, value); err != nil {
		c.t.Errorf("Bob cannot put his record: %v", err)
	}
	got, err := alice.table.Load().GetValue(ctx, key)
	return err == nil && bytes.Equal(got, value)
}

// TestTableAmongSybils has 200 Sybils from three subnets come before everybody else, and then ten honest servers, two of them seeds: after an
// hour of refreshing, most of the honest are in the table, and both seeds.
func TestTableAmongSybils(t *testing.T) {
	c := newCrowd(t, *eclipseSeed)
	var seeds []peer.AddrInfo
	for i := range 10 {
		n := c.node(fmt.Sprintf("/ip4/44.%d.0.1/tcp/4101", i), true)
		c.honest = append(c.honest, n)
		if i < 2 {
			seeds = append(seeds, peer.AddrInfo{ID: n.ID(), Addrs: n.host.Addrs()})
		}
	}
	victim := c.node("/ip4/5.9.0.1/tcp/4101", true, seeds...)
	for i := range 200 {
		c.sybil(c.id(), fmt.Sprintf("/ip4/5.%d.%d.1/tcp/4101", 100+i%3, i))
	}
	c.meet(victim.gate, c.sybils...)
	table := victim.table.Load()
	for table.RoutingTable().Size() < BucketSize {
		c.refresh(victim)
	}
	for _, n := range c.honest {
		c.meet(victim.gate, n.gate)
	}
	for range time.Hour / RefreshEvery {
		c.refresh(victim)
	}
	seats := table.RoutingTable().ListPeers()
	honest := slices.DeleteFunc(slices.Clone(seats), func(p peer.ID) bool { return slices.Contains(c.ids, p) })
	if len(honest) < 5 || !slices.Contains(honest, seeds[0].ID) || !slices.Contains(honest, seeds[1].ID) {
		t.Errorf("%d of the table's %d are honest, seeds among them or not: %v", len(honest), len(seats), honest)
	}
	t.Logf("%d of %d in the table are honest", len(honest), len(seats))

	table.RoutingTable().RemovePeer(seeds[0].ID) // as kad-dht does after a question without an answer
	bucket := shared(victim.ID(), seeds[0].ID)
	for i := range 60 {
		id := c.id()
		for shared(victim.ID(), id) != bucket {
			id = c.id()
		}
		c.meet(victim.gate, c.sybil(id, fmt.Sprintf("/ip4/%d.1.0.1/tcp/4101", 60+i)))
	}
	if victim.awaitTable(t.Context()) == nil || table.RoutingTable().Find(seeds[0].ID) == "" {
		t.Error("a seed that is connected does not come back into the table")
	}
}

// TestSmallNetwork walks nowhere in a network of no more than k servers: kad-dht asks all of them by itself, and nobody twice.
func TestSmallNetwork(t *testing.T) {
	c := newCrowd(t, *eclipseSeed)
	c.settle(BucketSize/2, 0)
	alice := c.newcomer("/ip4/10.9.0.1/tcp/1")
	table, key, value := alice.table.Load(), c.key(), binary.BigEndian.AppendUint64(nil, 1)
	if err := table.PutValue(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
	if err := sybil.Look(t.Context(), table, key, walkLimits(), func([]byte) { t.Error("a server was asked") }); err != nil {
		t.Error(err)
	}
	other := c.key()
	if err := sybil.Put(t.Context(), table, other, value, walkLimits()); err != nil {
		t.Error(err)
	}
	if got, err := alice.Lookup(t.Context(), other); err == nil {
		t.Errorf("%x was put", got)
	}
}

// TestWalksInTurn lets a walk wait while as many as may go on do, and no longer than its context.
func TestWalksInTurn(t *testing.T) {
	n := lone(t)
	for range Walks {
		if !n.mayWalk(t.Context()) {
			t.Fatal("fewer walks than may be")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n.mayWalk(ctx) {
		t.Error("one walk too many")
	}
	n.walked()
	if !n.mayWalk(t.Context()) {
		t.Error("a walk that has ended is in the way")
	}
}

// TestStaleServers leaves nobody but servers that have kept an old record: who has seen the newer one goes on with it, and a newcomer
// believes them.
func TestStaleServers(t *testing.T) {
	c := newCrowd(t, *eclipseSeed)
	c.settle(BucketSize, 0)
	alice, bob, dave := c.newcomer("/ip4/10.9.0.1/tcp/1"), c.newcomer("/ip4/10.9.0.2/tcp/1"), c.newcomer("/ip4/10.9.0.3/tcp/1")
	key, ctx := c.key(), t.Context()
	older, newer := binary.BigEndian.AppendUint64(nil, 6), binary.BigEndian.AppendUint64(nil, 7)
	if err := bob.table.Load().PutValue(ctx, key, older); err != nil {
		t.Fatal(err)
	}
	if got, err := dave.Lookup(ctx, key); err != nil || !bytes.Equal(got, older) {
		t.Errorf("Dave finds %x, %v", got, err)
	}
	if err := alice.shelf.Keep(key, newer); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got, err := alice.Lookup(ctx, key); err != nil || !bytes.Equal(got, newer) {
			t.Fatalf("Alice finds %x, %v", got, err)
		}
	}
}

// TestStrangersHaveNoSeat keeps a server out of the table that is connected and no member, though a member that came after it is in.
func TestStrangersHaveNoSeat(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob := villager(t, town), villager(t, town)
	for _, n := range []*Node{alice, bob} {
		if err := n.startDHT(true); err != nil {
			t.Fatal(err)
		}
		defer n.stopDHT()
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(membertest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	mallory, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.ProtocolVersion(alice.cfg.Network.version()))
	if err != nil {
		t.Fatal(err)
	}
	defer mallory.Close()
	mallory.SetStreamHandler(alice.cfg.Network.dhtPrefix()+"/kad/1.0.0", func(s network.Stream) { _ = s.Reset() })
	at := peer.AddrInfo{ID: alice.ID(), Addrs: alice.host.Addrs()}
	if err := errors.Join(mallory.Connect(t.Context(), at), bob.host.Connect(t.Context(), at)); err != nil {
		t.Fatal(err)
	}
	table := alice.table.Load().RoutingTable()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for table.Find(bob.ID()) == "" || !alice.isServer(mallory.ID()) {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("neither has a seat")
		}
	}
	if table.Find(mallory.ID()) != "" {
		t.Error("she has a seat")
	}
}
