// Package home keeps the folder of one device: its keys, who it is, its network, and what a node on it needs to know before any
// database is open.
//
//	keys          the identity, the key of the keystore, and the network's authority where we made it; sealed with a passphrase or by the OS keyring, unless neither was wanted.
//	              Written last by Create: no keys, no home
//	keystore      the keys to what is in the database, sealed; replaced when a conversation begins or is forgotten
//	instance      which database this is, and its last event: tells a database that was restored from a copy
//	profile.json  name, account, device, when it was made
//	network.json  the network's name, id, pre-shared key and seeds
//	members.json  who is on the network, as the node knows it: our certificate, the list of revocations, the invites that we made
//	join.json     the invite that we joined with, and whether a node of the network has answered since; absent where we made it
//	node.json     the port that was chosen once, and the database
//	links.json    the secret that the tokens in our links are made of, and their generation
//	lock          held by the process that runs a node here; holds its process id
//	api.sock      where a running node serves its local API
//	api.addr      the socket's path, where the one above would be too long for a socket
//
// The folder has mode 0700, every file in it 0600, and every file is replaced as a whole: a crash leaves the old one or the new
// one. Nothing of this is ever in the database, so that a copy of the database alone says nothing about keys, and nothing at all about
// what is in it; and a database that is put back to an older copy gives no invite its uses back, and lets nobody in who was thrown out.
//
// Start with Create (once) and Open. Looking at a home needs no lock; a process that runs a node on it holds Lock for as long.
package home
