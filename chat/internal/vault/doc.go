// Package vault seals what a messenger stores, so that a store sees bytes, row ids, kinds, states, times and counts. It is pure: bytes
// in, bytes out; whoever calls it brings the randomness and keeps the files.
//
//	cell     = 1 ‖ key id8 ‖ nonce24 ‖ XChaCha20-Poly1305(cell key, nonce, plaintext, place)
//	place    = lp(table) ‖ lp(column) ‖ lp(row id) ‖ lp(conversation or nothing) ‖ 1
//	keystore = 1 ‖ nonce24 ‖ XChaCha20-Poly1305(KEK, nonce, root, lp(label) ‖ 1)
//	             ‖ nonce24 ‖ XChaCha20-Poly1305(root, nonce, store key ‖ n × (conversation32 ‖ key32), lp(label) ‖ all before)
//
// A Ring holds the store's key and a key for each conversation. A cell opens in no other place than the one it was sealed for, and
// without its conversation's key nowhere. The keystore is what a Ring looks like in a file: under a new root each time, so that what
// was taken out of the ring cannot be had from the file that takes its place. chat/SPEC.md, "At rest", is the specification.
package vault
