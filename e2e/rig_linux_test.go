package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
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
	t.Parallel()
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
	cmd := exec.Command("/proc/self/exe", append([]string{"-test.run", "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$", "-test.v", "-test.timeout", "3h"}, givenFlags()...)...)
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
	scene      string // in the list of scenarios
	alice, bob place
	key        bool // the network has a pre-shared key
	want       []string
}

func (m meeting) String() string {
	return fmt.Sprintf("%s %s to %s, %s", m.scene, m.alice, m.bob, mode(m.key))
}

// meetings lists who meets, and by which ways they have to.
func meetings() []meeting {
	direct, relayed, any := []string{"direct", "punched"}, []string{"relayed"}, []string{"direct", "punched", "relayed"}
	return []meeting{
		{"S1", public, public, true, direct},
		{"S2", home, public, true, direct},
		{"S2", home, public, false, direct},
		{"S3", home, home, true, direct},
		{"S3", home, home, false, direct},
		{"S3", rejecting, rejecting, true, direct},
		{"S3", rejecting, rejecting, false, direct},
		{"S4", cone, home, true, direct},
		{"S4", cone, symmetric, false, direct},
		{"S4", restricted, home, true, direct},
		{"S4", restricted, symmetric, true, direct},
		{"S5", home, symmetric, true, relayed},
		{"S5", symmetric, symmetric, false, relayed},
		{"S6", carrier, home, true, direct},
		{"S6", carrier, carrier, false, any},
		{"S7", textual, public, false, direct},
		{"S7", textual, home, false, any},
		{"S7", surfing, public, true, relayed},
		{"S7", surfing, home, false, relayed},
	}
}

// meetWithin is how long a pair may take to the way that it should have, and one of missesOf rounds may take longer: where two dials have to cross within a fraction of a
// millisecond they sometimes do not, and the next attempt comes after a minute.
const (
	meetWithin = slowness * 15 * time.Second
	missesOf   = 20
	// wayPause is how long nobody looks at the way.
	wayPause = 10 * time.Millisecond
)

func playPairs(t *testing.T) {
	var table strings.Builder
	for _, m := range meetings() {
		if m.alice == rejecting && m.key && *rigRounds == 1 {
			continue // two TCP dials have to meet within a millisecond: a matter of chance, of which one round says nothing
		}
		t.Run(m.String(), func(t *testing.T) {
			misses := 0
			for round := range *rigRounds {
				t.Run(fmt.Sprint(round), func(t *testing.T) {
					first, way, took := m.play(t)
					if !slices.Contains(m.want, way) {
						misses++
					}
					fmt.Fprintf(&table, "%-44s first message %5d ms, then %-8s after %5d ms\n", m, first.Milliseconds(), way, took.Milliseconds())
				})
			}
			if misses*missesOf > *rigRounds {
				t.Errorf("%d of %d times they were not %s in time", misses, *rigRounds, strings.Join(m.want, " or "))
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
	_, alice, bob := m.gather(net)
	begin := time.Now()
	alice.ok("send", "bob", "hello Bob", "--wait", "delivered", "--timeout", "30s")
	first = time.Since(begin)
	device, address := bob.status().Device, ""
	for end := time.Now().Add(meetWithin); !slices.Contains(m.want, way) && time.Now().Before(end); lasts(wayPause) {
		way, address = alice.wayTo(device)
	}
	if quic := strings.Contains(address, "/quic-v1"); quic == (m.key || m.alice == textual || m.bob == textual) && way != "relayed" {
		t.Errorf("the way to Bob is %s", address)
	}
	took = time.Since(begin)
	alice.ok("send", "bob", "and again", "--wait", "delivered", "--timeout", "30s")
	bob.ok("send", "alice", "hello Alice", "--wait", "delivered", "--timeout", "30s")
	return first, way, took
}

// gather returns the two, who know each other, and the seed of their network. All three run; the seed keeps no mailboxes.
func (m meeting) gather(net *internet) (seed, alice, bob *person) {
	w := newWorld(net)
	seed = net.person(w, "Seed", public)
	network := []string{"init", "--name", "Seed", "--network", "home", "--no-passphrase"}
	if !m.key {
		network = append(network, "--no-psk")
	}
	seed.options = []string{"--seed", "--no-mailbox"}
	if m.alice == surfing {
		seed.options = append(seed.options, "--listen", fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", seed.port), "--listen", "/ip4/0.0.0.0/tcp/80/ws")
	}
	seed.ok(network...)
	seed.start()
	alice, bob = net.person(w, "Alice", m.alice), net.person(w, "Bob", m.bob)
	for _, p := range []*person{alice, bob} {
		p.joins(seed.invite())
		p.start()
	}
	alice.knows("Seed")
	bob.knows("Seed")
	alice.ok("contact", "add", bob.ok("contact", "link"))
	bob.ok("contact", "add", alice.ok("contact", "link"))
	return seed, alice, bob
}

// wayTo says by which way, and at which address, a device is connected.
func (p *person) wayTo(device string) (way, address string) {
	var list struct {
		Peers []struct{ ID, Route, Address string }
	}
	if err := json.Unmarshal([]byte(p.ok("peers", "--json")), &list); err != nil {
		p.Fatal(err)
	}
	for _, other := range list.Peers {
		if other.ID == device {
			return other.Route, other.Address
		}
	}
	return "", ""
}
