package node_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"parley/node"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
	"parley/node/nodetest"
)

// post is Alice, Bob, and the hosts of his mailboxes, around a seed.
type post struct {
	t          *testing.T
	world      *nodetest.World
	seed       *nodetest.Device
	alice, bob *nodetest.Device
	hosts      []*nodetest.Device
	stores     []*mailboxtest.Store
}

// newPost starts everybody, with so many hosts; change may change the configuration of each.
func newPost(t *testing.T, hosts int, change ...func(i int, c *node.Config)) *post {
	t.Helper()
	p := &post{t: t, world: nodetest.NewWorld(t, nodetest.Private)}
	p.seed = p.world.Seed("seed").Start()
	for i := range hosts {
		h, store := p.world.Device("host"), mailboxtest.NewStore()
		h.Config.Mailboxes = store
		for _, c := range change {
			c(i, &h.Config)
		}
		p.hosts, p.stores = append(p.hosts, h.Start()), append(p.stores, store)
	}
	p.alice, p.bob = p.world.Device("alice").Start(), p.world.Device("bob").Start()
	for _, d := range append([]*nodetest.Device{p.alice, p.bob}, p.hosts...) {
		d.Knows(p.seed)
	}
	return p
}

// capability is what opens Alice's lane at the i-th host.
func capability(i int) (c [32]byte) {
	c[0] = byte(i + 1)
	return c
}

// keeps has Bob keep mailboxes at all hosts, with a lane for Alice, and waits until they are open.
func (p *post) keeps() {
	p.t.Helper()
	var all []node.Keeping
	for i, h := range p.hosts {
		lane := node.Lane{Key: mailbox.LaneOf(capability(i)), Class: mailbox.ClassContact}
		all = append(all, node.Keeping{Host: h.ID(), Lanes: []node.Lane{lane}})
	}
	p.bob.Keep(all)
	nodetest.WaitFor(p.t, "Bob's mailboxes to be open", func() bool {
		kept := p.bob.Kept()
		return len(kept) == len(all) && !slices.ContainsFunc(kept, func(k node.KeptMailbox) bool { return !k.Drained || k.Trouble != "" })
	})
}

// meets connects Alice to Bob, so that nothing is deposited because a busy machine takes long to dial.
func (p *post) meets() {
	p.t.Helper()
	p.alice.Learn(p.bob.ID(), p.bob.Config.Listen)
	if _, err := p.alice.Lookup(nodetest.Context(p.t), nodetest.NoteKey(p.bob.Config.Key), p.bob.ID()); err == nil {
		p.t.Fatal("Bob has a record of which nobody knows")
	}
	p.alice.Knows(p.bob)
}

// mailboxes are those of Bob, as Alice knows them.
func (p *post) mailboxes() (all []node.Mailbox) {
	for i, h := range p.hosts {
		all = append(all, node.Mailbox{Host: nodetest.PeerID(p.t, h.Config.Key), Cap: capability(i)})
	}
	return all
}

// send delivers letters to Bob or his mailboxes.
func (p *post) send(letters ...[]byte) ([]node.Handed, error) {
	p.t.Helper()
	return p.alice.Deliver(nodetest.Context(p.t), nodetest.PeerID(p.t, p.bob.Config.Key), p.mailboxes(), nodetest.Letters(letters...))
}

// stored checks that all letters were handed to the hosts with these numbers, and to no others.
func (p *post) stored(handed []node.Handed, letters int, hosts ...int) {
	p.t.Helper()
	if len(handed) != letters {
		p.t.Fatalf("%d letters of %d were handed over", len(handed), letters)
	}
	for i, h := range handed {
		same := len(h.Holders) == len(hosts)
		for _, n := range hosts {
			same = same && slices.Contains(h.Holders, nodetest.PeerID(p.t, p.hosts[n].Config.Key))
		}
		if h.Route != "mailbox" || h.Acked || !same {
			p.t.Fatalf("letter %d was handed over so: %+v", i, h)
		}
	}
}

// gets waits until Bob has all letters.
func (p *post) gets(letters [][]byte) {
	p.t.Helper()
	nodetest.WaitFor(p.t, "Bob's letters", func() bool { return len(p.bob.Inbox.Envelopes()) >= len(letters) })
	got := p.bob.Inbox.Envelopes()
	want := texts(letters)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.t.Errorf("Bob has %d letters of %d, or others", len(got), len(want))
	}
}

