// Package reach brings nodes together that cannot simply dial each other.
//
// Start at [Options] for what a host needs, and at [New] for what works beside it. There are four ways to a node, tried in this order, and
// [Reach.Route] says which one a connection took:
//
//	lan       an address of this network, or of this machine
//	direct    an address that everybody can dial: announced, or mapped in the router by UPnP or NAT-PMP
//	punched   two routers that let a connection through because both sides dialled at the same moment
//	relayed   a circuit through a seed, for as long as nothing better is there
//
// Whether everybody can dial a node it learns from seeds, which try (AutoNAT v2): see [Confirmed]. What they have found good is told to others.
//
// A node that is not a seed keeps a reservation at each seed that it is connected to, and everybody knows the seeds: so a circuit is found
// without anybody's address. Both ends then try to punch (DCUtR), the one that was called first, and again with longer and longer pauses,
// because the first attempt often comes before either side knows its own address. What goes over a circuit is sealed as everywhere, and
// the seed sees how much of it there is.
//
// A seed relays for nodes of its network, bounded by Resources. libp2p's limits for volunteers (128 KiB in two minutes) would cut a
// conversation off; ours are for people who know each other.
package reach
