// Package book keeps what a node remembers of its peers: where they were last seen, the address that worked first. (The host's own store
// forgets a peer's addresses a quarter of an hour after it left.) It knows what of that has yet to be saved.
package book
