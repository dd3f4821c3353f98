//go:build !race

package seal_test

// usualSeeds is how many walks a usual run takes.
const usualSeeds = 300
