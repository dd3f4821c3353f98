// Package announce judges the addresses that somebody tells others to reach a node at. Nobody finds out by trying them whether they are any good: the node would
// vouch for them. So whatever others cannot dial for sure is refused by [Check].
package announce

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// maxName is how long a name may be in the DNS, in bytes.
	maxName = 253
	// maxLabel is how long each part of it may be.
	maxLabel = 63
)

// forms are what may stand behind the host of an address. (QUIC is in networks without a pre-shared key only.)
func forms() []string {
	return []string{"/tcp", "/tcp/ws", "/tcp/wss", "/tcp/tls/ws", "/tcp/tls/sni/ws", "/udp/quic-v1"}
}

// Check parses addresses of the node with this key, in a network with a pre-shared key (keyed) or without. The node's own id at the end of one is left out.
// Where others have no use for one of them, bad is that one, and why says so in one line.
func Check(texts []string, self ed25519.PrivateKey, keyed bool) (addrs []ma.Multiaddr, bad, why string) {
	for _, s := range texts {
		a, why := check(s, self, keyed)
		if why != "" {
			return nil, s, why
		}
		addrs = append(addrs, a)
	}
	return addrs, "", ""
}

func check(text string, self ed25519.PrivateKey, keyed bool) (a ma.Multiaddr, why string) {
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		return nil, "not a multiaddr like /dns/example.org/tcp/4101"
	}
	if last := &a[len(a)-1]; last.Protocol().Code == ma.P_P2P && len(a) > 1 {
		if !leadsTo(last, self) {
			return nil, "it ends in the id of another device"
		}
		a = a[:len(a)-1]
	}
	if why := host(&a[0]); why != "" {
		return nil, why
	}
	return a, rest(a[1:], keyed)
}

// leadsTo reports whether the end of an address is the id of a device.
func leadsTo(end *ma.Component, device ed25519.PrivateKey) bool {
	key, err := crypto.UnmarshalEd25519PrivateKey(device)
	if err != nil {
		return false
	}
	id, err := peer.IDFromPrivateKey(key)
	return err == nil && id.String() == end.Value()
}

// host says what is wrong with the part that says which machine it is.
func host(c *ma.Component) string {
	switch c.Protocol().Code {
	case ma.P_IP4, ma.P_IP6:
		at, err := netip.ParseAddr(c.Value())
		if err != nil {
			return "not an IP address"
		}
		return ip(at.Unmap())
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
		return name(c.Value())
	}
	return "it has to begin with /ip4, /ip6, /dns, /dns4 or /dns6"
}

// ip says why others cannot dial an IP address.
func ip(at netip.Addr) string {
	switch {
	case at.IsUnspecified():
		return "it stands for every address of a machine: name one of them"
	case at.IsLoopback():
		return "this machine alone can dial it"
	case at.IsLinkLocalUnicast():
		return "it means something else on every link"
	case at.IsMulticast() || at == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "it is no address of a single machine"
	}
	return ""
}

// name says what is wrong with a name in the DNS. An IP address in the place of a name is dialled as one.
func name(s string) string {
	if at, err := netip.ParseAddr(s); err == nil && at.Is4() {
		return ip(at)
	}
	if len(s) > maxName {
		return "the name is longer than 253 bytes"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > maxLabel {
			return "a part of the name is empty or longer than 63 bytes"
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !named(r) }) {
			return "a name has letters of ASCII, digits, '-', '.' and '_', and nothing else"
		}
	}
	return ""
}

func named(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// rest says what is wrong with what stands behind the host.
func rest(a ma.Multiaddr, keyed bool) string {
	if len(a) == 0 {
		return "it has no port"
	}
	form, port := "", a[0].Value()
	for i := range a {
		form += "/" + a[i].Protocol().Name
		if a[i].Protocol().Code == ma.P_SNI {
			if why := name(a[i].Value()); why != "" {
				return why
			}
		}
	}
	switch {
	case !slices.Contains(forms(), form):
		return "behind the host it has to be /tcp/PORT, with nothing, /ws, /wss or /tls/ws behind, or /udp/PORT/quic-v1"
	case port == "0":
		return "port 0 stands for any: name the one that others are to dial"
	case keyed && form == "/udp/quic-v1":
		return "QUIC cannot be used in a network with a pre-shared key"
	}
	return ""
}

// Elsewhere reports whether an address means the same on other machines: localhost is the one that asks.
func Elsewhere(a ma.Multiaddr) bool {
	at := strings.ToLower(strings.TrimSuffix(a[0].Value(), "."))
	return at != "localhost" && !strings.HasSuffix(at, ".localhost")
}
