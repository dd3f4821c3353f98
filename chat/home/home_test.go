package home

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parley/chat"
)

// alice returns what Alice's home is made of.
func alice(t testing.TB) Params {
	t.Helper()
	id, err := chat.NewIdentity("laptop")
	if err != nil {
		t.Fatal(err)
	}
	network, authority, err := chat.NewNetwork("home", true)
	if err != nil {
		t.Fatal(err)
	}
	seeds := []chat.Seed{{Device: id.Device(), Addrs: []string{"/ip4/203.0.113.7/tcp/4101"}}}
	return Params{Name: "Alice", Identity: id, Network: Network{Network: network, Seeds: seeds}, Authority: authority}
}

// invite returns the link that a home of these params could have been made with.
func invite(p Params) string {
	return chat.Invite{Kind: chat.InviteNetwork, Network: p.Network.Network, Seeds: p.Network.Seeds, Account: p.Identity.Account(), Name: "Carol", Member: chat.Token{1}}.String()
}

// created returns Alice's home in a new folder.
func created(t testing.TB, p Params) *Home {
	t.Helper()
	alone(t)
	h, err := Create(filepath.Join(t.TempDir(), "alice"), p)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// alone keeps a test from the ports and sockets of others.
func alone(t testing.TB) {
	t.Helper()
	t.(interface{ Setenv(string, string) }).Setenv("XDG_RUNTIME_DIR", t.TempDir())
}

// wantError checks what a person is told: the code, words of the line, words of the command to run.
func wantError(t testing.TB, err error, code chat.Code, says, try string) {
	t.Helper()
	var e *chat.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Detail, says) || !strings.Contains(e.Try, try) {
		t.Fatalf("want code %s, %q and to try %q; got %#v", code, says, try, err)
	}
	if strings.Contains(e.Detail, "\n") {
		t.Fatalf("more than one line: %q", e.Detail)
	}
}

func TestHomeIsReadBackAsItWasMade(t *testing.T) {
	p := alice(t)
	made := created(t, p)
	h, err := Open(made.Dir())
	if err != nil {
		t.Fatal(err)
	}
	u, err := h.Unlock(nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := p.Identity.MarshalBinary()
	got, _ := u.Identity.MarshalBinary()
	switch n := h.Network(); {
	case !bytes.Equal(got, want):
		t.Error("the identity is another one")
	case h.Profile().Name != "Alice" || h.Profile().Account != p.Identity.Account() || h.Profile().Device != p.Identity.Device():
		t.Errorf("the profile is %+v", h.Profile())
	case n.Name != "home" || n.ID != p.Network.ID || !bytes.Equal(n.PSK, p.Network.PSK) || !bytes.Equal(u.Authority().Seed(), p.Authority):
		t.Error("the network is another one")
	case len(n.Seeds) != 1 || n.Seeds[0].Device != p.Identity.Device() || n.Seeds[0].Addrs[0] != "/ip4/203.0.113.7/tcp/4101":
		t.Errorf("the seeds are %v", n.Seeds)
	case h.Node().Port != made.Node().Port || h.Node().Database != "sqlite:"+filepath.Join(h.Dir(), "parley.db"):
		t.Errorf("the node is %+v", h.Node())
	}
}

func TestEverythingIsClosedToOthers(t *testing.T) {
	p := alice(t)
	p.Join = invite(p)
	h := created(t, p)
	info, err := os.Stat(h.Dir())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v (%v)", info.Mode(), err)
	}
	entries, err := os.ReadDir(h.Dir())
	if err != nil || len(entries) < 5 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", e.Name(), info.Mode(), err)
		}
	}
}

func TestSecondInitIsRefusedByName(t *testing.T) {
	h := created(t, alice(t))
	before, err := os.ReadFile(filepath.Join(h.Dir(), keysFile))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(h.Dir(), alice(t))
	wantError(t, err, chat.CodeConfig, "already initialised as Alice ("+h.Profile().Account.Short()+") in "+h.Dir(), "up")
	wantError(t, Vacant(h.Dir()), chat.CodeConfig, "already initialised", "up")
	if after, _ := os.ReadFile(filepath.Join(h.Dir(), keysFile)); !bytes.Equal(before, after) {
		t.Fatal("the keys were changed")
	}
}

