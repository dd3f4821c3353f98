package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

var rigRounds = flag.Int("rounds", 1, "how often each pair of TestTheRig meets")

// insideRig is set in the process that plays the rig: it is alone in namespaces of its own, from which no packet gets out.
const insideRig = "PARLEY_TEST_RIG"

// TestTheRig lets real nodes meet across real routers, in namespaces without a way out, and says by which way each pair came together. A pair
// that should be direct and is only relayed has failed.
func TestTheRig(t *testing.T) {
	if inTheRig(t) {
		playPairs(t)
	}
}

// inTheRig reports whether this process is the rig's own. Where it is not, it plays the test in one that is, says what came of it, and returns
// false.
func inTheRig(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideRig) != "" {
		prepareRig(t)
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("routers are made of network namespaces, which need root")
	}
	if out, err := exec.Command("unshare", "-m", "-n", "ip", "link", "add", "name", "probe", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no network namespaces with bridges here (%v): %s", err, out)
	}
	cmd := exec.Command("/proc/self/exe", append([]string{"-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", "3h"}, givenFlags()...)...)
	cmd.Env = append(os.Environ(), insideRig+"=1", "PARLEY_TEST_PROGRAM="+program(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Fatal(err)
	}
	return false
}

// givenFlags returns the flags of these tests that were given.
func givenFlags() (given []string) {
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			given = append(given, "-"+f.Name+"="+f.Value.String())
		}
	})
	return given
}

// meeting is two people who want to talk across what is between them.
type meeting struct {
	alice, bob string // "public", or the router that somebody is behind
	key        bool   // the network has a pre-shared key
	want       []string
	within     time.Duration
}

func playPairs(t *testing.T) {
	direct := []string{"direct", "punched"}
	var table strings.Builder
	for _, m := range []meeting{
		{"public", "public", true, direct, 15 * time.Second},
		{string(home), "public", true, direct, 15 * time.Second},
		{string(home), string(home), true, direct, 15 * time.Second},
		{string(home), string(home), false, direct, 15 * time.Second},
		{string(home), string(symmetric), true, []string{"relayed"}, 15 * time.Second},
		{string(symmetric), string(symmetric), false, []string{"relayed"}, 15 * time.Second},
	} {
		name := fmt.Sprintf("%s to %s, key %v", m.alice, m.bob, m.key)
		t.Run(name, func(t *testing.T) {
			for round := range *rigRounds {
				t.Run(fmt.Sprint(round), func(t *testing.T) {
					first, way, took := m.play(t)
					fmt.Fprintf(&table, "%-34s first message %5d ms, then %-8s after %5d ms\n", name, first.Milliseconds(), way, took.Milliseconds())
				})
			}
		})
	}
	t.Logf("\n%s", table.String())
}

// prepareRig keeps what the rig mounts to itself. A process that has no namespaces of its own must never get here.
func prepareRig(t testing.TB) {
	t.Helper()
	links, err := exec.Command("ip", "-o", "link").Output()
	if err != nil || strings.Count(string(links), "\n") != 1 {
		t.Fatalf("this is not a network namespace of the rig's own: %s, %v", links, err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("rig", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
}

// play lets two people meet, and returns how long the first message took, by which way they are connected in the end, and after how long.
func (m meeting) play(t *testing.T) (first time.Duration, way string, took time.Duration) {
	net := newInternet(t)
	w := newWorld(t)
	seed := net.person(w, "Seed", "public")
	network := []string{"init", "--name", "Seed", "--network", "home", "--no-passphrase"}
	if !m.key {
		network = append(network, "--no-psk")
	}
	seed.options = []string{"--seed"}
	seed.ok(network...)
	seed.start()
	alice, bob := net.person(w, "Alice", m.alice), net.person(w, "Bob", m.bob)
	for _, p := range []*person{alice, bob} {
		p.joins(seed.invite())
		p.start("--no-mailbox")
	}
	alice.knows("Seed")
	bob.knows("Seed")
	alice.ok("contact", "add", bob.ok("contact", "link"))
	bob.ok("contact", "add", alice.ok("contact", "link"))
	begin := time.Now()
	alice.ok("send", "bob", "hello Bob", "--wait", "delivered", "--timeout", "30s")
	first = time.Since(begin)
	device := bob.status().Device
	await(t, m.within, "a way that is "+strings.Join(m.want, " or "), func() bool {
		way = alice.wayTo(device)
		for _, want := range m.want {
			if way == want {
				return true
			}
		}
		return false
	})
	took = time.Since(begin)
	alice.ok("send", "bob", "and again", "--wait", "delivered", "--timeout", "30s")
	bob.ok("send", "alice", "hello Alice", "--wait", "delivered", "--timeout", "30s")
	return first, way, took
}

// wayTo says by which way a device is connected.
func (p *person) wayTo(device string) string {
	var list struct {
		Peers []struct{ ID, Route string }
	}
	if err := json.Unmarshal([]byte(p.ok("peers", "--json")), &list); err != nil {
		p.Fatal(err)
	}
	for _, other := range list.Peers {
		if other.ID == device {
			return other.Route
		}
	}
	return ""
}

// internet is a switch with everybody on it who has an address that all can dial, and routers with others behind them.
type internet struct {
	testing.TB
	hosts int
	wire  *wire // nil: a switch without weather
}

// Addresses look public to libp2p, which takes those that are reserved for examples for private ones.
const internetBridge = "internet"

func newInternet(t testing.TB) *internet {
	t.Helper()
	n := &internet{TB: t}
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
	n.ip("-n", name, "addr", "add", fmt.Sprintf("5.%d.0.1/8", n.hosts), "dev", link)
	n.ip("-n", name, "link", "set", link, "up")
}

// person returns somebody whose machine is on the internet, or behind a router of their own.
func (n *internet) person(w *world, name, where string) *person {
	n.Helper()
	machine := strings.ToLower(name)
	n.namespace(machine)
	if where == "public" {
		n.plug(machine, wanLink)
	} else {
		n.router(machine+"-router", machine, nat(where))
	}
	p := w.person(name)
	p.under, p.address, p.port = []string{"ip", "netns", "exec", machine}, "0.0.0.0", 4101
	return p
}

func (n *internet) router(router, machine string, kind nat) {
	n.Helper()
	n.namespace(router)
	n.plug(router, wanLink)
	n.ip("-n", router, "link", "add", lanLink, "type", "veth", "peer", "name", "eth0", "netns", machine)
	n.ip("-n", router, "addr", "add", "192.168.1.1/24", "dev", lanLink)
	n.ip("-n", router, "link", "set", lanLink, "up")
	n.ip("-n", machine, "addr", "add", "192.168.1.2/24", "dev", "eth0")
	n.ip("-n", machine, "link", "set", "eth0", "up")
	n.ip("-n", machine, "route", "add", "default", "via", "192.168.1.1")
	n.ip("netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	ns, err := os.Open("/run/netns/" + router)
	if err != nil {
		n.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	route(n.TB, int(ns.Fd()), kind)
}
