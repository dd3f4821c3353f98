//go:build unix && !linux

package road

// segment returns the size of each packet of a write: only Linux sends several at once.
func segment(_ []byte, whole int) int { return whole }

// persist leaves it to the system when to repeat what was lost.
func persist(int) {}
