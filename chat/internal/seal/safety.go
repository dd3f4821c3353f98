package seal

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"strings"

	"parley/chat/internal/wire"
)

const (
	// safetyRounds makes each digit of a look-alike key cost this many hashes.
	safetyRounds = 5200
	safetyGroups = 6 // of five digits, for each of the two keys
)

// SafetyNumber returns the sixty digits that two people compare: thirty of each account key, the lower key's first, so that both
// see the same. Another key on either side is another number.
func SafetyNumber(a, b []byte) string {
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	return safetyHalf(a) + safetyHalf(b)
}

func safetyHalf(key []byte) string {
	h := append([]byte(wire.LabelSafety), key...)
	for range safetyRounds {
		sum := sha512.Sum512(append(h, key...))
		h = sum[:]
	}
	var digits strings.Builder
	for group := range safetyGroups {
		n := uint64(0)
		for _, c := range h[5*group : 5*group+5] {
			n = n<<8 | uint64(c)
		}
		fmt.Fprintf(&digits, "%05d", n%100_000)
	}
	return digits.String()
}
