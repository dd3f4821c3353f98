package home

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
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

// An invite's key is tried, and nothing is kept that nobody has told the home: not the key in the link, and not its seeds. Its seeds come first, none twice, and
// no more than a node takes.
func TestAnInvitesKeyIsTried(t *testing.T) {
	h := created(t, alice(t))
	signed := "signed"
	if err := h.SaveKey([32]byte{1}, []byte(signed)); err != nil {
		t.Fatal(err)
	}
	invite := chat.Invite{Network: h.Network().Network, Seeds: []chat.Seed{{Device: somebody(t)}}}
	invite.Network.PSK = bytes.Repeat([]byte{2}, 32)
	first := invite.Seeds[0].Device
	for i := range 20 {
		invite.Seeds = append(invite.Seeds[:1:1], chat.Seed{Device: somebody(t)})
		tried := h.WithKey(invite)
		if n := tried.Network(); !bytes.Equal(n.PSK, invite.Network.PSK) || string(n.Rotation) != signed || n.Seeds[0].Device != first || len(n.Seeds) > 16 {
			t.Fatalf("tried: %v with %d seeds", n.Network, len(n.Seeds))
		}
		unchanged := func(what string) {
			t.Helper()
			again, err := Open(h.Dir())
			if n := again.Network(); err != nil || !bytes.Equal(n.PSK, h.Network().PSK) || string(n.Rotation) != signed || len(n.Seeds) != len(h.Network().Seeds) {
				t.Fatalf("%s: it is kept: %v", what, err)
			}
		}
		if newer, err := tried.Keep(); newer || err != nil {
			t.Fatalf("nobody has told it a key: %v, %v", newer, err)
		}
		unchanged("a key of the link alone")
		told := [32]byte{byte(3 + i)}
		if err := tried.SaveKey(told, []byte(signed+"!")); err != nil {
			t.Fatal(err)
		}
		unchanged("a key before the trial is over")
		if newer, err := tried.Keep(); !newer || err != nil {
			t.Fatalf("what it was told: %v, %v", newer, err)
		}
		var err error
		if h, err = Open(h.Dir()); err != nil || !bytes.Equal(h.Network().PSK, told[:]) || string(h.Network().Rotation) != signed+"!" {
			t.Fatalf("what it was told is not kept: %v", err)
		}
		signed += "!"
	}
	if n := h.Network(); len(n.Seeds) != 16 {
		t.Errorf("%d seeds in the end", len(n.Seeds))
	}
}

// Seeds that have moved are kept of an invite with the home's own key, in front of those that the home knew.
func TestAnInvitesSeedsAreKept(t *testing.T) {
	h := created(t, alice(t))
	known, moved := chat.Seed{Device: somebody(t), Addrs: []string{"/ip4/5.0.0.1/tcp/4101"}}, chat.Seed{Device: somebody(t), Addrs: []string{"/ip4/5.0.0.2/tcp/4101"}}
	for _, seeds := range [][]chat.Seed{{known, moved}, {{Device: moved.Device, Addrs: []string{"/ip4/5.0.0.3/tcp/4101"}}}} {
		invite := chat.Invite{Network: h.Network().Network, Seeds: seeds}
		if kept, err := h.WithKey(invite).Keep(); !kept || err != nil {
			t.Fatalf("it keeps nothing: %v", err)
		}
		var err error
		if h, err = Open(h.Dir()); err != nil || !reflect.DeepEqual(h.Network().Seeds[:len(seeds)], seeds) || len(h.Network().Seeds) != 2 {
			t.Errorf("after %v: %v, %v", seeds, h.Network().Seeds, err)
		}
	}
	if _, invited := h.Join(); invited {
		t.Error("who made the network is invited now")
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
