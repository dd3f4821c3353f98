package e2e_test

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
)

// Budgets are examples of a good size rather than walls: split where the seam is, never in the middle of a thought.
const (
	functionMedian = 12
	functionP90    = 40
	functionMost   = 70
	fileMost       = 500
	testFileMost   = 800
	mainMost       = 150
	packageFiles   = 12
	packageLines   = 2000
	methodsMost    = 5
	testShare      = 0.8 // lines of tests for each line of code; 1.0 is what we aim at
)

// A packageBudget is for a package that is allowed to be larger than others.
type packageBudget struct {
	files, lines int
	why          string
}

func largePackages() map[string]packageBudget {
	return map[string]packageBudget{
		"chat":  {50, 10700, "the messenger itself: one file per thing that it does, its figures among them, of which who may write to us is three, mailboxes are five (ours, what lets others in, what they bring, acknowledging it, where a message is), and what seals its rows is the half of the store that may know them"},
		"node":  {21, 3350, "the host and its life-cycle, and how it dials, and when a device's mailboxes get what it does not take, and what its messenger asks about members and the network's key, and what bounds and counts what others can make it do"},
		"store": {25, 3450, "one small file per aggregate, two engines, of which SQLite needs help when a disk fails, and the mailboxes that several hosts may share"},

		"node/member":  {15, 2880, "who is a member, on one protocol: certificates, invites, requests and what is handed on of them, who is known and who was removed, and the network's key, which members alone hand on"},
		"node/mailbox": {12, 2300, "four protocols on one store, and all three sides of them: host, owner and depositor"},

		"chat/api":      {16, 2950, "both ends of one protocol, five of whose routes are about invites and members, nine of whose routes are about requests and trust and seven about delivery; the door to the socket is one file per system"},
		"chat/chattest": {19, 3600, "the kit of chat's tests: the suite for stores, a store in memory, a network without one, and mailbox hosts that lie"},
		"chat/cli":      {36, 4380, "one command per file, of which four are about delivery and two about members and their key, and all that an operator decides about a node; what they share has packages of its own below"},
	}
}

// largeInterfaces lists what may have more methods than others, own and embedded ones counted.
func largeInterfaces() map[string]int {
	return map[string]int{
		"senderTx": 6, // the parts of Tx hold what one file touches, so that a reader of it sees exactly these rows
		"outboxTx": 9,
	}
}

// txMost is how many methods Tx has in all: eight of them are for requests and their letters, which are kept apart from messages so
// that nothing of a stranger shows by mistake, eight for sessions and their secrets, and two for a conversation that is forgotten.
const txMost = 55

func budgetRules() []rule {
	return []rule{
		{"functions are short", "a function is read in one look. Split it where its story has a paragraph, and give the part a name.", functionSizes},
		{"files are short", "a file is one thought. Split it where the subject changes.", fileSizes},
		{"main.go is a composition", "main introduces the parts to each other and holds no rule. Move what decides something into its part.", mainSize},
		{"packages are small", "a package is learned as a whole. Give a group of files that know little of the others a package of their own.", packageSizes},
		{"interfaces are small", "the smaller an interface, the easier it is to stand in for. Declare what one file calls, and embed small ones.", interfaceSizes},
		{"tests weigh as much as code", "what no test tells does not work. Tell the missing stories, and delete code that nobody needs.", testWeight},
	}
}

// length is the number of lines of a function from func to its brace.
func (tr *tree) length(fn *ast.FuncDecl) int {
	return tr.fset.Position(fn.End()).Line - tr.fset.Position(fn.Pos()).Line + 1
}

func (f *file) functions() (list []*ast.FuncDecl) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			list = append(list, fn)
		}
	}
	return list
}

// lengths returns the sizes of all functions of the program, the shortest first.
func (tr *tree) lengths() (sorted []int) {
	for _, f := range tr.shipped() {
		for _, fn := range f.functions() {
			sorted = append(sorted, tr.length(fn))
		}
	}
	slices.Sort(sorted)
	return sorted
}

// quantile returns the value below which a share of the sorted values lies; 0 where there are none.
func quantile(sorted []int, share float64) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(share*float64(len(sorted)-1))]
}

