package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A plant is a small tree that breaks one rule, and another that does the same as it should be done.
type plant struct {
	rule string
	bad  files
	want string // in what the rule says of the bad tree
	good files
}

// files is a tree: texts by path.
type files map[string]string

func TestEveryRuleCanFail(t *testing.T) {
	planted := map[string]bool{}
	for _, p := range slices.Concat(importPlants(), budgetPlants(), goroutinePlants(), codePlants(), namePlants(), wordPlants()) {
		planted[p.rule] = true
		t.Run(p.rule, func(t *testing.T) {
			r := ruleNamed(t, p.rule)
			if said := strings.Join(r.check(treeOf(t, p.bad)), "\n"); !strings.Contains(said, p.want) {
				t.Errorf("want %q in what it says of the bad tree: %q", p.want, said)
			}
			if said := r.check(treeOf(t, p.good)); len(said) > 0 {
				t.Errorf("it complains about the good tree: %q", said)
			}
		})
	}
	for _, r := range rules() {
		if !planted[r.name] {
			t.Errorf("nothing shows that the rule %q can fail", r.name)
		}
	}
}

func ruleNamed(t *testing.T, name string) rule {
	t.Helper()
	for _, r := range rules() {
		if r.name == name {
			return r
		}
	}
	t.Fatalf("no rule is called %q", name)
	return rule{}
}

