package e2e_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A layer says which of our packages one may import. A name that ends in /... stands for all packages below.
type layer struct {
	dir  string
	may  []string
	role string
}

func layers() []layer {
	return []layer{
		{".", []string{"chat", "chat/api", "chat/cli", "chat/home", "chat/scrape", "chat/web", "node", "store"}, "main introduces the parts to each other"},
		{"chat", []string{"chat/internal/..."}, "chat knows what a message is; it declares what it needs from network and database"},
		{"chat/internal/wire", nil, "wire is bytes alone"},
		{"chat/internal/...", []string{"chat/internal/wire"}, "what seals and parses knows nothing of those who use it"},
		{"chat/home", []string{"chat"}, "the home is files, in chat's types"},
		{"chat/api", []string{"chat"}, "the API shows a Backend, and cannot tell whose it is"},
		{"chat/scrape", nil, "who shows figures is handed them, and knows none"},
		{"chat/cli", []string{"chat", "chat/api", "chat/home", "chat/scrape", "chat/cli/..."}, "commands work through the API; main hands them what runs a node"},
		{"chat/cli/...", []string{"chat", "chat/api", "chat/home", "chat/cli/..."}, "commands work through the API"},
		{"chat/web", nil, "the web UI talks to the API alone"},
		{"chat/chattest", []string{"chat"}, "a test kit stands beside the contract that it tests"},
		{"chat/api/apitest", []string{"chat", "chat/api", "chat/chattest"}, "a test kit stands beside the contract that it tests"},
		{"node", []string{"node/..."}, "node knows how bytes reach a peer, and nothing of what they say"},
		{"node/...", []string{"node/internal/..."}, "a protocol stands alone, so that it can be read and replaced alone"},
		{"node/internal/setback", []string{"node/member", "node/psk"}, "what an attempt that failed means is said in one place, whoever has failed it"},
		{"node/mailbox/mailboxtest", []string{"node/mailbox"}, "a test kit stands beside the contract that it tests"},
		{"node/member/membertest", []string{"node/member"}, "a test kit stands beside the contract that it tests"},
		{"node/nodetest", []string{"node", "node/..."}, "a test kit stands beside what it tests"},
		{"store", []string{"chat", "node/mailbox", "node/blob", "migrations"}, "store knows where rows live: it borrows the types of the rows"},
		{"store/storetest", nil, "a test kit that gives databases needs none of us"},
		{"migrations", nil, "migrations are SQL"},
		{"e2e", []string{"chat", "chat/api"}, "e2e is a stranger: processes, and the API's client, which speaks in chat's types"},
	}
}

func importRules() []rule {
	return []rule{
		{
			"packages import only what their layer may", "who imports whom is the architecture: a stranger sees it in ten seconds as long as it has no " +
				"exceptions. Declare a small interface where it is called and let main.go pass the part in; or, for a new package, say " +
				"in layers() what it is for.", layering,
		},
		{
			"test kits stay out of the program", "what tests need must not ship, nor may the program lean on it. Move what both need into the package itself.",
			testKits,
		},
		{
			"libraries stay where they belong", "one package knows each large library, so that it can be replaced, and its traps are met once. A device is a " +
				"peer.ID everywhere; nothing else of libp2p leaves node. Ask the package that owns the library.", libraries,
		},
		{
			"the sealing code is pure", "a function of its input can be tested against vectors and proven things about: no I/O, no clock, no goroutine. Hand " +
				"the bytes, the time and the randomness in.", purity,
		},
		{"nothing lies at the top that has no place there", "the top is the table of contents. Put documents beside the code that they describe, " +
			"and code into the part that it belongs to.", topLevel},
		{"no package is called after nothing", "such a name says nothing, so everything ends up there. Name the package after what it provides.", emptyNames},
	}
}

