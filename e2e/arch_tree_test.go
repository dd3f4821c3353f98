package e2e_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// A tree is the source of a whole module, parsed.
type tree struct {
	fset  *token.FileSet
	top   []fs.DirEntry
	files []*file           // Go, in the order of their paths
	texts map[string]string // everything that is text, by path
}

type file struct {
	*ast.File
	path, dir string // the root's dir is "."
	lines     int
	test      bool // …_test.go
}

// support reports whether a folder is there for tests alone, as net/http/httptest is.
func support(dir string) bool { return dir == "e2e" || strings.HasSuffix(path.Base(dir), "test") }

// shipped reports whether the file becomes part of the program.
func (f *file) shipped() bool { return !f.test && !support(f.dir) }

// external reports whether the file is a test that sees its package as others do.
func (f *file) external() bool { return f.test && strings.HasSuffix(f.Name.Name, "_test") }

// ours returns what the file imports from this module, without the module's name.
func (f *file) ours() (list []string) {
	for _, p := range f.imports() {
		if dir, ok := strings.CutPrefix(p, "parley/"); ok {
			list = append(list, dir)
		}
	}
	return list
}

func (f *file) imports() (list []string) {
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		list = append(list, p)
	}
	return list
}

// mustLoad reads what git would keep, but for other modules and the data of tests.
func mustLoad(t *testing.T, fsys fs.FS) *tree {
	t.Helper()
	tr := &tree{fset: token.NewFileSet(), texts: map[string]string{}}
	top, err := fs.ReadDir(fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	ignored := ignores(fsys)
	tr.top = slices.DeleteFunc(top, func(e fs.DirEntry) bool { return ignored(e.Name()) })
	err = fs.WalkDir(fsys, ".", func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (p == ".git" || p == "e2e/tools" || e.Name() == "testdata" || ignored(p)):
			return fs.SkipDir
		case e.IsDir() || ignored(p):
			return nil
		}
		return tr.add(fsys, p)
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr *tree) add(fsys fs.FS, p string) error {
	data, err := fs.ReadFile(fsys, p)
	if err != nil {
		return err
	}
	if utf8.Valid(data) {
		tr.texts[p] = string(data)
	}
	if path.Ext(p) != ".go" {
		return nil
	}
	parsed, err := parser.ParseFile(tr.fset, p, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	tr.files = append(tr.files, &file{
		File: parsed, path: p, dir: path.Dir(p), lines: bytes.Count(data, []byte("\n")), test: strings.HasSuffix(p, "_test.go"),
	})
	return nil
}

// ignores understands as much of .gitignore as ours uses: a folder ("/bin/") or the end of a name ("*.test").
func ignores(fsys fs.FS) func(string) bool {
	data, _ := fs.ReadFile(fsys, ".gitignore") // none: nothing is ignored
	patterns := strings.Fields(string(data))
	return func(p string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			if folder := strings.Trim(pattern, "/"); folder != pattern {
				return p == folder
			}
			match, _ := path.Match(pattern, path.Base(p))
			return match
		})
	}
}

// shipped returns the files that become part of the program.
func (tr *tree) shipped() []*file { return tr.pick((*file).shipped) }

func (tr *tree) pick(want func(*file) bool) (list []*file) {
	for _, f := range tr.files {
		if want(f) {
			list = append(list, f)
		}
	}
	return list
}

// packages returns the files of each folder that are no tests.
func (tr *tree) packages() map[string][]*file {
	byDir := map[string][]*file{}
	for _, f := range tr.pick(func(f *file) bool { return !f.test }) {
		byDir[f.dir] = append(byDir[f.dir], f)
	}
	return byDir
}

// at writes a place and what is to be said about it.
func (tr *tree) at(n ast.Node, format string, args ...any) string {
	where := tr.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d: %s", where.Filename, where.Line, fmt.Sprintf(format, args...))
}

// calls reports whether a node is a call of pkg.name, or of a plain name where pkg is empty.
func calls(n ast.Node, pkg, name string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return pkg == "" && fun.Name == name
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		return ok && x.Name == pkg && fun.Sel.Name == name
	}
	return false
}