// TestAwayAndBack writes to Bob while he and one of his three hosts are away: the others hold it, and he gets all of it once.
func TestAwayAndBack(t *testing.T) {
	p := newPost(t, 3)
	p.keeps()
	p.bob.Stop()
	p.hosts[2].Stop()
	all := letters(150)
	for _, part := range [][][]byte{all[:1], all[1:]} {
		handed, err := p.send(part...)
		if err != nil {
			t.Fatal(err)
		}
		p.stored(handed, len(part), 0, 1)
	}
	for i, want := range []int{4, 4, 0} { // 1, and 149 in three
		if kept := p.stores[i].Kept(nodetest.PeerID(t, p.bob.Config.Key)); kept.Boxes != want {
			t.Errorf("host %d keeps %d boxes", i, kept.Boxes)
		}
	}
	p.bob.Start()
	p.hosts[2].Start()
	p.keeps()
	p.gets(all)
	if repeats := p.bob.Inbox.Repeats(); repeats != len(all) { // two hosts held each
		t.Errorf("%d letters came again", repeats)
	}
}

// TestThereIsNoNeed leaves mailboxes alone while Bob takes his letters himself.
func TestThereIsNoNeed(t *testing.T) {
	p := newPost(t, 1)
	p.keeps()
	p.meets()
	handed, err := p.send(letters(300)...)
	if err != nil || len(handed) != 300 || handed[299].Route == "mailbox" || !handed[299].Acked || handed[299].Holders != nil {
		t.Errorf("%d letters were handed over, %v", len(handed), err)
	}
	if all := p.stores[0].All(); all.Boxes != 0 {
		t.Errorf("%d boxes were deposited", all.Boxes)
	}
}

// TestPushed gives Bob through his mailbox what he cannot take directly, while he is there.
func TestPushed(t *testing.T) {
	p := newPost(t, 1)
	p.bob.Stop()
	p.bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error { return errors.New("not this way") }
	p.bob.Start()
	p.keeps()
	handed, err := p.send(letters(1)...)
	if err != nil {
		t.Fatal(err)
	}
	p.stored(handed, 1, 0)
	p.gets(letters(1))
}

// TestConnectedAndSilent deposits for a device that takes envelopes and does not acknowledge them, and does not wait for it any longer.
func TestConnectedAndSilent(t *testing.T) {
	p := newPost(t, 1)
	release := make(chan struct{})
	defer close(release)
	p.bob.Stop()
	p.bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error { <-release; return errors.New("never mind") }
	p.bob.Start()
	p.keeps()
	ctx, cancel := context.WithTimeout(t.Context(), 10*node.DepositAfter)
	defer cancel()
	handed, err := p.alice.Deliver(ctx, p.bob.ID(), p.mailboxes(), nodetest.Letters(letters(1)...))
	if err != nil {
		t.Fatal(err)
	}
	p.stored(handed, 1, 0)
	p.gets(letters(1))
}

// TestTheRestIsDeposited hands Bob letters of which he takes some, and then no more. What is left goes to his mailbox, and nothing else.
func TestTheRestIsDeposited(t *testing.T) {
	t.Parallel()
	p := newPost(t, 1)
	release := make(chan struct{})
	defer close(release)
	var came atomic.Int32
	p.bob.Stop()
	p.bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error {
		if came.Add(1) > 1 {
			<-release
			return errors.New("never mind")
		}
		return nil
	}
	p.bob.Start()
	p.keeps()
	p.meets()
	all := letters(500)
	ctx, cancel := context.WithTimeout(t.Context(), 2*node.DepositAtLast)
	defer cancel()
	handed, err := p.alice.Deliver(ctx, p.bob.ID(), p.mailboxes(), nodetest.Letters(all...))
	if err != nil || len(handed) != len(all) {
		t.Fatalf("%d letters were handed over, %v", len(handed), err)
	}
	taken := slices.IndexFunc(handed, func(h node.Handed) bool { return h.Route == "mailbox" })
	if taken < 1 || slices.ContainsFunc(handed[:taken], func(h node.Handed) bool { return !h.Acked || len(h.Holders) > 0 }) {
		t.Fatalf("he has taken %d, as %+v", taken, handed[:max(taken, 0)])
	}
	p.stored(handed[taken:], len(all)-taken, 0)
	p.gets(all)
	if n := p.bob.Inbox.Repeats(); n > 0 {
		t.Errorf("%d letters came again", n)
	}
}

