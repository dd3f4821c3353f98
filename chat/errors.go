package chat

import "errors"

// Code classifies an error for machines: it crosses the local API and becomes the exit code of the command line. The list is
// closed and append-only.
type Code string

// The codes, and the exit code that the command line gives each.
const (
	CodeInternal    Code = "internal"    // 1: unexpected
	CodeInvalid     Code = "invalid"     // 2: the request is wrong
	CodeConfig      Code = "config"      // 3: not initialised, or a setting is wrong
	CodeUnavailable Code = "unavailable" // 4: the node is not running, or cannot be reached
	CodeTarget      Code = "target"      // 5: target unknown or ambiguous
	CodeIdentity    Code = "identity"    // 6: a key changed
	CodeNotReached  Code = "not_reached" // 7: queued safely, the asked state was not reached in time
	CodeRefused     Code = "refused"     // 8: expired, foreign, blocked, not allowed
	CodeLimit       Code = "limit"       // 9: too large, too many, no space
	CodeLocked      Code = "locked"      // 10: a passphrase is needed
	CodeIDReused    Code = "id_reused"   // 8: the client id belongs to a message with another text
)

// Error is an error made for people: what went wrong and why, and the exact command that helps.
type Error struct {
	Code   Code
	Detail string // one line: what, and why
	Try    string // a command to run next; empty where none helps
}

// Error returns the one line for people.
func (e *Error) Error() string { return e.Detail }

// CodeOf returns the code of the first *Error in err's chain, and CodeInternal where there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
