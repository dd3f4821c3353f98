package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"parley/chat"
)

func TestClaim(t *testing.T) {
	alice, mallory := chat.AccountID{1}, chat.AccountID{2}
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		for range 2 { // the first time, and at every start after it
			if err := db.Claim(bg(), alice, "alice's phone"); err != nil {
				t.Fatal(err)
			}
		}
		toldAs(t, db.Claim(bg(), mallory, "mallory's phone"), chat.CodeConfig, "belongs to", alice.Short(), mallory.Short())
		toldAs(t, db.Claim(bg(), alice, "alice's laptop"), chat.CodeConfig, "another device", alice.Short())
		db.Close()

		again := open(t, url)
		toldAs(t, again.Claim(bg(), mallory, "mallory's phone"), chat.CodeConfig, alice.Short())
		if err := again.Claim(bg(), alice, "alice's phone"); err != nil {
			t.Error(err)
		}
	})
}

func TestClaimReadOnly(t *testing.T) {
	alice, mallory := chat.AccountID{1}, chat.AccountID{2}
	bothEngines(t, func(t *testing.T, url string) {
		look, err := Open(bg(), url, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer look.Close()
		if err := look.Claim(bg(), mallory, "mallory's phone"); err != nil {
			t.Errorf("of nobody's database: %v", err)
		}
		if err := open(t, url).Claim(bg(), alice, "alice's phone"); err != nil {
			t.Fatalf("after somebody has only looked: %v", err)
		}
		toldAs(t, look.Claim(bg(), mallory, "mallory's phone"), chat.CodeConfig, alice.Short())
	})
}

func TestPeers(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		peers := db.Peers()
		expect := func(what string, want ...peer.AddrInfo) {
			t.Helper()
			got, err := peers.Load(bg())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
				t.Errorf("%s:\n%s", what, diff)
			}
		}
		save := func(seen int64, infos ...peer.AddrInfo) {
			t.Helper()
			if err := peers.Save(bg(), infos, time.Unix(seen, 0)); err != nil {
				t.Fatal(err)
			}
		}
		seed := addrInfo("seed", "/ip4/192.0.2.1/tcp/4101", "/ip6/2001:db8::1/udp/4101/quic-v1")
		bob := addrInfo("bob", "/dns/bob.example/tcp/4101")
		expect("empty")
		save(1, seed)
		save(2, bob)
		expect("the latest first", bob, seed)
		save(3, addrInfo("seed"), addrInfo("nobody"))
		expect("without an address nothing changes", bob, seed)
		moved := addrInfo("seed", "/ip4/192.0.2.2/tcp/4101")
		save(4, moved)
		expect("moved", moved, bob)
		db.Close()
		peers = open(t, url).Peers()
		expect("after a restart", moved, bob)
	})
}

func TestPeersAreBounded(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		peers := open(t, url).Peers()
		var many []peer.AddrInfo
		for n := range MaxPeers {
			many = append(many, addrInfo(fmt.Sprintf("stranger %04d", n), "/ip4/192.0.2.1/tcp/4101"))
		}
		for seen, infos := range [][]peer.AddrInfo{many[:1], many, {addrInfo("bob", "/ip4/192.0.2.3/tcp/1")}} {
			if err := peers.Save(bg(), infos, time.Unix(int64(seen), 0)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := peers.Load(bg())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != MaxPeers || got[0].ID != "bob" {
			t.Errorf("%d peers are remembered, first %q; want %d, and bob", len(got), got[0].ID, MaxPeers)
		}
	})
}

// An address of a kind that a later release knows must not hide the others.
func TestPeersSkipsAddressesOfAnotherTime(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		err := db.update(bg(), func(tx *tx) error {
			_, err := tx.exec(peerPut, []byte("bob"), []byte("/warp/9\n/ip4/192.0.2.3/tcp/1"), 0)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := db.Peers().Load(bg())
		if err != nil || len(got) != 1 || fmt.Sprint(got[0].Addrs) != "[/ip4/192.0.2.3/tcp/1]" {
			t.Errorf("loaded %v, %v", got, err)
		}
	})
}

func addrInfo(id string, addrs ...string) peer.AddrInfo {
	info := peer.AddrInfo{ID: peer.ID(id)}
	for _, addr := range addrs {
		info.Addrs = append(info.Addrs, multiaddr.StringCast(addr))
	}
	return info
}