// TestSlowIsNotAway leaves mailboxes alone while Bob, who has acknowledged a letter a moment ago, takes his time with the next one.
func TestSlowIsNotAway(t *testing.T) {
	p := newPost(t, 1)
	var came atomic.Int32
	p.bob.Stop()
	p.bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error {
		if came.Add(1) == 2 {
			<-time.After(node.DepositAfter + time.Second)
		}
		return nil
	}
	p.bob.Start()
	p.keeps()
	p.meets()
	for _, letter := range letters(2) {
		handed, err := p.send(letter)
		if err != nil || len(handed) != 1 || handed[0].Route == "mailbox" || !handed[0].Acked {
			t.Errorf("%+v, %v", handed, err)
		}
	}
	if all := p.stores[0].All(); all.Boxes != 0 {
		t.Errorf("%d boxes were deposited", all.Boxes)
	}
}

// TestKnownToBeAway does not dial a device again that has just been dialled in vain, and goes to it directly once it has connected.
func TestKnownToBeAway(t *testing.T) {
	p := newPost(t, 1)
	p.keeps()
	p.alice.Learn(p.bob.ID(), p.bob.Config.Listen)
	p.bob.Stop()
	nodetest.WaitFor(t, "Alice to notice", func() bool { return !p.alice.Sees(p.bob.ID()) })
	if _, err := p.send(letters(1)...); err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int32
	port, err := net.Listen("tcp", strings.ReplaceAll(strings.TrimPrefix(p.bob.Config.Listen[0], "/ip4/"), "/tcp/", ":"))
	if err != nil {
		t.Fatal(err)
	}
	answering := make(chan struct{})
	go func() {
		defer close(answering)
		for {
			c, err := port.Accept()
			if err != nil {
				return
			}
			dials.Add(1)
			c.Close()
		}
	}()
	for range 5 {
		if handed, err := p.send(letters(1)...); err != nil || handed[0].Route != "mailbox" {
			t.Fatalf("%+v, %v", handed, err)
		}
	}
	port.Close()
	<-answering
	if n := dials.Load(); n != 0 {
		t.Errorf("Bob was dialled %d times", n)
	}
	p.bob.Start()
	p.bob.Learn(p.alice.ID(), p.alice.Config.Listen)
	if _, err := p.bob.Deliver(nodetest.Context(t), p.alice.ID(), nil, nodetest.Letters([]byte("I am back"))); err != nil {
		t.Fatal(err)
	}
	p.alice.Knows(p.bob)
	if handed, err := p.send(letters(1)...); err != nil || handed[0].Route != "lan" {
		t.Errorf("%+v, %v", handed, err)
	}
}

// TestReasons says in one line why neither the device nor its mailboxes have taken a letter.
func TestReasons(t *testing.T) {
	p := newPost(t, 2, func(i int, c *node.Config) {
		q := &c.MailboxLimits.Quota
		q.Contact.Boxes, q.Mailbox.Boxes, q.Open.Boxes = 2-i, 1+i, 1
	})
	p.keeps()
	p.alice.Learn(p.bob.ID(), p.bob.Config.Listen)
	p.bob.Stop()
	if _, err := p.send(letters(1)...); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		handed, err := p.send([]byte("another"))
		if err == nil || len(handed) > 0 || err.Error() != "the device is not reachable: "+want {
			t.Errorf("%d letters were handed over, %v", len(handed), err)
		}
	}
	expect("connection refused; its mailbox is full, its mailbox takes no more from us until it is emptied")
	second := p.hosts[1].ID()
	p.hosts[1].Stop()
	nodetest.WaitFor(t, "Alice to notice", func() bool { return !p.alice.Sees(second) })
	expect("connection refused; its mailbox is full, its mailbox host is not reachable")
	p.fillOpenLane(1)
	p.hosts = p.hosts[1:] // Alice has a wrong capability for the host that is left, which leaves the lane of strangers
	p.hosts[0].Start()
	expect("connection refused; its mailbox takes no more from us until it is emptied")
	letter := nodetest.Letters([]byte("another"))
	boxes := append(p.mailboxes(), p.mailboxes()...)
	boxes[0].Host, boxes[1].Host = p.alice.ID(), p.alice.ID() // who hosts none: said once of both
	if _, err := p.alice.Deliver(nodetest.Context(t), nodetest.PeerID(t, p.bob.Config.Key), boxes, letter); err == nil || !strings.HasSuffix(err.Error(), "refused; its mailbox is closed to us") {
		t.Errorf("%v", err)
	}
}

