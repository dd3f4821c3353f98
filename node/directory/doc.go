// Package directory keeps signed records where others find them: protocol /parley/directory/1, and the rules that the DHT uses
// too.
//
// A record has a key "/<noun>/<id>" and a value that a validator of that noun accepts; the validator also tells its sequence
// number. What no validator accepts is neither kept, nor served, nor returned; of two valid values the higher sequence wins.
// Validators are handed in: this package does not know what a record says.
//
//	asker    → answerer   frame(key)
//	answerer → asker      frame(1 ‖ value), or frame(0) when it has none
//
// A Shelf holds our own records and the newest of others that went through our hands, a Server answers from it, Ask asks one peer
// and Newest asks many places at once. node/SPEC.md, "Directory", has the bytes.
package directory
