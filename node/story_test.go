package node_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"parley/node"
	"parley/node/nodetest"
)

// TestThreeSeedsOfFive stays connected to as many seeds as it should, and replaces those that go.
func TestThreeSeedsOfFive(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	var seeds []*nodetest.Device
	for i := range 5 {
		seeds = append(seeds, world.Seed(fmt.Sprint("seed ", i)))
	}
	for _, s := range seeds {
		s.Start()
	}
	alice := world.Device("alice").Start()
	enough := func() bool { return alice.SeedsConnected() >= node.SeedConnections }
	nodetest.WaitFor(t, "three seeds", enough)
	stopped := 0
	for _, s := range seeds {
		if stopped < 2 && alice.Sees(s.ID()) {
			s.Stop()
			stopped++
		}
	}
	nodetest.WaitFor(t, "three seeds of those that are left", enough)
}

// TestDeadSeedsDoNotHurt joins through the one seed of three that is there, with one that refuses and one that is a stranger.
func TestDeadSeedsDoNotHurt(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	world.Seed("dead")
	stranger := nodetest.NewWorld(t, nodetest.Open).Device("stranger").Start()
	impostor := world.Seed("impostor").Info()
	world.Network.Seeds[1] = peer.AddrInfo{ID: impostor.ID, Addrs: nodetest.Multiaddrs(t, stranger.Config.Listen[0])}
	seed, alice := world.Seed("seed").Start(), world.Device("alice").Start()
	alice.Knows(seed)
	if w := alice.Warning(); w != "" {
		t.Errorf("one seed is enough, and yet: %q", w)
	}
}

// TestVillage lets ten devices that know nothing but a seed write to each other, everybody to everybody.
func TestVillage(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Open)
	seed := world.Seed("seed").Start()
	var village []*nodetest.Device
	for i := range 10 {
		village = append(village, world.Device(fmt.Sprint("villager ", i)).Start())
	}
	seed.Knows(village...)
	var writing sync.WaitGroup
	for _, from := range village {
		from.Knows(seed)
		writing.Go(func() {
			for _, to := range village {
				if to != from {
					deliverAll(t, from, to, [][]byte{[]byte(from.Name + " to " + to.Name)})
				}
			}
		})
	}
	writing.Wait()
	for _, d := range village {
		if n := len(d.Inbox.Envelopes()); n != len(village)-1 {
			t.Errorf("%s has %d letters", d.Name, n)
		}
	}
}

// TestMoved finds Bob at another port than the one that Alice remembers, because the seed knows.
func TestMoved(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice, bob := world.Seed("seed").Start(), world.Device("alice").Start(), world.Device("bob").Start()
	alice.Knows(seed)
	alice.Learn(bob.ID(), bob.Config.Listen)
	deliverAll(t, alice, bob, letters(1))
	bob.Stop()
	alice.Stop()
	bob.Config.Listen = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", nodetest.FreePort(t))}
	bob.Config.Peers = nil // he has forgotten Alice, too
	bob.Start()
	seed.Knows(bob)
	alice.Start()
	alice.Knows(seed)
	deliverAll(t, alice, bob, letters(5))
	if got := bob.Inbox.Envelopes(); !slices.Equal(got, texts(letters(5))) {
		t.Errorf("Bob has %q", got)
	}
}

// TestSenderRestarts ends Alice in the middle of 1,000 envelopes and starts her again: she offers what she has no tag for.
func TestSenderRestarts(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	all := letters(1000)
	ctx, cancel := context.WithCancel(nodetest.Context(t))
	bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error { cancel(); return nil }
	bob.Stop()
	bob.Start()
	handed, err := alice.Deliver(ctx, bob.ID(), nil, nodetest.Letters(all...))
	if err == nil {
		t.Fatal("the end of the context went unnoticed")
	}
	alice.Stop()
	alice.Start()
	deliverAll(t, alice, bob, all[len(handed):])
	if !slices.Equal(bob.Inbox.Envelopes(), texts(all)) {
		t.Errorf("Bob has %d envelopes, or another order", len(bob.Inbox.Envelopes()))
	}
}

