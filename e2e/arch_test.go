package e2e_test

import (
	"os"
	"strings"
	"testing"
)

// A rule looks at the whole source and returns what breaks it, one line each, beginning with the place.
type rule struct {
	name  string
	why   string // why there is such a rule, and what to do where it is broken
	check func(*tree) []string
}

func rules() []rule {
	return append(append(append(importRules(), budgetRules()...), codeRules()...), nameRules()...)
}

func TestTheHouseRules(t *testing.T) {
	parley := mustLoad(t, os.DirFS(".."))
	t.Log(parley.figures())
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if broken := r.check(parley); len(broken) > 0 {
				t.Errorf("%d × %s\n    %s\n  why, and what to do: %s", len(broken), r.name, strings.Join(broken, "\n    "), r.why)
			}
		})
	}
}
