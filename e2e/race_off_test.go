//go:build !race

package e2e

// raceEnabled says that these tests run without the race detector.
const raceEnabled = false
