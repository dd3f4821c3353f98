// Package chat is the messenger: accounts, conversations, sending and receiving. It knows what a message is; how bytes reach a peer
// and where rows live it asks of others, through the small interfaces in transport.go and store.go.
//
// Start reading at Messenger. A message goes out in send.go (a draft becomes a row, outbox rows and an event, in one transaction) and
// outbox.go (outbox rows go to the Transport until the device has acknowledged them), and comes in through receive.go (envelopes are
// opened, stored and acknowledged, in one transaction); who may write to us at all is decided in request.go, and what people know of
// each other's keys is kept in verify.go. Everything else hangs on these. Between all of them and the Store lies vault.go: rows are
// plain here, and sealed there.
//
// What it promises:
//
//   - Send returns when the message is durable here, and never waits for the network.
//   - A message is shown once: at-least-once on every hop, ids bound to author and content, one atomic commit at the receiver.
//   - A state is never ahead of the truth: sent means that another node holds the ciphertext durably and said so, delivered that
//     a device of the recipient opened and stored it and proved that.
//   - Nothing that cannot be opened, or was not written by who it says, leaves a trace in the store.
//   - The store learns nothing, and cannot exchange anything unnoticed.
//
// Bytes, states, limits and the threat model are in SPEC.md; names and numbers that both sides must agree on are in limits.go and in
// the packages below internal: wire (what is signed, hashed and sealed, byte by byte), seal (encryption, pure) and vault (what lies on
// disk, pure).
package chat
