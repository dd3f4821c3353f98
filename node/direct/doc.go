// Package direct hands envelopes to a device that is online: protocol /parley/direct/1.
//
// The sender opens one stream per device and keeps it while the connection lives. On it
//
//	sender  → receiver   frame(header) frame(record) …
//	receiver → sender    frame(k ‖ F_k ‖ m ‖ refused …) …
//
// Header and records are one box, sealed to the receiver's envelope key; Boxes puts it on and takes it off, and this package holds no key.
// The receiver opens record after record and hands the envelopes to its messenger in batches, in order. Only after the messenger has a
// batch for good it acknowledges it: k envelopes were taken on this stream so far, and F_k is a hash over the tags that only who has
// opened them knows. Envelopes that were taken and not accepted count with a tag of zeros, and are named. The sender, who knows all
// tags, checks the hash; one that is not true ends the stream, and nothing of it counts.
//
// There is no other answer: whoever cannot take an envelope, or cannot open a record, resets the stream, and the sender offers again, on
// a new stream, whatever was not acknowledged. So an envelope may arrive twice and never gets lost.
//
// A Sender pipelines: a second Deliver writes while the first still waits for its acknowledgements. A Receiver bounds everything
// that a stranger can make it hold or work: streams, key openings, frames, memory and time (limits.go). node/SPEC.md, "Direct delivery",
// has the bytes.
package direct
