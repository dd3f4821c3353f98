// Package node is the libp2p host of a device: how bytes reach a peer, and nothing about what they say.
//
// New opens the listeners, Run makes the node work until its context ends. A running node
//
//   - keeps connections to up to three seeds of its network and greets the peers that it remembers (bootstrap.go),
//   - hands envelopes to devices and takes those of others (deliver.go, package direct),
//   - deposits for devices that are away, keeps our mailboxes, and hosts those of others (deposit.go, keep.go, package mailbox),
//   - publishes our records and finds those of others, in a DHT of the network's own and by asking around (records.go, package
//     directory),
//   - finds peers on the LAN (mdns.go).
//
// *Node is a transport and a directory for a messenger, which it knows by the Messenger interface alone. It keeps no state of its
// own: what should outlive the process goes through PeerBook.
//
// A network is a set of nodes that admit each other. With a pre-shared key, others cannot even begin a handshake, and only TCP is
// used; without one there is QUIC too, and nodes of other networks are disconnected once they have said which network they are
// of. Everybody else is a stranger whose every stream, frame and byte is bounded (limits.go). node/SPEC.md has the bytes of all
// protocols, and what each kind of adversary can and cannot do.
package node
