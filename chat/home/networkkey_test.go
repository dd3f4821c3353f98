package home

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// The key is replaced as a whole, with what it came with, and nobody else of this machine can read it.
func TestANewNetworkKeyIsKept(t *testing.T) {
	h := created(t, alice(t))
	before := h.Network()
	key, rotation := [32]byte{7}, []byte("signed")
	if err := h.SaveKey(key, rotation); err != nil {
		t.Fatal(err)
	}
	again, err := Open(h.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []Network{h.Network(), again.Network()} {
		if !bytes.Equal(n.PSK, key[:]) || !bytes.Equal(n.Rotation, rotation) || n.ID != before.ID || n.Name != before.Name || len(n.Seeds) != len(before.Seeds) {
			t.Errorf("the network is %v, with %q", n.Network, n.Rotation)
		}
	}
	info, err := os.Stat(filepath.Join(h.Dir(), "network.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
}

// Where it cannot be written, nothing changes: not in the process, and not for the next.
func TestANewNetworkKeyThatDoesNotFit(t *testing.T) {
	h := created(t, alice(t))
	before := h.Network()
	if err := os.Mkdir(filepath.Join(h.Dir(), "network.json.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.SaveKey([32]byte{7}, nil); err == nil {
		t.Fatal("it was kept")
	}
	again, err := Open(h.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.Network().PSK, before.PSK) || !bytes.Equal(again.Network().PSK, before.PSK) {
		t.Error("the key has changed")
	}
}

// A crash that left half of the new file is no harm.
func TestHalfANetworkKey(t *testing.T) {
	h := created(t, alice(t))
	if err := os.WriteFile(filepath.Join(h.Dir(), "network.json.new"), []byte(`{"name":"ho`), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(h.Dir())
	if err != nil || !bytes.Equal(again.Network().PSK, h.Network().PSK) {
		t.Errorf("it does not open: %v", err)
	}
	if err := again.SaveKey([32]byte{7}, nil); err != nil {
		t.Error(err)
	}
}

// An invite's key is tried before it is kept. Its seeds come first, none twice, and no more than a node takes.
func TestAnInvitesKeyIsTried(t *testing.T) {
	h := created(t, alice(t))
	if err := h.SaveKey([32]byte{1}, []byte("signed")); err != nil {
		t.Fatal(err)
	}
	invite := chat.Invite{Network: h.Network().Network, Seeds: []chat.Seed{{Device: somebody(t)}}}
	invite.Network.PSK = bytes.Repeat([]byte{2}, 32)
	first := invite.Seeds[0].Device
	for i := range 20 {
		invite.Seeds = append(invite.Seeds[:1:1], chat.Seed{Device: somebody(t)})
		tried := h.WithKey(invite)
		if n := tried.Network(); !bytes.Equal(n.PSK, invite.Network.PSK) || n.Rotation != nil || n.Seeds[0].Device != first || len(n.Seeds) > 16 {
			t.Fatalf("tried: %v with %d seeds", n.Network, len(n.Seeds))
		}
		again, err := Open(h.Dir())
		if err != nil || i == 0 && (again.Network().PSK[0] != 1 || again.Network().Rotation == nil) {
			t.Fatalf("it was kept before it was tried: %v", err)
		}
		if err := tried.KeepKey(); err != nil {
			t.Fatal(err)
		}
		h = tried
	}
	if n := h.Network(); len(n.Seeds) != 16 {
		t.Errorf("%d seeds in the end", len(n.Seeds))
	}
}

func somebody(t *testing.T) peer.ID {
	t.Helper()
	id, err := chat.NewIdentity("phone")
	if err != nil {
		t.Fatal(err)
	}
	return id.Device()
}
