package node_test

import (
	"testing"

	"parley/node"
	"parley/node/nodetest"
)

// Alice and Bob sit where nobody can dial them. What they say to each other goes by way of the seed, and says so.
func TestWhoCannotBeDialledGetsEnvelopesAllTheSame(t *testing.T) {
	for name, network := range map[string]nodetest.Kind{"with a key": nodetest.Private, "without": nodetest.Open} {
		t.Run(name, func(t *testing.T) {
			world := nodetest.NewWorld(t, network)
			seed := world.Seed("seed").Start()
			alice, bob := world.Device("Alice").Start(), world.Device("Bob").Start()
			alice.Deafen()
			bob.Deafen()
			alice.Knows(seed)
			bob.Knows(seed)
			for _, pair := range [][2]*nodetest.Device{{alice, bob}, {bob, alice}} {
				from, to := pair[0], pair[1]
				var handed []node.Handed
				nodetest.WaitFor(t, from.Name+" to reach "+to.Name, func() bool {
					handed, _ = from.Deliver(nodetest.Context(t), to.ID(), nil, nodetest.Letters([]byte("hello "+to.Name)))
					return len(handed) == 1
				})
				if !handed[0].Acked || handed[0].Route != "relayed" {
					t.Errorf("%s to %s: %+v", from.Name, to.Name, handed[0])
				}
			}
			for _, p := range alice.Peers() {
				if want := map[bool]string{true: "lan", false: "relayed"}[p.ID == seed.ID()]; p.Route != want {
					t.Errorf("Alice is connected to %s by %q, not %q", p.Address, p.Route, want)
				}
			}
		})
	}
}
