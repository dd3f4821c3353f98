// Package frame reads and writes length-prefixed frames from strangers.
//
//	frame = uvarint length ‖ payload
//
// The length is a minimal unsigned LEB128 number between 1 and the reader's maximum. It is judged before a byte is allocated for
// the payload, and the payload's memory is reserved in the stream's resource scope before it is read: what a stranger declares
// costs nothing until it is allowed. A frame that has begun must end before its deadline; between frames a stream holds no buffer.
//
// node/SPEC.md, "Frames", has the rules and the test vectors.
package frame
