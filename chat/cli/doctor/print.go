package doctor

import (
	"fmt"
	"io"
	"strings"

	"parley/chat/cli/show"
)

// Report is what was found, for programs.
type Report struct {
	V        int       `json:"v"`
	Worst    Level     `json:"worst"`
	Findings []Finding `json:"findings"`
}

// AllOf returns findings for programs.
func AllOf(findings []Finding) Report {
	return Report{V: 1, Worst: Worst(findings), Findings: findings}
}

// Write writes a line for each, and under what is not well the command that helps.
func Write(out io.Writer, all []Finding) error {
	var b strings.Builder
	warnings, failures := 0, 0
	for _, f := range all {
		word := string(f.Level)
		if f.Level == Fail {
			word, failures = "FAIL", failures+1
		} else if f.Level == Warn {
			warnings++
		}
		name, _, _ := strings.Cut(f.Code, ".")
		fmt.Fprintf(&b, "%-4s  %-10s %s\n", word, name, show.Line(f.Text))
		if f.Try != "" {
			fmt.Fprintf(&b, "%-4s  %-10s try: %s\n", "", "", f.Try)
		}
	}
	if warnings+failures == 0 {
		fmt.Fprintln(&b, "all is well")
	} else {
		fmt.Fprintf(&b, "%s, %s\n", show.Count(warnings, "warning"), show.Count(failures, "failure"))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
