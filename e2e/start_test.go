package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api"
)

const (
	// coldStart is the longest time from the start of three processes to the first message that was delivered between two of them.
	coldStart = slowness * 10 * time.Second
	// stopTime is less than a node waits for what is under way when it ends, and more than it takes where nothing is.
	stopTime = 4 * time.Second
)

// invited returns a seed, Alice and Bob who have homes and invites: Alice has joined with the seed's, and Bob holds Alice's, and has met
// nobody. None of the three runs.
func (w *world) invited(engine func(testing.TB) string) (seed, alice, bob *person) {
	w.Helper()
	seed, alice, bob = w.person("Seed"), w.person("Alice"), w.person("Bob")
	alice.database, bob.database = engine(w), engine(w)
	seed.options = []string{"--seed"}
	seed.ok("init", "--name", seed.name, "--network", "home", "--no-passphrase")
	seed.start()
	alice.joins(seed.invite())
	seed.node.stop()
	bob.joins(alice.invite())
	return seed, alice, bob
}

func TestFirstMessageIsDeliveredWithinTenSecondsOfAColdStart(t *testing.T) {
	for name, engine := range engines() {
		t.Run(name, func(t *testing.T) {
			runs := 20
			if testing.Short() {
				runs = 3
			}
			took := make([]time.Duration, runs)
			for i := range took {
				t.Run(fmt.Sprint(i+1), func(t *testing.T) { took[i] = firstDelivery(t, engine) })
			}
			slices.Sort(took)
			t.Logf("from a cold start to the first delivered message: p50 %v, max %v in %d runs",
				took[runs/2].Round(time.Millisecond), took[runs-1].Round(time.Millisecond), runs)
		})
	}
}

// firstDelivery starts three processes at once and returns when Bob's first message to Alice was delivered.
func firstDelivery(t testing.TB, engine func(testing.TB) string) time.Duration {
	t.Helper()
	seed, alice, bob := newWorld(t).invited(engine)
	begin := time.Now()
	for _, p := range []*person{seed, alice, bob} {
		p.up()
	}
	bob.node.says(bob.node.stderr, "parley: ready")
	bob.ok("send", "alice", "hello", "--wait", "delivered", "--timeout", "60s")
	took := time.Since(begin)
	if took > coldStart {
		t.Errorf("the first message was delivered after %v", took)
	}
	return took
}

func TestNodesFindEachOtherInWhateverOrderTheyStart(t *testing.T) {
	for _, order := range []string{"Seed Alice Bob", "Seed Bob Alice", "Alice Seed Bob", "Alice Bob Seed", "Bob Seed Alice", "Bob Alice Seed"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			seed, alice, bob := newWorld(t).invited(engines()["sqlite"])
			people := map[string]*person{"Seed": seed, "Alice": alice, "Bob": bob}
			for _, name := range strings.Fields(order) {
				people[name].start()
			}
			bob.ok("send", "alice", "hello", "--wait", "delivered")
			alice.ok("send", "bob", "hello yourself", "--wait", "delivered")
		})
	}
}

// Carol and Dave know the same network, and of each other only what one link says.
func TestContactAddedBeforeTheOtherWasEverOnlineGetsTheMessageLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.seed()
	carol, dave := w.person("Carol"), w.person("Dave")
	carol.joins(seed.invite()).start()
	dave.joins(seed.invite())
	carol.ok("contact", "add", dave.ok("contact", "link"), "--as", "dave")
	carol.ok("send", "dave", "are you there?")
	if queued := *carol.status().Queued; queued == 0 {
		t.Error("nothing waits for Dave, who was never online")
	}
	dave.start()
	dave.accepts("Carol")
	got := messages(t, dave.ok("recv", "--json", "--max", "1", "--timeout", "60s"))
	if said := texts(got); !slices.Equal(said, []string{"are you there?"}) {
		t.Fatalf("Dave got %q", said)
	}
	dave.ok("send", "carol", "now I am", "--wait", "delivered")
}

func TestCrossingAddsBecomeOneContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.seed()
	carol, dave := w.person("Carol"), w.person("Dave")
	carol.joins(seed.invite()).start()
	dave.joins(seed.invite()).start()
	carolsLink, davesLink := carol.ok("contact", "link"), dave.ok("contact", "link")
	carol.ok("contact", "add", davesLink)
	dave.ok("contact", "add", carolsLink)
	carol.ok("send", "dave", "one", "--wait", "delivered")
	dave.ok("send", "carol", "two", "--wait", "delivered")
	for p, other := range map[*person]string{carol: "Dave", dave: "Carol"} {
		if list := p.ok("contact", "list", "--json"); strings.Count(list, `"name":"`) != 2 || strings.Count(list, `"name":"`+other) != 1 {
			t.Errorf("%s knows %s, want the seed and %s once", p.name, list, other)
		}
	}
}