func functionSizes(tr *tree) (broken []string) {
	for _, f := range tr.files {
		for _, fn := range f.functions() {
			if n := tr.length(fn); n > functionMost {
				broken = append(broken, tr.at(fn, "%s has %d lines; %d are the most", fn.Name.Name, n, functionMost))
			}
		}
	}
	lengths := tr.lengths()
	if n := quantile(lengths, 0.5); n > functionMedian {
		broken = append(broken, fmt.Sprintf("the median function has %d lines; %d are the most", n, functionMedian))
	}
	if n := quantile(lengths, 0.9); n > functionP90 {
		broken = append(broken, fmt.Sprintf("one function in ten has %d lines or more; %d are the most", n, functionP90))
	}
	return broken
}

func fileSizes(tr *tree) (broken []string) {
	for _, f := range tr.files {
		most := fileMost
		if f.test {
			most = testFileMost
		}
		if f.lines > most {
			broken = append(broken, fmt.Sprintf("%s: %d lines; %d are the most", f.path, f.lines, most))
		}
	}
	return broken
}

func mainSize(tr *tree) (broken []string) {
	for _, f := range tr.packages()["."] {
		if f.path != "main.go" {
			broken = append(broken, f.path+": the root holds main.go alone")
		} else if f.lines > mainMost {
			broken = append(broken, fmt.Sprintf("main.go: %d lines; %d are the most", f.lines, mainMost))
		}
	}
	return broken
}

func packageSizes(tr *tree) (broken []string) {
	packages := tr.packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		files, lines := len(packages[dir]), 0
		for _, f := range packages[dir] {
			lines += f.lines
		}
		budget, ok := largePackages()[dir]
		if !ok {
			budget = packageBudget{files: packageFiles, lines: packageLines}
		}
		if files > budget.files || lines > budget.lines {
			broken = append(broken, fmt.Sprintf("%s: %d files with %d lines; %d and %d are the most", dir, files, lines, budget.files, budget.lines))
		}
	}
	return broken
}

func interfaceSizes(tr *tree) (broken []string) {
	for _, f := range tr.shipped() {
		ast.Inspect(f.File, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			i, ok := spec.Type.(*ast.InterfaceType)
			if !ok {
				return true
			}
			most, large := largeInterfaces()[spec.Name.Name]
			if !large {
				most = methodsMost
			}
			if own := ownMethods(i); own > most {
				broken = append(broken, tr.at(spec, "%s has %d methods of its own; %d are the most", spec.Name.Name, own, most))
			}
			return true
		})
	}
	if n := tr.txMethods(); n > txMost {
		broken = append(broken, fmt.Sprintf("chat/store.go: Tx has %d methods in all; %d are the most", n, txMost))
	}
	return broken
}

func ownMethods(i *ast.InterfaceType) (own int) {
	for _, m := range i.Methods.List {
		own += len(m.Names)
	}
	return own
}

// txMethods counts the methods of chat.Tx, which is made of interfaces of its package.
func (tr *tree) txMethods() (methods int) {
	byName := map[string]*ast.InterfaceType{}
	for _, f := range tr.packages()["chat"] {
		ast.Inspect(f.File, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if i, ok := spec.Type.(*ast.InterfaceType); ok {
					byName[spec.Name.Name] = i
				}
			}
			return true
		})
	}
	tx, ok := byName["Tx"]
	if !ok {
		return 0
	}
	methods = ownMethods(tx)
	for _, m := range tx.Methods.List {
		if part, ok := m.Type.(*ast.Ident); ok && byName[part.Name] != nil {
			methods += ownMethods(byName[part.Name])
		}
	}
	return methods
}

// weight counts lines of code and lines of tests; test kits are tests.
func (tr *tree) weight() (code, tests int) {
	for _, f := range tr.files {
		if f.shipped() {
			code += f.lines
		} else {
			tests += f.lines
		}
	}
	return code, tests
}

func testWeight(tr *tree) (broken []string) {
	if code, tests := tr.weight(); float64(tests) < testShare*float64(code) {
		broken = append(broken, fmt.Sprintf("%d lines of tests for %d lines of code: %.2f; %.1f is the least", tests, code, float64(tests)/float64(code), testShare))
	}
	return broken
}

// figures is one line about the state of the house.
func (tr *tree) figures() string {
	code, tests := tr.weight()
	lengths := tr.lengths()
	return fmt.Sprintf("%d lines of code, %d lines of tests (%.2f); %d functions of %d lines in the middle, %d at p90, %d at most; Tx has %d methods",
		code, tests, float64(tests)/float64(max(code, 1)), len(lengths), quantile(lengths, 0.5), quantile(lengths, 0.9), quantile(lengths, 1), tr.txMethods())
}
