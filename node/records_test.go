package node_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"parley/node"
	"parley/node/directory"
	"parley/node/nodetest"
)

// finds looks a device's note up until it is the wanted one.
func finds(t *testing.T, who, whose *nodetest.Device, want []byte) {
	t.Helper()
	key := nodetest.NoteKey(whose.Config.Key)
	nodetest.WaitFor(t, who.Name+" to find the note of "+whose.Name, func() bool {
		got, err := who.Lookup(nodetest.Context(t), key)
		return err == nil && bytes.Equal(got, want)
	})
}

// TestRecordThroughSeed publishes before there is a network, and finds the record when its owner is gone.
func TestRecordThroughSeed(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice, bob := world.Seed("seed"), world.Device("alice"), world.Device("bob").Start()
	first, second := nodetest.Note(bob.Config.Key, 1, "first"), nodetest.Note(bob.Config.Key, 2, "second")
	bob.Publish(nodetest.NoteKey(bob.Config.Key), first)
	seed.Start()
	alice.Start()
	finds(t, alice, bob, first)
	bob.Publish(nodetest.NoteKey(bob.Config.Key), second)
	finds(t, alice, bob, second)
	bob.Stop()
	alice.Stop()
	alice.Start() // remembers nothing of the record
	finds(t, alice, bob, second)
}

// TestRecordAgainAfterSeed restarts the seed, which has forgotten all records: Bob puts his there again by himself.
func TestRecordAgainAfterSeed(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Open)
	seed, bob := world.Seed("seed").Start(), world.Device("bob").Start()
	note := nodetest.Note(bob.Config.Key, 1, "hello")
	bob.Publish(nodetest.NoteKey(bob.Config.Key), note)
	bob.Knows(seed)
	seed.Stop()
	seed.Start()
	bob.Knows(seed)
	finds(t, seed, bob, note)
	bob.Stop()
	finds(t, world.Device("alice").Start(), bob, note)
}

// TestRecordWithoutServers asks the device itself, in a network that has no DHT server at all, and waits for none.
func TestRecordWithoutServers(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	note := nodetest.Note(bob.Config.Key, 1, "hello")
	bob.Publish(nodetest.NoteKey(bob.Config.Key), note)
	for _, step := range []string{"not connected", "connected"} {
		start := time.Now()
		got, err := alice.Lookup(nodetest.Context(t), nodetest.NoteKey(bob.Config.Key), bob.ID(), alice.ID(), "")
		if err != nil || !bytes.Equal(got, note) {
			t.Fatalf("%s: %q, %v", step, got, err)
		}
		if took := time.Since(start); took > node.TableWait {
			t.Errorf("%s: it took %s", step, took)
		}
	}
}

// TestRecordFromAnother gives Dave Bob's record from Alice, who has seen it, when Bob is away.
func TestRecordFromAnother(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	note := nodetest.Note(bob.Config.Key, 1, "hello")
	bob.Publish(nodetest.NoteKey(bob.Config.Key), note)
	if _, err := alice.Lookup(nodetest.Context(t), nodetest.NoteKey(bob.Config.Key), bob.ID()); err != nil {
		t.Fatal(err)
	}
	bobKey := nodetest.NoteKey(bob.Config.Key)
	bob.Stop()
	dave := alice.Neighbour("dave").Start() // who has never met Bob
	start := time.Now()
	dave.Learn(alice.ID(), alice.Config.Listen)
	got, err := dave.Lookup(nodetest.Context(t), bobKey, alice.ID(), nodetest.PeerID(t, bob.Config.Key))
	if err != nil || !bytes.Equal(got, note) {
		t.Fatalf("%q, %v", got, err)
	}
	if took := time.Since(start); took > node.DialTimeout {
		t.Errorf("a dead hint held it up for %s", took)
	}
}

// TestRecordOfOurs finds the newest record of a node's own, also where somebody else who has its key made it.
func TestRecordOfOurs(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), world.Device("alice").Start()
	alice.Knows(seed)
	key, here := nodetest.NoteKey(alice.Config.Key), nodetest.Note(alice.Config.Key, 5, "here")
	alice.Publish(key, here)
	finds(t, seed, alice, here)
	if got, err := alice.Lookup(nodetest.Context(t), key); err != nil || !bytes.Equal(got, here) {
		t.Errorf("nothing is newer: %q, %v", got, err)
	}
	elsewhere := nodetest.Note(alice.Config.Key, 6, "elsewhere")
	seed.Publish(key, elsewhere)
	if got, err := alice.Lookup(nodetest.Context(t), key); err != nil || !bytes.Equal(got, elsewhere) {
		t.Errorf("a newer one: %q, %v", got, err)
	}
}

// TestRecordBad lets Mallory publish what Bob has not signed, and Bob go back to an older record: nobody takes it.
func TestRecordBad(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice, bob := world.Seed("seed").Start(), world.Device("alice").Start(), world.Device("bob").Start()
	alice.Knows(seed)
	bob.Knows(seed)
	key, good := nodetest.NoteKey(bob.Config.Key), nodetest.Note(bob.Config.Key, 5, "good")
	bob.Publish(key, good)
	finds(t, alice, bob, good)

	mallory := world.Device("mallory")
	mallory.Config.Validators = nodetest.Gullible()
	mallory.Start()
	mallory.Knows(seed)
	forged := bytes.Replace(good, []byte("good"), []byte("evil"), 1)
	for name, bad := range map[string][]byte{
		"forged":    forged,
		"oversized": nodetest.Note(bob.Config.Key, 9, strings.Repeat("x", directory.MaxRecord)),
		"older":     nodetest.Note(bob.Config.Key, 4, "old"),
	} {
		mallory.Publish(key, bad)
		got, err := alice.Lookup(nodetest.Context(t), key, mallory.ID())
		if err != nil || !bytes.Equal(got, good) {
			t.Errorf("%s: alice has %q, %v", name, got, err)
		}
		newcomer := alice.Neighbour("newcomer").Start()
		newcomer.Knows(seed)
		if got, err := newcomer.Lookup(nodetest.Context(t), key, mallory.ID(), bob.ID()); err != nil || !bytes.Equal(got, good) {
			t.Errorf("%s: a newcomer has %q, %v", name, got, err)
		}
		newcomer.Stop()
	}
}

// TestRecordUnknown says that nobody has it, and does not take for ever.
func TestRecordUnknown(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	seed, alice := world.Seed("seed").Start(), world.Device("alice").Start()
	alice.Knows(seed)
	stranger := world.Device("stranger")
	start := time.Now()
	_, err := alice.Lookup(nodetest.Context(t), nodetest.NoteKey(stranger.Config.Key), nodetest.PeerID(t, stranger.Config.Key))
	if !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