// fillOpenLane leaves a stranger's box in Bob's mailbox at a host.
func (p *post) fillOpenLane(i int) {
	p.t.Helper()
	v, err := p.stores[i].Deposit(p.t.Context(), mailbox.Deposit{
		Owner: nodetest.PeerID(p.t, p.bob.Config.Key), Host: nodetest.PeerID(p.t, p.hosts[i].Config.Key), ID: mailbox.DepositID{2}, Box: []byte("rubbish"), At: time.Now(),
	}, mailbox.DefaultQuota())
	if err != nil || v != mailbox.Stored {
		p.t.Fatalf("%d, %v", v, err)
	}
}

// TestOneHostNeverAnswers holds nobody up: the other one has everything, and that is enough.
func TestOneHostNeverAnswers(t *testing.T) {
	p := newPost(t, 2)
	p.keeps()
	p.bob.Stop()
	release := make(chan struct{})
	defer close(release)
	p.hosts[1].Stop()
	p.stores[1].Before = func(context.Context) error { <-release; return nil }
	p.hosts[1].Start()
	p.hosts[1].Knows(p.seed)
	handed, err := p.send(letters(3)...)
	if err != nil {
		t.Fatal(err)
	}
	p.stored(handed, 3, 0)
}

// TestLanesChange closes the way for Alice, and opens it again, while Bob goes on fetching.
func TestLanesChange(t *testing.T) {
	p := newPost(t, 1)
	p.keeps()
	p.bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error { return errors.New("not this way") }
	carol := node.Lane{Key: mailbox.LaneOf(capability(7)), Class: mailbox.ClassContact}
	p.bob.Keep([]node.Keeping{{Host: p.hosts[0].ID(), Lanes: []node.Lane{carol}}})
	nodetest.WaitFor(t, "Alice's lane to be closed", func() bool {
		return p.deposits(capability(0)) == mailbox.Closed && p.deposits(capability(7)) == mailbox.Stored
	})
	p.keeps()
	nodetest.WaitFor(t, "Alice's lane to be open again", func() bool { return p.deposits(capability(0)) == mailbox.Stored })
	p.bob.Keep(nil)
	nodetest.WaitFor(t, "the mailbox to be closed", func() bool { return p.deposits(capability(0)) == mailbox.Closed })
	if kept := p.bob.Kept(); len(kept) > 0 {
		t.Errorf("Bob keeps %+v", kept)
	}
}

