// Package nodetest starts real nodes on loopback for tests: say the world, get the world.
//
//	world := nodetest.NewWorld(t, nodetest.Private)
//	seed, alice, bob := world.Seed("seed"), world.Device("alice"), world.Device("bob")
//	bob.Start()
//	alice.Start()
//	seed.Start()
//
// Seeds are known to all devices of a world before they start, as they are from an invite, so that any order of starting can be
// played. A device keeps its key, port and peer book over Stop and Start. Everything ends with the test.
package nodetest
