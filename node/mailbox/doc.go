// Package mailbox keeps boxes for devices that are away: protocols /parley/mailbox/1/deposit, /open, /fetch and /hosts.
//
// A host keeps a mailbox for each owner who has opened one there. The owner's correspondents deposit boxes, each through the lane whose
// capability it has, or through the open lane that strangers share; the owner fetches them over a stream that stays open.
//
//	depositor → host     frame(capability ‖ deposit id ‖ owner) frame(box) …
//	host → depositor     frame(verdict) …                     each after the box is kept durably
//
//	owner → host         frame(lanes)                         who may deposit; none: the mailbox is closed
//	host → owner         frame(verdict ‖ policy)
//
//	owner → host         frame(hash of the lanes) frame(ids of what the owner has kept) …
//	host → owner         frame(status) frame(01 ‖ deposit id ‖ box) … frame(02) …
//
// A box is sealed to its owner, and a host is told nobody's name but the owner's. What it hands out it keeps until the owner has
// acknowledged it, under a lease, so that several hosts may share one Store. A deposit is named by what is in it (IDOf): made twice, by
// a depositor that has crashed in between, it is kept once.
//
// Server is the host's side, Keeper the owner's, Post the depositor's; Guide answers who hosts mailboxes, and any node has one. All that
// strangers can make a host hold or work is bounded (limits.go). node/SPEC.md, "Mailboxes", has the bytes, and what a host sees.
package mailbox