// deposits asks the first store what it would make of a box that came through a lane.
func (p *post) deposits(c [32]byte) mailbox.Verdict {
	p.t.Helper()
	v, err := p.stores[0].Deposit(p.t.Context(), mailbox.Deposit{
		Owner: p.bob.ID(), Host: p.hosts[0].ID(), Lane: mailbox.LaneOf(c), ID: mailbox.DepositID{1}, Box: []byte("rubbish"), At: time.Now(),
	}, mailbox.DefaultQuota())
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// TestHostRestarts goes on by itself when the host has been away and knows no lanes any more.
func TestHostRestarts(t *testing.T) {
	p := newPost(t, 1)
	p.keeps()
	p.hosts[0].Stop()
	nodetest.WaitFor(t, "Bob to notice", func() bool { return p.bob.Kept()[0].Trouble != "" })
	p.hosts[0].Start()
	nodetest.WaitFor(t, "Bob to be back", func() bool { return p.bob.Kept()[0].Trouble == "" })
	if k := p.bob.Kept()[0]; k.Seen.IsZero() || k.Host != p.hosts[0].ID() {
		t.Errorf("Bob knows %+v", k)
	}
}

// TestFleet has two hosts on one store: what one has taken before it died the other hands out.
func TestFleet(t *testing.T) {
	shared := mailboxtest.NewStore()
	p := newPost(t, 2, func(_ int, c *node.Config) { c.Mailboxes, c.MailboxShared = shared, true })
	p.keeps()
	p.bob.Stop()
	p.hosts[1].Stop()
	handed, err := p.send(letters(70)...)
	if err != nil {
		t.Fatal(err)
	}
	p.stored(handed, 70, 0)
	p.hosts[0].Stop()
	p.hosts[1].Start()
	p.hosts[1].Knows(p.seed)
	p.bob.Start()
	p.bob.Knows(p.seed)
	p.hosts = p.hosts[1:]
	lane := node.Lane{Key: mailbox.LaneOf(capability(1)), Class: mailbox.ClassContact}
	p.bob.Keep([]node.Keeping{{Host: p.hosts[0].ID(), Lanes: []node.Lane{lane}}})
	p.gets(letters(70))
}

// thief is a store that says that it has stored what it drops half of the time.
type thief struct {
	*mailboxtest.Store
	mu    sync.Mutex
	count int
}

func (s *thief) Deposit(ctx context.Context, d mailbox.Deposit, q mailbox.Quota) (mailbox.Verdict, error) {
	s.mu.Lock()
	s.count++
	drops := s.count%2 == 0
	s.mu.Unlock()
	if drops {
		return mailbox.Stored, nil
	}
	return s.Store.Deposit(ctx, d, q)
}

// TestWithheld loses nothing though one of three hosts drops half of what it says it has.
func TestWithheld(t *testing.T) {
	thief := &thief{Store: mailboxtest.NewStore()}
	p := newPost(t, 3, func(i int, c *node.Config) {
		if i == 0 {
			c.Mailboxes = thief
		}
	})
	p.keeps()
	p.bob.Stop()
	all := letters(40)
	for _, l := range all {
		if _, err := p.send(l); err != nil {
			t.Fatal(err)
		}
	}
	if thief.All().Boxes != 20 {
		t.Errorf("the thief has %d boxes", thief.All().Boxes)
	}
	p.bob.Start()
	p.keeps()
	p.gets(all)
}

// TestHostOfBothSides deposits at a host that is the sender herself.
func TestHostOfBothSides(t *testing.T) {
	p := newPost(t, 1)
	p.alice.Stop()
	p.alice = p.hosts[0]
	p.keeps()
	p.bob.Stop()
	handed, err := p.send(letters(100)...)
	if err != nil {
		t.Fatal(err)
	}
	p.stored(handed, 100, 0)
	p.bob.Start()
	p.keeps()
	p.gets(letters(100))
}

// TestCandidates names those who host mailboxes, seeds first, and those that a seed knows of; never ourselves.
func TestCandidates(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, plain := world.Seed("seed"), world.Seed("a seed that hosts none").Start()
	seed.Config.Mailboxes = mailboxtest.NewStore()
	seed.Start()
	near, far, alice := world.Device("near"), world.Device("far"), world.Device("alice")
	for _, d := range []*nodetest.Device{near, far, alice} {
		d.Config.Mailboxes = mailboxtest.NewStore()
		d.Start()
		d.Knows(seed, plain)
	}
	bob := world.Device("bob").Start()
	bob.Knows(seed, plain)
	near.Learn(bob.ID(), bob.Config.Listen)
	if _, err := near.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters([]byte("hello"))); err != nil {
		t.Fatal(err)
	}
	bob.Knows(near)
	want := []peer.ID{seed.ID(), near.ID()}
	got := bob.Candidates(nodetest.Context(t))
	if len(got) != 4 || !slices.Equal(got[:2], want) || !slices.Contains(got, far.ID()) || !slices.Contains(got, alice.ID()) {
		t.Errorf("Bob may choose among %v", got)
	}
	if got := alice.Candidates(nodetest.Context(t)); slices.Contains(got, alice.ID()) || len(got) != 3 {
		t.Errorf("Alice may choose among %v", got)
	}
}

// TestNoSenderIsNoted looks for Alice's name and Bob's letters in what a host logs and stores.
func TestNoSenderIsNoted(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.Lock(zapcore.AddSync(locked{&mu, &log})), zap.DebugLevel)
	p := newPost(t, 1, func(_ int, c *node.Config) { c.Logger = zap.New(core) })
	p.keeps()
	p.bob.Stop()
	if _, err := p.send([]byte("canary")); err != nil {
		t.Fatal(err)
	}
	boxes, err := p.stores[0].Lease(t.Context(), mailbox.Lease{Owner: nodetest.PeerID(t, p.bob.Config.Key), Now: time.Now(), Boxes: 10, Bytes: 1 << 20})
	if err != nil || len(boxes) != 1 {
		t.Fatalf("%d boxes, %v", len(boxes), err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, secret := range []string{p.alice.ID().String(), string(p.alice.ID()), "canary"} {
		if strings.Contains(log.String(), secret) || bytes.Contains(boxes[0].Box, []byte(secret)) {
			t.Errorf("the host knows %q", secret)
		}
	}
}
