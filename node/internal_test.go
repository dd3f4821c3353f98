package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/node/directory"
	"parley/node/internal/guard"
	"parley/node/internal/setback"
	"parley/node/member/membertest"
	"parley/node/psk"
	"parley/node/reach"
)

func addresses(t testing.TB, texts ...string) (addrs []ma.Multiaddr) {
	t.Helper()
	for _, s := range texts {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, a)
	}
	return addrs
}

// lone is a node on loopback that is not in anybody's way, and does not run.
func lone(t testing.TB) *Node { return villager(t, membertest.NewTown(t)) }

// villager is a lone node that is a member of a network.
func villager(t testing.TB, town *membertest.Town, change ...func(*Config)) *Node {
	t.Helper()
	key := town.NewKey()
	claim := town.Claim(membertest.KeyOf(key))
	cfg := Config{
		Key: key, Network: Network{ID: town.ID}, Listen: []string{"/ip4/127.0.0.1/tcp/0"},
		Member: Membership{IDOf: membertest.IDOf, Proven: membertest.Proven, Account: claim.Account, Proof: claim.Proof, Vault: town.Admit(key)},
	}
	for _, c := range change {
		c(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// TestRank puts addresses in the order in which others should try them.
func TestRank(t *testing.T) {
	const announced, public4, public6 = "/dns4/example.org/tcp/4101", "/ip4/5.9.1.1/tcp/4101", "/ip6/2a01:4f8::1/tcp/4101"
	const lan4, lan6, local = "/ip4/192.168.1.2/tcp/4101", "/ip6/fd00::1/tcp/4101", "/ip4/127.0.0.1/tcp/4101"
	const linkLocal, any4 = "/ip6/fe80::1/tcp/4101", "/ip4/0.0.0.0/tcp/4101"
	for name, c := range map[string]struct{ announced, addrs, want []string }{
		"a home":           {nil, []string{local, lan4, lan6, linkLocal}, []string{lan4, lan6}},
		"a server":         {nil, []string{local, lan4, public4, public6}, []string{public4, public6, lan4}},
		"announced":        {[]string{announced}, []string{local, public4, lan4}, []string{announced, public4, lan4}},
		"announced, again": {[]string{public4}, []string{lan4, public4}, []string{public4, lan4}},
		"also WebSocket":   {nil, []string{lan4 + "/ws", lan4, public4 + "/ws", public4}, []string{public4, public4 + "/ws", lan4, lan4 + "/ws"}},
		"loopback only":    {nil, []string{local, any4}, []string{local}},
		"nothing":          {nil, nil, nil},
	} {
		got := texts(rank(addresses(t, c.announced...), addresses(t, c.addrs...)))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("/ip4/10.0.0.%d/tcp/1", i+1))
	}
	if got := rank(nil, addresses(t, many...)); len(got) != MaxAddresses {
		t.Errorf("%d addresses", len(got))
	}
}

// TestMissing finds the address that was asked for and is not listened on.
func TestMissing(t *testing.T) {
	listening := addresses(t, "/ip4/127.0.0.1/tcp/4101", "/ip6/::/tcp/4101", "/ip4/127.0.0.1/udp/4101/quic-v1", "/p2p-circuit")
	for asked, found := range map[string]bool{
		"/ip4/127.0.0.1/tcp/4101": true, "/ip4/127.0.0.1/tcp/0": true, "/ip6/::/tcp/4101": true, "/ip4/127.0.0.1/udp/0/quic-v1": true,
		"/ip4/127.0.0.1/tcp/4102": false, "/ip4/0.0.0.0/tcp/4101": false, "/ip6/::/udp/4101/quic-v1": false,
	} {
		if a := missing(addresses(t, asked), listening); (a == nil) != found {
			t.Errorf("%s: missing %v", asked, a)
		}
	}
}

// Seeds that hang up without a word have another key when they go on doing so, and nobody has taken ours meanwhile.
func TestRebuffs(t *testing.T) {
	r := &rebuffs{row: map[peer.ID]int{}}
	hangsUp := fmt.Errorf("dial: %w", psk.ErrHungUp)
	for i := range 2 * KeyRebuffs {
		r.note([]peer.ID{"alice", "bob"}[i%2], hangsUp)
		if i%2 == 0 {
			r.note("alice", errors.New("no answer in time"))
		}
		if got, want := r.otherKey(), i >= 2*KeyRebuffs-2; got != want {
			t.Errorf("after %d of two seeds: %v", i+1, got)
		}
	}
	if r.over(); r.otherKey() {
		t.Error("somebody has taken our key")
	}
	if r.note("alice", hangsUp); r.otherKey() {
		t.Error("after one in a new row")
	}
	if r.note("bob", fmt.Errorf("dial: %w", psk.ErrOtherKey)); !r.otherKey() {
		t.Error("Bob has said that he has none")
	}
}

// TestPulse wakes everybody, each time.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulse()
		var woken sync.WaitGroup
		for range 3 {
			beat := p.wait()
			woken.Go(func() { <-beat })
		}
		p.fire()
		woken.Wait()
		start := time.Now()
		pause(t.Context(), p.wait(), time.Second)
		if time.Since(start) != time.Second {
			t.Error("woken by a beat of the past")
		}
	})
}

