//go:build !race

package e2e

// raceEnabled says that these tests run without the race detector.
const raceEnabled = false

// slowness is how many times longer than a line that was drawn for people something may take.
const slowness = 1