// TestSlowMessenger shows that a sender whose envelopes take long holds up nobody else.
func TestSlowMessenger(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob, carol := world.Device("alice").Start(), world.Device("bob"), world.Device("carol").Start()
	proceed := make(chan struct{})
	bob.Inbox.Before = func(_ context.Context, from peer.ID, _ [][]byte) error {
		if from == alice.ID() {
			<-proceed
		}
		return nil
	}
	bob.Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	carol.Learn(bob.ID(), bob.Config.Listen)
	delivered := make(chan struct{})
	go func() { defer close(delivered); deliverAll(t, alice, bob, [][]byte{[]byte("slow")}) }()
	deliverAll(t, carol, bob, letters(100))
	close(proceed)
	<-delivered
	if n := len(bob.Inbox.Envelopes()); n != 101 {
		t.Errorf("Bob has %d envelopes", n)
	}
}

// TestEndFinishesWhatItHolds ends Bob while his messenger holds a batch: it is acknowledged before he goes.
func TestEndFinishesWhatItHolds(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob := world.Device("alice").Start(), world.Device("bob")
	entered, proceed := make(chan struct{}), make(chan struct{})
	bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error { close(entered); <-proceed; return nil }
	bob.Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	type outcome struct {
		handed []node.Handed
		err    error
	}
	delivered := make(chan outcome, 1)
	go func() {
		handed, err := alice.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters([]byte("last")))
		delivered <- outcome{handed, err}
	}()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); bob.Stop() }()
	select {
	case <-stopped:
		t.Fatal("Bob ended while he held a batch")
	case <-time.After(50 * time.Millisecond):
	}
	close(proceed)
	<-stopped
	if o := <-delivered; o.err != nil || len(o.handed) != 1 {
		t.Errorf("%d acknowledged, %v", len(o.handed), o.err)
	}
}

// forgetful is a peer book that is away.
type forgetful struct{}

func (forgetful) Load(context.Context) ([]peer.AddrInfo, error) {
	return nil, errors.New("database is away")
}

func (forgetful) Save(context.Context, []peer.AddrInfo, time.Time) error {
	return errors.New("database is away")
}

// TestPeerBookAway goes on without what it cannot remember.
func TestPeerBookAway(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), world.Device("alice")
	alice.Config.Peers = forgetful{}
	alice.Start()
	alice.Knows(seed)
	deliverAll(t, alice, seed, letters(1))
	alice.Stop()
}

// TestLearnRubbish takes addresses from a stranger's record: what is none is skipped, and ourselves we know.
func TestLearnRubbish(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	alice.Learn("", []string{"/ip4/127.0.0.1/tcp/1"})
	alice.Learn(alice.ID(), []string{"/ip4/127.0.0.1/tcp/1"})
	alice.Learn(bob.ID(), []string{"", "rubbish", "/ip4/999.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1"})
	deliverAll(t, alice, bob, letters(1))
	alice.Stop()
	known, err := alice.Config.Peers.Load(t.Context())
	if err != nil || len(known) != 1 || known[0].ID != bob.ID() {
		t.Errorf("alice remembers %v, %v", known, err)
	}
}

// TestDeliverNothing hands over nothing at once, and refuses what no envelope is.
func TestDeliverNothing(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	if handed, err := alice.Deliver(nodetest.Context(t), bob.ID(), nil, nil); err != nil || len(handed) != 0 {
		t.Errorf("nothing: %v, %v", handed, err)
	}
	if _, err := alice.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters([]byte{})); err == nil {
		t.Error("an empty envelope was delivered")
	}
}

