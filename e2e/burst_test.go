package e2e

import (
	"testing"
	"time"
)

const (
	// burst is how many texts each side says in a scene.
	burst = 1000
	// burstTime ends the wait for a burst to arrive, once it has been said.
	burstTime = 2 * time.Minute
)

func TestThousandMessagesEachWayAtOnceAreShownOnceInOrder(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine func(testing.TB) string) {
		_, alice, bob := newWorld(t).aliceAndBob(engine, inArrivalOrder)
		begin := time.Now()
		converse(t, alice, bob, burst, burst).finish(burstTime)
		t.Logf("%d messages each way took %v", burst, time.Since(begin).Round(time.Millisecond))
	})
}
