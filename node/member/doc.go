// Package member decides who may be on a network: protocol /parley/member/1, and the gate that stands before all others.
//
// A device is a member when it shows a chain of certificates from the network's authority to its own key, and the list of revocations lets
// that chain stand. A joiner gets its certificate from who invited it, for the token in the invite:
//
//	joiner  → inviter    frame(02 ‖ token ‖ account ‖ proof)
//	inviter → joiner     frame(01 ‖ chain), or frame(verdict)
//
// and two members show each other theirs on every new connection, and hand on the newer list, and the newer key of the network:
//
//	asker    → answerer   frame(01 ‖ sequence ‖ stage ‖ chain)
//	answerer → asker      frame(01 ‖ sequence ‖ stage ‖ chain) frame(00 ‖ list) frame(03 ‖ rotation), or frame(verdict)
//	asker    → answerer   frame(01) frame(00 ‖ list) frame(03 ‖ rotation) frame(04 ‖ stage), or frame(verdict)
//	answerer → asker      frame(04 ‖ stage)
//
// The rotation is the network's newest pre-shared key, and the stage says which one each side has. It goes to who was admitted, and to nobody else.
//
// Start with Open, which returns the Ledger of a device: its own chain, the list, the invites that it has made, whom it has met. What it has
// answered is kept before it is said. NewGate puts a Gate around a host: use it in the place of the host. Streams that come in are served
// when their peer is admitted, streams that go out wait until the peer has admitted us, and a connection that is not admitted in time is
// closed. Certificate, Chain and List are values, and judging them is a function of them alone.
//
// What accounts are, and how a network's id comes from its authority's key, is the messenger's business: its rules are handed in (Network).
// node/SPEC.md, "Membership", has the bytes, the states, and who can do what.
package member
