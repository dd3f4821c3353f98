package wire

import (
	"encoding/base32"
	"fmt"
	"strings"
)

// crockford is Crockford's base32 alphabet in lower case: no i, l, o, u, so that ids can be read out.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// encoding writes bytes in the Crockford alphabet, without padding.
func encoding() *base32.Encoding {
	return base32.NewEncoding(crockford).WithPadding(base32.NoPadding)
}

// Base32 returns b in lower-case Crockford base32.
func Base32(b []byte) string { return encoding().EncodeToString(b) }

// ParseBase32 fills dst from s, forgiving case and the letters that people confuse. It is an error when s does not hold exactly
// len(dst) bytes, or holds them in another than the canonical form.
func ParseBase32(dst []byte, s string) error {
	b, err := encoding().DecodeString(normalize(s))
	if err != nil {
		return fmt.Errorf("id %.80q: %w", s, err)
	}
	if len(b) != len(dst) || Base32(b) != normalize(s) {
		return fmt.Errorf("id %.80q: want %d bytes in base32", s, len(dst))
	}
	copy(dst, b)
	return nil
}

func normalize(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case 'o', 'O':
			return '0'
		case 'i', 'I', 'l', 'L':
			return '1'
		case '-':
			return -1
		}
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Short returns 75 bits of a hash and a check character in four groups of four.
func Short(sum []byte) string {
	s := Base32(sum[:10])[:15]
	s += string(crockford[checkOf(s)])
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// ReadsAsShort reports whether people could take s for a short form, with or without its dashes, in any case.
func ReadsAsShort(s string) bool {
	s = normalize(s)
	return len(s) == 16 && strings.Trim(s, crockford) == ""
}

// Fingerprint returns the five characters that name a network.
func Fingerprint(sum []byte) string { return strings.ToUpper(Base32(sum[:5])[:5]) }

// checkOf sums the digits weighted by odd numbers modulo 32 (each weight is invertible, so every single wrong character shows).
func checkOf(s string) int {
	sum := 0
	for i := range len(s) {
		sum += (2*i + 1) * strings.IndexByte(crockford, s[i])
	}
	return sum % 32
}
