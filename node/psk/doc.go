// Package psk keeps strangers away from a network with a pre-shared key, and lets the key be changed while connections come and go.
//
// On the wire it is libp2p's private network protocol: each side sends a random nonce of 24 bytes, and everything after it under XSalsa20 with
// the key and that nonce. libp2p's own option knows one key for the life of a host. Here a [Ring] holds the newest key and, until its grace ends,
// the one before it.
//
//	caller   → answerer   nonce 24 ‖ XSalsa20(key, nonce, "\x13/multistream/1.0.0\n" ‖ …)
//	answerer → caller     nonce 24 ‖ XSalsa20(the same key, nonce, …)
//
// Who is called says nothing before the caller has shown a key: it reads the nonce and the header that every caller begins with, tries the keys
// that are good now, and answers under the one that fits. Where none fits, it closes the connection and counts it ([Ring.Wrong]); so who calls
// with another key is hung up on at once ([ErrHungUp]), as by anybody who lets nobody in. Who calls uses the newest key, and during the grace tries the older one where the newest
// was refused.
//
// Start with [NewRing], and hand [Ring.Transport] to libp2p in the place of its TCP transport, and [Ring.WebSocket] in that of its WebSocket
// transport, on which the same bytes go in messages. There is no way past them: without a key nothing is dialled and nothing is answered but the
// request for a WebSocket, and a host that has no other transport does nothing in clear. Circuits run inside connections that are protected, from
// one node to the seed and from there to the other, and are not protected a second time.
package psk
