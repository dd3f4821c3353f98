// Package wire holds the bytes that parley signs, hashes and seals: canonical forms written by hand, one append and one parse for
// each. Parse validates everything, so that the rest of the code handles only valid values: unknown versions, trailing bytes,
// wrong lengths and weak keys never get past it. chat/SPEC.md draws every layout.
//
// Notation, here and there: integers are big-endian; lp(x) is the length of x as u32, then x; H is SHA-256.
package wire
