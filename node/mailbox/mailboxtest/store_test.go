package mailboxtest_test

import (
	"testing"

	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
)

// TestMemory holds the store in memory to what every store promises.
func TestMemory(t *testing.T) {
	mailboxtest.TestStore(t, func() mailbox.Store { return mailboxtest.NewStore() })
}
