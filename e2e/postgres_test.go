package e2e

import (
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/store/storetest"
)

// databaseTime is the longest time that up takes to say that it cannot reach its database.
const databaseTime = 10 * time.Second

func TestPostgresAwayAtStartIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp4", "127.0.0.1:0") // connects, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for name, server := range map[string]string{
		"nobody listens": fmt.Sprintf("127.0.0.1:%d", freePort(t)),
		"nobody answers": silent.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alice := newWorld(t).person("Alice")
			alice.ok("init", "--name", "Alice", "--no-passphrase")
			r := alice.fails(3, "up", "--database", "postgres://parley:secret@"+server+"/parley")
			r.isOneLine(t, "cannot be reached")
			if r.took > databaseTime || strings.Contains(r.stderr, "secret") {
				t.Error(r)
			}
		})
	}
}

// The server goes away while both talk, and comes back; Alice's node does not.
func TestPostgresAwayLaterAndBackNeedsNoRestartOfTheNode(t *testing.T) {
	t.Parallel()
	server := storetest.StartServer(t)
	w := newWorld(t)
	seed := w.seed()
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.database = server.Database(t)
	alice.joins(seed.invite()).start()
	bob.joins(alice.invite()).start()
	bob.ok("send", "alice", "before", "--wait", "delivered")

	server.Stop(t)
	r := alice.run("send", "bob", "cannot be kept now")
	if r.code == 0 || r.took > databaseTime {
		t.Errorf("with its database away a node says: %s", r)
	}
	r.isOneLine(t, "database")
	troubled := alice.run("status", "--json")
	if !strings.Contains(troubled.stdout+troubled.stderr, "database") || troubled.took > databaseTime {
		t.Errorf("status does not show the trouble: %s", troubled)
	}
	bob.ok("send", "alice", "meanwhile")
	if !alice.node.running() {
		t.Fatal("the node ended with its database")
	}

	server.Start(t)
	alice.ok("send", "bob", "after", "--wait", "delivered")
	got := messages(t, alice.ok("recv", "--json", "--max", "2", "--timeout", "60s"))
	if said := texts(got); !slices.Equal(said, []string{"before", "meanwhile"}) {
		t.Errorf("Alice was shown %q", said)
	}
	if s := alice.status(); s.Trouble != "" {
		t.Errorf("with its database back the node says %q", s.Trouble)
	}
}

// stopCount is how often the server of a scene goes away.
var stopCount = flag.Int("stops", 5, "how often TestPostgresRestartedAgainAndAgainUnderLoadLosesNothing ends the server, as a crash does but for the first time")

// outage is for how long it does; the first time of a campaign it takes a minute.
const outage = 200 * time.Millisecond

func TestPostgresRestartedAgainAndAgainUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	server := storetest.StartServer(t, "fsync=on", "full_page_writes=on")
	w := newWorld(t)
	seed := w.seed()
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.database = server.Database(t)
	alice.joins(seed.invite()).start()
	bob.joins(alice.invite()).start()
	alice.knows("Bob")
	c := listen(t, alice, bob)
	enough := make(chan struct{})
	c.chatters(longestSilence, enough)
	goesOn := func() {
		t.Helper()
		accepted, shown := c.fromAlice.acceptedCount(), c.fromBob.shownCount()
		await(t, restTime, "both are heard again", func() bool {
			return c.fromAlice.acceptedCount() >= accepted+20 && c.fromBob.shownCount() >= shown+20
		})
	}
	var longest time.Duration
	for i := range *stopCount {
		goesOn()
		away := outage
		if i == 0 {
			server.Stop(t)
			if *stopCount > 5 {
				away = time.Minute
			}
		} else {
			server.Crash(t)
		}
		<-time.After(away)
		server.Start(t)
		back := time.Now()
		goesOn()
		longest = max(longest, time.Since(back))
	}
	t.Logf("away %d times; 20 texts each way had passed %v after the server was back, at most", *stopCount, longest.Round(time.Millisecond))
	close(enough)
	c.finish(restTime)
	t.Logf("%d texts, each shown once", c.fromAlice.acceptedCount()+c.fromBob.acceptedCount())
	if !alice.node.running() {
		t.Error("the node ended with its database")
	}
}

func TestDatabaseIsRememberedByTheHome(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(storetest.Postgres)
	bob.ok("send", "alice", "kept on a server", "--wait", "delivered")
	alice.node.stop()
	if !strings.Contains(alice.ok("history", "bob"), "kept on a server") {
		t.Error("history without a node does not look into the server")
	}
	alice.start()
	if !strings.Contains(alice.ok("status"), "database   postgres") {
		t.Error("the second up does not use the server")
	}
}