// TestPending gives each key out once, until it is marked again.
func TestPending(t *testing.T) {
	p := newPending()
	p.add("b")
	p.add("a")
	steps := []struct {
		act  func() []string
		want string
	}{
		{p.take, "a b"},
		{p.take, ""},
		{func() []string { p.all(); return p.take() }, "a b"},
		{func() []string { p.add("a"); return p.take() }, "a"},
	}
	for i, s := range steps {
		if got := strings.Join(s.act(), " "); got != s.want {
			t.Errorf("step %d: %q, want %q", i, got, s.want)
		}
	}
}

// Alice's attempt to reach Bob ends because she has called it off, or has no time left. Carol, who waits for its outcome, makes one of her own:
// nothing is known about Bob.
func TestSharedDial(t *testing.T) {
	for name, hurry := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"called off": context.WithCancel,
		"no time is left": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, callers := newDials(), sync.WaitGroup{}
			alice, giveUp := hurry(t.Context())
			callers.Go(func() {
				err := d.share(alice, "bob", func() error {
					<-alice.Done()
					return fmt.Errorf("dial bob: %w", alice.Err())
				})
				if !errors.Is(err, alice.Err()) {
					t.Errorf("%s: Alice: %v", name, err)
				}
			})
			synctest.Wait()
			callers.Go(func() {
				if err := d.share(t.Context(), "bob", func() error { return nil }); err != nil {
					t.Errorf("%s: Carol shares what became of Alice's attempt: %v", name, err)
				}
			})
			time.Sleep(time.Second)
			giveUp()
			callers.Wait()
		})
	}
}

