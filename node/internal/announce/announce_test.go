package announce

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// device returns a key, and the id that goes with it.
func device(t *testing.T, seed byte) (ed25519.PrivateKey, string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return key, id.String()
}

// A node that can be dialled is announced in every form in which people write that.
func TestWhatOthersCanDialIsAnnounced(t *testing.T) {
	key, id := device(t, 'a')
	for _, s := range []string{
		"/ip4/5.9.1.1/tcp/4101", "/ip4/5.9.1.1/tcp/1", "/ip4/5.9.1.1/tcp/65535", "/ip6/2a01:4f8::1/tcp/4101", "/ip4/192.168.1.2/tcp/4101", "/ip6/fd00::1/tcp/4101",
		"/dns/seed.example.org/tcp/4101", "/dns4/seed.example.org/tcp/4101", "/dns6/seed.example.org/tcp/4101", "/dns/a_b-C9.example.org./tcp/4101", "/dns/localhost/tcp/4101",
		"/ip4/5.9.1.1/tcp/4101/ws", "/dns/example.org/tcp/443/wss", "/dns/example.org/tcp/443/tls/ws", "/dns/example.org/tcp/443/tls/sni/example.org/ws",
		"/dns/" + strings.Repeat(strings.Repeat("n", 49)+".", 5)[:249] + ".org/tcp/4101",
	} {
		for _, end := range []string{"", "/p2p/" + id} {
			addrs, bad, why := Check([]string{s + end}, key, true)
			if why != "" || len(addrs) != 1 || addrs[0].String() != s {
				t.Errorf("%s%s became %v; %q: %s", s, end, addrs, bad, why)
			}
		}
	}
	if addrs, _, why := Check([]string{"/ip4/5.9.1.1/udp/4101/quic-v1"}, key, false); why != "" || len(addrs) != 1 {
		t.Errorf("QUIC in a network without a pre-shared key: %s", why)
	}
	if addrs, _, why := Check(nil, key, true); why != "" || len(addrs) != 0 {
		t.Errorf("nothing became %v: %s", addrs, why)
	}
}

// Whoever tells others of an address that nobody can dial hears which it is, and why: also where another one is good.
func TestWhatNobodyCanDialIsNotAnnounced(t *testing.T) {
	key, id := device(t, 'a')
	_, other := device(t, 'b')
	const good = "/ip4/5.9.1.1/tcp/4101"
	for s, want := range map[string]string{
		"": "not a multiaddr", "example.org:4101": "not a multiaddr", "/dns/example.org/tcp/70000": "not a multiaddr",
		"/ip4/1.2.3.4": "no port", "/dns/example.org": "no port", "/ip4/1.2.3.4/tcp/0": "port 0", "/ip4/1.2.3.4/udp/0/quic-v1": "port 0",
		"/ip4/0.0.0.0/tcp/4101": "every address", "/ip6/::/tcp/4101": "every address", "/ip6/::ffff:0.0.0.0/tcp/4101": "every address", "/dns/0.0.0.0/tcp/4101": "every address",
		"/ip4/127.0.0.1/tcp/4101": "this machine alone", "/ip6/::1/tcp/4101": "this machine alone", "/ip6/::ffff:127.0.0.1/tcp/4101": "this machine alone",
		"/dns/127.1.2.3/tcp/4101": "this machine alone", "/ip6/fe80::1/tcp/4101": "every link", "/ip4/224.0.0.1/tcp/4101": "single machine",
		"/ip4/255.255.255.255/tcp/4101": "single machine", "/ip4/1.2.3.4/udp/4101/quic-v1": "QUIC cannot be used", "/ip4/1.2.3.4/udp/4101": "behind the host",
		"/dns/foo bar/tcp/4101": "a name has letters", "/dns/a\x1b[2Jb/tcp/4101": "a name has letters", "/dns/a\nb/tcp/4101": "a name has letters",
		"/dns/bücher.example/tcp/4101": "a name has letters", "/dns/example.org/tcp/443/tls/sni/a\x1bb/ws": "a name has letters", "/dns/a..b/tcp/4101": "empty",
		"/dns/./tcp/4101": "empty", "/dns/" + strings.Repeat("n", 64) + "/tcp/4101": "longer than 63", "/dns/" + strings.Repeat("n.", 127) + "/tcp/4101": "longer than 253",
		good + "/p2p-circuit": "behind the host", good + "/p2p/" + id + "/p2p-circuit": "behind the host", good + "/p2p/" + other: "another device", good + "/https": "behind the host",
		good + "/ws" + good: "behind the host", good + "/p2p/" + id + "/p2p/" + id: "behind the host", "/p2p/" + id: "begin with", "/dnsaddr/example.org": "begin with",
		"/ip6zone/eth0/ip6/fe80::1/tcp/4101": "begin with", "/unix/tmp/socket": "begin with", "/tcp/4101": "begin with",
	} {
		addrs, bad, why := Check([]string{good, s}, key, true)
		if addrs != nil || bad != s || !strings.Contains(why, want) || strings.ContainsAny(why, "\n\x1b") {
			t.Errorf("%q: %v, %q, %q; want %q", s, addrs, bad, why, want)
		}
	}
}

// A name that every machine has for itself may be announced, for trials, and is no proof that others get here.
func TestLocalhostIsNotElsewhere(t *testing.T) {
	for s, elsewhere := range map[string]bool{
		"/ip4/5.9.1.1/tcp/4101": true, "/dns/example.org/tcp/4101": true, "/dns/localhost.example.org/tcp/4101": true,
		"/dns/localhost/tcp/4101": false, "/dns4/LocalHost./tcp/4101": false, "/dns6/seed.localhost/tcp/443/wss": false,
	} {
		if got := Elsewhere(ma.StringCast(s)); got != elsewhere {
			t.Errorf("%s: %v", s, got)
		}
	}
}
