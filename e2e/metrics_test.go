package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// scrapeAt asks a node's address of figures, as a Prometheus does.
func scrapeAt(t *testing.T, at string) string {
	t.Helper()
	resp, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, body)
	}
	return string(body)
}

// A seed shows figures where it was told to, and nowhere else; they name nobody; and what it has refused is in its status too.
func TestFiguresOfANode(t *testing.T) {
	w := newWorld(t)
	seed := w.person("Seed")
	seed.ok("init", "--name", "Seed", "--network", "home", "--no-passphrase")
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	seed.start("--seed", "--metrics", at)
	alice := w.person("Alice")
	alice.joins(seed.invite()).start()
	alice.knows("Seed")
	alice.ok("send", "Seed", "hello", "--wait", "delivered")
	said := scrapeAt(t, at)
	for _, want := range []string{
		"parley_node_peers 1\n", "parley_node_refused_total{reason=\"wrong_key\"} 0\n", "parley_node_connections{route=\"lan\"}", "parley_node_mailbox_bytes ",
		"parley_chat_outbox_messages 0\n", "parley_chat_outbox_oldest_seconds 0\n", "parley_chat_contacts 1\n", "parley_chat_trouble 0\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	var status struct {
		Device, Account, Name string
		Network               struct{ Refused map[string]uint64 }
	}
	if err := json.Unmarshal([]byte(seed.ok("status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	for reason, n := range status.Network.Refused {
		if want := fmt.Sprintf("parley_node_refused_total{reason=%q} %d\n", reason, n); !strings.Contains(said, want) {
			t.Errorf("status says %d times %s, and the figures do not", n, reason)
		}
	}
	if len(status.Network.Refused) < 15 {
		t.Errorf("status names the reasons %v", status.Network.Refused)
	}
	for _, name := range []string{status.Device, status.Account, "Alice", "127.0.0.1"} {
		if strings.Contains(said, name) {
			t.Errorf("the figures name %s", name)
		}
	}
}

// A place for figures where nobody can listen is a wrong setting like others: one line names it, and the next command works.
func TestFiguresWhereNobodyCanListen(t *testing.T) {
	t.Parallel()
	alice := newWorld(t).person("Alice")
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	taken := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	l, err := net.Listen("tcp4", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for at, why := range map[string]string{"unix:/nonexist/x": "there is no such folder", taken: "something is there already"} {
		alice.environ = []string{"PARLEY_METRICS_LISTEN=" + at}
		for _, up := range [][]string{{"up"}, {"up", "--metrics", at}} {
			r := alice.fails(3, up...)
			if r.isOneLine(t, fmt.Sprintf("metrics (PARLEY_METRICS_LISTEN): cannot listen on %q: %s", at, why)); !strings.HasSuffix(r.hint(), "up --metrics 127.0.0.1:9464") {
				t.Errorf("it helps by %s", r.hint())
			}
		}
	}
	alice.environ = nil
	alice.start()
}