func layering(tr *tree) (broken []string) {
	for _, f := range tr.files {
		l, ok := layerOf(f.dir)
		if !ok {
			broken = append(broken, fmt.Sprintf("%s: package %s has no layer", f.path, f.dir))
			continue
		}
		for _, dir := range f.ours() {
			fine := slices.ContainsFunc(l.may, func(pattern string) bool { return covers(pattern, dir) }) || f.external() ||
				f.test && (support(dir) || dir == f.dir)
			if !fine {
				broken = append(broken, fmt.Sprintf("%s: imports %s, but %s", f.path, dir, l.role))
			}
		}
	}
	return broken
}

// layerOf returns the line of a folder, or else of the nearest folder above that speaks for those below.
func layerOf(dir string) (layer, bool) {
	for _, l := range layers() {
		if l.dir == dir {
			return l, true
		}
	}
	for above := path.Dir(dir); above != "."; above = path.Dir(above) {
		for _, l := range layers() {
			if l.dir == above+"/..." {
				return l, true
			}
		}
	}
	return layer{}, false
}

func covers(pattern, dir string) bool {
	above, ok := strings.CutSuffix(pattern, "...")
	return pattern == dir || ok && strings.HasPrefix(dir, above)
}

func testKits(tr *tree) (broken []string) {
	for _, f := range tr.shipped() {
		for _, p := range append(f.ours(), f.imports()...) {
			if support(p) || p == "testing" {
				broken = append(broken, fmt.Sprintf("%s: imports %s", f.path, p))
			}
		}
	}
	return broken
}

func libraries(tr *tree) (broken []string) {
	const libp2p, peer = "github.com/libp2p/", "github.com/libp2p/go-libp2p/core/peer"
	homes := map[string][]string{
		libp2p:                     {"node", "node/..."},
		"github.com/jackc/":        {"store"},
		"github.com/ncruces/":      {"store"},
		"database/sql":             {"store", "migrations"},
		"github.com/urfave/":       {"chat/cli", "chat/cli/..."},
		"github.com/ergochat/":     {"chat/cli/line"},
		"github.com/prometheus/":   {"chat", "chat/scrape", "node"},
		"rsc.io/qr":                {"chat/cli/show"},
		"github.com/zalando/":      {"chat/home"},
		"github.com/multiformats/": {".", "node", "node/...", "store"},
	}
	for _, f := range tr.shipped() {
		for _, p := range f.imports() {
			for library, dirs := range homes {
				if strings.HasPrefix(p, library) && p != peer && !slices.ContainsFunc(dirs, func(d string) bool { return covers(d, f.dir) }) {
					broken = append(broken, fmt.Sprintf("%s: imports %s, which belongs to %s", f.path, p, strings.Join(dirs, ", ")))
				}
			}
		}
	}
	return broken
}

func purity(tr *tree) (broken []string) {
	impure := []string{"context", "io/fs", "log", "net", "net/http", "os", "sync", "time", "go.uber.org/zap"}
	for _, f := range tr.shipped() {
		if !strings.HasPrefix(f.dir, "chat/internal/") {
			continue
		}
		for _, p := range f.imports() {
			if slices.Contains(impure, p) {
				broken = append(broken, fmt.Sprintf("%s: imports %s", f.path, p))
			}
		}
	}
	return broken
}

func topLevel(tr *tree) (broken []string) {
	places := []string{
		"go.mod", "go.sum", "main.go", "node", "chat", "store", "migrations", "deploy", "e2e",
		"Makefile", "README.md", "LICENSE", "CHANGELOG.md",
	}
	for _, e := range tr.top {
		if !slices.Contains(places, e.Name()) && !strings.HasPrefix(e.Name(), ".") {
			broken = append(broken, e.Name()+": has no place at the top")
		}
	}
	return broken
}

func emptyNames(tr *tree) (broken []string) {
	names := []string{"util", "utils", "common", "helper", "helpers", "types", "models", "base", "manager"}
	for dir, files := range tr.packages() {
		if slices.Contains(names, path.Base(dir)) || slices.Contains(names, files[0].Name.Name) {
			broken = append(broken, dir+": is called after nothing")
		}
	}
	return broken
}
