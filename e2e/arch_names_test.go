package e2e_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func nameRules() []rule {
	return []rule{
		{"protocols have names of one form", "a protocol id is /parley/<name>/<major>[/<verb>], so that versions can live side by side. Rename it, and say it once.", protocolNames},
		{"services are called after their package", "the resource manager accounts by service, and people look for parley.<package>.", serviceNames},
		{"metrics have names of one form", "dashboards outlive code: parley_<package>_<noun>_<unit>, each made once.", metricNames},
		{
			"the environment has names of one form", "PARLEY_<SECTION>_<KEY>, …_FILE for a secret in a file; each read in one place, so that there is one rule of what " +
				"comes first, and each explained in deploy/.env.example.", environmentNames,
		},
		{
			"labels are one registry", "a label separates everything that is hashed, signed or sealed under it from everything else. Put it into labels.go, in one of " +
				"the two forms; it must neither equal another nor begin like one.", labels,
		},
		{"what both sides fix is the same on both", "chat and node may not import each other, so each states the format's limits for itself. Make them equal.", twinLimits},
		{"dependencies have a reason", "each is somebody else's code in everybody's node. Say in README.md, in a line with its path, why it is worth that.", dependencies},
		{"nothing is left for later", "whoever meets such a note cannot tell whether it is done. Do it, or delete it.", leftovers},
		{"the project knows no machine", "it is built and read elsewhere. Leave out paths of a machine, hosts of registries, and papers that are not in the project.", machines},
		{"errors say what was being done", "\"open envelope: …: no space\" reads well however often it is wrapped. Leave \"failed to\" away.", errorTexts},
	}
}

// literal is a string in the code, in full.
type literal struct {
	*ast.BasicLit
	text string
	file *file
}

// literals returns the strings of the program that match, in order.
func (tr *tree) literals(form *regexp.Regexp) (list []literal) {
	for _, f := range tr.shipped() {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, _ := strconv.Unquote(lit.Value); form.MatchString(text) {
						list = append(list, literal{lit, text, f})
					}
				}
				return true
			})
		}
	}
	return list
}

// registry finds literals that match what, but are of no good form, or are there twice.
func (tr *tree) registry(what, form string) (broken []string) {
	good, seen := regexp.MustCompile(form), map[string]bool{}
	for _, lit := range tr.literals(regexp.MustCompile(what)) {
		switch {
		case !good.MatchString(lit.text):
			broken = append(broken, tr.at(lit, "%q is not of the form %s", lit.text, form))
		case seen[lit.text]:
			broken = append(broken, tr.at(lit, "%q is there twice", lit.text))
		}
		seen[lit.text] = true
	}
	return broken
}

func protocolNames(tr *tree) []string {
	return tr.registry(`^/parley/.`, `^/parley/[a-z]+/[1-9][0-9]*(/[a-z]+)?$`)
}

func metricNames(tr *tree) []string { return tr.registry(`^parley_`, `^parley(_[a-z]+){2,}$`) }

func serviceNames(tr *tree) (broken []string) {
	for _, f := range tr.shipped() {
		for name, value := range f.constants() {
			text, _ := strconv.Unquote(literalOf(value))
			if want := "parley." + path.Base(f.dir); name.Name == "Service" && text != want {
				broken = append(broken, tr.at(name, "%q should be %q", text, want))
			}
		}
	}
	return broken
}

// constants returns the names of a file's constants with their values.
func (f *file) constants() map[*ast.Ident]ast.Expr {
	all := map[*ast.Ident]ast.Expr{}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				spec := s.(*ast.ValueSpec)
				for i := range min(len(spec.Names), len(spec.Values)) {
					all[spec.Names[i]] = spec.Values[i]
				}
			}
		}
	}
	return all
}

func literalOf(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok {
		return lit.Value
	}
	return ""
}

const environmentExample = "deploy/.env.example"

func environmentNames(tr *tree) []string {
	broken := tr.registry(`^PARLEY_`, `^PARLEY(_[A-Z]+)+$`)
	example, known := tr.texts[environmentExample], map[string]bool{}
	for _, lit := range tr.literals(regexp.MustCompile(`^PARLEY_`)) {
		known[lit.text] = true
		if !regexp.MustCompile(`(?m)^(# )?` + lit.text + `=`).MatchString(example) {
			broken = append(broken, tr.at(lit, "%s is not in %s", lit.text, environmentExample))
		}
	}
	for _, key := range exampleKeys(example) {
		if strings.HasPrefix(key, "PARLEY_") && !known[key] {
			broken = append(broken, fmt.Sprintf("%s: nothing reads %s", environmentExample, key))
		}
	}
	return broken
}

// exampleKeys returns the keys of an example environment, also those that are commented out.
func exampleKeys(example string) (keys []string) {
	for _, m := range regexp.MustCompile(`(?m)^(?:# )?([A-Z_]+)=`).FindAllStringSubmatch(example, -1) {
		keys = append(keys, m[1])
	}
	return keys
}

const labelRegistry = "chat/internal/wire/labels.go"

