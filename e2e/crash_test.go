package e2e

import (
	"fmt"
	"testing"
)

// kills are when somebody is killed in the middle of a burst, in texts shown or accepted.
func kills() []int { return []int{burst / 5, burst / 2, 4 * burst / 5} }

func TestReceiverKilledInTheMiddleIsShownEverythingOnce(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine func(testing.TB) string) {
		_, alice, bob := newWorld(t).aliceAndBob(engine)
		c := converse(t, alice, bob, burst, 0)
		c.scatter() // the seed keeps for them what cannot be handed over
		for _, at := range kills() {
			await(t, burstTime, fmt.Sprintf("Bob was shown %d texts", at), func() bool { return c.fromAlice.shownCount() >= at })
			bob.node.kill()
			bob.start()
		}
		c.finish(burstTime)
	})
}

func TestSenderKilledInTheMiddleLosesNothingAndRepeatsNothing(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine func(testing.TB) string) {
		_, alice, bob := newWorld(t).aliceAndBob(engine)
		c := converse(t, alice, bob, burst, 0)
		c.scatter() // the seed keeps for them what cannot be handed over
		for _, at := range kills() {
			await(t, burstTime, fmt.Sprintf("Alice's node has accepted %d texts", at), func() bool { return c.fromAlice.acceptedCount() >= at })
			alice.node.kill()
			alice.start()
		}
		c.finish(burstTime)
	})
}

func TestBothKilledTogetherGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	c := converse(t, alice, bob, burst/2, burst/2)
	c.scatter()
	await(t, burstTime, "both were shown something", func() bool {
		return c.fromAlice.shownCount() >= burst/8 && c.fromBob.shownCount() >= burst/8
	})
	alice.node.kill()
	bob.node.kill()
	alice.start()
	bob.start()
	c.finish(burstTime)
}
