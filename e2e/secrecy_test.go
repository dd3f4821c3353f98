package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley/store/storetest"
)

// window is how many bytes of a secret in a row give it away; a multiple of three, so that base64 of it has no rest.
const window = 15

// traces are the forms that give a secret away: any stretch of it as it is, in hexadecimal and in base64.
type traces map[string]string // form to the secret's name

func (tr traces) add(name string, secret []byte) {
	for i := 0; i+window <= len(secret); i++ {
		part := secret[i : i+window]
		tr[string(part)] = name
		tr[hex.EncodeToString(part)] = name + " in hexadecimal"
		tr[strings.ToUpper(hex.EncodeToString(part))] = name + " in hexadecimal"
		tr[base64.StdEncoding.EncodeToString(part)] = name + " in base64"
		tr[base64.URLEncoding.EncodeToString(part)] = name + " in base64"
	}
}

// in returns the name of a secret that data gives away, or nothing.
func (tr traces) in(data []byte) string {
	for _, size := range []int{window, 2 * window, window / 3 * 4} {
		for i := 0; i+size <= len(data); i++ {
			if name, found := tr[string(data[i:i+size])]; found {
				return name
			}
		}
	}
	return ""
}

func (tr traces) check(t testing.TB, where string, data []byte) {
	t.Helper()
	if name := tr.in(data); name != "" {
		t.Errorf("%s holds %s", where, name)
	}
}

func TestTracesAreFoundInEveryForm(t *testing.T) {
	secret := "canary-" + "the quick brown fox"
	tr := traces{}
	tr.add("it", []byte(secret))
	for _, form := range []string{
		secret,
		"…" + secret[2:20] + "…",
		hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte("ab" + secret))),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte("a" + secret)),
		base64.RawURLEncoding.EncodeToString([]byte("ab" + secret + "cd")),
	} {
		if tr.in([]byte("before "+form+" after")) == "" {
			t.Errorf("not found in %s", form)
		}
	}
	if found := tr.in([]byte("a canary sings the song of a brown fox")); found != "" {
		t.Errorf("found %s where it is not", found)
	}
}

// confidence is Alice and Bob talking about what nobody else shall learn.
type confidence struct {
	*world
	seed, alice, bob, carol *person // Carol is away
	links                   []string
	canaries                traces
}

// newConfidence returns the scene before it is played.
func newConfidence(t testing.TB) *confidence {
	t.Helper()
	w := newWorld(t)
	w.loud = true
	return &confidence{world: w, seed: w.person("Seed"), alice: w.person("Alice"), bob: w.person("Bob"), carol: w.person("Carol"), canaries: traces{}}
}

// canary returns a text that nobody would say by chance.
func (c *confidence) canary(n int) string {
	text := fmt.Sprintf("canary %d: the tangerine penguins of Vladivostok", n)
	c.canaries.add(fmt.Sprintf("canary %d", n), []byte(text))
	return text
}

// play lets them talk at once, and while the other is away. In the end the seed is killed: its write-ahead log stays as it is.
func (c *confidence) play() {
	c.Helper()
	c.seed.options = []string{"--seed"}
	c.seed.ok("init", "--name", c.seed.name, "--network", "home", "--no-passphrase")
	c.seed.start()
	c.links = []string{c.seed.invite()}
	c.alice.joins(c.links[0]).start()
	c.links = append(c.links, c.alice.invite(), c.alice.ok("contact", "link"))
	c.carol.joins(c.links[1])
	c.bob.joins(c.links[1]).start()
	c.bob.ok("send", "alice", c.canary(1), "--wait", "delivered")
	c.alice.ok("send", "bob", c.canary(2), "--wait", "delivered")
	c.bob.node.stop()
	c.alice.ok("send", "bob", c.canary(3))
	c.bob.start()
	if got := c.bob.ok("recv", "--since", "0", "--max", "2", "--timeout", "60s"); !strings.Contains(got, "canary 3") {
		c.Fatalf("Bob got %s", got)
	}
	c.seed.node.kill()
}

func TestCanaryIsNotOnTheWire(t *testing.T) {
	t.Parallel()
	c := newConfidence(t)
	control := freePort(t)
	wire := listenToWire(t, c.seed.port, c.alice.port, c.bob.port, control)
	c.play()
	c.canaries.check(t, "the wire", wire.recorded())
	if len(wire.recorded()) < 10_000 {
		t.Errorf("the wire carried %d bytes only", len(wire.recorded()))
	}
	speakPlainly(t, control, c.canary(4))
	await(t, patience, "the wire shows what is said in the clear", func() bool { return c.canaries.in(wire.recorded()) != "" })
}

