// Package seal encrypts. It is pure: no I/O, no clock, no goroutine; keys and bytes in, bytes out.
//
// A box is HPKE (RFC 9180) in base mode with X-Wing (ML-KEM-768 and X25519), HKDF-SHA256 and ChaCha20-Poly1305: post-quantum from
// the first byte. It hides everything from whoever lacks the recipient's envelope key, and authenticates nobody: who wrote what is
// inside is for the inside to prove. Its purpose says what it goes around:
//
//   - a deposit (SealDeposit, OpenDeposit) is one batch of packets that may lie in a mailbox, padded to a few sizes,
//   - a stream (NewSealer, OpenStream) is one header and then a record for each packet, in an order that nobody can change,
//   - Box and EnvelopeKey.Open are the interim form, with one signed message in each box.
//
// SPEC.md, "Envelopes and boxes", has the bytes.
package seal