func treeOf(t *testing.T, tree files) *tree {
	t.Helper()
	fsys := fstest.MapFS{".gitignore": {Data: []byte("/bin/\n*.test\n")}}
	for path, text := range tree {
		fsys[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return mustLoad(t, fsys)
}

func importPlants() []plant {
	const layering, kits = "packages import only what their layer may", "test kits stay out of the program"
	return []plant{
		{
			layering,
			files{"node/x.go": `package node; import "parley/chat"`},
			"node/x.go: imports chat",
			files{"node/x.go": `package node; import "parley/node/direct"`},
		}, {
			layering,
			files{"chat/x.go": `package chat; import "parley/store"`},
			"imports store",
			files{"chat/x.go": `package chat; import "parley/chat/internal/seal"`},
		}, {
			layering,
			files{"chat/home/x.go": `package home; import "parley/chat/api"`},
			"imports chat/api",
			files{"chat/home/x.go": `package home; import "parley/chat"`},
		}, {
			layering,
			files{"node/direct/x.go": `package direct; import "parley/node/directory"`},
			"a protocol stands alone",
			files{"node/direct/x.go": `package direct; import "parley/node/internal/frame"`},
		}, {
			layering,
			files{"node/in_test.go": `package node; import "parley/chat"`},
			"imports chat",
			files{"node/out_test.go": `package node_test; import "parley/chat"`},
		}, {
			layering,
			files{"people/x.go": `package people`},
			"package people has no layer",
			files{"chat/cli/show/x.go": `package show`},
		}, {
			kits,
			files{"main.go": `package main; import "parley/store/storetest"`},
			"imports store/storetest",
			files{"chat/x_test.go": `package chat_test; import "parley/chat/chattest"`},
		}, {
			"libraries stay where they belong",
			files{"chat/x.go": `package chat; import "github.com/libp2p/go-libp2p/core/host"`},
			"belongs to node",
			files{"chat/x.go": `package chat; import "github.com/libp2p/go-libp2p/core/peer"`},
		}, {
			"the sealing code is pure",
			files{"chat/internal/seal/x.go": `package seal; import "time"`},
			"imports time",
			files{"chat/internal/seal/x.go": `package seal; import "crypto/hpke"`},
		}, {
			"nothing lies at the top that has no place there",
			files{"docs/x.txt": ""},
			"docs: has no place",
			files{"bin/parley": "", ".ci/run": "", "LICENSE": "", "parley.test": ""},
		}, {
			"no package is called after nothing",
			files{"chat/util/x.go": `package util`},
			"chat/util",
			files{"chat/text/x.go": `package text`},
		},
	}
}

func budgetPlants() []plant {
	const functions = "functions are short"
	return []plant{
		{
			functions,
			files{"chat/x.go": function("long", 71)},
			"long has 71 lines",
			files{"chat/x.go": function("short", 12)},
		}, {
			functions,
			files{"chat/x.go": function("long", 13)},
			"the median function has 13 lines",
			files{"chat/x_test.go": function("long", 13)},
		}, {
			"files are short",
			files{"chat/x.go": "package chat" + strings.Repeat("\n", 501)},
			"501 lines",
			files{"chat/x_test.go": "package chat" + strings.Repeat("\n", 501)},
		}, {
			"main.go is a composition",
			files{"main.go": "package main" + strings.Repeat("\n", 151)},
			"151 lines",
			files{"main.go": "package main" + strings.Repeat("\n", 150)},
		}, {
			"packages are small", packageOf(13), "node/direct: 13 files",
			packageOf(12),
		}, {
			"interfaces are small",
			files{"chat/x.go": `package chat; type Big interface{ A(); B(); C(); D(); E(); F() }`},
			"Big has 6 methods",
			files{"chat/x.go": `package chat; type All interface{ Some; A(); B(); C(); D(); E() }`},
		}, {
			"tests weigh as much as code",
			files{"chat/x.go": "package chat\n\n\n\n\n", "chat/x_test.go": "package chat\n\n\n"},
			"0.60",
			files{"chat/x.go": "package chat\n", "chat/x_test.go": "package chat\n"},
		},
	}
}

// function returns a file with a function of so many lines.
func function(name string, lines int) string {
	return "package chat\nfunc " + name + "() {\n" + strings.Repeat("\t_ = 0\n", lines-2) + "}"
}

// packageOf returns a package of n files.
func packageOf(n int) files {
	pkg := files{}
	for i := range n {
		pkg["node/direct/"+string(rune('a'+i))+".go"] = "package direct"
	}
	return pkg
}

func goroutinePlants() []plant {
	const waits, sleep = "goroutines have somebody who waits for them", "tests do not sleep"
	return []plant{
		{
			waits,
			files{"chat/x.go": "package chat\nfunc f() { go f() }"},
			"chat/x.go:2: starts a goroutine",
			files{"chat/x_test.go": `package chat; func f() { go f() }`},
		}, {
			waits,
			files{"node/bootstrap.go": `package node`},
			"starts no goroutine any more",
			files{"node/bootstrap.go": `package node; func f() { go f() }`},
		}, {
			sleep,
			files{"chat/x_test.go": "package chat\nfunc f() { time.Sleep(1) }"},
			"chat/x_test.go:2: sleeps",
			files{"chat/x_test.go": `package chat; func f() { synctest.Test(t, func() { time.Sleep(1) }) }`},
		}, {
			sleep,
			files{"node/nodetest/x.go": `package nodetest; func f() { time.Sleep(1) }`},
			"sleeps",
			files{"chat/home/x.go": `package home; func f() { time.Sleep(1) }`},
		},
	}
}

func codePlants() []plant {
	const state, docs, packages = "packages hold no state", "what is exported is explained", "each package introduces itself once"
	return []plant{
		{
			"only must… panics",
			files{"chat/x.go": `package chat; func f() { panic(1) }`},
			"f panics",
			files{"chat/x.go": `package chat; func mustF() { panic(1) }`},
		}, {
			state,
			files{"chat/x.go": `package chat; var Retry = 3`},
			"Retry",
			files{"chat/x.go": `package chat; const Retry = 3`},
		}, {
			state,
			files{"chat/x.go": `package chat; var seen = map[int]bool{}; func f() { seen[1] = true }`},
			"seen",
			files{"chat/x.go": `package chat; var steps = map[int]bool{1: true}; func f() bool { return steps[1] }`},
		}, {
			state,
			files{"chat/x.go": `package chat; var count int`},
			"count",
			files{"chat/x.go": "package chat; var Err = errors.New(\"x\"); var _ I = T{}\n//go:embed x\nvar text string"},
		}, {
			docs,
			files{"chat/x.go": "package chat\n// F does.\nfunc F() {}"},
			"F has no comment",
			files{"chat/x.go": "package chat\n// F returns what G took.\nfunc F() {}"},
		}, {
			docs,
			files{"chat/x.go": "package chat\nconst (\n\tA = 1\n\t// B follows A.\n\tB = 2\n)"},
			"A has no comment",
			files{"chat/x.go": "package chat\nconst (\n\t// A and B bound it.\n\tA = 1\n\tB = 2\n)"},
		}, {
			docs,
			files{"chat/x.go": "package chat\n// T is a thing.\ntype T struct{}\nfunc (t *T) Do() {}"},
			"Do has no comment",
			files{"chat/x.go": `package chat; type t struct{}; func (t *t) Do() {}`},
		}, {
			packages,
			files{"chat/a.go": "// Package chat is.\npackage chat", "chat/b.go": "// Package chat is.\npackage chat"},
			"in 2 files",
			files{"chat/a.go": "// Package chat is.\npackage chat"},
		}, {
			packages,
			files{"chat/a.go": `package chat`},
			"in 0 files",
			files{"chat/doc.go": "// Package chat is.\npackage chat", "chat/b.go": `package chat`},
		}, {
			packages,
			files{"chat/doc.go": `package chat`, "chat/b.go": "// Package chat is.\npackage chat"},
			"[b.go]",
			files{"chat/b.go": "// Package chat is.\npackage chat"},
		},
	}
}

func namePlants() []plant {
	const protocols, environment, registry = "protocols have names of one form", "the environment has names of one form", "labels are one registry"
	const level = `package cli; const e = "PARLEY_LOG_LEVEL"`
	return []plant{
		{
			protocols,
			files{"node/x.go": `package node; const p = "/parley/Direct/v1"`},
			"not of the form",
			files{"node/x.go": `package node; const p = "/parley/mailbox/1/fetch"`},
		}, {
			protocols,
			files{"node/x.go": `package node; const p, q = "/parley/direct/1", "/parley/direct/1"`},
			"there twice",
			files{"node/x.go": `package node; const p, q = "/parley/direct/1", "/parley/direct/2"`},
		}, {
			"services are called after their package",
			files{"node/direct/x.go": `package direct; const Service = "parley.mail"`},
			`should be "parley.direct"`,
			files{"node/direct/x.go": `package direct; const Service = "parley.direct"`},
		}, {
			"metrics have names of one form",
			files{"chat/x.go": `package chat; const m = "parley_outbox"`},
			"not of the form",
			files{"chat/x.go": `package chat; const m = "parley_outbox_envelopes"`},
		}, {
			environment,
			files{"chat/cli/x.go": level},
			"is not in deploy/.env.example",
			files{"chat/cli/x.go": level, environmentExample: "# PARLEY_LOG_LEVEL=info\n"},
		}, {
			environment,
			files{environmentExample: "PARLEY_COLOUR=red\n"},
			"nothing reads PARLEY_COLOUR",
			files{environmentExample: "POSTGRES_USER=parley\n"},
		}, {
			registry,
			files{"chat/x.go": `package chat; const l = "parley/mine/1"`},
			"is not in chat/internal/wire/labels.go",
			files{labelRegistry: `package wire; const l = "parley/mine/1"`},
		}, {
			registry,
			files{labelRegistry: `package wire; const a, b = "parley/box/1", "parley/box/12"`},
			`is how "parley/box/12" begins`,
			files{labelRegistry: `package wire; const a, b = "parley/box/1", "parley box v1"`},
		}, {
			registry,
			files{labelRegistry: `package wire; const l = "parley-box"`},
			"not of the form",
			files{labelRegistry: `package wire; const l = "parley device record v1"`},
		}, {
			"what both sides fix is the same on both", limits("64 << 10"), "is 65536, but",
			limits("128 << 10"),
		},
	}
}

// limits returns the files with the limits that chat and node both state.
func limits(envelope string) files {
	return files{
		"chat/limits.go":           "package chat; const ( MaxEnvelope = " + envelope + "; MaxRecord = 1 )",
		"node/direct/limits.go":    `package direct; const MaxEnvelope = 131072`,
		"node/directory/limits.go": `package directory; const MaxRecord = 1`,
	}
}

func wordPlants() []plant {
	const reasons, machine = "dependencies have a reason", "the project knows no machine"
	return []plant{
		{
			reasons,
			files{"go.mod": "require (\n\texample.org/x v1.0.0\n)", "README.md": "| `example.org/y` | why |"},
			"no line about example.org/x",
			files{"go.mod": "require (\n\texample.org/x v1.0.0\n\texample.org/z v1.0.0 // indirect\n)", "README.md": "| `example.org/x` | why |"},
		}, {
			reasons,
			files{"go.mod": "require example.org/x v1.0.0", "README.md": "See example.org/x for nothing."},
			"no line about example.org/x",
			files{"go.mod": "require example.org/x v1.0.0", "README.md": "* `example.org/x`: bytes"},
		}, {
			"nothing is left for later",
			files{"deploy/run.sh": "# TO" + "DO: later"},
			"deploy/run.sh:1",
			files{"deploy/run.sh": "# done"},
		}, {
			machine,
			files{"chat/x.go": "package chat\n// See /wo" + "rk/notes."},
			"chat/x.go:2",
			files{"chat/x.go": "package chat\n// See chat/send.go."},
		}, {
			machine,
			files{"chat/x.go": "package chat\n// See plan." + "md."},
			"names plan." + "md",
			files{"chat/x.go": "package chat\n// See chat/GUIDE." + "md.", "chat/GUIDE." + "md": "…"},
		}, {
			"errors say what was being done",
			files{"chat/x.go": `package chat; var e = fmt.Errorf("fai` + `led to open")`},
			"chat/x.go:1",
			files{"chat/x.go": `package chat; var e = fmt.Errorf("open")`},
		},
	}
}
