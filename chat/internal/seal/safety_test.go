package seal

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"math/big"
	"testing"
)

// The same number, read from SPEC.md a second time, with large numbers.
func second(key []byte) (digits string) {
	h := []byte("parley/sn/1" + string(key))
	for i := 1; i <= 5200; i++ {
		s := sha512.New()
		s.Write(h)
		s.Write(key)
		h = s.Sum(nil)
	}
	for at := 0; at < 30; at += 5 {
		n := new(big.Int).SetBytes(h[at : at+5])
		digits += fmt.Sprintf("%05s", n.Mod(n, big.NewInt(100_000)).String())
	}
	return digits
}

func TestASafetyNumberIsOfBothKeysAndNoOther(t *testing.T) {
	low, high := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	want := second(low) + second(high)
	if got := SafetyNumber(low, high); got != want || got != SafetyNumber(high, low) || len(got) != 60 {
		t.Errorf("got %s and %s, want %s", got, SafetyNumber(high, low), want)
	}
	for at := range 32 {
		other := bytes.Clone(high)
		other[at] ^= 0x10
		if got := SafetyNumber(low, other); got == want || got[:30] != want[:30] {
			t.Errorf("byte %d changed: %s", at, got)
		}
	}
	if !bytes.Equal(low, bytes.Repeat([]byte{1}, 32)) {
		t.Error("a key was written to")
	}
}