// TestBoundedStore takes no more keys than it may, and goes on serving those that it has.
func TestBoundedStore(t *testing.T) {
	ctx := t.Context()
	b := &boundedStore{MapDatastore: ds.NewMapDatastore()}
	key := func(i int) ds.Key { return ds.NewKey(fmt.Sprint(i)) }
	for i := range MaxStoredRecords {
		if err := b.Put(ctx, key(i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(ctx, key(MaxStoredRecords), []byte("x")); err == nil {
		t.Error("there is no end")
	}
	batch, err := b.Batch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(batch.Put(ctx, ds.NewKey("more"), nil), batch.Commit(ctx)); err == nil {
		t.Error("there is no end to batches")
	}
	if err := errors.Join(b.Put(ctx, key(0), []byte("y")), b.Delete(ctx, key(1)), b.Delete(ctx, key(1)), b.Put(ctx, key(-1), nil)); err != nil {
		t.Errorf("replace, delete and add: %v", err)
	}
	if b.count != MaxStoredRecords {
		t.Errorf("%d are counted", b.count)
	}
}

// TestJudge selects what the shelf would: the newest valid value, the first of equals.
func TestJudge(t *testing.T) {
	shelf := directory.NewShelf(map[string]Validator{"note": func(_ string, v []byte) (uint64, error) {
		if v[0] == '!' {
			return 0, errors.New("forged")
		}
		return uint64(v[0]), nil
	}})
	j := namespaces(shelf)
	values := [][]byte{[]byte("1"), []byte("!"), []byte("3a"), []byte("3b"), []byte("2")}
	if i, err := j.Select("/note/x", values); i != 2 || err != nil {
		t.Errorf("selected %d, %v", i, err)
	}
	if _, err := j.Select("/note/x", [][]byte{[]byte("!")}); err == nil {
		t.Error("a forgery was selected")
	}
	for _, foreign := range []string{"/pk/x", "/ipns/x", "/other/x"} {
		if err := j.Validate(foreign, []byte("1")); err == nil {
			t.Errorf("%s is valid", foreign)
		}
	}
}

// TestReachability makes a node serve the DHT once it is known to be reachable, and not before.
func TestReachability(t *testing.T) {
	n := lone(t)
	n.seeds = []peer.AddrInfo{{ID: "somebody else made this network"}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, nobody{}) }()
	<-n.Serving()
	if n.servesDHT() {
		t.Error("it serves from the beginning")
	}
	emitter, err := n.host.EventBus().Emitter(new(reach.EvtReached))
	if err != nil {
		t.Fatal(err)
	}
	defer emitter.Close()
	if err := emitter.Emit(reach.EvtReached{Address: addresses(t, "/ip4/5.5.5.5/tcp/4101")[0]}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !n.servesDHT() {
		<-tick.C
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNoDeliveryBeforeRun waits for Run, which brings the boxes.
func TestNoDeliveryBeforeRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	n := lone(t)
	if _, err := n.Deliver(ctx, n.ID(), nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// nobody is a messenger without messages.
type nobody struct{ Boxes }

func (nobody) Receive(context.Context, peer.ID, [][]byte) ([][]byte, error) {
	return nil, errors.New("nobody is here")
}
func (nobody) OneTime(context.Context) ([]byte, error) { return nil, nil }
func (nobody) Collect(context.Context, peer.ID, [][]byte) error {
	return errors.New("nobody is here")
}
func (nobody) Connected(peer.ID) {}
func (nobody) LetIn([32]byte)    {}

// TestLANService names the network without giving its id away, in a label that DNS-SD allows.
func TestLANService(t *testing.T) {
	name := lanService(Network{ID: [16]byte{1}})
	if name != "_p-1abb3f6901._udp" { // SPEC.md, "LAN discovery"
		t.Errorf("the service is called %s", name)
	}
	if other := lanService(Network{ID: [16]byte{2}}); other == name {
		t.Error("two networks share a name")
	}
	if label, _, _ := strings.Cut(name, "."); len(label) > 16 {
		t.Errorf("%s is longer than 15 characters and an underscore", label)
	}
}

// TestLANFinds plays what mDNS reports: the same peer again and again, and ourselves.
func TestLANFinds(t *testing.T) {
	town := membertest.NewTown(t)
	alice, bob := villager(t, town), villager(t, town)
	find := peer.AddrInfo{ID: bob.ID(), Addrs: bob.host.Addrs()}
	tried := make(map[peer.ID]time.Time)
	alice.meet(t.Context(), peer.AddrInfo{ID: alice.ID()}, tried)
	if len(tried) != 0 {
		t.Error("it tried itself")
	}
	if alice.meet(t.Context(), find, tried); !alice.connected(bob.ID()) {
		t.Fatal("bob was found and not met")
	}
	if err := alice.host.Network().ClosePeer(bob.ID()); err != nil {
		t.Fatal(err)
	}
	if alice.meet(t.Context(), find, tried); alice.connected(bob.ID()) {
		t.Error("bob was tried again at once")
	}
	tried[bob.ID()] = time.Now().Add(-2 * LANRetry)
	if alice.meet(t.Context(), find, tried); !alice.connected(bob.ID()) {
		t.Error("bob was never tried again")
	}
	finds := lanFinds{found: alice.found}
	for range 2 * LANQueue {
		finds.HandlePeerFound(find) // never blocks
	}
}

// TestShareDials lets those who ask for a device that is being dialled wait for the outcome, or for their own end.
func TestShareDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, attempts := newDials(), 0
		attempt := func() error {
			attempts++
			time.Sleep(time.Second)
			return setback.ErrUnknown
		}
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() {
				if err := d.share(t.Context(), "bob", attempt); !errors.Is(err, setback.ErrUnknown) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := d.share(hasty, "bob", attempt); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		callers.Wait()
		if attempts != 1 || len(d.calls) != 0 {
			t.Errorf("%d attempts, %d are left", attempts, len(d.calls))
		}
	})
}

// TestAbsences takes a device to be away for a while after it could not be reached, and until it connects.
func TestAbsences(t *testing.T) {
	a, now, why := newAbsences(), time.Now(), errors.New("refused")
	a.note("bob", why, now)
	for after, want := range map[time.Duration]error{0: why, AwayFor: why, AwayFor + 1: nil} {
		if got := a.reason("bob", now.Add(after)); !errors.Is(got, want) {
			t.Errorf("after %s: %v", after, got)
		}
	}
	if a.reason("carol", now) != nil {
		t.Error("carol is away with him")
	}
	a.over("bob")
	if a.reason("bob", now) != nil {
		t.Error("bob is away although he has connected")
	}
	for i := range 3 * BookSize {
		a.note(peer.ID(fmt.Sprint(i)), why, now.Add(time.Duration(i)*time.Second))
	}
	if len(a.known) > BookSize {
		t.Errorf("%d absences are remembered, most of which are over", len(a.known))
	}
}

// TestAttemptsEnd waits for the attempts that are under way, and makes later ones where they were asked for.
func TestAttemptsEnd(t *testing.T) {
	var a attempts
	release, done, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	a.begin(func() { <-release; close(done) })
	go func() {
		a.end()
		select {
		case <-done:
		default:
			t.Error("an attempt was not waited for")
		}
		close(ended)
	}()
	close(release)
	<-ended
	made := false
	if a.begin(func() { made = true }); !made {
		t.Error("an attempt after the end was not made at once")
	}
}

// TestConnectionsFromFewAddresses admits few of 5,000 connections from three addresses, which all say nothing, and leaves room for
// somebody else's.
func TestConnectionsFromFewAddresses(t *testing.T) {
	office := netip.MustParsePrefix("5.9.3.0/24")
	g := guard.New(guard.Config{})
	m, err := resourceManager(Config{Trusted: []netip.Prefix{office}}, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	open := func(address string) bool {
		conn, err := m.OpenConnection(network.DirInbound, true, addresses(t, "/ip4/"+address+"/tcp/4101")[0])
		if err == nil {
			t.Cleanup(conn.Done)
		}
		return err == nil
	}
	admitted := 0
	for i := range 5_000 {
		if open(fmt.Sprintf("5.9.1.%d", i%3)) {
			admitted++
		}
	}
	if admitted > 3*AddressConns {
		t.Errorf("%d of them are admitted", admitted)
	}
	for i := range 2 * AddressConns {
		if !open(fmt.Sprintf("5.9.2.%d", i)) {
			t.Fatalf("the newcomer %d is not", i)
		}
		if !open("5.9.3.7") {
			t.Fatalf("the %d. of an office that is trusted is not", i)
		}
	}
	if counted := g.Refused(); counted["rate_limited"]+counted["resource_limit"] != uint64(5_000-admitted) {
		t.Errorf("%d were admitted, and refused were %v", admitted, counted)
	}
}

// A short text that gets no answer goes to the mailboxes soon, and a long one not before a slow line could have carried it.
func TestALongEnvelopeHasLonger(t *testing.T) {
	long := Outgoing{Packet: make([]byte, 64<<10)}
	short := Outgoing{Packet: make([]byte, 300)}
	for _, c := range []struct {
		name      string
		envelopes []Outgoing
		from, to  time.Duration
	}{
		{"nothing is left", nil, DepositAtLast, DepositAtLast},
		{"a short one is next", []Outgoing{short, long}, DepositAtLast, DepositAtLast + time.Second},
		{"a long one is next", []Outgoing{long, short}, DepositAtLast + 26*time.Second, DepositAtLast + 27*time.Second},
	} {
		if got := atLast(c.envelopes); got < c.from || got > c.to {
			t.Errorf("%s: %v, not from %v to %v", c.name, got, c.from, c.to)
		}
	}
}
