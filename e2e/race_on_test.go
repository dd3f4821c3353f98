//go:build race

package e2e

// raceEnabled says that these tests run with the race detector, and so shall the program.
const raceEnabled = true

// slowness is how many times longer than a line that was drawn for people something may take: here the program is slow, and everything else is
// tested beside it.
const slowness = 4
