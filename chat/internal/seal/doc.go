// Package seal encrypts. It is pure: no I/O, no clock, no goroutine; keys and bytes in, bytes out.
//
// A Box is HPKE (RFC 9180) in base mode with X-Wing (ML-KEM-768 and X25519), HKDF-SHA256 and ChaCha20-Poly1305: post-quantum from
// the first byte. It hides everything from whoever lacks the recipient's envelope key, and authenticates nobody: who wrote what is
// inside is for the inside to prove.
package seal
