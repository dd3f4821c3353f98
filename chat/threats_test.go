package chat_test

import "flag"

// whole is set by "make attacks".
var whole = flag.Bool("whole", false, "meet each attack as often as it takes to bound what is left, instead of often enough for every day")

// times is how often something is done: every day, and in the whole.
func times(everyDay, inAll int) int {
	if *whole {
		return inAll
	}
	return everyDay
}
