//go:build race

package chat_test

// usualTowns is how many towns a usual run plays; with the race detector each takes several times as long.
const usualTowns = 15
