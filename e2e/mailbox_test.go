package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"parley/chat"
)

// hosts returns a network with a number of nodes that keep mailboxes, all of which run and know each other. The first one made the network.
func (w *world) hosts(n int, engine func(testing.TB) string) []*person {
	w.Helper()
	var all []*person
	for i := range n {
		h := w.person(fmt.Sprintf("Host%d", i+1))
		h.database, h.options = engine(w), []string{"--seed"}
		if i == 0 {
			h.ok("init", "--name", h.name, "--network", "home", "--no-passphrase")
		} else {
			h.joins(all[0].invite())
		}
		h.start()
		all = append(all, h)
	}
	for _, h := range all {
		await(w, patience, h.name+" has met the others", func() bool { return h.status().Peers >= n-1 })
	}
	return all
}

// friends returns people on the network of some hosts, the first of whom knows all others. All run, and have mailboxes at each host.
func (w *world) friends(hosts []*person, engine func(testing.TB) string, names ...string) []*person {
	w.Helper()
	var all []*person
	for i, name := range names {
		p := w.person(name)
		p.database, p.environ = engine(w), []string{"PARLEY_LOG_LEVEL=info"} // where the node says who keeps its mailboxes
		if i == 0 {
			p.joins(hosts[0].invite()).start()
		} else {
			p.joins(all[0].invite()).start()
			all[0].knows(name)
		}
		all = append(all, p)
	}
	for _, p := range all {
		await(w, patience, fmt.Sprintf("%s has mailboxes at %d hosts", p.name, len(hosts)), func() bool { return p.hostsSaid() == len(hosts) })
		p.node.stop()
		p.start() // so that every record which it puts from now on names the hosts
	}
	for _, p := range all {
		await(w, patience, "others can find out where "+p.name+" has mailboxes", func() bool { return p.recordsPut() >= 2 })
	}
	return all
}

// entry is what the tests read of a log.
type entry struct {
	Msg   string   `json:"msg"`
	Hosts []string `json:"hosts"`
	Put   int      `json:"put"`
}

// entries returns what the node has logged since its start.
func (p *person) entries() (all []entry) {
	for line := range strings.Lines(p.node.stderr.String()) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil { // others are for people
			all = append(all, e)
		}
	}
	return all
}

// hostsSaid returns how many hosts keep a mailbox for somebody, as the node has said last.
func (p *person) hostsSaid() (n int) {
	for _, e := range p.entries() {
		if e.Msg == "others keep mailboxes for this device" {
			n = len(e.Hosts)
		}
	}
	return n
}

// recordsPut returns how many records the node has put where others find them: that of the account and that of the device.
func (p *person) recordsPut() (n int) {
	for _, e := range p.entries() {
		if e.Msg == "records of this device can be found" {
			n += e.Put
		}
	}
	return n
}

// boxes returns how many boxes a host keeps in its home.
func (p *person) boxes() (n int) {
	p.Helper()
	db, err := driver.Open("file:" + filepath.Join(p.home, "parley.db") + "?mode=ro")
	if err != nil {
		p.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT COUNT(*) FROM mailbox_box").Scan(&n); err != nil {
		p.Fatal(err)
	}
	return n
}

// The host that made the network dies for good between deposit and fetch, and another one goes on taking connections and says nothing.
func TestOneHostOfThreeIsEnoughForAThousandMessages(t *testing.T) {
	t.Parallel()
	n := burst
	if raceEnabled { // five nodes with the race detector take minutes for so many
		n = burst / 4
	}
	w := newWorld(t)
	hosts := w.hosts(3, engines()["sqlite"])
	people := w.friends(hosts, engines()["sqlite"], "Alice", "Bob")
	alice, bob := people[0], people[1]
	c := listen(t, alice, bob)
	c.scatter()
	bob.node.stop()
	c.speaking.Go(func() { c.note(c.alice.say(c.ctx, c.fromAlice, n)) })
	await(t, burstTime, "all is kept by others", func() bool { return c.fromAlice.postedCount() == n })
	await(t, burstTime, "each host keeps all of it", func() bool {
		kept := hosts[0].boxes()
		return kept > 0 && kept == hosts[1].boxes() && kept == hosts[2].boxes()
	})
	if ticked := c.fromAlice.tickedCount(); ticked > 0 {
		t.Errorf("Alice was told that %d texts have arrived while Bob is away", ticked)
	}
	alice.node.stop()
	hosts[0].node.kill()
	hosts[1].node.freeze()

	begin := time.Now()
	bob.start()
	await(t, burstTime, "Bob was shown everything", func() bool { return c.fromAlice.shownCount() >= n })
	took := time.Since(begin)
	t.Logf("%d messages were shown %v after the start", n, took.Round(time.Millisecond))
	if kept := texts(messages(t, bob.ok("history", "alice", "--json", "--limit", "0"))); len(kept) != n {
		t.Errorf("Bob's history has %d messages while Alice is away", len(kept))
	}
	alice.start()
	c.finish(restTime)
}

