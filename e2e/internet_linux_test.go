package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// internet is a switch with everybody on it who has an address that all can dial, and routers with others behind them.
type internet struct {
	testing.TB
	hosts   int
	numbers map[string]int    // the hosts' own, by machine
	routers map[string]string // the one next to a machine, by machine
	wire    *wire             // nil: a switch without weather
}

// Addresses look public to libp2p, which takes those that are reserved for examples for private ones.
const internetBridge = "internet"

func newInternet(t testing.TB) *internet {
	t.Helper()
	n := &internet{TB: t, numbers: map[string]int{}, routers: map[string]string{}}
	n.ip("link", "add", "name", internetBridge, "type", "bridge")
	n.ip("link", "set", internetBridge, "up")
	t.Cleanup(func() { n.ip("link", "del", internetBridge) })
	return n
}

func (n *internet) ip(args ...string) {
	n.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// namespace makes a machine.
func (n *internet) namespace(name string) {
	n.Helper()
	n.ip("netns", "add", name)
	n.Cleanup(func() { n.ip("netns", "del", name) })
	n.ip("-n", name, "link", "set", "lo", "up")
}

// plug connects a machine to the internet.
func (n *internet) plug(name, link string) {
	n.Helper()
	n.hosts++
	if n.wire != nil {
		n.wire.plug(n, name, link, netip.AddrFrom4([4]byte{5, byte(n.hosts), 0, 1}))
		return
	}
	port := fmt.Sprintf("port%08x", rand.Uint32()) // that of a machine which is gone may still be there
	n.ip("link", "add", port, "type", "veth", "peer", "name", link, "netns", name)
	n.ip("link", "set", port, "master", internetBridge, "up")
	n.ip("-n", name, "link", "set", link, "up")
	n.numbers[name] = n.hosts
	n.address("add", name, link, false)
	n.address("add", name, link, true)
}

// leave pulls a machine's plug, without a word to those that it is connected to.
func (n *internet) leave(machine string) {
	n.Helper()
	for _, link := range []string{wanLink, "eth0"} {
		if exec.Command("ip", "-n", machine, "link", "show", link).Run() == nil {
			n.ip("-n", machine, "link", "del", link)
		}
	}
}

// forgets makes the router of a machine forget all connections.
func (n *internet) forgets(machine string) {
	n.Helper()
	n.at(n.routers[machine], func(namespace int) { forget(n.TB, namespace) })
}

// at does something with the namespace of a machine.
func (n *internet) at(machine string, do func(namespace int)) {
	n.Helper()
	ns, err := os.Open("/run/netns/" + machine)
	if err != nil {
		n.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	do(int(ns.Fd()))
}

// address gives a machine on the internet the address that it was plugged in with, or takes it away: that of IPv6 if six.
func (n *internet) address(what, machine, link string, six bool) {
	n.Helper()
	if six {
		n.ip("-n", machine, "addr", what, fmt.Sprintf("2a05:%x::1/16", n.numbers[machine]), "dev", link, "nodad")
		return
	}
	n.ip("-n", machine, "addr", what, fmt.Sprintf("5.%d.0.1/8", n.numbers[machine]), "dev", link)
}

// person returns somebody whose machine is on the internet, or behind a router of their own.
func (n *internet) person(w *world, name string, where place) *person {
	n.Helper()
	machine := strings.ToLower(name)
	n.namespace(machine)
	n.settle(machine, where)
	p := w.person(name)
	p.under, p.address = []string{"ip", "netns", "exec", machine}, ""
	return p
}

// settle connects a machine to the internet, at an address that nobody has had before.
func (n *internet) settle(machine string, where place) {
	n.Helper()
	router := fmt.Sprintf("%s-router%d", machine, n.hosts)
	n.routers[machine] = router
	switch where {
	case public:
		n.plug(machine, wanLink)
	case carrier:
		shared := router + "-carrier"
		n.namespace(shared)
		n.plug(shared, wanLink)
		n.behind(shared, router, wanLink, "100.64.0")
		n.router(shared, home, "100.64.0")
		n.behind(router, machine, "eth0", "192.168.1")
		n.router(router, home, "192.168.1")
	default:
		n.namespace(router)
		n.plug(router, wanLink)
		n.behind(router, machine, "eth0", "192.168.1")
		n.router(router, where, "192.168.1")
	}
}

// behind connects a machine to the network behind a router, by a link of its own. The machine is made if there is none.
func (n *internet) behind(router, machine, name, network string) {
	n.Helper()
	if _, err := os.Stat("/run/netns/" + machine); err != nil {
		n.namespace(machine)
	}
	n.ip("-n", router, "link", "add", lanLink, "type", "veth", "peer", "name", name, "netns", machine)
	n.ip("-n", router, "addr", "add", network+".1/24", "dev", lanLink)
	n.ip("-n", router, "link", "set", lanLink, "up")
	n.ip("-n", machine, "addr", "add", network+".2/24", "dev", name)
	n.ip("-n", machine, "link", "set", name, "up")
	n.ip("-n", machine, "route", "add", "default", "via", network+".1")
}

// router makes a machine with both links a router for the other machine of its network.
func (n *internet) router(machine string, kind place, network string) {
	n.Helper()
	n.ip("netns", "exec", machine, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	n.at(machine, func(namespace int) { route(n.TB, namespace, kind, netip.MustParseAddr(network+".2").As4()) })
}
