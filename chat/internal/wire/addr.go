package wire

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// A compact address is a head byte, a host and a port (u16). The low half of the head says what the host is, the high half what is
// spoken there.
const (
	hostIP4 = 0x4 // 4 bytes
	hostIP6 = 0x6 // 16 bytes
	hostDNS = 0xd // a length byte and a name

	maxAddrs = 8   // per seed
	maxHost  = 253 // bytes of a DNS name
)

// transports lists the multiaddr endings in the order of their numbers.
func transports() []string { return []string{"/tcp/%", "/tcp/%/ws", "/tcp/%/wss", "/udp/%/quic-v1"} }

// appendAddrs appends multiaddrs in the compact form; those that have none are left out.
func appendAddrs(b []byte, addrs []string) []byte {
	n := 0
	for _, a := range addrs {
		if c := compactAddr(a); c != nil && n < maxAddrs {
			b = append(b, c...)
			n++
		}
	}
	return b
}

func compactAddr(addr string) []byte {
	parts := strings.Split(strings.Replace(addr, "/tls/ws", "/wss", 1), "/") // two names of the same
	if len(parts) < 5 || parts[0] != "" {
		return nil
	}
	port, err := strconv.ParseUint(parts[4], 10, 16)
	if err != nil {
		return nil
	}
	parts[4] = "%"
	proto := -1
	for i, t := range transports() {
		if "/"+strings.Join(parts[3:], "/") == t {
			proto = i
		}
	}
	kind, host := compactHost(parts[1], parts[2])
	if proto < 0 || host == nil {
		return nil
	}
	b := append([]byte{byte(proto)<<4 | kind}, host...)
	return binary.BigEndian.AppendUint16(b, uint16(port))
}

func compactHost(protocol, host string) (byte, []byte) {
	ip, err := netip.ParseAddr(host)
	switch {
	case protocol == "ip4" && err == nil && ip.Is4():
		return hostIP4, ip.AsSlice()
	case protocol == "ip6" && err == nil && ip.Is6() && ip.Zone() == "":
		return hostIP6, ip.AsSlice()
	case strings.HasPrefix(protocol, "dns") && validHost(host):
		return hostDNS, append([]byte{byte(len(host))}, host...)
	}
	return 0, nil
}

func validHost(host string) bool {
	return host != "" && len(host) <= maxHost && strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// parseAddrs reads what appendAddrs wrote. Hosts and transports of a later version end the list without failing it.
func parseAddrs(b []byte) (addrs []string, ok bool) {
	r := NewReader(b)
	for len(r.rest) > 0 && len(addrs) < maxAddrs {
		head := r.Byte()
		var host string
		switch head & 0xf {
		case hostIP4:
			ip, _ := netip.AddrFromSlice(r.Take(4))
			host = "/ip4/" + ip.String()
		case hostIP6:
			ip, _ := netip.AddrFromSlice(r.Take(16))
			host = "/ip6/" + ip.String()
		case hostDNS:
			name := string(r.Take(int(r.Byte())))
			if r.err == nil && !validHost(name) {
				return nil, false
			}
			host = "/dns/" + name
		default:
			return addrs, true
		}
		port := r.U16()
		if r.err != nil {
			return nil, false
		}
		if t := int(head >> 4); t < len(transports()) {
			addrs = append(addrs, host+strings.Replace(transports()[t], "%", strconv.Itoa(port), 1))
		}
	}
	return addrs, len(r.rest) == 0
}
