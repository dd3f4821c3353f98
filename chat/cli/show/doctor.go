package show

import (
	"fmt"
	"io"
	"strings"

	"parley/chat/cli/doctor"
)

// Findings is what doctor says, for programs.
type Findings struct {
	V        int       `json:"v"`
	Worst    string    `json:"worst"` // ok, warn or fail
	Findings []Finding `json:"findings"`
}

// Finding is one thing that was looked at.
type Finding struct {
	Code  string `json:"code"`
	Level string `json:"level"`
	Text  string `json:"text"`
	Try   string `json:"try,omitempty"`
}

// AllFindings returns findings for programs.
func AllFindings(all []doctor.Finding) Findings {
	list := Findings{V: 1, Worst: string(doctor.Worst(all))}
	for _, f := range all {
		list.Findings = append(list.Findings, Finding{f.Code, string(f.Level), Line(f.Text), f.Try})
	}
	return list
}

// WriteFindings writes a line for each, and under what is not well the command that helps.
func WriteFindings(out io.Writer, all []doctor.Finding) error {
	var b strings.Builder
	warnings, failures := 0, 0
	for _, f := range all {
		word := string(f.Level)
		if f.Level == doctor.Fail {
			word, failures = "FAIL", failures+1
		} else if f.Level == doctor.Warn {
			warnings++
		}
		name, _, _ := strings.Cut(f.Code, ".")
		fmt.Fprintf(&b, "%-4s  %-10s %s\n", word, name, Line(f.Text))
		if f.Try != "" {
			fmt.Fprintf(&b, "%-4s  %-10s try: %s\n", "", "", f.Try)
		}
	}
	if warnings+failures == 0 {
		fmt.Fprintln(&b, "all is well")
	} else {
		fmt.Fprintf(&b, "%s, %s\n", Count(warnings, "warning"), Count(failures, "failure"))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