func TestCanaryIsNotWithTheSeedAndNoSecretInAnyLog(t *testing.T) {
	t.Parallel()
	c := newConfidence(t)
	c.play()
	for path, data := range filesBelow(t, c.seed.home) {
		c.canaries.check(t, "the seed's "+path, data)
	}
	if !strings.Contains(c.bob.ok("history", "alice"), "canary 1") {
		t.Error("Bob's history has no canary either")
	}
	secrets := c.canaries
	for _, p := range []*person{c.seed, c.alice, c.bob} {
		secrets.add(p.name+"'s keys", secretKeys(t, p))
		secrets.add(p.name+"'s keystore", keystore(t, p))
	}
	secrets.add("the network's key", networkKey(t, c.alice))
	for _, link := range c.links {
		secrets.add("a link", []byte(link))
	}
	for _, log := range c.logs {
		secrets.check(t, "the log of "+log.cmd.String(), []byte(log.stderr.String()+log.stdout.String()))
		if len(log.stderr.String()) < 5_000 {
			t.Errorf("the log of %s has %d bytes: is debug on?", log.cmd, len(log.stderr.String()))
		}
	}
}

// tellDatabases lets them say more in front of their databases: a name and a client id, under which nobody else would hide. Alice's
// database is a server's, Bob's a file.
func (c *confidence) tellDatabases() {
	c.Helper()
	name, client := "tangerine penguin pal", "client-id-of-the-penguins"
	c.canaries.add("a contact's name", []byte(name))
	c.canaries.add("a client id", []byte(client))
	for _, p := range []*person{c.alice, c.bob} {
		p.ok("contact", "add", c.carol.ok("contact", "link"), "--as", name)
		p.ok("send", name, c.canary(7), "--id", client)
	}
}

func TestCanaryIsInNoDatabaseAndNoProcess(t *testing.T) {
	t.Parallel()
	c := newConfidence(t)
	c.alice.database = storetest.Postgres(t)
	c.play()
	c.tellDatabases()
	for _, p := range []*person{c.alice, c.bob} {
		for _, name := range []string{"cmdline", "environ"} {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.node.pid(), name))
			if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
				continue // the process lets nobody look, or there is no such file system
			}
			if err != nil || len(data) == 0 {
				t.Errorf("%s of %s: %d bytes, %v", name, p.name, len(data), err)
			}
			c.canaries.check(t, name+" of "+p.name+"'s node", data)
		}
		p.node.kill() // so that its write-ahead log stays as it is
	}
	for path, data := range filesBelow(t, c.bob.home) {
		c.canaries.check(t, "Bob's "+path, data)
	}
	rows := rowsOf(t, c.alice.database)
	if len(rows) < 10_000 {
		t.Errorf("Alice's database has %d bytes in all", len(rows))
	}
	c.canaries.check(t, "Alice's database", rows)
	if !strings.Contains(c.alice.ok("history", "bob")+c.bob.ok("history", "alice"), "canary 3") {
		t.Error("what was said is not there either")
	}
}

// rowsOf returns every value of every table of a PostgreSQL database.
func rowsOf(t testing.TB, url string) (all []byte) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		t.Fatalf("tables %q, %v", tables, err)
	}
	for _, table := range tables {
		rows, err := conn.Query(t.Context(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					all = append(all, b...)
				} else {
					all = fmt.Append(all, v)
				}
				all = append(all, 0)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// speakPlainly says something over TCP without any protection: so we know that the wire shows it.
func speakPlainly(t testing.TB, port int, text string) {
	t.Helper()
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// filesBelow returns the content of every file in a folder.
func filesBelow(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files[entry.Name()], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files["parley.db-wal"]) == 0 {
		t.Errorf("%s has no write-ahead log to look at", dir)
	}
	return files
}

// secretKeys returns what a home keeps in its file of keys. Without a passphrase these are the keys themselves.
func secretKeys(t testing.TB, p *person) []byte {
	t.Helper()
	keys, err := os.ReadFile(filepath.Join(p.home, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// keystore returns the keys to what is in the database, sealed as they are.
func keystore(t testing.TB, p *person) []byte {
	t.Helper()
	keys, err := os.ReadFile(filepath.Join(p.home, "keystore"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// networkKey returns the pre-shared key of a home's network.
func networkKey(t testing.TB, p *person) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.home, "network.json"))
	if err != nil {
		t.Fatal(err)
	}
	var network struct{ PSK []byte }
	if err := json.Unmarshal(data, &network); err != nil {
		t.Fatal(err)
	}
	if len(network.PSK) != 32 {
		t.Fatalf("a pre-shared key of %d bytes", len(network.PSK))
	}
	return network.PSK
}
