package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"parley/node/reach"
)

// ListenError says that an address cannot be listened on, or announced, and why.
type ListenError struct {
	Address   string // the multiaddr that was asked for
	Reason    string // one line for people: "port 4101 is in use"
	Announced bool   // others were to be told of it
}

// Error returns both in one line.
func (e *ListenError) Error() string {
	if e.Announced {
		return fmt.Sprintf("announce %q: %s", e.Address, e.Reason)
	}
	return fmt.Sprintf("listen on %q: %s", e.Address, e.Reason)
}

// Instead is the option that takes the address, and what it wants.
func (e *ListenError) Instead() string {
	if e.Announced {
		return "--announce /dns/NAME/tcp/PORT"
	}
	return "--listen MULTIADDR"
}

// listenAddresses returns what to listen on: what was asked for, or every interface. Each address has been bound once and let
// go again, because the host shares a taken port without a word. Of the default addresses IPv6 may be missing; skipped names
// what was left out.
func listenAddresses(ctx context.Context, cfg Config) (addrs []ma.Multiaddr, skipped []string, err error) {
	asked := cfg.Listen
	if len(asked) == 0 {
		asked = defaultListen(cfg.Port, cfg.Network.PSK == nil)
	}
	for _, s := range asked {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, nil, &ListenError{Address: s, Reason: "not a multiaddr like /ip4/0.0.0.0/tcp/4101"}
		}
		if isQUIC(a) && cfg.Network.PSK != nil {
			return nil, nil, &ListenError{Address: s, Reason: "QUIC cannot be used in a network with a pre-shared key"}
		}
		if isTLS(a) {
			return nil, nil, &ListenError{Address: s, Reason: "TLS is the web server's work: listen on /ip4/127.0.0.1/tcp/PORT/ws behind it, and announce /dns/NAME/tcp/443/wss"}
		}
		if err := bindOnce(ctx, a); err != nil {
			if len(cfg.Listen) == 0 && isIP6(a) && !errors.Is(err, syscall.EADDRINUSE) {
				skipped = append(skipped, s)
				continue
			}
			return nil, nil, &ListenError{Address: s, Reason: bindReason(a, err)}
		}
		addrs = append(addrs, a)
	}
	return addrs, skipped, nil
}

func defaultListen(port int, quic bool) []string {
	asked := []string{fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", port), fmt.Sprintf("/ip6/::/tcp/%d", port)}
	if quic {
		asked = append(asked, fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", port), fmt.Sprintf("/ip6/::/udp/%d/quic-v1", port))
	}
	return asked
}

// bindOnce binds an address without letting anybody share it, and lets go of it.
func bindOnce(ctx context.Context, a ma.Multiaddr) error {
	transport := ma.Split(a)
	if len(transport) < 2 {
		return errors.New("no transport")
	}
	addr, err := manet.ToNetAddr(ma.Join(transport[0].Multiaddr(), transport[1].Multiaddr()))
	if err != nil {
		return err
	}
	family := "4"
	if isIP6(a) {
		family = "6"
	}
	var bound io.Closer
	var lc net.ListenConfig
	switch addr.(type) {
	case *net.TCPAddr:
		bound, err = lc.Listen(ctx, "tcp"+family, addr.String())
	case *net.UDPAddr:
		bound, err = lc.ListenPacket(ctx, "udp"+family, addr.String())
	default:
		return errors.New("neither TCP nor UDP")
	}
	if err != nil {
		return err
	}
	return bound.Close()
}

// bindReason says in one line why an address could not be bound.
func bindReason(a ma.Multiaddr, err error) string {
	port, portErr := a.ValueForProtocol(ma.P_TCP)
	if portErr != nil {
		port, _ = a.ValueForProtocol(ma.P_UDP)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("port %s is in use", port)
	case errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("port %s may not be used by this user", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "this machine does not speak this kind of address"
	}
	return err.Error()
}

// missing returns the first of the asked addresses that a host does not listen on, or nil. A port of 0 stands for any.
func missing(asked, listening []ma.Multiaddr) ma.Multiaddr {
	for _, a := range asked {
		if !slices.ContainsFunc(listening, func(l ma.Multiaddr) bool { return sameListener(a, l) }) {
			return a
		}
	}
	return nil
}

func sameListener(asked, listening ma.Multiaddr) bool {
	a, l := strings.Split(asked.String(), "/"), strings.Split(listening.String(), "/")
	return len(a) == len(l) && len(a) > 4 && a[1] == l[1] && a[2] == l[2] && a[3] == l[3] && (a[4] == "0" || a[4] == l[4])
}

func isIP6(a ma.Multiaddr) bool  { _, err := a.ValueForProtocol(ma.P_IP6); return err == nil }
func isQUIC(a ma.Multiaddr) bool { _, err := a.ValueForProtocol(ma.P_QUIC_V1); return err == nil }

// isTLS reports whether an address is spoken to under TLS, as web servers are.
func isTLS(a ma.Multiaddr) bool {
	_, tls := a.ValueForProtocol(ma.P_TLS)
	_, wss := a.ValueForProtocol(ma.P_WSS)
	return tls == nil || wss == nil
}

// rank returns the addresses that others should try, best first: announced, public, LAN, and loopback only where there is nothing
// else; of the same kind, WebSocket last. It is the host's address factory too, so that peers are told what invites say.
func rank(announced, addrs []ma.Multiaddr) []ma.Multiaddr {
	ranked := slices.Clone(announced)
	ordered := slices.Clone(addrs)
	slices.SortStableFunc(ordered, func(a, b ma.Multiaddr) int {
		return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(web(a), web(b)))
	})
	for _, a := range ordered {
		known := slices.ContainsFunc(ranked, a.Equal)
		if known || distance(a) == useless || distance(a) == loopback && len(ranked) > 0 && distance(ranked[0]) != loopback {
			continue
		}
		ranked = append(ranked, a)
	}
	return ranked[:min(len(ranked), MaxAddresses)]
}

// circuits returns the addresses that lead through seeds, which others are told after all others.
func circuits(addrs []ma.Multiaddr) []ma.Multiaddr {
	through := slices.DeleteFunc(slices.Clone(addrs), func(a ma.Multiaddr) bool { return !reach.IsCircuit(a) })
	return through[:min(len(through), reach.MaxCircuits)]
}

// How far others can be and still use an address, farthest first.
const (
	public = iota
	lan
	loopback
	useless
)

func distance(a ma.Multiaddr) int {
	switch {
	case reach.IsCircuit(a) || manet.IsIP6LinkLocal(a) || manet.IsIPUnspecified(a):
		return useless
	case manet.IsIPLoopback(a):
		return loopback
	case manet.IsPublicAddr(a):
		return public
	}
	return lan
}

// web is 1 for WebSocket and 0 for what costs less.
func web(a ma.Multiaddr) int {
	if reach.IsWebSocket(a) {
		return 1
	}
	return 0
}
