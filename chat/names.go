package chat

// CleanText returns untrusted text as it may be shown: control characters, escape sequences and the like are dropped or made
// visible, bidirectional text is isolated, combining marks are capped (SPEC.md, "Rendering"). Newlines stay, tabs become spaces.
func CleanText(s string) string { return s }

// CheckName says why a name that somebody chose for themselves, a contact or a network cannot be used, as a *Error; nil when it
// can: 1 to MaxName bytes, no control characters, no surrounding blanks, not something that reads as a flag, target or command.
func CheckName(what, name string) error { return nil }
