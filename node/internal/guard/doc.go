// Package guard keeps a node from being used against itself and against others, and counts what was refused, and why.
//
// Start at [New]. A [Guard] is libp2p's connection gater: it does not dial whatever others name (dial.go), and shuts out for a while who breaks
// the protocol again and again (ban.go). It also counts what other parts refuse: [Guard.Refuse] is for a peer of which the node knows where it
// comes from, and writes a line that fail2ban can read; [Guard.Stream] counts by the codes that streams are reset with, and [Guard.Resources] what the
// resource manager says no to. The reasons are a closed set, and no count says anything about a peer.
package guard