// An operator allows two boxes from one contact. Alice is told why the rest waits with her, twenty more texts are no reason to try twenty times
// more, and what the host has taken is Bob's, also where the operator allows still less.
func TestAFullMailboxIsToldAndEmptied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.hosts(1, engines()["sqlite"])[0]
	host.node.stop()
	host.options = append(host.options, "--mailbox-limits", "contact-boxes=2,life=7d")
	host.start()
	if status := host.ok("status"); !strings.Contains(status, "16MiB in 2 boxes from one contact") {
		t.Errorf("the operator is not shown the limits: %s", status)
	}
	people := w.friends([]*person{host}, engines()["sqlite"], "Alice", "Bob")
	alice, bob := people[0], people[1]
	bob.node.stop()
	sent := 0
	for ; alice.run("send", "bob", fmt.Sprint("text ", sent), "--wait", "sent", "--timeout", "15s").code == 0; sent++ {
		if sent > 2 {
			t.Fatalf("the host has taken %d texts", sent)
		}
	}
	last := messages(t, alice.ok("history", "bob", "--json"))[sent]
	for i := range 20 {
		alice.ok("send", "bob", fmt.Sprint("text ", sent+1+i))
	}
	var info struct {
		State   string
		Devices []struct {
			Attempts int
			Reason   string
		}
	}
	if err := json.Unmarshal([]byte(alice.ok("info", last.ID, "--json")), &info); err != nil || len(info.Devices) != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	if d := info.Devices[0]; info.State != string(chat.StateQueued) || d.Attempts > 10 || !strings.Contains(d.Reason, "its mailbox takes no more from us until it is emptied") {
		t.Errorf("Alice is told: %+v", info)
	}
	kept := host.boxes()
	host.node.stop()
	host.options[len(host.options)-1] = "contact-boxes=1,owners=1"
	host.start()
	if now := host.boxes(); now != kept {
		t.Errorf("the host keeps %d boxes, and has taken %d", now, kept)
	}
	bob.start()
	var has []messageJSON // what comes from Alice herself may overtake what the host keeps: until that is in, Bob is told that it is missing
	await(t, patience, "Bob has all of it", func() bool {
		has = messages(t, bob.ok("history", "alice", "--json", "--limit", "0"))
		return len(has) == sent+21
	})
	for i, m := range has {
		if m.Text != fmt.Sprint("text ", i) || m.Missing != 0 {
			t.Errorf("message %d is %q, with %d missing before it", i, m.Text, m.Missing)
		}
	}
}

// Nobody but their author can keep them: they are queued, which is what people are told, and why.
func TestWithoutHostsMessagesWaitWithTheirAuthorWhoIsToldWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hosts := w.hosts(3, engines()["sqlite"])
	people := w.friends(hosts, engines()["sqlite"], "Alice", "Bob")
	alice, bob := people[0], people[1]
	c := listen(t, alice, bob)
	for _, p := range append(hosts, bob) {
		p.node.kill()
	}
	c.speaking.Go(func() { c.note(c.alice.say(c.ctx, c.fromAlice, 10)) })
	c.speaking.Wait()
	last := "alice-0010 and one more"
	c.fromAlice.attempt(last)
	r := alice.fails(7, "send", "bob", last, "--id", idOf(last), "--wait", "sent", "--timeout", "10s")
	c.fromAlice.accept(last)
	if !strings.Contains(r.stderr, "not reachable") {
		t.Errorf("Alice is not told why: %s", r)
	}
	for _, m := range c.alice.history() {
		if m.State != chat.StateQueued {
			t.Errorf("%s is %s, and nobody else can have it", idOf(m.Text), m.State)
		}
	}
	bob.start()
	c.finish(restTime)
}
