// Package prekey asks a device that is online for keys to be used once: protocol /parley/prekey/1.
//
//	asker    → answerer   nothing: it opens the stream and closes its side
//	answerer → asker      frame(1 ‖ keys), or frame(0) when it has none left
//
// What the keys are, and that each is given away once, is the messenger's business; the asker verifies their signatures. They are a
// bonus: whoever gets none uses the keys of the device's record. A Server gives to each peer a few an hour, so that nobody takes
// all. node/SPEC.md, "Prekeys", has the bytes.
package prekey
