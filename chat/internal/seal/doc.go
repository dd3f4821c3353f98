// Package seal encrypts: sessions between two devices, and the boxes around what they say. It is pure: no I/O, no clock, no goroutine;
// keys and bytes in, bytes out.
//
// A Session is what two devices share: Initiate and Respond begin it (PQXDH), Seal and Open move it (a Double Ratchet with an
// ML-KEM-768 step in every turn), Parse takes packets apart before anything is known of them. Whoever steals a session's state reads
// nothing that was sent before, and nothing after the next turn. Keep the state as Marshal returns it, in the transaction that keeps
// what was sealed or opened; a failed call changes nothing. A Generation holds the keys that sessions are begun with.
//
// A box is HPKE (RFC 9180) in base mode with X-Wing (ML-KEM-768 and X25519), HKDF-SHA256 and ChaCha20-Poly1305: post-quantum from
// the first byte. It hides everything from whoever lacks the recipient's envelope key, and authenticates nobody: who wrote what is
// inside is for the session to prove. Its purpose says what it goes around:
//
//   - a deposit (SealDeposit, OpenDeposit) is one batch of packets that may lie in a mailbox, padded to a few sizes,
//   - a stream (NewSealer, OpenStream) is one header and then a record for each packet, in an order that nobody can change.
//
// chat/SPEC.md, section 4, has the bytes.
package seal
