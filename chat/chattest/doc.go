// Package chattest is what tests of the messenger stand on.
//
// TestStore is the contract of chat.Store as a test: whoever writes a store runs it against theirs. NewMemStore is the smallest
// store that passes it, for tests that are about something else; it works inside testing/synctest.
package chattest
