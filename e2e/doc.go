// Package e2e tests parley as a stranger meets it: scenes with real processes, and the rules that keep its code in shape.
//
// The rules are in arch_*_test.go: who may import whom, budgets, and one registry of names. Each is a function over the parsed
// source, and each failure says why the rule exists and what to do. A rule that cannot fail is worth nothing, so
// arch_plants_test.go breaks every one of them in a small tree of its own.
//
// They read the source in this process, and never by way of the go command: the test cache sees which files a test opened, and
// serves no old result after one of them has changed.
package e2e
