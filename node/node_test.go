package node_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/chat"
	"parley/chat/chattest"
	"parley/node"
	"parley/node/direct"
	"parley/node/nodetest"
)

var (
	_ chat.Transport = (*node.Node)(nil)
	_ chat.Directory = (*node.Node)(nil)
)

// TestMaxEnvelope keeps the two sides of the seam together: they cannot name each other's constant.
func TestMaxEnvelope(t *testing.T) {
	if direct.MaxEnvelope != chat.MaxEnvelope {
		t.Errorf("direct.MaxEnvelope is %d, chat.MaxEnvelope %d: an envelope that chat makes must be one that node carries",
			direct.MaxEnvelope, chat.MaxEnvelope)
	}
}

// TestMeetThroughSeed starts a seed, Alice and Bob in every order. Alice knows nothing of Bob but his id.
func TestMeetThroughSeed(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for _, kind := range []nodetest.Kind{nodetest.Private, nodetest.Open} {
		for _, order := range orders {
			t.Run(fmt.Sprintf("private=%v order=%v", kind, order), func(t *testing.T) {
				t.Parallel()
				world := nodetest.NewWorld(t, kind)
				devices := []*nodetest.Device{world.Seed("seed"), world.Device("alice"), world.Device("bob")}
				for _, i := range order {
					devices[i].Start()
				}
				alice, bob := devices[1], devices[2]
				devices[0].Knows(alice, bob)
				alice.Knows(devices[0])
				bob.Knows(devices[0])
				send(t, alice, bob, "hello")
				send(t, bob, alice, "hello yourself")
				if !alice.Joined() || alice.SeedsConnected() != 1 || alice.Warning() != "" {
					t.Errorf("alice: joined %v, %d seeds, warning %q", alice.Joined(), alice.SeedsConnected(), alice.Warning())
				}
			})
		}
	}
}

// send delivers one envelope and fails the test when it does not arrive.
func send(t *testing.T, from, to *nodetest.Device, text string) {
	t.Helper()
	handed, err := from.Deliver(nodetest.Context(t), to.ID(), nil, nodetest.Letters([]byte(text)))
	if err != nil {
		t.Fatalf("%s to %s: %v", from.Name, to.Name, err)
	}
	if len(handed) != 1 || handed[0].Route == chat.RouteMailbox || !handed[0].Acked {
		t.Fatalf("%s to %s: handed %+v", from.Name, to.Name, handed)
	}
	if !slices.Contains(to.Inbox.Envelopes(), text) {
		t.Fatalf("%s has not got %q", to.Name, text)
	}
}

// TestMessengers lets two real messengers seal, open and acknowledge over real nodes. Alice knows of Bob what is in his link.
func TestMessengers(t *testing.T) {
	world := nodetest.NewWorld(t, nodetest.Private)
	network := chat.Network{Name: "home", ID: world.Network.ID, PSK: world.Network.PSK}
	alice, bob := messenger(t, world, network, "alice"), messenger(t, world, network, "bob")
	link, err := bob.ContactLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	contact, err := alice.AddContact(t.Context(), link.Link, "bob")
	if err != nil {
		t.Fatal(err)
	}
	alices, err := alice.ContactLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AddContact(t.Context(), alices.Link, "alice"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		m, err := alice.Send(t.Context(), chat.Draft{Conversation: contact.Conversation, Text: fmt.Sprint("letter ", i)})
		if err != nil {
			t.Fatal(err)
		}
		if m, err = alice.Wait(nodetest.Context(t), m.ID, chat.StateDelivered); err != nil {
			t.Fatalf("letter %d is %s, %v", i, m.State, err)
		}
	}
	got, err := bob.Unread(t.Context(), contact.Conversation, 20)
	if err != nil || len(got) != 10 || got[9].Text != "letter 9" {
		t.Errorf("Bob has %d letters, %v", len(got), err)
	}
}

// messenger starts a device with a messenger that runs until the end of the test.
func messenger(t *testing.T, world *nodetest.World, network chat.Network, name string) *chat.Messenger {
	t.Helper()
	identity, err := chat.NewIdentity(name)
	if err != nil {
		t.Fatal(err)
	}
	device := world.Device(name)
	device.Become(identity.DeviceKey())
	device.Config.Validators = chat.Validators()
	keys, err := chattest.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	m := chat.New(chat.Config{
		Identity: identity, Name: name, Network: network, Store: chattest.NewMemStore(), Keys: keys, Transport: device, Directory: device,
	})
	if err := m.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	device.Messenger = m
	device.Start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s's messenger ended: %v", name, err)
		}
	})
	return m
}

// TestEnd checks that a node that has nothing under way does not sit out its grace when it ends, and leaves no goroutine.
func TestEnd(t *testing.T) {
	before := goleak.IgnoreCurrent()
	world := nodetest.NewWorld(t, nodetest.Open)
	seed, alice, bob := world.Seed("seed").Start(), world.Device("alice").Start(), world.Device("bob").Start()
	seed.Knows(alice, bob)
	alice.Knows(seed)
	bob.Knows(seed)
	send(t, alice, bob, "hello")
	for _, d := range []*nodetest.Device{alice, seed, bob} {
		start := time.Now()
		d.Stop()
		if took := time.Since(start); took > node.ShutdownGrace {
			t.Errorf("%s took %s to end", d.Name, took)
		}
	}
	goleak.VerifyNone(t, before)
}
