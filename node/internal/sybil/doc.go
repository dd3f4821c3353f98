// Package sybil keeps a DHT useful although somebody runs many servers in it, under ids of his choice.
//
// Ids cost nothing. Who wants a record to be lost makes some dozens of them until they are the closest of all to its key, and has
// them name one another and return nothing: a look-up that asks the k closest asks nobody else. He cannot take away the honest
// servers a little further away, though, nor make ids sparse elsewhere. So a Walk
//
//  1. estimates how many servers there are, from how close to themselves the neighbours of some servers are that our own table
//     names; ids that crowd around one key change nothing about that;
//  2. takes as region the ids that begin as the key does, with as many bits as leave room for k to 2k servers of a network of that
//     size;
//  3. asks all servers in the region that it hears of, and some on the way, who name others.
//
// It goes on several paths from disjoint parts of our table, each with a budget of its own, and no server is asked on two: who misleads one
// path misleads no other. On a path the servers are asked in turn out of rings, by how many bits they share with the key: a crowd in
// one ring costs the others nothing.
//
//	ring  0      1     2    …  depth  depth+1  …  depth+core and closer
//	      half   1/4   1/8     |—————————————— region ————————————————|
//
// All that rests on routing tables, our own and those of the servers asked, that do not name Sybils alone. Who is there first fills a
// bucket, and ids around a key are all of one bucket of everybody's. So a Filter bounds what ids that are alike, and addresses of one
// subnet, take of a bucket, and keeps places there for peers that we trust.
package sybil
