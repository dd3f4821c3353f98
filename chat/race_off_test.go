//go:build !race

package chat_test

// usualTowns is how many towns a usual run plays.
const usualTowns = 60