func TestOfManyInitsAtOnceOneWins(t *testing.T) {
	alone(t)
	dir := filepath.Join(t.TempDir(), "alice")
	params := []Params{alice(t), alice(t), alice(t), alice(t), alice(t), alice(t)}
	results := make([]error, len(params))
	var all sync.WaitGroup
	for i, p := range params {
		all.Go(func() { _, results[i] = Create(dir, p) })
	}
	all.Wait()
	won := 0
	for i, err := range results {
		if err != nil {
			continue
		}
		won++
		if h, err := Open(dir); err != nil || h.Profile().Account != params[i].Identity.Account() {
			t.Errorf("the home is not the winner's: %v", err)
		}
	}
	if won != 1 {
		t.Fatalf("%d inits won: %v", won, results)
	}
}

// Whatever was written before a crash, the folder is either no home, and init may run again, or a whole one.
func TestCrashWhileCreating(t *testing.T) {
	p := alice(t)
	p.Join = invite(p)
	whole := created(t, p)
	order := []string{lockFile, nodeFile, joinFile, networkFile, linksFile, profileFile, keysFile}
	for written := range len(order) {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d files, half of the next: %v", written, half), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "crashed")
				crashed(t, whole.Dir(), dir, order[:written], order[written], half)
				_, err := Open(dir)
				wantError(t, err, chat.CodeConfig, "there is no parley home in "+dir, "init --name NAME")
				again := alice(t) // the second time without an invite
				h, err := Create(dir, again)
				if err != nil {
					t.Fatalf("init after the crash: %v", err)
				}
				if _, ok := h.Join(); ok || h.Profile().Account != again.Identity.Account() {
					t.Fatal("something of the first attempt is in the second")
				}
			})
		}
	}
}

// crashed makes a folder as a crash would leave it: some files whole, and perhaps half of the next beside its place.
func crashed(t *testing.T, from, to string, whole []string, next string, half bool) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range whole {
		copyFile(t, filepath.Join(from, name), filepath.Join(to, name), 1)
	}
	if half {
		copyFile(t, filepath.Join(from, next), filepath.Join(to, next+".new"), 2)
	}
}

func copyFile(t *testing.T, from, to string, share int) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data[:len(data)/share], 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFolderOfSomebodyElseIsLeftAlone(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Create(dir, alice(t))
	wantError(t, err, chat.CodeConfig, "is not empty", "init --name NAME")
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o755 {
		t.Errorf("its mode was changed to %v", info.Mode())
	}
	if _, err := Create(filepath.Join(dir, "thesis.txt", "x"), alice(t)); chat.CodeOf(err) != chat.CodeConfig {
		t.Errorf("a folder below a file: %v", err)
	}
}

func TestEmptyFolderBecomesAHomeAndIsClosed(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, alice(t)); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Fatalf("the folder has mode %v", info.Mode())
	}
}

