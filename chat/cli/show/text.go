package show

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"parley/chat"
)

// Line returns a text that may hold what others wrote as one line that is safe to show.
func Line(s string) string {
	return strings.ReplaceAll(chat.CleanText(s), "\n", " ")
}

// Why returns what is wrong without the time of the next attempt, which changes every second.
func Why(trouble string) string {
	why, _, _ := strings.Cut(Line(trouble), ", retrying in ")
	return why
}

// Name returns a name as it stands in front of a message or in a prompt.
func Name(s string) string { return Line(Fit(Line(s), NameColumns)) }

// Fit cuts a text that is wider than so many columns, and shows that it did.
func Fit(s string, limit int) string {
	used := 0
	for i, r := range s {
		w := runeColumns(r)
		if used+w > limit {
			return strings.TrimRight(s[:i], " ") + "…"
		}
		used += w
	}
	return s
}

// Columns returns how wide a text is on a terminal.
func Columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	kind := width.LookupRune(r).Kind()
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Count returns "1 message", "2 messages".
func Count(n int, what string) string { return count(uint64(max(0, n)), what) }

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func are(n uint64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// Yes returns "yes" or "no".
func Yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Expiry says when something ends.
func Expiry(t time.Time) string {
	if t.IsZero() {
		return "does not expire"
	}
	return "expires " + t.Local().Format("Mon 2 Jan 15:04")
}

// Devices says how many devices an invite lets in.
func Devices(n int) string {
	if n == 1 {
		return "for one device"
	}
	return fmt.Sprintf("for %d devices", n)
}
