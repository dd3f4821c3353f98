package e2e_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
)

// goroutines lists the files that may start one with go, and who waits for it. errgroup and sync.WaitGroup wait by themselves.
func goroutines() map[string]string {
	return map[string]string{
		"chat/api/events.go":       "whoever starts a feed cancels and drains it",
		"chat/cli/lines.go":        "batch receives until it has ended; where the command is interrupted before, the process ends it",
		"chat/chattest/scene.go":   "Stop receives what Run returned",
		"node/bootstrap.go":        "race receives one outcome from every attempt",
		"node/directory/newest.go": "the function that is returned with the answers waits until it is closed",
		"node/nodetest/world.go":   "Stop receives what Run returned",
	}
}

func codeRules() []rule {
	return []rule{
		{
			"goroutines have somebody who waits for them", "what nobody waits for leaks, and ends in the middle of something. Use an errgroup, or name the file in " +
				"goroutines() with who waits.", goStatements,
		},
		{"tests do not sleep", "a test that sleeps is slow on a good day and fails on a bad one. Wait for a condition or a channel, or use testing/synctest.", sleeps},
		{"only must… panics", "a panic takes everybody's node down. Return an error; what cannot fail is called must….", panics},
		{
			"packages hold no state", "a package-level variable is shared by every test and every node of a process. Make it a constant, a field or an argument. " +
				"Sentinel errors, regexps, embedded files and unexported tables that nothing writes to are fine.", variables,
		},
		{"what is exported is explained", "a name that others use is a promise. Say in a sentence what the name does not: special values, errors, who owns what.", exportedDocs},
		{"each package introduces itself once", "a reader starts at the package comment. Write one, in doc.go where the package has several files.", packageDocs},
	}
}

func goStatements(tr *tree) (broken []string) {
	allowed := goroutines()
	for _, f := range tr.pick(func(f *file) bool { return !f.test }) {
		_, named := allowed[f.path]
		ast.Inspect(f.File, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				delete(allowed, f.path)
				if !named {
					broken = append(broken, tr.at(g, "starts a goroutine, and the list does not say who waits for it"))
				}
			}
			return true
		})
	}
	for _, f := range slices.Sorted(maps.Keys(allowed)) {
		if _, there := tr.texts[f]; there {
			broken = append(broken, f+": starts no goroutine any more; take it off the list")
		}
	}
	return broken
}

func sleeps(tr *tree) (broken []string) {
	for _, f := range tr.pick(func(f *file) bool { return !f.shipped() }) {
		ast.Inspect(f.File, func(n ast.Node) bool {
			if calls(n, "synctest", "Test") {
				return false // time stands still there until everybody sleeps
			}
			if calls(n, "time", "Sleep") {
				broken = append(broken, tr.at(n, "sleeps"))
			}
			return true
		})
	}
	return broken
}

func panics(tr *tree) (broken []string) {
	for _, f := range tr.shipped() {
		for _, fn := range f.functions() {
			if strings.HasPrefix(strings.ToLower(fn.Name.Name), "must") {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if n != nil && calls(n, "", "panic") {
					broken = append(broken, tr.at(n, "%s panics", fn.Name.Name))
				}
				return true
			})
		}
	}
	return broken
}

func variables(tr *tree) (broken []string) {
	packages := tr.packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		for _, f := range packages[dir] {
			for _, spec := range f.variables() {
				for i, name := range spec.Names {
					if name.Name != "_" && !fixed(spec, i) && !table(packages[dir], name) {
						broken = append(broken, tr.at(name, "%s is package-level state", name.Name))
					}
				}
			}
		}
	}
	return broken
}

// variables returns the package-level variables of a file, but for embedded files.
func (f *file) variables() (list []*ast.ValueSpec) {
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			if !embeds(decl.Doc) && !embeds(spec.Doc) {
				list = append(list, spec)
			}
		}
	}
	return list
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// fixed reports whether the i-th name of a declaration gets a value that nobody changes: a sentinel error, or a regexp.
func fixed(spec *ast.ValueSpec, i int) bool {
	if i >= len(spec.Values) {
		return false
	}
	v := spec.Values[i]
	return calls(v, "errors", "New") || calls(v, "fmt", "Errorf") || calls(v, "regexp", "MustCompile")
}

// table reports whether an unexported name of a package is initialised, and written to by nothing afterwards.
func table(pkg []*file, name *ast.Ident) bool {
	written := false
	for _, f := range pkg {
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				written = written || slices.Contains(n.Names, name) && len(n.Values) == 0
			case *ast.AssignStmt:
				written = written || n.Tok != token.DEFINE && slices.ContainsFunc(n.Lhs, func(e ast.Expr) bool { return root(e) == name.Name })
			case *ast.IncDecStmt:
				written = written || root(n.X) == name.Name
			case *ast.UnaryExpr:
				written = written || n.Op == token.AND && root(n.X) == name.Name
			case *ast.CallExpr:
				written = written || (calls(n, "", "delete") || calls(n, "", "clear")) && root(n.Args[0]) == name.Name
			}
			return true
		})
	}
	return !name.IsExported() && !written
}

// root returns the variable that an expression is a part of.
func root(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return ""
}

func exportedDocs(tr *tree) (broken []string) {
	for _, f := range tr.pick(func(f *file) bool { return !f.test && f.Name.Name != "main" }) {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && !says(d.Doc) {
					broken = append(broken, tr.at(d, "%s has no comment that adds to its name", d.Name.Name))
				}
			case *ast.GenDecl:
				broken = append(broken, tr.undocumented(d)...)
			}
		}
	}
	return broken
}

// exportedReceiver reports whether a function is no method, or one that others can see.
func exportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	t := fn.Recv.List[0].Type
	if i, ok := t.(*ast.IndexExpr); ok {
		t = i.X
	}
	return ast.IsExported(root(t))
}

// undocumented finds the exported names of a declaration that have no comment above them, behind them, or above their group, and
// are not named in a neighbour's.
func (tr *tree) undocumented(d *ast.GenDecl) (broken []string) {
	var neighbours strings.Builder
	for _, s := range d.Specs {
		var names []*ast.Ident
		explained := says(d.Doc)
		switch s := s.(type) {
		case *ast.TypeSpec:
			names, explained = []*ast.Ident{s.Name}, explained || says(s.Doc) || says(s.Comment)
			neighbours.WriteString(s.Doc.Text())
		case *ast.ValueSpec:
			names, explained = s.Names, explained || says(s.Doc) || says(s.Comment)
			neighbours.WriteString(s.Doc.Text())
		}
		for _, name := range names {
			if name.IsExported() && !explained && !strings.Contains(neighbours.String(), name.Name) {
				broken = append(broken, tr.at(name, "%s has no comment that adds to its name", name.Name))
			}
		}
	}
	return broken
}

// says reports whether a comment has enough words to say more than the name does.
func says(doc *ast.CommentGroup) bool { return len(strings.Fields(doc.Text())) >= 3 }

func packageDocs(tr *tree) (broken []string) {
	packages := tr.packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		files := packages[dir]
		var with []string
		for _, f := range files {
			if f.Doc.Text() != "" {
				with = append(with, path.Base(f.path))
			}
		}
		own := slices.ContainsFunc(files, func(f *file) bool { return path.Base(f.path) == "doc.go" })
		if len(with) != 1 || own && with[0] != "doc.go" {
			broken = append(broken, fmt.Sprintf("%s: package comments in %d files %v", dir, len(with), with))
		}
	}
	return broken
}
