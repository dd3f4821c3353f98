package show

import "parley/chat"

// Style says what lines may be made of.
type Style struct {
	Color bool
	ASCII bool // no other signs of ours than ASCII; texts stay what they are
}

// Rule returns what our own lines begin with.
func (s Style) Rule() string { return s.Pick("──", "--") }

func (s Style) bar() string { return s.Pick("│", "|") }

// Pick returns a sign, or what stands for it in ASCII.
func (s Style) Pick(sign, ascii string) string {
	if s.ASCII {
		return ascii
	}
	return sign
}

// State returns the mark of a state; colour is never the only sign.
func (s Style) State(state chat.State) string {
	switch state {
	case chat.StateQueued:
		return s.Pick("◷", "..")
	case chat.StateSent:
		return s.Pick("✓", "+")
	case chat.StateDelivered:
		return s.Pick("✓✓", "++")
	case chat.StateRead:
		return s.Pick("✓✓ read", "++r")
	case chat.StateFailed:
		return s.Pick("✗", "!!")
	}
	return ""
}
