package chat_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
	"parley/chat/chattest"
)

// linkKey returns the network's key in an invite that somebody makes now.
func linkKey(t *testing.T, p *chattest.Person) []byte {
	t.Helper()
	link, err := p.Invite(t.Context(), chat.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	invite, err := chat.ParseInvite(link.Link)
	if err != nil {
		t.Fatal(err)
	}
	return invite.Network.PSK
}

// Alice made the network. Her invites carry the new key from the moment on when she has changed it, and she can do it once at a time.
func TestTheNetworksKeyIsChanged(t *testing.T) {
	alice := chattest.NewScene(t, 1).Person("Alice", chattest.NewMemStore())
	alice.Town.Meet(chat.MemberDevice{Device: peer.ID("bob"), Account: [32]byte{7}, Invite: [8]byte{1}})
	before := linkKey(t, alice)
	if k, err := alice.KeyRotation(t.Context()); err != nil || !k.Private || !k.Own || !k.Made.IsZero() {
		t.Errorf("before: %+v, %v", k, err)
	}
	for _, grace := range []time.Duration{-1, chat.MinKeyGrace - 1, chat.MaxKeyGrace + 1} {
		if _, err := alice.RotateKey(t.Context(), grace); chat.CodeOf(err) != chat.CodeInvalid {
			t.Errorf("a grace of %v: %v", grace, err)
		}
	}
	if _, err := alice.EndKeyGrace(t.Context()); chat.CodeOf(err) != chat.CodeRefused {
		t.Errorf("the end of no grace: %v", err)
	}
	k, err := alice.RotateKey(t.Context(), 0)
	if err != nil || len(k.Followed) != 1 || !k.Followed[0].Self || k.Followed[0].Name != "Alice" || len(k.Behind) != 1 || !k.Grace(time.Now().Add(chat.KeyGrace-time.Minute)) {
		t.Fatalf("changed: %+v, %v", k, err)
	}
	after := linkKey(t, alice)
	if len(before) != 32 || len(after) != 32 || bytes.Equal(before, after) {
		t.Error("the invites have one key")
	}
	var e *chat.Error
	if _, err := alice.RotateKey(t.Context(), time.Hour); !errors.As(err, &e) || e.Code != chat.CodeRefused || e.Try != "parley net rotate-key --now" {
		t.Errorf("twice: %v", err)
	}
	if k, err := alice.EndKeyGrace(t.Context()); err != nil || k.Grace(time.Now()) {
		t.Errorf("ended: %+v, %v", k, err)
	}
	if all, err := alice.Invites(t.Context()); err != nil || len(all) != 2 || all[0].State != chat.InviteOutdated || all[1].State != chat.InviteOpen {
		t.Errorf("the invites with either key: %+v, %v", all, err)
	}
	alice.Town.Refuses = errors.New("no space for a key")
	if _, err := alice.RotateKey(t.Context(), time.Hour); chat.CodeOf(err) != chat.CodeRefused || !bytes.Equal(linkKeyOf(alice), after) {
		t.Errorf("where it cannot be kept: %v", err)
	}
}

func linkKeyOf(p *chattest.Person) []byte { return p.Town.NetworkKey() }

// Who has not made the network is told who has, and where there is no key there is nothing to change.
func TestWhoMayChangeTheNetworksKey(t *testing.T) {
	scene := chattest.NewScene(t, 1)
	alice, bob := scene.Person("Alice", chattest.NewMemStore()), scene.Person("Bob", chattest.NewMemStore())
	bob.Town = chattest.NewMembers(alice.Identity)
	bob.Town.Meet(chat.MemberDevice{Device: bob.Identity.Device(), Account: bob.Identity.Account(), Invite: [8]byte{1}})
	bob.Start(nil)
	defer bob.Stop()
	for name, do := range map[string]func() (chat.KeyRotation, error){
		"changes it": func() (chat.KeyRotation, error) { return bob.RotateKey(t.Context(), time.Hour) },
		"ends it":    func() (chat.KeyRotation, error) { return bob.EndKeyGrace(t.Context()) },
	} {
		if _, err := do(); chat.CodeOf(err) != chat.CodeRefused || !strings.HasSuffix(err.Error(), "it is one of "+alice.Identity.Account().Short()) {
			t.Errorf("Bob %s: %v", name, err)
		}
	}
	reader := chat.New(chat.Config{Identity: alice.Identity, Network: chat.Network{Name: "open"}, Store: chattest.NewMemStore()})
	if _, err := reader.RotateKey(t.Context(), time.Hour); chat.CodeOf(err) != chat.CodeRefused || !strings.Contains(err.Error(), "no pre-shared key") {
		t.Errorf("without a key: %v", err)
	}
}

// A member that comes too late is told what helps, in place of what its node says.
func TestLateForTheKey(t *testing.T) {
	for _, joined := range []bool{true, false} {
		p := chattest.NewScene(t, 1).Person("Dave", chattest.NewMemStore())
		m := chat.New(chat.Config{Identity: p.Identity, Store: p.Store, Keys: p.Keys, Health: func() chat.Health {
			return chat.Health{Joined: joined, OtherKey: true, Trouble: "no seed answers"}
		}})
		s, err := m.Status(t.Context())
		if err != nil || !s.Network.OtherKey || strings.HasSuffix(s.Trouble, "and join with it") != joined {
			t.Errorf("joined %v: %q, %v", joined, s.Trouble, err)
		}
	}
}