func labels(tr *tree) (broken []string) {
	form := regexp.MustCompile(`^parley(/[a-z]+( [a-z]+)*/[1-9][0-9]*| [a-z]+( [a-z]+)* v[1-9][0-9]*)$`)
	all := tr.literals(form)
	for i, lit := range all {
		if strings.HasPrefix(lit.file.dir, "chat") && lit.file.path != labelRegistry {
			broken = append(broken, tr.at(lit, "the label %q is not in %s", lit.text, labelRegistry))
		}
		for j, other := range all {
			if i != j && strings.HasPrefix(other.text, lit.text) {
				broken = append(broken, tr.at(lit, "%q is how %q begins", lit.text, other.text))
			}
		}
	}
	for _, lit := range tr.literals(regexp.MustCompile(`^parley`)) {
		if lit.file.path == labelRegistry && !form.MatchString(lit.text) {
			broken = append(broken, tr.at(lit, "%q is not of the form parley/<words>/<n> or parley <words> v<n>", lit.text))
		}
	}
	return broken
}

func twinLimits(tr *tree) (broken []string) {
	for _, twins := range [][2]string{
		{"chat/limits.go:MaxEnvelope", "node/direct/limits.go:MaxEnvelope"},
		{"chat/limits.go:MaxRecord", "node/directory/limits.go:MaxRecord"},
		{"chat/limits.go:MaxInviteUses", "node/member/limits.go:MaxUses"},
	} {
		ours, theirs := tr.constant(twins[0]), tr.constant(twins[1])
		if ours != theirs {
			broken = append(broken, fmt.Sprintf("%s is %s, but %s is %s", twins[0], ours, twins[1], theirs))
		}
	}
	return broken
}

// constant returns the value of "path:name", or "not there".
func (tr *tree) constant(place string) string {
	where, want, _ := strings.Cut(place, ":")
	for _, f := range tr.files {
		for name, value := range f.constants() {
			if f.path != where || name.Name != want {
				continue
			}
			v, err := types.Eval(tr.fset, nil, token.NoPos, types.ExprString(value))
			if err == nil && v.Value.Kind() == constant.Int {
				return v.Value.ExactString()
			}
		}
	}
	return "not there"
}

func dependencies(tr *tree) (broken []string) {
	direct := regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/\S+) v\S+$`)
	for _, m := range direct.FindAllStringSubmatch(tr.texts["go.mod"], -1) {
		line := regexp.MustCompile(`(?m)^[|*-].*` + regexp.QuoteMeta(m[1]) + "[`| ].*[a-z]{3}")
		if !line.MatchString(tr.texts["README.md"]) {
			broken = append(broken, "go.mod: README.md has no line about "+m[1])
		}
	}
	return broken
}

func leftovers(tr *tree) []string {
	return tr.grep(regexp.MustCompile(`\b(TO`+`DO|FIX`+`ME|XX`+`X)\b|"(not implemented|unfinished)\b`), func(string) bool { return true })
}

func machines(tr *tree) (broken []string) {
	everywhere := func(string) bool { return true }
	broken = tr.grep(regexp.MustCompile(`(^|[\s"'=(:])/(work|root)/|\bpro`+`xy\.golang\.org|\bsum\.golang\.org|registry\.npm|deb\.deb`+`ian\.org`), everywhere)
	broken = append(broken, tr.grep(regexp.MustCompile(`(?i)\bissue #?[0-9]`), everywhere)...)
	paper := regexp.MustCompile(`[A-Za-z0-9_./-]*[A-Za-z0-9_-]\.md\b`)
	for _, p := range slices.Sorted(maps.Keys(tr.texts)) {
		for line := range strings.Lines(tr.texts[p]) {
			if !strings.Contains(line, ".md") {
				continue // the expression is slow
			}
			for _, name := range paper.FindAllString(line, -1) {
				if !tr.there(p, name) {
					broken = append(broken, fmt.Sprintf("%s: names %s, which is not in the project", p, name))
				}
			}
		}
	}
	return broken
}

// there reports whether a file names one beside it, above it, or from the root.
func (tr *tree) there(from, name string) bool {
	for dir := path.Dir(from); ; dir = path.Dir(dir) {
		if _, ok := tr.texts[path.Join(dir, name)]; ok {
			return true
		}
		if dir == "." || dir == "/" {
			return strings.Contains(name, "://") || strings.HasPrefix(name, "//")
		}
	}
}

func errorTexts(tr *tree) []string {
	return tr.grep(regexp.MustCompile(`Errorf?\("[^"]*\b([Ff]ailed to|[Cc]ould not|[Uu]nable to) `), func(p string) bool {
		return strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go")
	})
}

// grep returns the lines of chosen files that match.
func (tr *tree) grep(what *regexp.Regexp, where func(string) bool) (found []string) {
	for _, p := range slices.Sorted(maps.Keys(tr.texts)) {
		if !where(p) || p == "go.sum" {
			continue
		}
		for i, line := range strings.Split(tr.texts[p], "\n") {
			if what.MatchString(line) {
				found = append(found, fmt.Sprintf("%s:%d: %s", p, i+1, strings.TrimSpace(line)))
			}
		}
	}
	return found
}
