// Package direct hands envelopes to a device that is online: protocol /parley/direct/1.
//
// The sender opens one stream per device and keeps it while the connection lives. On it
//
//	sender  → receiver   frame(envelope) …
//	receiver → sender    frame(tag16 …)  …
//
// The receiver hands what has arrived to its messenger in batches, in order, and only after the messenger has it for good
// answers with one frame of acknowledgement tags: n tags acknowledge the next n envelopes. There is no other answer: whoever
// cannot take an envelope resets the stream, and the sender offers again, on a new stream, whatever was not acknowledged. So an
// envelope may arrive twice and never gets lost.
//
// A Sender pipelines: a second Deliver writes while the first still waits for its acknowledgements. A Receiver bounds everything
// that a stranger can make it hold: streams, frames, memory and time (limits.go). node/SPEC.md, "Direct delivery", has the bytes.
package direct
