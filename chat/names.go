package chat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/chat/internal/wire"
)

// CleanText returns untrusted text as it may be shown (SPEC.md, "Rendering"): escape sequences and control characters are dropped,
// tabs become blanks, newlines stay, what has no width or no agreed meaning becomes "·", at most maxMarks combining marks follow a
// character, and a line with direction controls is closed in itself so that it cannot reorder what stands beside it.
func CleanText(s string) string {
	lines := strings.Split(dropEscapes(strings.ToValidUTF8(s, "\uFFFD")), "\n")
	for i, line := range lines {
		lines[i] = isolate(cleanLine(line))
	}
	return strings.Join(lines, "\n")
}

// maxMarks is the most combining marks on one character: real scripts need three or four, a storm of them covers other lines.
const maxMarks = 8

func cleanLine(line string) string {
	var b strings.Builder
	marks, last := 0, rune(0)
	for _, r := range line {
		switch {
		case r == '\t' || r == '\u2028' || r == '\u2029':
			r = ' '
		case unicode.IsControl(r):
			continue
		case isDirection(r) || (isJoiner(r) || isVariation(r)) && last > unicode.MaxASCII:
		case !unicode.IsGraphic(r) || isVariation(r) || isBlankMark(r):
			r = '·'
		}
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) {
			marks++
		} else if !isJoiner(r) && !isDirection(r) {
			marks = 0
		}
		if marks <= maxMarks {
			b.WriteRune(r)
		}
		last = r
		if isJoiner(r) || isVariation(r) {
			last = 0 // two in a row join or vary nothing
		}
	}
	return b.String()
}

// isJoiner reports the zero-width joiner and non-joiner, which emoji and several scripts need between their own characters.
func isJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// isVariation reports the selectors that choose between looks of the character before them.
func isVariation(r rune) bool { return unicode.Is(unicode.Variation_Selector, r) }

// isBlankMark reports characters that show as nothing although they are letters, marks or symbols.
func isBlankMark(r rune) bool {
	return r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' || r == '\u2800' || r == '\u034f' || r == '\u17b4' || r == '\u17b5'
}

// The direction controls: embeddings and overrides, isolates, marks.
const (
	fsi = '\u2068'
	pdi = '\u2069'
)

func isDirection(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}

// isolate wraps a line with direction controls into an isolate of its own: closings without an opening go, what is open is closed.
func isolate(line string) string {
	if !strings.ContainsFunc(line, isDirection) {
		return line
	}
	var b strings.Builder
	b.WriteRune(fsi)
	open := 0
	for _, r := range line {
		switch {
		case r == pdi && open == 0:
			continue
		case r == pdi:
			open--
		case r >= '\u2066' && r <= '\u2068':
			open++
		}
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat(string(pdi), open+1))
	return b.String()
}

// dropEscapes removes terminal escape sequences whole: CSI up to its final byte, strings (OSC, DCS, SOS, PM, APC) up to their end,
// other escapes with the character behind them. The eight-bit forms (C1) count alike.
func dropEscapes(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == 0x1b || r >= 0x80 && r < 0xa0 }) {
		return s
	}
	var b strings.Builder
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		if r == 0x1b && i+1 < len(runes) {
			i++
			r = runes[i] + 0x40 // ESC [ is CSI, and so on
			if runes[i] < 0x40 || runes[i] > 0x5f {
				continue
			}
		}
		switch r {
		case 0x9b:
			for i++; i < len(runes) && (runes[i] < 0x40 || runes[i] > 0x7e) && runes[i] >= 0x20; i++ {
			}
			if i < len(runes) && runes[i] < 0x20 {
				i-- // a control character ends the sequence and is judged on its own
			}
		case 0x90, 0x98, 0x9d, 0x9e, 0x9f:
			i = endOfString(runes, i)
		default:
			if r < 0x80 || r >= 0xa0 {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// endOfString returns the index of the last rune of a control string: BEL, ST, or the line's end, which no string crosses.
func endOfString(runes []rune, i int) int {
	for i++; i < len(runes); i++ {
		switch {
		case runes[i] == 0x07 || runes[i] == 0x9c:
			return i
		case runes[i] == 0x1b && i+1 < len(runes) && runes[i+1] == '\\':
			return i + 1
		case runes[i] == '\n':
			return i - 1
		}
	}
	return len(runes) - 1
}

// CheckName says why a name that somebody chose for themselves, a contact or a network cannot be used, as a *Error; nil when it
// can: 1 to MaxName bytes, printable, no blanks around it, nothing that reads as a flag, a target or a command.
func CheckName(what, name string) error {
	bad := func(why string) error {
		return &Error{Code: CodeInvalid, Detail: fmt.Sprintf("the %s %q cannot be used: %s", what, CleanText(truncate(name, 2*MaxName)), why)}
	}
	switch {
	case strings.TrimSpace(name) == "":
		return bad(fmt.Sprintf("it is empty; a name has 1 to %d bytes", MaxName))
	case len(name) > MaxName:
		return bad(fmt.Sprintf("it has %d bytes, at most %d fit", len(name), MaxName))
	case !utf8.ValidString(name) || CleanText(name) != name || strings.ContainsFunc(name, isNotForNames):
		return bad("it holds characters that are not seen by themselves: such that do not print, and such that join or vary others, as in some emoji")
	case strings.TrimSpace(name) != name:
		return bad("it begins or ends with a blank")
	case strings.ContainsAny(name[:1], "-@#/") || strings.ContainsAny(name, "✔✓✗"):
		return bad("it would read as a flag, a target, a command or a mark of ours")
	case wire.ReadsAsShort(name):
		return bad("it reads as an account's id")
	case strings.EqualFold(name, "me"):
		return bad("\"me\" stands for yourself")
	}
	return nil
}

// isNotForNames reports what two names could differ in without looking different.
func isNotForNames(r rune) bool {
	return !unicode.IsPrint(r) || isVariation(r) || isBlankMark(r) || r == '\uFFFD'
}

// truncate cuts s to at most n bytes, at the start of a character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimSpace(s[:n])
}

// shellWord returns a name as it may stand in a command that people are told to run.
func shellWord(name string) string {
	name = CleanText(name)
	if strings.Trim(name, "-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
