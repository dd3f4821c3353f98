package seal

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func key(t *testing.T, seed byte) EnvelopeKey {
	t.Helper()
	k, err := NewEnvelopeKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAnEnvelopeKeyNeverPrints(t *testing.T) {
	k := key(t, 0xab)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if s := fmt.Sprintf(verb, k); strings.Contains(strings.ToLower(s), "abab") || strings.Contains(s, "171") {
			t.Errorf("%s shows %s", verb, s)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	if _, err := NewEnvelopeKey([]byte{1}); err == nil {
		t.Error("a seed of one byte makes a key")
	}
	if _, _, err := NewSealer(Address{Key: make([]byte, 10)}); err == nil {
		t.Error("a stream to ten zeros")
	}
}
