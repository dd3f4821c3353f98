package cli

import (
	"os"
	"strings"

	"parley/chat/cli/show"
)

// style says how lines may look on standard output.
func (a *App) style(ascii bool) show.Style {
	return show.Style{Color: a.colors(), ASCII: ascii || !utf8Locale()}
}

// colors reports whether standard output may be coloured.
func (a *App) colors() bool {
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return a.isTerminal(a.Stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// utf8Locale reports whether the terminal's locale is one of UTF-8; where none is set it is taken for one.
func utf8Locale() bool {
	for _, key := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := os.Getenv(key); locale != "" {
			locale = strings.ToLower(locale)
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return true
}
