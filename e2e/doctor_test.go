package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// finding is something that doctor says of a node.
type finding struct{ Code, Level, Text, Try string }

// doctor returns what doctor finds that is not well, by code, and how it ends.
func (p *person) doctor() (code int, bad map[string]finding) {
	p.Helper()
	var said struct {
		V        int
		Worst    string
		Findings []finding
	}
	r := p.run("doctor", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil || said.V != 1 {
		p.Fatalf("want one object, %v: %s", err, r)
	}
	bad = map[string]finding{}
	for _, f := range said.Findings {
		if f.Level != "ok" {
			bad[f.Code] = f
		}
	}
	return r.code, bad
}

// findings returns what doctor finds that is not well, by code, and runs the remedies.
func (p *person) findings(want int) map[string]finding {
	p.Helper()
	code, bad := p.doctor()
	if code != want {
		p.Fatalf("doctor ended with %d, not %d: %+v", code, want, bad)
	}
	for _, f := range bad {
		if f.Try == "" {
			p.Errorf("%s has no remedy: %s", f.Code, f.Text)
		}
		p.heals(f.Code, f.Try)
	}
	return bad
}

// heals runs a remedy, but for those that go on, ask, or want something filled in or read.
func (p *person) heals(code, try string) {
	p.Helper()
	words := strings.Fields(strings.TrimPrefix(try, "parley"))
	for i, word := range words {
		if word == "--home" {
			words = append(words[:i:i], words[i+2:]...)
			break
		}
	}
	if words[0] == "up" || words[0] == "passphrase" || words[len(words)-1] == "-" || strings.ToLower(try) != try && strings.Contains(try, "NAME") {
		return
	}
	if r := p.run(words...); r.code != 0 {
		p.Errorf("the remedy of %s: %s", code, r)
	}
}

// What is wrong with a node is said with the command that helps, and what is well as such: before it runs, on its own, among others, and when the
// seed goes.
func TestDoctor(t *testing.T) {
	w := newWorld(t)
	seed := w.person("Seed")
	seed.ok("init", "--name", "Seed", "--network", "home", "--no-passphrase")
	if bad := seed.findings(3); bad["node"].Text == "" || bad["identity"].Text == "" {
		t.Errorf("before the seed runs: %v", bad)
	}
	seed.options = []string{"--seed"}
	seed.start()
	if bad := seed.findings(0); bad["reach.seed"].Text == "" || !strings.HasSuffix(bad["mailboxes.none"].Try, "net invite") || bad["node"].Text != "" {
		t.Errorf("the seed alone: %v", bad)
	}
	if r := seed.run("doctor", "--strict"); r.code != 1 || !strings.Contains(r.stdout, "warn  identity") || !strings.Contains(r.stdout, "try: ") {
		t.Errorf("a strict look at the seed: %s", r)
	}
	bob := w.person("Bob").joins(seed.invite())
	bob.start()
	await(t, patience, "Bob is well", func() bool {
		code, bad := bob.doctor()
		return code == 0 && len(bad) == 1 && bad["identity"].Text != ""
	})
	bob.findings(0)
	seed.node.kill()
	await(t, patience, "Bob misses the seed", func() bool {
		r := bob.run("doctor")
		return r.code == 3 && strings.Contains(r.stdout, "FAIL  seeds      none of 1 answers")
	})
}