func TestAliceAndBobFindEachOtherAgainWithTheSeedGone(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine func(testing.TB) string) {
		seed, alice, bob := newWorld(t).aliceAndBob(engine)
		bob.ok("send", "alice", "the first", "--wait", "delivered")
		for _, p := range []*person{seed, alice, bob} {
			p.node.stop()
		}
		alice.start()
		bob.start()
		bob.ok("send", "alice", "without a seed", "--wait", "delivered")
		alice.ok("send", "bob", "who needs one", "--wait", "delivered")
		said := texts(messages(t, alice.ok("history", "bob", "--json")))
		if want := []string{"the first", "without a seed", "who needs one"}; !slices.Equal(said, want) {
			t.Errorf("Alice's history is %q, want %q", said, want)
		}
	})
}

// Alice is told that Bob has used her invite, before a node of his has ever run, and Bob's second attempt tells her nothing new.
func TestWhoHasInvitedIsToldOfIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.seed()
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.joins(seed.invite()).start()
	bob.joins(alice.invite())
	client, err := api.Dial(filepath.Join(alice.home, "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	used := func(until func(chat.Entry) bool) (accounts []string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		enough := errors.New("enough")
		err := client.Follow(ctx, 0, func(e chat.Entry) error {
			if e.Type == chat.EventInviteUsed {
				accounts = append(accounts, e.Account.String())
			}
			if until(e) {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatalf("she is told of %v: %v", accounts, err)
		}
		return accounts
	}
	if accounts := used(func(e chat.Entry) bool { return e.Type == chat.EventInviteUsed }); !strings.Contains(bob.ok("whoami", "--json"), accounts[0]) {
		t.Errorf("%v has used it, and not Bob", accounts)
	}
	bob.start()
	alice.knows("Bob")
	st, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if accounts := used(func(e chat.Entry) bool { return e.Seq >= st.LastEvent }); len(accounts) != 1 {
		t.Errorf("it is told %d times", len(accounts))
	}
}

func TestNetworkWithoutAPreSharedKeySpeaksQUIC(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.quic, bob.quic = true, true
	alice.options = []string{"--seed"}
	alice.ok("init", "--name", "Alice", "--no-psk", "--no-passphrase")
	alice.start()
	bob.joins(alice.invite()).start()
	bob.ok("send", "alice", "hello", "--wait", "delivered")
	if peers := bob.ok("peers"); !strings.Contains(peers, "/quic-v1") {
		t.Errorf("Bob's peers are %s", peers)
	}
	alice.node.stop()
	alice.start()
	bob.ok("send", "alice", "hello again", "--wait", "delivered")
}

func TestInitWithoutASeedSaysSoAndUpKeepsTrying(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.seed()
	link := seed.invite()
	seed.node.stop()

	alice := w.person("Alice")
	said := alice.ok("init", "--name", "Alice", "--join", link, "--no-passphrase", "-y")
	if !strings.Contains(said, "Not joined yet: ") {
		t.Errorf("init says %q", said)
	}
	node := alice.start()
	node.says(node.stderr, "parley: not joined home ")
	if s := alice.status(); !s.Ready || s.Network.Joined {
		t.Errorf("the node is %+v", s)
	}
	seed.start()
	node.says(node.stderr, "parley: joined home ")
	alice.ok("send", "seed", "here I am", "--wait", "delivered")
}

// An invite from before the network's key was changed, say.
func TestInviteWithAnotherKeyDoesNotJoinAndSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	invite, err := chat.ParseInvite(w.seed().invite())
	if err != nil {
		t.Fatal(err)
	}
	invite.Network.PSK[0] ^= 1
	mallory := w.person("Mallory")
	said := mallory.ok("init", "--name", "Mallory", "--join", invite.String(), "--no-passphrase", "-y")
	if !strings.Contains(said, "Not joined yet: ") || !strings.Contains(said, "network key") {
		t.Errorf("init says %q", said)
	}
	node := mallory.start()
	node.says(node.stderr, "parley: not joined home ")
	if s := mallory.status(); s.Network.Joined || s.Trouble == "" {
		t.Errorf("the node is %+v", s)
	}
}

func TestNodeWithNothingInFlightWaitsForNothingAtItsEnd(t *testing.T) {
	seed, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	bob.ok("send", "alice", "hello", "--wait", "delivered")
	for _, p := range []*person{alice, bob, seed} {
		if code, took := p.node.stop(); code != 0 || took > stopTime {
			t.Errorf("%s ended with %d after %v", p.name, code, took)
		}
	}
}

// Who asks libp2p for private networks alone gets what they ask for: a network with a key works, and one without is refused, with the reason.
func TestPrivateNetworksAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
	for _, p := range []*person{alice, bob, carol} {
		p.environ = []string{"LIBP2P_FORCE_PNET=1"}
	}
	alice.ok("init", "--name", "Alice", "--network", "home", "--no-passphrase")
	alice.start()
	bob.joins(alice.invite()).start()
	bob.knows("Alice")
	bob.ok("send", "alice", "hello", "--wait", "delivered")
	carol.ok("init", "--name", "Carol", "--network", "open", "--no-psk", "--no-passphrase")
	if r := carol.fails(1, "up", "--no-mdns"); !strings.Contains(r.stderr, "LIBP2P_FORCE_PNET=1 asks for") {
		t.Error(r)
	}
}