// TestUseAfterEnd answers everything after the end, and hangs on nothing.
func TestUseAfterEnd(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	deliverAll(t, alice, bob, letters(1))
	alice.Stop()
	if _, err := alice.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters(letters(1)...)); err == nil {
		t.Error("a node delivers after its end")
	}
	if _, err := alice.Lookup(nodetest.Context(t), nodetest.NoteKey(bob.Config.Key), bob.ID()); err == nil {
		t.Error("a node finds records after its end")
	}
	alice.Publish(nodetest.NoteKey(alice.Config.Key), nodetest.Note(alice.Config.Key, 1, "late"))
	alice.Learn(bob.ID(), bob.Config.Listen)
	if peers := alice.Peers(); len(peers) != 0 {
		t.Errorf("it has peers: %v", peers)
	}
	if err := alice.Close(); err != nil {
		t.Error(err)
	}
}

// TestInvalidPublication is not served to anybody.
func TestInvalidPublication(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	key := nodetest.NoteKey(bob.Config.Key)
	bob.Publish(key, []byte("rubbish"))
	if got, err := alice.Lookup(nodetest.Context(t), key, bob.ID()); err == nil {
		t.Errorf("alice found %q", got)
	}
}

// TestLogs reads every line that two nodes write at the most talkative level: no letter, no record and no network key is in it.
func TestLogs(t *testing.T) {
	const canary = "canary-5f1c"
	var lines bytes.Buffer
	var mu sync.Mutex
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), locked{&mu, &lines}, zap.DebugLevel)
	world := nodetest.NewWorld(t, nodetest.Private)
	alice, bob := world.Device("alice"), world.Device("bob")
	alice.Config.Logger, bob.Config.Logger = zap.New(core), zap.New(core)
	world.Seed("away")
	alice.Start()
	bob.Inbox.Before = func(context.Context, peer.ID, [][]byte) error { return errors.New("not now") }
	bob.Start()
	alice.Learn(bob.ID(), bob.Config.Listen)
	if _, err := alice.Deliver(nodetest.Context(t), bob.ID(), nil, nodetest.Letters([]byte(canary))); err == nil {
		t.Error("Bob took it")
	}
	bob.Publish(nodetest.NoteKey(bob.Config.Key), nodetest.Note(bob.Config.Key, 2, canary))
	bob.Publish(nodetest.NoteKey(bob.Config.Key), nodetest.Note(bob.Config.Key, 1, canary))
	bob.Publish(nodetest.NoteKey(alice.Config.Key), nodetest.Note(bob.Config.Key, 1, canary))
	nodetest.WaitFor(t, "a line about the seed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(lines.String(), "no answer from a seed")
	})
	alice.Stop()
	bob.Stop()
	psk := world.Network.PSK
	for _, secret := range []string{
		canary, string(psk), hex.EncodeToString(psk), base64.StdEncoding.EncodeToString(psk),
		hex.EncodeToString(alice.Config.Key[:ed25519.SeedSize]),
	} {
		if strings.Contains(lines.String(), secret) {
			t.Errorf("a secret is in the log:\n%s", lines.String())
		}
	}
}

// locked is a log that several nodes write to.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l locked) Sync() error { return nil }

// TestNobodyIsASeed has Carol make a network without serving it as a seed: Alice and Bob, who know only her, find each other's records
// and addresses through her.
func TestNobodyIsASeed(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	carol := world.Device("carol").Start()
	alice, bob := world.Device("alice"), world.Device("bob")
	for _, d := range []*nodetest.Device{alice, bob} {
		d.Config.Network.Seeds = []peer.AddrInfo{node.Place(carol.ID(), carol.Listening())}
		d.Start()
	}
	key, value := nodetest.NoteKey(bob.Config.Key), nodetest.Note(bob.Config.Key, 1, "bob is here")
	bob.Publish(key, value)
	nodetest.WaitFor(t, "bob's record", func() bool {
		got, err := alice.Lookup(nodetest.Context(t), key)
		return err == nil && bytes.Equal(got, value)
	})
	deliverAll(t, alice, bob, letters(3))
}

// TestConnectTwice connects again at once to a peer that has not said yet who it is: that must not cost the connection.
func TestConnectTwice(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	bob.Learn(alice.ID(), alice.Config.Listen) // both dial at once
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() { deliverAll(t, alice, bob, letters(1)) })
		callers.Go(func() { deliverAll(t, bob, alice, letters(1)) })
	}
	callers.Wait()
}
