package argv

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"parley/chat"
)

// CheckText refuses what no node would take, so that none is started for it.
func CheckText(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return Usage("the text is empty; nothing was sent", "parley send --help")
	case len(text) > chat.MaxText:
		return &chat.Error{
			Code:   chat.CodeLimit,
			Detail: fmt.Sprintf("the text is longer than %d bytes; nothing was sent: shorten it, or send it in parts", chat.MaxText),
		}
	case !utf8.ValidString(text):
		return Usage("the text is not valid UTF-8; nothing was sent", "parley send --help")
	}
	return nil
}