func TestDamagedFilesAreNamed(t *testing.T) {
	for name, damage := range map[string]struct {
		file, content, says string
	}{
		"profile cut":         {profileFile, `{"name":"Ali`, profileFile},
		"profile gone":        {profileFile, "", "missing"},
		"name with an escape": {profileFile, `{"name":"\u001b[2J"}`, profileFile},
		"account cut":         {profileFile, `{"name":"Alice","account":"abc"}`, profileFile},
		"network cut":         {networkFile, `{`, networkFile},
		"network gone":        {networkFile, "", "missing"},
		"short network id":    {networkFile, `{"name":"home","id":"00"}`, "network id"},
		"long network id":     {networkFile, `{"name":"home","id":"` + strings.Repeat("00", 17) + `"}`, "network id"},
		"short psk":           {networkFile, `{"name":"home","id":"` + strings.Repeat("00", 16) + `","psk":"AAAA"}`, "3 bytes"},
		"seed without an id":  {networkFile, `{"name":"home","id":"` + strings.Repeat("00", 16) + `","seeds":[{"device":"x"}]}`, "seed"},
		"no port":             {nodeFile, `{}`, "port 0"},
		"port gone":           {nodeFile, "", "missing"},
		"links gone":          {linksFile, "", "missing"},
		"links cut":           {linksFile, `{"secret"`, linksFile},
		"short link secret":   {linksFile, `{"secret":"AAAA","generation":1}`, "3 bytes"},
		"no generation":       {linksFile, `{"secret":"` + strings.Repeat("A", 43) + `="}`, "generation 0"},
		"invite cut":          {joinFile, `{"link"`, joinFile},
		"invite empty":        {joinFile, `{}`, "no parley link"},
		"link cut":            {joinFile, `{"link":"parley:J1AAAA"}`, "damaged"},
		"keys of a stranger":  {keysFile, "ssh-ed25519 AAAA", "corrupt key file"},
		"keys cut":            {keysFile, "P", "corrupt key file"},
		"keys empty":          {keysFile, "\n", "corrupt key file"},
		"sealed keys cut":     {keysFile, "S123", "corrupt key file"},
		"huge profile":        {profileFile, strings.Repeat(" ", maxFile+1), "1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			h := created(t, alice(t))
			path := filepath.Join(h.Dir(), damage.file)
			if damage.content == "" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(path, []byte(damage.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := openAndUnlock(h.Dir())
			var e *chat.Error
			if !errors.As(err, &e) || e.Code != chat.CodeConfig || !strings.Contains(e.Detail, damage.says) {
				t.Fatalf("want it to say %q, got %v", damage.says, err)
			}
			if !strings.Contains(e.Detail, path) {
				t.Errorf("it does not name the file: %v", err)
			}
			if Vacant(h.Dir()) == nil {
				t.Error("init would write over what is left of it")
			}
		})
	}
}

func openAndUnlock(dir string) (*Unlocked, error) {
	h, err := Open(dir)
	if err != nil {
		return nil, err
	}
	return h.Unlock(func() ([]byte, error) { return []byte("correct horse"), nil })
}

func TestJoiningIsRememberedOnce(t *testing.T) {
	p := alice(t)
	p.Join = invite(p)
	h := created(t, p)
	if j, ok := h.Join(); !ok || j.Link != p.Join || j.Joined || h.Joined() {
		t.Fatalf("right after init: %+v", j)
	}
	for range 2 {
		if err := h.SaveJoined(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(h.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if j, ok := again.Join(); !ok || !j.Joined || j.Link != p.Join || !again.Joined() || !h.Joined() {
		t.Fatalf("after joining: %+v", j)
	}
	own := created(t, alice(t))
	if err := own.SaveJoined(); err != nil || !own.Joined() {
		t.Fatalf("whoever made the network is in it: %v", err)
	}
}

func TestDatabaseIsRemembered(t *testing.T) {
	h := created(t, alice(t))
	port := h.Node().Port
	if err := h.SaveDatabase("postgres://alice@localhost/parley"); err != nil {
		t.Fatal(err)
	}
	again, err := Open(h.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if n := again.Node(); n.Database != "postgres://alice@localhost/parley" || n.Port != port {
		t.Fatalf("got %+v", n)
	}
}

func TestHomesNeverGetTheSamePort(t *testing.T) {
	alone(t)
	taken := map[int]string{}
	for i := range 4 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		h, err := Create(dir, alice(t))
		if err != nil {
			t.Fatal(err)
		}
		port := h.Node().Port
		if other, ok := taken[port]; ok {
			t.Fatalf("%s and %s both have port %d", other, dir, port)
		}
		taken[port] = dir
	}
}

func TestPortOfARemovedHomeIsFreeAgain(t *testing.T) {
	alone(t)
	first, err := Create(filepath.Join(t.TempDir(), "first"), alice(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(first.Dir()); err != nil {
		t.Fatal(err)
	}
	notes, unlock := portNotes()
	defer unlock()
	if notes == "" || noted(notes, first.Node().Port, "/another") {
		t.Fatalf("port %d is kept for a home that is gone", first.Node().Port)
	}
}

func TestTakenPortsAreSeen(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6", "udp4", "udp6"} {
		port, stop := listen(t, network)
		if free(port) {
			t.Errorf("%s port %d is taken for free", network, port)
		}
		stop()
	}
	if _, err := pickPort(func(int) bool { return false }); err == nil {
		t.Error("a port was found where none is free")
	}
	if port, err := pickPort(func(p int) bool { return p != PreferredPort }); err != nil || port < firstPort || port > lastPort {
		t.Errorf("the second choice is %d (%v)", port, err)
	}
}

// listen takes a port of one kind on loopback, or skips what the machine does not have.
func listen(t *testing.T, network string) (port int, stop func()) {
	t.Helper()
	host := map[bool]string{true: "127.0.0.1:0", false: "[::1]:0"}[strings.HasSuffix(network, "4")]
	if strings.HasPrefix(network, "tcp") {
		l, err := net.Listen(network, host)
		if err != nil {
			t.Skipf("no %s here: %v", network, err)
		}
		return l.Addr().(*net.TCPAddr).Port, func() { _ = l.Close() }
	}
	c, err := net.ListenPacket(network, host)
	if err != nil {
		t.Skipf("no %s here: %v", network, err)
	}
	return c.LocalAddr().(*net.UDPAddr).Port, func() { _ = c.Close() }
}

func TestDefaultHome(t *testing.T) {
	t.Setenv("PARLEY_HOME", "/srv/parley")
	if Default() != "/srv/parley" {
		t.Error(Default())
	}
	t.Setenv("PARLEY_HOME", "")
	if d := Default(); filepath.Base(d) != "parley" || !filepath.IsAbs(d) {
		t.Error(d)
	}
}

func TestCommandsCanBePasted(t *testing.T) {
	t.Setenv("PARLEY_HOME", "/srv/parley")
	for dir, want := range map[string]string{
		"/srv/parley":   "parley up",
		"/tmp/alice":    "parley --home /tmp/alice up",
		"/tmp/my home":  "parley --home '/tmp/my home' up",
		"/tmp/it's ; x": `parley --home '/tmp/it'\''s ; x' up`,
	} {
		if got := Command(dir, "up"); got != want {
			t.Errorf("%s: got %s, want %s", dir, got, want)
		}
	}
}

func TestANetworkWithoutMembersIsSaidToBeOne(t *testing.T) {
	h := created(t, alice(t))
	path := filepath.Join(h.Dir(), networkFile)
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Replace(now, []byte(`  "members": 1,`+"\n"), nil, 1)
	if bytes.Equal(before, now) {
		t.Fatalf("the file is %s", now)
	}
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(h.Dir())
	wantError(t, err, chat.CodeConfig, "was made by another version of parley", "init --name Alice")
}

func TestADamagedLedgerIsToldOfByWhatIsLost(t *testing.T) {
	p := alice(t)
	made := created(t, p)
	p = alice(t)
	p.Join = invite(p)
	joined := created(t, p)
	for h, loss := range map[*Home]string{made: "whom it removed, it hears from the first member", joined: "asks who invited it to let it in again"} {
		err := h.Ledger().Damaged(errors.New("cut"))
		wantError(t, err, chat.CodeConfig, loss, "mv "+filepath.Join(h.Dir(), membersFile)+" ")
		wantError(t, err, chat.CodeConfig, "a corrupt file: "+filepath.Join(h.Dir(), membersFile)+": cut; restore it from a backup", "")
	}
}

func TestTheLedgerIsKeptAsAWhole(t *testing.T) {
	h := created(t, alice(t))
	if data, err := h.Ledger().Load(); data != nil || err != nil {
		t.Errorf("before the first time: %q, %v", data, err)
	}
	for _, want := range []string{"one", "another, which is longer", "two"} {
		if err := h.Ledger().Save([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if data, err := h.Ledger().Load(); string(data) != want || err != nil {
			t.Errorf("got %q, %v; want %q", data, err, want)
		}
	}
	if err := os.Chmod(h.Dir(), 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(h.Dir(), 0o700)
	if err := h.Ledger().Save([]byte("three")); err == nil && os.Geteuid() != 0 {
		t.Error("kept where nothing can be written")
	}
}

// What holds more than it may is refused before it takes the place of what can be read. A ledger may hold more than other files.
func TestTheLedgerHasALimitOfItsOwn(t *testing.T) {
	h := created(t, alice(t))
	for size, fits := range map[int]bool{maxFile + 1: true, maxLedger: true, maxLedger + 1: false} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		if err := h.Ledger().Save(want); (err == nil) != fits {
			t.Errorf("%d bytes: %v", size, err)
		}
		if got, err := h.Ledger().Load(); fits && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("of %d bytes %d are read: %v", size, len(got), err)
		}
	}
	if err := replaceFile(h.Dir(), joinFile, make([]byte, maxFile+1)); err == nil {
		t.Error("another file is as large")
	}
	if err := os.WriteFile(filepath.Join(h.Dir(), membersFile), make([]byte, maxLedger+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := h.Ledger().Load()
	wantError(t, err, chat.CodeConfig, fmt.Sprintf("%d bytes or more", maxLedger), "")
}

func TestAnotherInviteTakesThePlaceOfTheFirst(t *testing.T) {
	p := alice(t)
	p.Join, p.Authority = invite(p), nil
	h := created(t, p)
	second, err := chat.ParseInvite(invite(p))
	if err != nil {
		t.Fatal(err)
	}
	second.Member = chat.Token{2}
	if err := h.SaveInvite(second); err != nil {
		t.Fatal(err)
	}
	again, err := Open(h.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if j, _ := again.Join(); j.Link != second.String() || j.Joined || again.Invite().MemberToken() != second.Member {
		t.Errorf("the home has %+v", j)
	}
	u, err := again.Unlock(nil)
	if err != nil || u.Authority() != nil {
		t.Errorf("who has joined has the authority's key (%v)", err)
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	h := created(t, alice(t))
	n := h.Network()
	u, err := h.Unlock(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, n) + fmt.Sprintf(verb, u)
		if strings.Contains(text, fmt.Sprintf("%x", n.PSK)) || strings.Contains(text, fmt.Sprint(u.authority)) {
			t.Errorf("%s shows a key: %s", verb, text)
		}
	}
}

func TestLinksAreRenewedForEveryProcess(t *testing.T) {
	h := created(t, alice(t))
	first := h.LinkKey()
	other, err := Open(h.Dir())
	if err != nil || other.LinkKey() != first || first.Generation != 1 {
		t.Fatalf("another process sees %v, %v", other.LinkKey(), err)
	}
	for range 2 { // one process renews what the other has renewed
		if err := errors.Join(h.RenewLinks(), other.RenewLinks()); err != nil {
			t.Fatal(err)
		}
	}
	if k := other.LinkKey(); k.Generation != 5 || k.Secret != first.Secret {
		t.Errorf("after four renewals it is %v", k)
	}
	again, err := Open(h.Dir())
	if err != nil || again.LinkKey() != other.LinkKey() {
		t.Errorf("read again: %v, %v", again.LinkKey(), err)
	}
	if text := fmt.Sprintf("%v %+v %x", first, first, first.Contact()); strings.Contains(text, fmt.Sprintf("%x", first.Secret)) || strings.Contains(text, fmt.Sprint(first.Secret)) {
		t.Errorf("it prints %s", text)
	}
}

func TestWordsAreQuotedWhereAShellWouldChangeThem(t *testing.T) {
	for word, want := range map[string]string{"": "''", "/tmp/code-1.png": "/tmp/code-1.png", "my code.png": "'my code.png'", "it's $HOME": `'it'\''s $HOME'`} {
		if got := Word(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}
