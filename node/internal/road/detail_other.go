//go:build unix && !linux

package road

import "net"

// segment returns the size of each packet of a write: only Linux sends several at once.
func segment(_ []byte, whole int) int { return whole }

// persist leaves it to the system when to repeat what was lost.
func persist(int) {}

// acked returns 0: the system does not say, or not in the same way.
func acked(net.Conn) uint64 { return 0 }
