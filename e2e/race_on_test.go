//go:build race

package e2e

// raceEnabled says that these tests run with the race detector, and so shall the program.
const raceEnabled = true
